//! Unfinished flights beside another between the same two sockets (RFC 9000 §5.1).
//!
//! Only one is found at the place of their flow. The others are found by their DCID, until the
//! client goes on with its server's, which may not have been seen: then by the ID that it keeps for
//! itself (§7.2), and by which keys open the packet, since clients may share that ID, or have none.

use std::collections::HashMap;

use super::initial::Arrival;
use super::{Begun, Flight, Flights, flow_tag};
use crate::flow::{FlowHasher, Slot};
use crate::net::FlowKey;

/// Where flights are, by the sockets and the ID of their client.
#[derive(Debug, Default)]
pub(super) struct Beside(HashMap<u64, (u64, FlowKey), foldhash::fast::RandomState>);

impl Beside {
    /// How many unfinished flights beside another, between the same sockets, may share their
    /// client's ID and all be found by it: each costs an opening.
    pub(super) const ALIKE: u64 = 4;

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Octets of memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, (u64, FlowKey))>()
    }

    /// Has the flight found by its client's ID too, if it is one beside another.
    pub(super) fn insert(&mut self, hasher: &FlowHasher, begun: &Begun) {
        if begun.hash != begun.tag {
            return;
        }
        let free = tags_of(hasher, begun).find(|tag| !self.0.contains_key(tag));
        if let Some(tag) = free {
            let (key, _) = begun.path.key();
            self.0.insert(tag, (begun.hash, key));
        }
    }

    /// The flight is finished.
    pub(super) fn remove(&mut self, hasher: &FlowHasher, begun: &Begun) {
        if self.0.is_empty() {
            return;
        }
        for tag in tags_of(hasher, begun) {
            if self.0.get(&tag).is_some_and(|(hash, _)| *hash == begun.hash) {
                self.0.remove(&tag);
            }
        }
    }
}

impl Flights {
    /// The unfinished flight beside another that this packet is of by its client's ID and its keys.
    pub(super) fn of_scid(&mut self, arrival: &Arrival<'_>) -> Option<Slot> {
        let Arrival { packet, initial, place } = arrival;
        // Without its tag, which is cut off, a packet opens with any keys.
        if self.beside.0.is_empty() || initial.cut {
            return None;
        }
        tags(&self.hasher, place.tag, initial.header.scid).find_map(|tag| {
            let (hash, key) = self.beside.0.get(&tag)?;
            let slot = self.unfinished.find(*hash, key)?;
            let Flight { begun, keys, .. } = self.unfinished.get_mut(slot)?;
            let may_be = begun.path == packet.path && begun.version == initial.header.version;
            let opens = |scratch| keys.as_ref()?.open(initial, scratch).ok();
            (may_be && opens(&mut self.scratch).is_some()).then_some(slot)
        })
    }
}

/// What flights of the client with this ID are found by; `place`: what their flow is.
fn tags<'a>(
    hasher: &'a FlowHasher,
    place: u64,
    scid: &[u8],
) -> impl Iterator<Item = u64> + use<'a> {
    let start = hasher.octets(place, scid);
    (0..Beside::ALIKE).map(move |number| hasher.word(start, number))
}

fn tags_of<'a>(hasher: &'a FlowHasher, begun: &Begun) -> impl Iterator<Item = u64> + use<'a> {
    let place = flow_tag(hasher, hasher.path(&begun.path), begun.path.tenant);
    tags(hasher, place, begun.scid.octets())
}
