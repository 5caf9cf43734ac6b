//! What holds for the pipeline whatever the packets: one event is one sighting, what began is
//! accounted for, memory stays in its budget.

mod allocations;
mod captures;
mod certificates;
mod dns;
mod estimates;
mod gaps;
mod ledger;
mod mirrors;
mod parts;
mod tls;
mod travel;
mod wireless;
mod wrapped;

use proptest::prelude::*;

use crate::support::talk::{ACK, Ends, SYN, Tap};

/// The initial sequence number of servers.
const SERVER: u32 = 5_000;

/// Ways to deliver a stream of `len` octets: pieces that cover it, some more that overlap them,
/// in any order.
fn deliveries(len: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let cuts = proptest::collection::btree_set(1..len.max(2), 0..8);
    let extra = proptest::collection::vec((0..len, 1..=len), 0..6);
    (cuts, extra).prop_flat_map(move |(cuts, extra)| {
        let ends: Vec<usize> = cuts.into_iter().filter(|&cut| cut < len).chain([len]).collect();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let mut pieces: Vec<(usize, usize)> = starts.zip(ends.clone()).collect();
        pieces.extend(extra.into_iter().map(|(from, size)| (from, (from + size).min(len))));
        Just(pieces).prop_shuffle()
    })
}

/// A connection on both sides of a firewall that gives its clients' ones the initial sequence numbers
/// `sides`; the second side's acceptance comes `accepted_last`, or first.
fn open_on_both_sides(tap: &mut Tap, ends: Ends, sides: [u32; 2], accepted_last: bool) {
    for side in sides {
        tap.frame(&ends.tcp(side, 0, SYN, &[]));
    }
    for side in [sides[usize::from(!accepted_last)], sides[usize::from(accepted_last)]] {
        tap.frame(&ends.reversed().tcp(SERVER, side.wrapping_add(1), SYN | ACK, &[]));
    }
}
