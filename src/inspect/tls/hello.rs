//! From records (RFC 8446 §5.1) to the first handshake message: the ClientHello.

use super::{ClientHello, Dialect, content_type, handshake_type, hello_record_limit};
use crate::inspect::Malformed;
use crate::inspect::stream::Probe;

/// Reads the ClientHello at the beginning of a client's stream of records.
///
/// A hello in one record, however it was segmented, is read in place. One that spans records is
/// gathered here, without their headers.
#[derive(Debug, Default)]
pub struct Hello {
    /// Fragments of records that are consumed already: less than a message of [`Self::LIMIT`], and
    /// one record.
    gathered: Vec<u8>,
}

/// How far a [`Hello`] has come.
#[derive(Debug)]
pub enum HelloStep<'a> {
    /// Asks again when at least `need` octets are there, after `consumed` are taken away.
    More { consumed: usize, need: usize },
    /// The hello.
    Read(ClientHello<'a>),
    /// Not a hello after all.
    Not(Malformed),
}

impl Hello {
    /// The longest ClientHello read. Real ones are below 2 KiB without, and 4 KiB with
    /// post-quantum key shares.
    pub const LIMIT: usize = 64 * 1024;

    /// Could a stream that begins with `octets` begin with a ClientHello?
    #[must_use]
    #[inline]
    pub fn probe(octets: &[u8]) -> Probe {
        let certain = |i: usize, ok: bool| i >= octets.len() || ok;
        let octet = |i: usize| octets.get(i).copied().unwrap_or_default();
        let length = usize::from(u16::from_be_bytes([octet(3), octet(4)]));
        let shape = certain(0, octet(0) == content_type::HANDSHAKE)
            && certain(1, octet(1) == 3)
            && certain(2, octet(2) <= 4)
            && certain(4, (1..=RECORD_LIMIT).contains(&length))
            && certain(5, octet(5) == handshake_type::CLIENT_HELLO)
            && certain(6, octet(6) == 0 || length < 4);
        match (shape, octets.len()) {
            (false, _) => Probe::NotOurs,
            (true, ..=5) => Probe::Unsure,
            // The message's length is in this record and may yet contradict.
            (true, 6) if length >= 4 => Probe::Unsure,
            (true, _) => Probe::Certain,
        }
    }

    /// Octets kept on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.gathered.capacity()
    }

    /// The random of a hello that is not all there yet; `octets` as for [`Self::push`].
    #[must_use]
    pub fn random<'a>(&'a self, octets: &'a [u8]) -> Option<&'a [u8; 32]> {
        let message =
            if self.gathered.is_empty() { octets.get(RECORD_HEADER..)? } else { &self.gathered };
        message.get(MESSAGE_HEADER + VERSION..)?.first_chunk()
    }

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push<'a>(&'a mut self, octets: &'a [u8]) -> HelloStep<'a> {
        if self.gathered.is_empty()
            && let Some(length) = whole_in_one_record(octets)
        {
            let need = HEADERS + length;
            return match octets.get(HEADERS..need) {
                Some(body) => read(body, true),
                None => HelloStep::More { consumed: 0, need },
            };
        }
        self.gather(octets)
    }

    /// The stream ends (or is given up) with `octets` unconsumed: reads as far as it goes.
    pub fn end<'a>(&'a mut self, octets: &'a [u8]) -> Result<ClientHello<'a>, Malformed> {
        if self.gathered.is_empty() && whole_in_one_record(octets).is_some() {
            let body = octets.get(HEADERS..).unwrap_or_default();
            return ClientHello::read(body, false, Dialect::Tls);
        }
        if octets.first() == Some(&content_type::HANDSHAKE) {
            self.gathered.extend_from_slice(octets.get(RECORD_HEADER..).unwrap_or_default());
        }
        let body = self.gathered.get(MESSAGE_HEADER..).unwrap_or_default();
        ClientHello::read(body, false, Dialect::Tls)
    }

    fn gather<'a>(&'a mut self, octets: &'a [u8]) -> HelloStep<'a> {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            let Some(&[content, major, _, high, low]) = rest.first_chunk() else {
                return HelloStep::More { consumed, need: RECORD_HEADER };
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let limit = hello_record_limit(content, RECORD_LIMIT).filter(|_| major == 3);
            let Some(limit) = limit else {
                return HelloStep::Not(Malformed::Value { field: "record" });
            };
            if length > limit {
                return HelloStep::Not(Malformed::Value { field: "record length" });
            }
            let Some(fragment) = rest.get(RECORD_HEADER..RECORD_HEADER + length) else {
                return HelloStep::More { consumed, need: RECORD_HEADER + length };
            };
            consumed += RECORD_HEADER + length;
            if content != content_type::HANDSHAKE {
                continue;
            }
            self.gathered.extend_from_slice(fragment);
            let Some(&[kind, a, b, c]) = self.gathered.first_chunk() else { continue };
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != handshake_type::CLIENT_HELLO {
                return HelloStep::Not(Malformed::Value { field: "msg_type" });
            }
            if length > Self::LIMIT {
                return HelloStep::Not(Malformed::Limit { field: "length", limit: Self::LIMIT });
            }
            if self.gathered.len() >= MESSAGE_HEADER + length {
                return read(&self.gathered[MESSAGE_HEADER..MESSAGE_HEADER + length], true);
            }
        }
    }
}

fn read(body: &[u8], whole: bool) -> HelloStep<'_> {
    match ClientHello::read(body, whole, Dialect::Tls) {
        Ok(hello) => HelloStep::Read(hello),
        Err(fault) => HelloStep::Not(fault),
    }
}

/// The length of the ClientHello at the beginning of `octets`, when its record holds all of it.
#[inline]
fn whole_in_one_record(octets: &[u8]) -> Option<usize> {
    let &[content, 3, _, high, low, kind, a, b, c] = octets.first_chunk::<HEADERS>()? else {
        return None;
    };
    let record = usize::from(u16::from_be_bytes([high, low]));
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let hello = content == content_type::HANDSHAKE && kind == handshake_type::CLIENT_HELLO;
    (hello && MESSAGE_HEADER + length <= record).then_some(length)
}

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
/// `legacy_version`, before the random.
const VERSION: usize = 2;
const HEADERS: usize = RECORD_HEADER + MESSAGE_HEADER;

/// `TLSCiphertext.length` may be 2^14 + 2048 (RFC 5246 §6.2.3); no sender goes beyond.
const RECORD_LIMIT: usize = (1 << 14) + 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello message for `example.com`.
    fn message() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(b"\x00\x14\x00\x00\x00\x10\x00\x0e\x00\x00\x0bexample.com");
        let mut message = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
        message.extend(body);
        message
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for fragment in message.chunks(size) {
            stream.extend([22, 3, 1]);
            stream.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
            stream.extend(fragment);
        }
        stream
    }

    #[test]
    fn records_of_every_size_and_stream_cut_anywhere_give_the_hello() {
        let message = message();
        for size in 1..=message.len() {
            let stream = records(&message, size);
            for step in [1, 2, 3, 7, stream.len()] {
                let mut hello = Hello::default();
                let (mut start, mut end, mut wanted) = (0, 0, 0);
                let name = loop {
                    end = (end + step).min(stream.len());
                    if end - start < wanted {
                        continue;
                    }
                    match hello.push(&stream[start..end]) {
                        HelloStep::Read(read) => break read.server_name.map(<[u8]>::to_vec),
                        HelloStep::More { consumed, need } => {
                            start += consumed;
                            wanted = need;
                        }
                        HelloStep::Not(fault) => panic!("{fault} at {end} in records of {size}"),
                    }
                };
                assert_eq!(name.as_deref(), Some(&b"example.com"[..]));
            }
        }
    }

    #[test]
    fn records_between_those_of_a_hello_hide_nothing_of_it() {
        let message = message();
        for between in [
            &b"\x15\x03\x01\x00\x02\x01\x70"[..],
            b"\x14\x03\x03\x00\x01\x01",
            b"\x16\x03\x01\x00\x00",
        ] {
            let (first, second) = message.split_at(50);
            let stream = [&records(first, 50)[..], between, &records(second, 500)].concat();
            let mut hello = Hello::default();
            let HelloStep::Read(read) = hello.push(&stream) else { panic!("{between:?}") };
            assert_eq!(read.server_name, Some(&b"example.com"[..]));
            for len in 50..stream.len() {
                let mut hello = Hello::default();
                let HelloStep::More { consumed, .. } = hello.push(&stream[..len]) else { panic!() };
                let read = hello.end(&stream[consumed..len]).unwrap();
                assert!(read.cut && read.server_name.is_none_or(|name| name == b"example.com"));
            }
        }
        let data = [&records(&message[..50], 50)[..], b"\x17\x03\x03\x00\x02ab"].concat();
        assert!(matches!(Hello::default().push(&data), HelloStep::Not(_)));
    }

    /// In records of 2^14 octets, the most that a sender fills (RFC 8446 §5.1).
    #[test]
    fn the_longest_hello_is_read_and_a_longer_one_is_not() {
        /// What is before the extensions, with their length, and what is before the padding.
        const BEFORE: usize = 43;
        const NAME: usize = 20;
        for (length, is_read) in [(Hello::LIMIT, true), (Hello::LIMIT + 1, false)] {
            let extensions = u16::try_from(length - BEFORE).unwrap().to_be_bytes();
            let padding = length - BEFORE - NAME - 4;
            let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
            let short = message();
            let mut message = vec![1, high, middle, low];
            message.extend(&short[4..4 + BEFORE - 2]);
            message.extend(extensions);
            message.extend(&short[4 + BEFORE..]);
            message.extend([0, 21]);
            message.extend(u16::try_from(padding).unwrap().to_be_bytes());
            message.resize(4 + length, 0);
            match Hello::default().push(&records(&message, 1 << 14)) {
                HelloStep::Read(read) if is_read => {
                    assert_eq!(read.server_name, Some(&b"example.com"[..]));
                }
                HelloStep::Not(Malformed::Limit { .. }) if !is_read => {}
                _ => panic!("a hello of {length} octets: read?"),
            }
        }
    }

    #[test]
    fn every_prefix_of_a_hello_is_recognised_or_left_open() {
        let stream = records(&message(), 1_000);
        for len in 0..stream.len() {
            let probe = Hello::probe(&stream[..len]);
            assert_eq!(probe, if len < 7 { Probe::Unsure } else { Probe::Certain });
        }
        for other in [&b"GET / HTTP/1.1"[..], b"\x17\x03\x03\x00\x10", b"\x16\x03\x03\x00\x50\x02"]
        {
            assert_eq!(Hello::probe(other), Probe::NotOurs);
        }
    }
}
