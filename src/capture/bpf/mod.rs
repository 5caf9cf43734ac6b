//! The programs that run in the kernel, and what is said to them and read from them.
//!
//! Their source is C, under `bpf/` at the top of the repository; the objects beside it are
//! committed, so that nobody needs a BPF compiler, and a test makes them again and compares.
//! This module loads them (feature `xdp`), attaches them, and reads and writes their maps.
//!
//! Limits: the flow tables forget the least recently used flow when they are full, and its later
//! octets are then counted as [`SkipReason::TcpUnknown`]; pairs whose volume is counted stop at
//! [`EXCHANGES`], and that some found no room is said.

#[cfg(not(feature = "xdp"))]
mod absent;
#[cfg(feature = "xdp")]
mod loaded;
#[cfg(feature = "xdp")]
mod wire;

use std::io;

#[cfg(not(feature = "xdp"))]
pub use self::absent::{Maps, Program, Xdp};
#[cfg(feature = "xdp")]
pub use self::loaded::{Maps, Program, Xdp};

use crate::net::{Pair, Path, Wish};

/// Why the in-kernel filter kept a frame. The numbers are those of `bpf/verdict.h`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum SkipReason {
    /// An acknowledgment without octets.
    TcpEmpty,
    /// Octets outside the part of a known flow that may carry a name.
    TcpOutside,
    /// Octets of a flow whose beginning was not seen, or was forgotten.
    TcpUnknown,
    /// A QUIC packet after the handshake.
    QuicShort,
    /// A datagram of a protocol without names.
    Udp,
}

impl SkipReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::TcpEmpty, Self::TcpOutside, Self::TcpUnknown, Self::QuicShort, Self::Udp];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TcpEmpty => "tcp_empty",
            Self::TcpOutside => "tcp_outside",
            Self::TcpUnknown => "tcp_unknown",
            Self::QuicShort => "quic_short",
            Self::Udp => "udp",
        }
    }
}

/// Packets and their octets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Volume {
    pub packets: u64,
    pub octets: u64,
}

impl Volume {
    /// Adds another volume.
    pub const fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.octets += other.octets;
    }

    /// What came since `before`, an earlier total.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            octets: self.octets.saturating_sub(before.octets),
        }
    }
}

/// What the in-kernel filter kept, by [`SkipReason`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Skipped(pub [Volume; SkipReason::ALL.len()]);

impl Skipped {
    /// Of every reason.
    #[must_use]
    pub fn total(&self) -> Volume {
        let mut total = Volume::default();
        for volume in self.0 {
            total.add(volume);
        }
        total
    }

    /// Adds what another filter kept.
    pub fn add(&mut self, other: &Self) {
        for (mine, volume) in self.0.iter_mut().zip(other.0) {
            mine.add(volume);
        }
    }
}

/// Packets of a pair that stayed in the kernel: volume for which no frame was delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exchange {
    pub pair: Pair,
    /// By the client; octets of IP packets, headers included.
    pub sent: Volume,
    pub received: Volume,
}

/// How a flow filter is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Flow states remembered over IPv4, and a quarter as many over IPv6.
    pub flows: u32,
    /// UDP ports whose every packet passes, besides [`NAME_PORTS`] and
    /// [`TUNNEL_PORTS`](crate::decode::TUNNEL_PORTS).
    pub udp_ports: Vec<u16>,
    /// Which TCP flows pass whole, as [`sample_mark`](crate::pipeline::sample_mark) has it.
    pub sampled: Option<u8>,
}

/// UDP ports where every packet may carry a name: DNS, mDNS, LLMNR. (On TCP, port 53 passes.)
pub const NAME_PORTS: [u16; 3] = [53, 5353, 5355];

/// How many pairs a filter counts the volume of.
pub const EXCHANGES: usize = 16_384;

/// What any [`Maps`] does, spelled once for both builds.
pub trait Control {
    /// What the filter kept since it was loaded.
    ///
    /// # Errors
    /// When the map cannot be read: this process lost the capability for it.
    fn skipped(&self) -> io::Result<Skipped>;

    /// Lets the filter know about a flow. Flows that it does not remember are left alone.
    fn wish(&mut self, path: &Path, wish: Wish);

    /// From now on counts the volume of this pair, unless another handle on the same filter does.
    fn watch(&mut self, pair: Pair);

    /// Ends that.
    fn unwatch(&mut self, pair: Pair);

    /// What the pairs that this handle counts have exchanged since it was last asked, where they
    /// did, and how many pairs nobody counts for lack of room.
    fn exchanges(&mut self) -> (Vec<Exchange>, usize);
}
