//! Domain names in messages, with compression (RFC 1035 §4.1.4).

use crate::inspect::Malformed;
use crate::name::{CHUNK, escape_into, lower_case};

/// A name within a message, not yet followed through its compression pointers.
#[derive(Clone, Copy, Debug)]
pub struct NameRef<'a> {
    message: &'a [u8],
    at: usize,
    /// Octets of the labels that lie side by side from there on, and what ends them.
    len: usize,
    end: End,
}

impl<'a> NameRef<'a> {
    /// The longest name, in octets on the wire (RFC 1035 §3.1).
    pub const LIMIT: usize = 255;
    /// The most pointers followed in one name. A name of the longest kind has 127 labels; senders
    /// use one or two pointers.
    pub const MAX_POINTERS: usize = 64;

    /// The name at `at`, and where the octet after it is.
    pub(super) fn skip(message: &'a [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let (after, how) = run(message, at, Self::LIMIT + 1);
        let (len, end) = (after - at, how?);
        let after = match end {
            End::Root => after + 1,
            End::Pointer(_) => after + 2,
        };
        Ok((Self { message, at, len, end }, after))
    }

    /// Writes the name in its printed form to `out`, replacing what was there; the root is empty.
    ///
    /// # Errors
    /// `out` then holds the labels before the fault.
    pub fn write(&self, out: &mut String) -> Result<(), Malformed> {
        // Nearly every name prints as it is. It is gathered as octets, which are looked at many at
        // once, and are text only at the end. A dot too many is one inside a label.
        let mut octets = core::mem::take(out).into_bytes();
        octets.clear();
        let mut labels = 0_usize;
        let result = self.runs(|run| {
            let Some((&first, rest)) = run.split_first() else { return };
            let (mut at, mut len) = (octets.len(), first);
            octets.extend_from_slice(rest);
            octets.push(b'.');
            // What says how long the next label is stands where a dot belongs.
            while let Some(dot) = octets.get_mut(at + usize::from(len)) {
                at += usize::from(len) + 1;
                len = core::mem::replace(dot, b'.');
                labels += 1;
            }
        });
        let len = octets.len().saturating_sub(1);
        octets.resize(octets.len().next_multiple_of(CHUNK), b'a');
        let (odd, dots) = lower_case(octets.as_chunks_mut().0);
        let plain = !odd && dots == labels;
        if !plain {
            octets.clear();
        }
        // Printable ASCII, or nothing: it is text, and `out` keeps its room.
        *out = String::from_utf8(octets).unwrap_or_default();
        if !plain {
            return self.write_escaped(out);
        }
        out.truncate(len);
        result
    }

    #[cold]
    fn write_escaped(&self, out: &mut String) -> Result<(), Malformed> {
        self.runs(|mut run| {
            while let Some((&len, rest)) = run.split_first()
                && let Some((label, rest)) = rest.split_at_checked(len.into())
            {
                if !out.is_empty() {
                    out.push('.');
                }
                escape_into(out, label, true);
                run = rest;
            }
        })
    }

    /// Calls `each` with every run of labels that lie side by side, as they are on the wire. Equal
    /// runs are equal names, but not the other way round: letters have two cases, and pointers may
    /// stand anywhere.
    ///
    /// # Errors
    /// After the labels before the fault.
    pub fn runs(&self, mut each: impl FnMut(&[u8])) -> Result<(), Malformed> {
        // Every pointer must go below where the labels it ends began, and the labels there end
        // before those, so no octet is read twice.
        let (mut message, mut at) = (self.message, self.at);
        let mut room = Self::LIMIT;
        let mut pointers = 0;
        let (mut end, mut how) =
            if self.len < room { (at + self.len, Ok(self.end)) } else { run(message, at, room) };
        loop {
            each(message.get(at..end).unwrap_or_default());
            let End::Pointer(target) = how? else { return Ok(()) };
            if usize::from(target) >= at {
                return Err(Malformed::PointerNotBackwards { at: end });
            }
            pointers += 1;
            if pointers > Self::MAX_POINTERS {
                return Err(Malformed::Limit {
                    field: "compression pointers",
                    limit: Self::MAX_POINTERS,
                });
            }
            room -= end - at;
            message = message.get(..at).unwrap_or_default();
            at = usize::from(target);
            (end, how) = run(message, at, room);
        }
    }
}

/// What ends labels that lie side by side.
#[derive(Clone, Copy, Debug)]
enum End {
    Root,
    Pointer(u16),
}

/// Where the labels from `at` on end, and how: they, and the octet that ends them, shall take no
/// more than `room`. With a fault, where the last sound one ends.
#[inline]
fn run(message: &[u8], at: usize, room: usize) -> (usize, Result<End, Malformed>) {
    let window = &message[..message.len().min(at.saturating_add(room))];
    let (mut cursor, mut last) = (at, at);
    while let Some(&first) = window.get(cursor) {
        let end = match (first, message.get(cursor + 1)) {
            (1..=0x3f, _) => {
                last = cursor;
                cursor += 1 + usize::from(first);
                continue;
            }
            (0, _) => Ok(End::Root),
            (0xc0.., Some(&low)) => Ok(End::Pointer(u16::from_be_bytes([first & 0x3f, low]))),
            (0xc0.., None) => Err(Malformed::Overrun { field: "label", need: 1, have: 0 }),
            // Extended labels and the reserved kind (RFC 6891 §5).
            _ => Err(Malformed::Value { field: "label type" }),
        };
        return (cursor, end);
    }
    let have = message.len().saturating_sub(last + 1);
    if cursor > message.len() && cursor > last {
        (last, Err(Malformed::Overrun { field: "label", need: cursor - last - 1, have }))
    } else if cursor - at >= room {
        (last, Err(Malformed::Limit { field: "name", limit: NameRef::LIMIT }))
    } else {
        (cursor, Err(Malformed::Overrun { field: "label", need: 1, have: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn written(message: &[u8], at: usize) -> (Result<(), Malformed>, String) {
        let (name, _) = NameRef::skip(message, at).unwrap();
        let mut out = String::new();
        let result = name.write(&mut out);
        (result, out)
    }

    #[test]
    fn pointers_are_followed_backwards_only() {
        let message = b"\x07example\x03com\x00\x03WWW\xc0\x00\xc0\x0d";
        assert_eq!(written(message, 13), (Ok(()), "www.example.com".to_owned()));
        assert_eq!(written(message, 19), (Ok(()), "www.example.com".to_owned()));
        let (_, after) = NameRef::skip(message, 13).unwrap();
        assert_eq!(after, 19);

        // The label pointed to holds the pointer.
        let around_itself = b"\x04ab\xc0\x00c\x00";
        let (result, out) = written(around_itself, 3);
        assert!(matches!(result, Err(Malformed::Overrun { .. })));
        assert_eq!(out, "");

        let onto_itself = b"\x01a\xc0\x00";
        let (result, out) = written(onto_itself, 0);
        assert_eq!(result, Err(Malformed::PointerNotBackwards { at: 2 }));
        assert_eq!(out, "a");
    }

    #[test]
    fn odd_octets_are_escaped_and_a_fault_keeps_the_labels_before_it() {
        assert_eq!(written(b"\x03A.b\x02\xffc\x00", 0).1, "a\\.b.\\255c");
        assert_eq!(written(b"\x01a\x02\x00\\\x00", 0).1, "a.\\000\\\\");
        let (result, out) = written(b"\x02\xffc\x01d\xc0\x05", 0);
        assert!(result.is_err());
        assert_eq!(out, "\\255c.d");
    }

    #[test]
    fn long_names_end_at_the_limit_and_bad_labels_are_faults() {
        let mut message = Vec::new();
        for _ in 0..4 {
            message.push(63);
            message.extend([b'x'; 63]);
        }
        message.push(0);
        assert!(matches!(NameRef::skip(&message, 0), Err(Malformed::Limit { .. })));
        assert!(matches!(NameRef::skip(b"\x80", 0), Err(Malformed::Value { .. })));
        assert!(matches!(NameRef::skip(b"\x05ab", 0), Err(Malformed::Overrun { .. })));
    }

    #[test]
    fn a_chain_of_pointers_is_cut_short() {
        let mut message = vec![0, 0];
        for target in (0..400).step_by(2) {
            message.extend((0xc000u16 | target).to_be_bytes());
        }
        let (result, _) = written(&message, 400);
        assert!(matches!(result, Err(Malformed::Limit { .. })));
        assert!(written(&message, 40).0.is_ok());
    }

    proptest! {
        #[test]
        fn a_name_reads_the_same_wherever_its_labels_lie(
            runs in vec(vec(vec(any::<u8>(), 1..=12), 0..=3), 1..=6),
            before in vec(any::<u8>(), 0..=9),
        ) {
            let mut message = before;
            let mut tail = None;
            for run in runs.iter().rev() {
                let begins = u16::try_from(message.len()).unwrap();
                for label in run {
                    message.push(u8::try_from(label.len()).unwrap());
                    message.extend(label);
                }
                match tail {
                    Some(at) => message.extend(u16::to_be_bytes(0xc000 | at)),
                    None => message.push(0),
                }
                tail = Some(begins);
            }
            let at = usize::from(tail.unwrap());
            prop_assert_eq!(NameRef::skip(&message, at).unwrap().1, message.len());

            let labels: Vec<String> = runs
                .iter()
                .flatten()
                .map(|label| {
                    let mut text = String::new();
                    escape_into(&mut text, label, true);
                    text
                })
                .collect();
            prop_assert_eq!(written(&message, at), (Ok(()), labels.join(".")));

            // Cut anywhere in the first run, a pointer to it keeps the labels that are whole.
            let ends = runs[0].iter().scan(at, |end, label| {
                *end += 1 + label.len();
                Some(*end)
            });
            let ends: Vec<usize> = ends.collect();
            for cut in at..ends.last().copied().unwrap_or(at) {
                let whole = ends.iter().filter(|&&end| end <= cut).count();
                let pointer = u16::to_be_bytes(0xc000 | u16::try_from(at).unwrap());
                let message = [&message[..cut], &pointer].concat();
                let (result, out) = written(&message, cut);
                prop_assert!(result.is_err());
                prop_assert_eq!(out, labels[..whole].join("."));
            }
        }
    }
}
