//! DTLS (RFC 4347, RFC 6347, RFC 9147): the hellos at the beginning of an association.
//!
//! In: a UDP payload. Out: the pieces of its hello messages; a message may be cut into fragments
//! that travel in any order, each in a record of its own or several in one datagram. Records of
//! later epochs are encrypted and not read. Version 1.3 begins with the same plaintext records.

use super::reader::Reader;
use super::tls::{content_type, handshake_type};

/// A piece of a hello message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment<'a> {
    pub sender: Sender,
    /// Which message of its sender's: the hello with a cookie is another than the one without.
    pub message_seq: u16,
    /// The record that carried it: equal in copies, not in a retransmission.
    pub record: u64,
    /// How long the whole message is.
    pub length: usize,
    pub offset: usize,
    /// As much of it as was captured.
    pub data: &'a [u8],
    /// Its end was not captured.
    pub cut: bool,
}

/// Whose hello.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    Client,
    /// A ServerHello or a HelloVerifyRequest.
    Server,
}

impl Fragment<'_> {
    /// Is it the whole message?
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.offset == 0 && self.data.len() == self.length
    }

    /// Was it cut before it says which piece of which message it is?
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.length == UNKNOWN
    }
}

/// Does this UDP payload begin with a record that may hold a hello?
#[inline]
#[must_use]
pub fn may_be(payload: &[u8]) -> bool {
    let Some(&[content, major, minor, epoch_high, epoch_low]) = payload.first_chunk() else {
        return false;
    };
    content == content_type::HANDSHAKE
        && is_version(major, minor)
        && (epoch_high, epoch_low) == (0, 0)
        && matches!(
            payload.get(RECORD_HEADER),
            Some(
                &(handshake_type::CLIENT_HELLO
                    | handshake_type::SERVER_HELLO
                    | handshake_type::HELLO_VERIFY_REQUEST)
            )
        )
}

/// The pieces of hello messages in a datagram; `cut` when its end was not captured. Ends at the
/// first record that is none of an unencrypted handshake.
pub fn fragments(datagram: &[u8], cut: bool) -> impl Iterator<Item = Fragment<'_>> {
    let mut datagram = Reader::new(datagram);
    let mut record = Record { number: 0, rest: Reader::new(&[]), cut: false };
    core::iter::from_fn(move || {
        loop {
            while record.rest.is_empty() {
                record = Record::read(&mut datagram, cut)?;
            }
            if let Some(fragment) = record.fragment()? {
                return Some(fragment);
            }
        }
    })
}

/// A record of the first epoch that holds handshake messages.
struct Record<'a> {
    number: u64,
    rest: Reader<'a>,
    cut: bool,
}

impl<'a> Record<'a> {
    /// `DTLSPlaintext` (RFC 6347 §4.1).
    fn read(datagram: &mut Reader<'a>, cut: bool) -> Option<Self> {
        let &[content, major, minor, epoch_high, epoch_low] = datagram.array("record").ok()?;
        let &[a, b, c, d, e, f] = datagram.array("sequence_number").ok()?;
        let (fragment, whole) = datagram.vector16_or_rest("fragment").ok()?;
        let plain = content == content_type::HANDSHAKE
            && is_version(major, minor)
            && (epoch_high, epoch_low) == (0, 0);
        (plain && (whole || cut)).then(|| Self {
            number: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            rest: Reader::new(fragment),
            cut: !whole,
        })
    }

    /// `Handshake` (RFC 6347 §4.2.2). `Some(None)`: of another message.
    #[expect(clippy::option_option, reason = "no more, nothing here, something here")]
    fn fragment(&mut self) -> Option<Option<Fragment<'a>>> {
        let kind = self.rest.u8("msg_type").ok()?;
        let sender = match kind {
            handshake_type::CLIENT_HELLO => Some(Sender::Client),
            handshake_type::SERVER_HELLO | handshake_type::HELLO_VERIFY_REQUEST => {
                Some(Sender::Server)
            }
            _ => None,
        };
        let record = self.number;
        if self.cut && self.rest.left() < HANDSHAKE_HEADER - 1 {
            // Whose it is can be told, and no more.
            self.rest = Reader::new(&[]);
            let (message_seq, length, offset) = (0, UNKNOWN, 0);
            return Some(sender.map(|sender| Fragment {
                sender,
                message_seq,
                record,
                length,
                offset,
                data: &[],
                cut: true,
            }));
        }
        let length = self.rest.u24("length").ok()? as usize;
        let message_seq = self.rest.u16("message_seq").ok()?;
        let offset = self.rest.u24("fragment_offset").ok()? as usize;
        let fragment_length = self.rest.u24("fragment_length").ok()? as usize;
        if offset + fragment_length > length {
            return None;
        }
        let here = fragment_length.min(self.rest.left());
        if here < fragment_length && !self.cut {
            return None;
        }
        let data = self.rest.take(here, "body").ok()?;
        let cut = here < fragment_length;
        Some(sender.map(|sender| Fragment {
            sender,
            message_seq,
            record,
            length,
            offset,
            data,
            cut,
        }))
    }
}

/// DTLS 1.0 and 1.2, in whose guise 1.3 begins, and the version before any standard that Cisco's
/// clients still speak.
const fn is_version(major: u8, minor: u8) -> bool {
    matches!((major, minor), (0xfe, 0xff | 0xfd | 0xfc) | (0x01, 0x00))
}

/// `DTLSPlaintext` without its fragment (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;

/// In place of a length that is not there; one on the wire has three octets.
const UNKNOWN: usize = usize::MAX;

/// `Handshake` without its body (RFC 6347 §4.2.2).
const HANDSHAKE_HEADER: usize = 12;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with one fragment of a message.
    pub(crate) fn record(
        kind: u8,
        number: u8,
        message_seq: u8,
        message: &[u8],
        offset: usize,
        len: usize,
    ) -> Vec<u8> {
        let u24 = |n: usize| u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec();
        let mut out = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number];
        out.extend(u16::try_from(12 + len).unwrap().to_be_bytes());
        out.push(kind);
        out.extend(u24(message.len()));
        out.extend([0, message_seq]);
        out.extend(u24(offset));
        out.extend(u24(len));
        out.extend(&message[offset..offset + len]);
        out
    }

    #[test]
    fn fragments_of_several_records_come_one_by_one() {
        let message: Vec<u8> = (0..100).collect();
        let mut datagram = record(1, 0, 0, &message, 40, 60);
        datagram.extend(record(11, 1, 1, &message, 0, 100));
        datagram.extend(record(1, 2, 0, &message, 0, 40));
        assert!(may_be(&datagram));
        let found: Vec<_> = fragments(&datagram, false).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].offset, found[0].data), (40, &message[40..]));
        assert_eq!((found[1].offset, found[1].data), (0, &message[..40]));
        assert_eq!((found[1].record, found[1].length), (2, 100));
        assert!(!found[0].is_whole());
    }

    #[test]
    fn a_cut_datagram_gives_what_is_there() {
        let message = [7; 100];
        let datagram = record(1, 0, 0, &message, 0, 100);
        for len in 0..datagram.len() {
            assert_eq!(fragments(&datagram[..len], false).count(), 0);
            let cut = fragments(&datagram[..len], true).next();
            assert_eq!(cut.is_some(), len > RECORD_HEADER);
            assert!(cut.is_none_or(|cut| cut.cut && cut.data.len() == len.saturating_sub(25)));
        }
    }

    #[test]
    fn other_records_are_left_alone() {
        let message = [7; 20];
        let mut encrypted = record(1, 0, 0, &message, 0, 20);
        encrypted[4] = 1;
        let mut beyond = record(1, 0, 0, &message, 0, 20);
        beyond[16] = 19;
        for datagram in [&encrypted, &beyond, &b"\x16\x03\x01\0\x10\x01".to_vec()] {
            assert_eq!(fragments(datagram, false).count(), 0);
        }
        assert!(!may_be(&encrypted) && may_be(&beyond));
    }
}
