//! HTTP/1 (RFC 9112): request after request, each line when it is whole.

use memchr::{memchr, memrchr};

use super::{Names, authority};
use crate::inspect::Signal;
use crate::inspect::stream::{Observation, Probe, Progress, sequence_space};
use crate::inspect::tls::content_type;

/// The requests of one connection.
#[derive(Debug, Default)]
pub struct Http1 {
    state: State,
    /// Of the request that is being read.
    names: Names,
    connect: bool,
    length: Option<u64>,
    chunked: bool,
    /// Where in the stream it begins, modulo 2^32.
    start: u32,
    /// Octets of the stream before those of the present push, modulo 2^32.
    passed: u32,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    RequestLine,
    Fields,
    /// Of a field that is longer than [`Http1::MAX_LINE`].
    RestOfLine,
    Body(u64),
    ChunkSize,
    /// The chunk's data and the line end behind it.
    Chunk(u64),
    Trailers,
}

/// What a line was, or why the stream is left.
enum Step {
    On,
    /// The next stream begins here.
    Tunnel,
    /// Another protocol begins with this very line.
    Other,
    Leave,
}

impl Http1 {
    /// The longest line that is kept for its end to come. Servers take 8 KiB (RFC 9112 §3).
    pub const MAX_LINE: usize = 16 * 1024;

    /// Could a client's stream that begins with `octets` begin with a request?
    #[must_use]
    pub fn probe(octets: &[u8]) -> Probe {
        let octets = octets.strip_prefix(b"\r\n").unwrap_or(octets);
        let head = &octets[..octets.len().min(MAX_METHOD + 1)];
        let method = head.iter().position(|octet| !is_method(*octet)).unwrap_or(head.len());
        if method > MAX_METHOD {
            return Probe::NotOurs;
        }
        let Some(&after) = octets.get(method) else { return Probe::Unsure };
        if after != b' ' || method < 3 {
            return Probe::NotOurs;
        }
        let end = memchr(b'\n', octets);
        let line = &octets[..end.unwrap_or(octets.len())];
        if line.len() > Self::MAX_LINE {
            return Probe::NotOurs;
        }
        // A usual method is enough to go by, where a client puts control octets into its target.
        let text = is_usual(octets) || line.iter().all(|&octet| is_text(octet));
        match end {
            _ if !text => Probe::NotOurs,
            None => Probe::Unsure,
            Some(_) if is_version(line.trim_ascii_end()) => Probe::Certain,
            Some(_) => Probe::NotOurs,
        }
    }

    /// Is a payload that begins like this worth a look in the middle of a connection? Of the usual
    /// methods, by their first octets, a part of a request line is, of others a whole one.
    #[inline]
    #[must_use]
    pub fn may_begin(octets: &[u8]) -> bool {
        // Most payloads that begin with a capital are no text.
        if !octets.iter().take(3).all(|octet| is_method(*octet)) {
            return false;
        }
        match Self::probe(octets) {
            Probe::Certain => true,
            Probe::Unsure => is_usual(octets),
            Probe::NotOurs => false,
        }
    }

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let progress = self.lines(octets, observe);
        if let Progress::More { consumed, .. } = progress {
            self.passed = self.passed.wrapping_add(sequence_space(consumed));
        }
        progress
    }

    fn lines(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let mut at = 0;
        while at < octets.len() {
            let rest = &octets[at..];
            match self.state {
                State::Body(left) | State::Chunk(left) => {
                    let here = left.min(rest.len() as u64);
                    // No more than `rest`.
                    at += usize::try_from(here).unwrap_or(rest.len());
                    self.state = match self.state {
                        State::Body(_) if here == left => self.next_request(),
                        State::Body(_) => State::Body(left - here),
                        _ if here == left => State::ChunkSize,
                        _ => State::Chunk(left - here),
                    };
                    continue;
                }
                State::RestOfLine => {
                    match memchr(b'\n', rest) {
                        Some(end) => {
                            at += end + 1;
                            self.state = State::Fields;
                        }
                        None => at = octets.len(),
                    }
                    continue;
                }
                State::RequestLine | State::Fields | State::ChunkSize | State::Trailers => {}
            }
            // What no request begins with: TLS after an upgrade to it (RFC 2817 §3), as printers
            // speak it.
            if self.state == State::RequestLine && rest[0] == content_type::HANDSHAKE {
                return Progress::Next { consumed: at };
            }
            let Some(mut end) = memchr(b'\n', rest) else {
                if rest.len() <= Self::MAX_LINE {
                    return Progress::More { consumed: at, need: rest.len() + 1 };
                }
                if self.state != State::Fields {
                    return Progress::Done;
                }
                self.state = State::RestOfLine;
                continue;
            };
            if self.state == State::Fields && !rest[..end].trim_ascii().is_empty() {
                // A line that begins with a blank continues the one before it (RFC 9112 §5.2), so
                // a field is whole when the next line has begun.
                loop {
                    match rest.get(end + 1) {
                        None if rest.len() <= Self::MAX_LINE => {
                            return Progress::More { consumed: at, need: rest.len() + 1 };
                        }
                        Some(b' ' | b'\t') if end <= Self::MAX_LINE => {
                            match memchr(b'\n', &rest[end + 1..]) {
                                Some(more) => end += 1 + more,
                                None if rest.len() <= Self::MAX_LINE => {
                                    return Progress::More { consumed: at, need: rest.len() + 1 };
                                }
                                None => break,
                            }
                        }
                        _ => break,
                    }
                }
            }
            if self.state == State::RequestLine {
                self.start = self.passed.wrapping_add(sequence_space(at));
            }
            match self.line(&rest[..end], observe) {
                Step::On => at += end + 1,
                Step::Tunnel => return Progress::Next { consumed: at + end + 1 },
                Step::Other => return Progress::Next { consumed: at },
                Step::Leave => return Progress::Done,
            }
        }
        Progress::More { consumed: at, need: 1 }
    }

    /// The stream ends, or cannot be followed, with `octets` unconsumed. What comes later begins
    /// anew.
    pub fn end(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) {
        // Of a line that breaks off nobody knows how it goes on.
        if self.state == State::Fields
            && let Some(end) = memrchr(b'\n', octets)
        {
            self.field(&octets[..end]);
        }
        self.report(observe);
        self.state = State::RequestLine;
    }

    /// Octets kept on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.names.heap()
    }

    /// A whole line without its line feed, with those that continue it.
    fn line(&mut self, line: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Step {
        let text = line.trim_ascii();
        match self.state {
            // Empty lines before a request are robustness (RFC 9112 §2.2).
            State::RequestLine if text.is_empty() => Step::On,
            State::RequestLine => self.request_line(text),
            State::Fields if text.is_empty() => {
                self.report(observe);
                if self.connect {
                    self.next_request();
                    return Step::Tunnel;
                }
                self.state = match self.length {
                    _ if self.chunked => State::ChunkSize,
                    Some(length) if length > 0 => State::Body(length),
                    _ => self.next_request(),
                };
                Step::On
            }
            State::Fields => {
                self.field(line);
                Step::On
            }
            State::ChunkSize => {
                // chunk-size [ chunk-ext ] (RFC 9112 §7.1)
                let digits = text.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
                let size = str::from_utf8(&text[..digits]).ok();
                match size.and_then(|size| u64::from_str_radix(size, 16).ok()) {
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Chunk(size.saturating_add(CRLF)),
                    None => return Step::Leave,
                }
                Step::On
            }
            State::Trailers => {
                if text.is_empty() {
                    self.state = self.next_request();
                }
                Step::On
            }
            State::RestOfLine | State::Body(_) | State::Chunk(_) => Step::On,
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Step {
        if line == b"PRI * HTTP/2.0" {
            // At the beginning it was looked at already, and is not that of HTTP/2.
            return if self.start == 0 { Step::Leave } else { Step::Other };
        }
        let (Some(method), true) = (memchr(b' ', line), is_version(line)) else {
            return Step::Leave;
        };
        let target = &line[method + 1..memrchr(b' ', line).unwrap_or(line.len()).max(method + 1)];
        self.connect = line[..method].eq_ignore_ascii_case(b"CONNECT");
        if self.connect {
            // Only the authority form names a host (RFC 9112 §3.2.3).
            if !target.starts_with(b"/") {
                self.names.push(Signal::ProxyConnect, target);
                self.names.push(Signal::HttpTarget, target);
            }
        } else if let Some(authority) = authority(target) {
            self.names.push(Signal::HttpTarget, authority);
        }
        self.state = State::Fields;
        Step::On
    }

    /// A field line (RFC 9112 §5).
    fn field(&mut self, line: &[u8]) {
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            self.names.push(Signal::HttpHost, value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            self.length = self.length.or(digits);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // The coding applied last says where the body ends (RFC 9112 §6.1).
            let last = value.rsplit(|octet| *octet == b',').next().unwrap_or_default();
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
    }

    fn report(&mut self, observe: &mut impl FnMut(Observation<'_>)) {
        let offset = self.start;
        self.names.give(|names| observe(Observation::Names { offset, names }));
    }

    /// Forgets the request that has ended.
    fn next_request(&mut self) -> State {
        (self.connect, self.chunked, self.length) = (false, false, None);
        self.state = State::RequestLine;
        State::RequestLine
    }
}

/// A token as methods are in practice (RFC 9110 §9.1).
const fn is_method(octet: u8) -> bool {
    octet.is_ascii_uppercase() || octet == b'-' || octet == b'_'
}

/// Does it begin with one of the usual methods?
fn is_usual(octets: &[u8]) -> bool {
    matches!(
        octets.first_chunk(),
        Some(
            b"GET "
                | b"POST"
                | b"HEAD"
                | b"PUT "
                | b"CONN"
                | b"OPTI"
                | b"DELE"
                | b"PATC"
                | b"PROP"
                | b"PRI "
        )
    )
}

/// May it be in a request line? Targets with raw UTF-8 in them are sent.
const fn is_text(octet: u8) -> bool {
    octet >= 0x20 && octet != 0x7f || octet == b'\r' || octet == b'\t'
}

/// Does a request line end with a version (RFC 9112 §2.3)? Clients that mean HTTP/1 claim others,
/// and servers take the name in either case.
fn is_version(line: &[u8]) -> bool {
    let Some([b' ', version @ ..]) = line.last_chunk::<9>() else { return false };
    version[..5].eq_ignore_ascii_case(b"HTTP/")
        && matches!(version[5..], [b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// The longest registered method has 17 octets (UPDATEREDIRECTREF).
const MAX_METHOD: usize = 24;
/// Behind a chunk's data.
const CRLF: u64 = 2;

#[cfg(test)]
pub(crate) mod tests;
