//! QUIC (RFC 9000, RFC 9001, RFC 9369, and the drafts and Google versions before them) as far as
//! a passive observer can read it: the client's Initial packets.
//!
//! In: a UDP payload. Out: its long header [`Packets`]; with [`Keys`], the [`CryptoFrames`] of an
//! Initial; from [`google`], those of the versions without Initials. It does not know which
//! packets belong together: that takes a table, and is the pipeline's.
//!
//! Server Initials, Handshake, 0-RTT and 1-RTT packets are never opened: the first has no name in
//! it, the others have keys that only the ends know.

pub mod frame;
pub mod google;
mod hmac;
pub mod keys;
pub mod packet;
pub mod version;

pub use frame::{Crypto, CryptoFrames};
pub use keys::{Keys, NotOpened, Schedules};
pub use packet::{ConnectionId, Initial, Invariant, LongPacket, Packets};
pub use version::{Dialect, Salt, Scheme, Version};
