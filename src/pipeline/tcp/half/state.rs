//! What is known of a direction, for those who ask.

use super::{Half, Stage};
use crate::flow::Segments;
use crate::inspect::stream::Stream;
use crate::pipeline::tls::Opening;

impl Half {
    /// Would octets with this sequence number be the stream's first?
    pub(in crate::pipeline::tcp) fn begins_at(&self, sequence: u32) -> bool {
        matches!(self.stage, Stage::Beginning)
            && self.segments.ready().is_empty()
            && self.segments.next().is_none_or(|next| next == sequence)
    }

    /// Is it behind a wrapper, and nothing came since?
    pub(in crate::pipeline::tcp) fn goes_on_anew(&self) -> bool {
        let first = self.opened.syn.map(|syn| syn.wrapping_add(1));
        let next = self.segments.next();
        self.is_silent() && !self.astray && first.is_some() && next.is_some() && next != first
    }

    /// Did its end come, and nothing that it said before?
    pub(in crate::pipeline::tcp) fn was_missed(&self) -> bool {
        self.fin.is_some_and(|fin| self.is_before(fin))
    }

    /// Is it silent before octets that come before this sequence number?
    pub(in crate::pipeline::tcp) fn is_before(&self, sequence: u32) -> bool {
        self.is_silent() && self.is_behind(sequence)
    }

    /// Are there octets before this sequence number that did not come?
    pub(in crate::pipeline::tcp) fn is_behind(&self, sequence: u32) -> bool {
        let next = self.segments.next();
        next.is_some_and(|next| sequence.wrapping_sub(next).wrapping_sub(1) < Segments::WINDOW)
    }

    /// Does nothing of it wait for the octets that tell what it is?
    pub(in crate::pipeline::tcp) fn is_silent(&self) -> bool {
        matches!(self.stage, Stage::Beginning) && !self.spoke()
    }

    /// Were there octets of it, be they read or not? DNS does not count: see `found`.
    pub(in crate::pipeline::tcp) fn spoke(&self) -> bool {
        match &self.stage {
            Stage::Reading(stream) => !matches!(stream, Stream::Dns(_)),
            Stage::Beginning => self.segments.heap() > 0 || self.elsewhere.is_some(),
            Stage::Ignored | Stage::Done => false,
        }
    }

    /// Hellos and DNS messages that have begun and have no outcome yet.
    pub(in crate::pipeline::tcp) fn pending(&self) -> (usize, usize) {
        let hello = self.opened.hello == Opening::Begun;
        let there = self.elsewhere.as_ref().map_or((0, 0), |there| there.pending());
        (usize::from(hello) + there.0, usize::from(self.opened.dns_message) + there.1)
    }

    /// Octets on the heap.
    pub(in crate::pipeline::tcp) fn heap(&self) -> usize {
        let stream = match &self.stage {
            Stage::Reading(stream) => stream.heap(),
            _ => 0,
        };
        let there = self.elsewhere.as_ref().map_or(0, |there| size_of::<Self>() + there.heap());
        self.segments.heap() + stream + there
    }
}
