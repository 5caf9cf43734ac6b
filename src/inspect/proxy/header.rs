//! The PROXY protocol, versions 1 and 2: a header in front of the client's stream, passed over.

use memchr::memchr;

use crate::inspect::stream::{Probe, Progress};

/// A header that has begun. It has no state: it is passed over when it is whole.
#[derive(Clone, Copy, Debug)]
pub struct Header;

impl Header {
    /// Could a stream that begins with `octets` begin with a header?
    #[must_use]
    pub fn probe(octets: &[u8]) -> Probe {
        let begins = |signature: &[u8]| {
            let len = signature.len().min(octets.len());
            (octets[..len] == signature[..len]).then_some(len == signature.len())
        };
        match begins(V1).or_else(|| begins(V2)) {
            Some(true) => Probe::Certain,
            Some(false) => Probe::Unsure,
            None => Probe::NotOurs,
        }
    }

    /// Looks at the stream from its beginning.
    #[must_use]
    pub fn push(octets: &[u8]) -> Progress {
        if octets.starts_with(V1) {
            return match memchr(b'\n', &octets[..octets.len().min(MAX_V1)]) {
                Some(end) => Progress::Next { consumed: end + 1 },
                None if octets.len() < MAX_V1 => {
                    Progress::More { consumed: 0, need: octets.len() + 1 }
                }
                None => Progress::Done,
            };
        }
        let Some(&[high, low]) = octets.get(14..).and_then(<[u8]>::first_chunk) else {
            return Progress::More { consumed: 0, need: V2_FIXED };
        };
        let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
        if octets.len() < len {
            Progress::More { consumed: 0, need: len }
        } else {
            Progress::Next { consumed: len }
        }
    }
}

/// The PROXY protocol §2.1: a line of at most 107 octets.
const V1: &[u8] = b"PROXY ";
const MAX_V1: usize = 107;
/// §2.2: the signature, version and command, family, and the length of the rest.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_passed_over() {
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n";
        let mut v2 = V2.to_vec();
        v2.extend([0x21, 0x11, 0, 12]);
        v2.extend([7; 12]);
        for header in [&v1[..], &v2] {
            for len in 0..header.len() {
                let probe = Header::probe(&header[..len]);
                assert_ne!(probe, Probe::NotOurs);
                if probe == Probe::Certain {
                    assert!(matches!(Header::push(&header[..len]), Progress::More { .. }));
                }
            }
            let stream = [header, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(Header::push(&stream), Progress::Next { consumed: header.len() });
        }
        assert_eq!(Header::probe(b"PROXIMA"), Probe::NotOurs);
        assert_eq!(Header::push(&[V1, &[b'x'; 200]].concat()), Progress::Done);
    }
}
