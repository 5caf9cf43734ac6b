//! Fuzz entries: ordinary functions that take any octets and assert a property.

use super::{Brought, Segments};

/// Segments of a stream whose numbers wrap: two octets of place and one of length, then the
/// octets. What comes out in order is what a map of octets says, where the first to come wins, and
/// no more is kept than the limits say.
pub fn segments(mut octets: &[u8]) {
    const FIRST: u32 = 0xffff_c000;
    let mut stream = Segments::default();
    stream.anchor(FIRST);
    let mut out = Vec::new();
    let mut map = vec![Octet::Missing; (1 << 16) + 256];
    while let [high, low, len, rest @ ..] = octets {
        let place = u16::from_be_bytes([*high, *low]);
        let (segment, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        octets = rest;
        let brought = stream.push(FIRST.wrapping_add(place.into()), segment);
        for (known, octet) in map[usize::from(place)..].iter_mut().zip(segment) {
            if *known == Octet::Missing {
                // Of a refused segment a part may have been taken.
                *known =
                    if brought == Brought::Refused { Octet::Unsure } else { Octet::Is(*octet) };
            }
        }
        match brought {
            Brought::InPlace(range) => out.extend_from_slice(&segment[range]),
            Brought::Ready => out.append(&mut stream.take_ready()),
            Brought::Early | Brought::Old | Brought::Far | Brought::Refused => {}
        }
        let kept = Segments::MAX_EARLY_BYTES + Segments::MAX_EARLY * 2 * 32;
        assert!(stream.heap() <= kept, "{} octets are kept", stream.heap());
    }
    let known = map.iter().take_while(|octet| matches!(octet, Octet::Is(_))).count();
    assert!(out.len() >= known, "{} octets in order of {known}", out.len());
    for (octet, known) in out.iter().zip(&map) {
        assert!(*known == Octet::Unsure || *known == Octet::Is(*octet));
    }
    assert_eq!(stream.next(), u32::try_from(out.len()).ok().map(|len| FIRST.wrapping_add(len)));
}

/// What is known of an octet's place in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Octet {
    Missing,
    Unsure,
    Is(u8),
}
