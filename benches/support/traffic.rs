//! The tests' own conversations.

#[path = "../../tests/support/counting.rs"]
pub(crate) mod counting;
#[path = "../../tests/support/handshake.rs"]
pub(crate) mod handshake;
#[path = "../../tests/support/talk.rs"]
pub(crate) mod talk;
#[path = "../../tests/support/wire.rs"]
pub(crate) mod wire;
