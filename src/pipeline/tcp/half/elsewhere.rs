//! What lies too far ahead to be of the stream: it is read beside it, until the one or the other goes
//! on.

use super::{Found, Half, Segment, Stage};
use crate::flow::{Segments, Spare};
use crate::pipeline::Sink;
use crate::pipeline::emitter::{Emitter, Scene};
use crate::pipeline::tcp::opened::Opened;
use crate::visibility::HandshakeOutcome;

impl Half {
    /// A segment lies too far ahead. One alone moves nothing, for its receiver drops what is
    /// outside of its window (RFC 9293 §3.10.7.4): what begins with it is read beside the stream,
    /// and is the stream once a second one goes on there and none came here in between.
    #[cold]
    pub(super) fn stray(
        &mut self,
        scene: &Scene<'_>,
        segment: &Segment<'_>,
        spare: &mut Spare,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let place = self.elsewhere.as_ref().map_or(Place::Apart, |there| there.place_of(segment));
        let goes_on = place == Place::After && core::mem::replace(&mut self.left, true);
        // Where nothing known began, each segment is another chance.
        let read = |there: &Self| matches!(there.stage, Stage::Done) && place == Place::After;
        if place == Place::Apart || self.elsewhere.as_deref().is_some_and(read) {
            self.leave_elsewhere(scene, HandshakeOutcome::Gap, found, emitter, out);
            self.left = true;
        }
        let shift = self.shift_of(segment).unwrap_or_default();
        if goes_on {
            self.resume(scene, found, emitter, out);
        }
        if goes_on && self.break_off(scene, found, emitter, out) {
            self.segments.release(spare);
            let there = self.elsewhere.take().map_or_else(|| Self::astray(shift), |there| *there);
            let Opened { syn, other_syn, .. } = self.opened;
            let opened = Opened { syn, other_syn, beside: false, ..there.opened };
            *self = Self { fin: self.fin, told: self.told, opened, ..there };
            return self.take(scene, segment, spare, found, emitter, out);
        }
        if goes_on {
            // What is read here cannot be taken up there, but need not wait for ever.
            self.waits.get_or_insert(emitter.now);
        }
        let there = self.elsewhere.get_or_insert_with(|| {
            let there = Self::astray(shift);
            let opened = Opened { beside: true, syn: self.opened.syn, ..there.opened };
            Box::new(Self { opened, ..there })
        });
        found.beside(there.feed(scene, segment, spare, emitter, out));
    }

    /// What is to be added to a segment's sequence number to have that of this stream, when the
    /// segment is of the other side of a firewall.
    fn shift_of(&self, segment: &Segment<'_>) -> Option<u32> {
        let shift = self.opened.syn?.wrapping_sub(self.opened.other_syn?);
        let ahead = segment.sequence.wrapping_add(shift).wrapping_sub(self.segments.next()?);
        (ahead.wrapping_add(Segments::WINDOW) <= 2 * Segments::WINDOW).then_some(shift)
    }

    /// A direction whose beginning was missed.
    fn astray(shift: u32) -> Self {
        let opened = Opened { shift, ..Opened::default() };
        Self { astray: true, opened, ..Self::default() }
    }

    /// Where does a segment lie, seen from this stream?
    fn place_of(&self, segment: &Segment<'_>) -> Place {
        let Some(next) = self.segments.next() else { return Place::Before };
        let fits = segment.end().wrapping_sub(next) <= Segments::WINDOW;
        if fits && self.segments.goes_on(segment.end()) {
            Place::After
        } else if fits || next.wrapping_sub(segment.sequence) <= Segments::WINDOW {
            Place::Before
        } else {
            Place::Apart
        }
    }

    /// What began elsewhere will not go on.
    #[cold]
    pub(super) fn leave_elsewhere(
        &mut self,
        scene: &Scene<'_>,
        lost: HandshakeOutcome,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        if let Some(mut there) = self.elsewhere.take() {
            found.beside(there.end(scene, lost, emitter, out));
        }
    }
}

impl Found {
    /// What was read beside the stream names something, and says nothing of what the stream is.
    fn beside(&mut self, other: Self) {
        if other.said.as_ref().is_some_and(|said| said.named) {
            self.hello |= other.hello;
            self.said = self.said.take().filter(|said| said.named).or(other.said);
        }
    }
}

/// Where a segment lies, seen from a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// It brings nothing.
    Before,
    /// It goes on where the stream ends, or not far from there.
    After,
    /// It has nothing to do with it.
    Apart,
}
