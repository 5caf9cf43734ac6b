//! What a step of inspection takes, and what it finds.

use crate::inspect::stream::sequence_space;
use crate::pipeline::emitter::Said;
use crate::visibility::HandshakeOutcome;

/// Octets of a direction.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline::tcp) struct Segment<'a> {
    pub(in crate::pipeline::tcp) sequence: u32,
    pub(in crate::pipeline::tcp) payload: &'a [u8],
    /// Why what follows them will not come.
    pub(in crate::pipeline::tcp) lost: Option<HandshakeOutcome>,
}

impl Segment<'_> {
    pub(super) const fn end(&self) -> u32 {
        self.sequence.wrapping_add(sequence_space(self.payload.len()))
    }
}

/// What a step of inspection found.
#[derive(Debug, Default)]
pub(in crate::pipeline::tcp) struct Found {
    pub(in crate::pipeline::tcp) said: Option<Said>,
    /// A ClientHello was dealt with; its answer is of interest.
    pub(in crate::pipeline::tcp) hello: bool,
    /// A request was counted before: so was its connection.
    pub(in crate::pipeline::tcp) copy: bool,
    /// The stream is nothing known here, or is known and has no name.
    pub(in crate::pipeline::tcp) foreign: bool,
    /// Messages of DNS begin here, and their connection is no nameless one.
    pub(in crate::pipeline::tcp) dns: bool,
    /// What is read is said to a proxy, or through it.
    pub(in crate::pipeline::tcp) proxied: bool,
    /// The vendor that a certificate names; its connection is reported already.
    pub(in crate::pipeline::tcp) listed: Option<std::sync::Arc<str>>,
}
