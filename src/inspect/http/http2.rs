//! HTTP/2 in clear (RFC 9113), with prior knowledge or after an upgrade: it begins with the
//! client's preface, and the field sections after it are compressed by HPACK (RFC 7541).

use core::fmt;

use loona_hpack::Decoder;

use super::Names;
use crate::inspect::Signal;
use crate::inspect::reader::Reader;
use crate::inspect::stream::{Observation, Probe, Progress, sequence_space};

/// The client's side of one connection.
pub struct Http2 {
    begun: bool,
    decoder: Decoder<'static>,
    /// The field section that is being gathered, and the stream it is for.
    section: Vec<u8>,
    stream: Option<u32>,
    /// Octets of a frame's payload that are still to come and that nobody wants.
    skip: usize,
    names: Names,
    /// Octets of the stream before those of the present push, and where the field section's first
    /// frame began; modulo 2^32.
    passed: u32,
    start: u32,
    /// Octets of field sections so far.
    compressed: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        // The server may allow more than the default; it says so on its own side.
        decoder.set_max_allowed_table_size(Self::MAX_TABLE);
        let names = Names::default();
        Self {
            begun: false,
            decoder,
            section: Vec::new(),
            stream: None,
            skip: 0,
            names,
            passed: 0,
            start: 0,
            compressed: 0,
        }
    }
}

impl Http2 {
    /// The longest field section that is read. Beyond it the compression state is lost.
    pub const MAX_SECTION: usize = 64 * 1024;
    /// The largest dynamic table that a client may use here; browsers are offered this much.
    pub const MAX_TABLE: usize = 64 * 1024;

    /// Could a client's stream that begins with `octets` begin with the preface?
    #[must_use]
    pub fn probe(octets: &[u8]) -> Probe {
        if octets.len() >= PREFACE.len() && octets.starts_with(PREFACE) {
            Probe::Certain
        } else if PREFACE.starts_with(octets) {
            Probe::Unsure
        } else {
            Probe::NotOurs
        }
    }

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let progress = self.frames(octets, observe);
        if let Progress::More { consumed, .. } = progress {
            self.passed = self.passed.wrapping_add(sequence_space(consumed));
        }
        progress
    }

    fn frames(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let mut at = 0;
        if !self.begun {
            match Self::probe(octets) {
                Probe::Certain => at = PREFACE.len(),
                Probe::Unsure => return Progress::More { consumed: 0, need: PREFACE.len() },
                Probe::NotOurs => return Progress::Done,
            }
            self.begun = true;
        }
        loop {
            let here = self.skip.min(octets.len() - at);
            self.skip -= here;
            at += here;
            let rest = &octets[at..];
            let Some(frame) = Frame::read(rest) else {
                return Progress::More { consumed: at, need: FRAME_HEADER };
            };
            if !matches!(frame.kind, HEADERS | CONTINUATION) {
                self.skip = FRAME_HEADER + frame.length;
                continue;
            }
            if frame.length > Self::MAX_SECTION {
                return Progress::Done;
            }
            let Some(payload) = rest.get(FRAME_HEADER..FRAME_HEADER + frame.length) else {
                return Progress::More { consumed: at, need: FRAME_HEADER + frame.length };
            };
            if frame.kind == HEADERS {
                self.start = self.passed.wrapping_add(sequence_space(at));
            }
            if self.fields(&frame, payload, observe).is_none() {
                return Progress::Done;
            }
            at += FRAME_HEADER + frame.length;
        }
    }

    /// Octets kept on the heap; of the dynamic table, which does not say, what it may have at most.
    #[must_use]
    pub fn heap(&self) -> usize {
        let table = self.compressed.saturating_mul(Self::ENTRY).min(Self::FULL_TABLE);
        size_of::<Self>() + self.section.capacity() + self.names.heap() + table
    }

    /// What an entry of a name and a value of an octet each, written in three, takes for each of
    /// these.
    const ENTRY: usize = 40;
    /// A full table of such entries, which count for 34 octets (RFC 7541 §4.1) and take 112.
    const FULL_TABLE: usize = Self::MAX_TABLE / 34 * 112;

    /// A frame of a field section; `None` when the connection can no longer be followed.
    fn fields(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        observe: &mut impl FnMut(Observation<'_>),
    ) -> Option<()> {
        let mut reader = Reader::new(payload);
        if frame.kind == HEADERS {
            // RFC 9113 §6.2.
            let padding =
                if frame.flags & PADDED == 0 { 0 } else { reader.u8("Pad Length").ok()? };
            if frame.flags & PRIORITY != 0 {
                reader.take(5, "Priority").ok()?;
            }
            let fragment = reader.left().checked_sub(usize::from(padding))?;
            self.section.clear();
            self.section.extend_from_slice(reader.take(fragment, "Field Block Fragment").ok()?);
            self.stream = Some(frame.stream);
        } else if self.stream != Some(frame.stream)
            || self.section.len() + payload.len() > Self::MAX_SECTION
        {
            return None;
        } else {
            self.section.extend_from_slice(payload);
        }
        if frame.flags & END_HEADERS == 0 {
            return Some(());
        }
        self.stream = None;
        self.compressed = self.compressed.saturating_add(self.section.len());
        let names = &mut self.names;
        let (mut connect, mut authority) = (false, Vec::new());
        let decoded = self.decoder.decode_with_cb(&self.section, |name, value| match &*name {
            // No host is that long, and a reference to such a field is one octet on the wire.
            _ if value.len() > Names::MAX_LEN => {}
            b":method" => connect = *value == *b"CONNECT",
            b":authority" => {
                let host = value.iter().rposition(|&octet| octet == b'@').map_or(0, |at| at + 1);
                if connect {
                    names.push(Signal::ProxyConnect, &value[host..]);
                }
                names.push(Signal::Http2Authority, &value[host..]);
                authority = value.into_owned();
            }
            // A client may send this in its place (RFC 9113 §8.3.1).
            b"host" if *value != *authority => names.push(Signal::Http2Authority, &value),
            _ => {}
        });
        let offset = self.start;
        names.give(|names| observe(Observation::Names { offset, names }));
        if self.section.capacity() > Self::USUAL_SECTION {
            self.section = Vec::new();
        }
        decoded.ok()
    }

    /// What is kept of the section's memory for the next one.
    const USUAL_SECTION: usize = 4 * 1024;
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2")
            .field("begun", &self.begun)
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

/// A frame's header (RFC 9113 §4.1).
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    fn read(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(octets);
        let length = reader.u24("Length").ok()? as usize;
        let kind = reader.u8("Type").ok()?;
        let flags = reader.u8("Flags").ok()?;
        let stream = reader.u32("Stream Identifier").ok()? & 0x7fff_ffff;
        Some(Self { length, kind, flags, stream })
    }
}

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Frame types (RFC 9113 §6).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// Flags of HEADERS (RFC 9113 §6.2).
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        out.extend([kind, flags, 0, 0, 0, stream]);
        out.extend(payload);
        out
    }

    /// A connection with RFC 7541 C.4.1's request, the same name by reference to the dynamic
    /// table, and one that is padded, has a priority, and goes on in a CONTINUATION.
    fn session() -> Vec<u8> {
        let huffman = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let mut out = PREFACE.to_vec();
        out.extend(frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]));
        out.extend(frame(HEADERS, END_HEADERS, 1, huffman));
        out.extend(frame(0, 1, 1, &[7; 300]));
        out.extend(frame(HEADERS, END_HEADERS, 3, b"\x82\x86\x84\xbe"));
        let mut padded = vec![3, 0, 0, 0, 0, 9, 0x82, 0x01];
        padded.extend(b"\x11me@b.ex");
        padded.extend([0, 0, 0]);
        out.extend(frame(HEADERS, PADDED | PRIORITY, 5, &padded));
        out.extend(frame(CONTINUATION, END_HEADERS, 5, b"ample:8443"));
        out
    }

    fn run(stream: &[u8], cuts: &[usize]) -> Vec<(u32, Signal, String)> {
        let mut http = Http2::default();
        let mut seen = Vec::new();
        let (mut start, mut wanted) = (0, 0);
        for &end in cuts.iter().chain([&stream.len()]) {
            if end < start + wanted {
                continue;
            }
            let progress = http.push(&stream[start..end], &mut |observation| {
                let Observation::Names { offset, names } = observation else { panic!() };
                for (signal, name) in names {
                    seen.push((offset, *signal, String::from_utf8_lossy(name).into_owned()));
                }
            });
            let Progress::More { consumed, need } = progress else { break };
            start += consumed;
            wanted = need;
        }
        seen
    }

    #[test]
    fn authorities_are_read_through_compression_and_continuation() {
        let seen = run(&session(), &[]);
        let authority = |offset, name: &str| (offset, Signal::Http2Authority, name.to_owned());
        // Behind the preface and SETTINGS of 6 octets; one section of 17 octets and a body of 300;
        // one of 4. The last begins with its HEADERS, not with the CONTINUATION.
        let first = 24 + 9 + 6;
        let second = first + 9 + 17 + 9 + 300;
        assert_eq!(
            seen,
            [
                authority(first, "www.example.com"),
                authority(second, "www.example.com"),
                authority(second + 9 + 4, "b.example"),
            ]
        );
    }

    #[test]
    fn only_the_preface_begins_it() {
        assert_eq!(Http2::probe(b"PRI * HT"), Probe::Unsure);
        assert_eq!(Http2::probe(b"PRI * HTTP/1.1"), Probe::NotOurs);
        assert_eq!(Http2::probe(&session()), Probe::Certain);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(any::<Index>(), 0..30)) {
            let stream = session();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            cuts.sort_unstable();
            prop_assert_eq!(run(&stream, &cuts), run(&stream, &[]));
        }

        #[test]
        fn garbage_is_survived(
            frames in prop::collection::vec(
                (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)),
                0..12,
            ),
        ) {
            let mut stream = PREFACE.to_vec();
            for (kind, flags, payload) in frames {
                stream.extend(frame(kind % 10, flags, 1, &payload));
            }
            run(&stream, &[]);
        }
    }
}
