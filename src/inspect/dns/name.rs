//! Domain names in messages, with compression (RFC 1035 §4.1.4).

use crate::inspect::Malformed;
use crate::name::{CHUNK, escape_into, lower_case};

/// A name within a message, not yet followed through its compression pointers.
#[derive(Clone, Copy, Debug)]
pub struct NameRef<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> NameRef<'a> {
    /// The longest name, in octets on the wire (RFC 1035 §3.1).
    pub const LIMIT: usize = 255;
    /// The most pointers followed in one name. A name of the longest kind has 127 labels; senders
    /// use one or two pointers.
    pub const MAX_POINTERS: usize = 64;

    /// The name at `at`, and where the octet after it is.
    pub(super) fn skip(message: &'a [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut cursor = at;
        loop {
            match label(message, cursor)? {
                Label::Root => return Ok((Self { message, at }, cursor + 1)),
                Label::Pointer(_) => return Ok((Self { message, at }, cursor + 2)),
                Label::Text(text) => cursor += 1 + text.len(),
            }
            if cursor - at > Self::LIMIT {
                return Err(Malformed::Limit { field: "name", limit: Self::LIMIT });
            }
        }
    }

    /// Writes the name in its printed form to `out`, replacing what was there; the root is empty.
    ///
    /// # Errors
    /// `out` then holds the labels before the fault.
    pub fn write(&self, out: &mut String) -> Result<(), Malformed> {
        out.clear();
        // Nearly every name prints as it is. It is gathered as octets, which are looked at many at
        // once, and are text only at the end. A dot too many is one inside a label.
        let mut gathered = [b'a'; ROOM];
        let (mut len, mut labels) = (0, 0_usize);
        let result = self.labels(|label| {
            let end = len + label.len() + 1;
            let Some(room) = gathered.get_mut(len..end) else { return false };
            room[..label.len()].copy_from_slice(label);
            room[label.len()] = b'.';
            len = end;
            labels += 1;
            true
        });
        let (odd, dots) = lower_case(&mut gathered.as_chunks_mut().0[..len.div_ceil(CHUNK)]);
        match core::str::from_utf8(&gathered[..len.saturating_sub(1)]) {
            Ok(text) if !odd && dots == labels => {
                out.push_str(text);
                result.map(|_| ())
            }
            _ => self.write_escaped(out),
        }
    }

    fn write_escaped(&self, out: &mut String) -> Result<(), Malformed> {
        let written = self.labels(|label| {
            if !out.is_empty() {
                out.push('.');
            }
            escape_into(out, label, true);
            true
        });
        written.map(|_| ())
    }

    /// Calls `each` with every label, until it says stop.
    fn labels(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<Walk, Malformed> {
        let mut cursor = self.at;
        // Every pointer must go below where the labels it ends began, and the labels there end
        // before those, so no octet is read twice.
        let mut floor = self.at;
        let mut message = self.message;
        let mut wire_len = 1;
        let mut pointers = 0;
        loop {
            match label(message, cursor)? {
                Label::Root => return Ok(Walk::Ended),
                Label::Pointer(target) => {
                    if target >= floor {
                        return Err(Malformed::PointerNotBackwards { at: cursor });
                    }
                    pointers += 1;
                    if pointers > Self::MAX_POINTERS {
                        return Err(Malformed::Limit {
                            field: "compression pointers",
                            limit: Self::MAX_POINTERS,
                        });
                    }
                    message = message.get(..floor).unwrap_or_default();
                    cursor = target;
                    floor = target;
                }
                Label::Text(text) => {
                    wire_len += 1 + text.len();
                    if wire_len > Self::LIMIT {
                        return Err(Malformed::Limit { field: "name", limit: Self::LIMIT });
                    }
                    if !each(text) {
                        return Ok(Walk::Stopped);
                    }
                    cursor += 1 + text.len();
                }
            }
        }
    }
}

/// For a name with a dot after each label, in whole chunks.
const ROOM: usize = NameRef::LIMIT.next_multiple_of(CHUNK);

/// How a walk along the labels ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Walk {
    Ended,
    Stopped,
}

enum Label<'a> {
    Root,
    Text(&'a [u8]),
    Pointer(usize),
}

/// The label at `at`.
#[inline]
fn label(message: &[u8], at: usize) -> Result<Label<'_>, Malformed> {
    let overrun = |need| Malformed::Overrun {
        field: "label",
        need,
        have: message.len().saturating_sub(at + 1),
    };
    let first = *message.get(at).ok_or(overrun(1))?;
    match first {
        0 => Ok(Label::Root),
        1..=0x3f => {
            let len = usize::from(first);
            message.get(at + 1..at + 1 + len).map(Label::Text).ok_or(overrun(len))
        }
        0xc0.. => {
            let low = *message.get(at + 1).ok_or(overrun(1))?;
            Ok(Label::Pointer(usize::from(first & 0x3f) << 8 | usize::from(low)))
        }
        // Extended labels and the reserved kind (RFC 6891 §5).
        _ => Err(Malformed::Value { field: "label type" }),
    }
}

#[cfg(test)]
mod tests {
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
}
