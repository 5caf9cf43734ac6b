//! SOCKS: version 5 (RFC 1928, with RFC 1929), 4 and 4a. The request names the host; what
//! follows it is the tunnelled stream.

use memchr::memchr;

use crate::inspect::reader::Reader;
use crate::inspect::stream::{Observation, Probe, Progress};
use crate::inspect::{Malformed, Signal};

/// The client's side, up to its request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socks;

impl Socks {
    /// Could a client's stream that begins with `octets` begin with a greeting or request?
    #[must_use]
    pub fn probe(octets: &[u8]) -> Probe {
        match read(octets) {
            Err(Malformed::Overrun { .. }) if octets.len() < MIN_CERTAIN => Probe::Unsure,
            // A greeting may be whole, while its client waits for the answer.
            Ok(_) | Err(Malformed::Overrun { .. }) => Probe::Certain,
            Err(_) => Probe::NotOurs,
        }
    }

    /// Looks at the stream from its beginning.
    pub fn push(octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        match read(octets) {
            Ok(request) => {
                if let Some(host) = request.host {
                    let names = &[(Signal::Socks, host)];
                    observe(Observation::Names { offset: 0, names });
                }
                if request.tunnel {
                    Progress::Next { consumed: request.len }
                } else {
                    Progress::Done
                }
            }
            Err(Malformed::Overrun { .. }) => {
                Progress::More { consumed: 0, need: octets.len() + 1 }
            }
            Err(_) => Progress::Done,
        }
    }
}

/// A request, and how long it is with all that came before it.
struct Request<'a> {
    host: Option<&'a [u8]>,
    /// The client's own octets follow.
    tunnel: bool,
    len: usize,
}

fn read(octets: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut reader = Reader::new(octets);
    let (host, command) = match reader.u8("VER")? {
        5 => version_5(&mut reader)?,
        4 => version_4(&mut reader)?,
        _ => return Err(Malformed::Value { field: "VER" }),
    };
    Ok(Request { host, tunnel: command == CONNECT, len: octets.len() - reader.left() })
}

/// RFC 1928 §3 and §4; between them user name and password (RFC 1929 §2) if they were offered.
fn version_5<'a>(reader: &mut Reader<'a>) -> Result<(Option<&'a [u8]>, u8), Malformed> {
    let methods = reader.vector8("METHODS")?;
    // None assigned lies between 0x09 and 0x80 (IANA "SOCKS Methods").
    if methods.is_empty() || methods.iter().any(|method| (0x0a..0x80).contains(method)) {
        return Err(Malformed::Value { field: "METHODS" });
    }
    let mut version = reader.u8("VER")?;
    if version == 1 && methods.contains(&USERNAME) {
        reader.vector8("UNAME")?;
        reader.vector8("PASSWD")?;
        version = reader.u8("VER")?;
    }
    let command = reader.u8("CMD")?;
    let reserved = reader.u8("RSV")?;
    if version != 5 || !(1..=3).contains(&command) || reserved != 0 {
        return Err(Malformed::Value { field: "CMD" });
    }
    let host = match reader.u8("ATYP")? {
        1 => {
            reader.take(4, "DST.ADDR")?;
            None
        }
        3 => Some(reader.vector8("DST.ADDR")?),
        4 => {
            reader.take(16, "DST.ADDR")?;
            None
        }
        _ => return Err(Malformed::Value { field: "ATYP" }),
    };
    reader.take(2, "DST.PORT")?;
    Ok((host.filter(|host| !host.is_empty()), command))
}

/// The SOCKS 4 and 4a protocols.
fn version_4<'a>(reader: &mut Reader<'a>) -> Result<(Option<&'a [u8]>, u8), Malformed> {
    let command = reader.u8("CD")?;
    let port = reader.u16("DSTPORT")?;
    let &address = reader.array("DSTIP")?;
    if !(1..=2).contains(&command) || port == 0 {
        return Err(Malformed::Value { field: "CD" });
    }
    text(reader, "USERID")?;
    // 0.0.0.x: the host follows (4a).
    let host = match address {
        [0, 0, 0, 1..=255] => Some(text(reader, "host")?),
        [0, ..] => return Err(Malformed::Value { field: "DSTIP" }),
        _ => None,
    };
    Ok((host.filter(|host| !host.is_empty()), command))
}

/// Printable octets up to a zero, which is taken too.
fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], Malformed> {
    let rest = reader.rest();
    let end = memchr(0, rest);
    let here = &rest[..end.unwrap_or(rest.len())];
    if here.len() > MAX_TEXT || here.iter().any(|octet| !(0x20..0x7f).contains(octet)) {
        return Err(Malformed::Value { field });
    }
    let text = reader.take(here.len(), field)?;
    reader.u8(field)?;
    Ok(text)
}

/// CMD (RFC 1928 §4).
const CONNECT: u8 = 1;
/// METHOD (RFC 1928 §3).
const USERNAME: u8 = 2;
/// The longest user id or host of version 4 that is waited for.
const MAX_TEXT: usize = 255;
/// The shortest greeting.
const MIN_CERTAIN: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAMS: &[(&[u8], Option<&str>)] = &[
        (b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb", Some("a.example")),
        (
            b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x09b.example\x01\xbb",
            Some("b.example"),
        ),
        (b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb", None),
        (b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00c.example\x00", Some("c.example")),
        (b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", None),
    ];

    #[test]
    fn every_version_names_its_host_and_gives_the_stream_free() {
        for (request, host) in STREAMS {
            let stream = [request, &b"\x16\x03\x01"[..]].concat();
            let mut seen = None;
            let mut observe = |observation: Observation<'_>| {
                let Observation::Names { names, .. } = observation else { panic!() };
                assert_eq!(names[0].0, Signal::Socks);
                seen = Some(String::from_utf8_lossy(names[0].1).into_owned());
            };
            for len in MIN_CERTAIN..request.len() {
                assert_eq!(Socks::probe(&stream[..len]), Probe::Certain);
                let progress = Socks::push(&stream[..len], &mut observe);
                assert!(matches!(progress, Progress::More { consumed: 0, .. }));
            }
            let progress = Socks::push(&stream, &mut observe);
            assert_eq!(progress, Progress::Next { consumed: request.len() });
            assert_eq!(seen.as_deref(), *host);
        }
    }

    #[test]
    fn other_streams_are_left() {
        for stream in [&b"\x05\x00"[..], b"\x05\x01\x20", b"\x04\x09\x00", b"\x16\x03\x01", b"GET "]
        {
            let stream = [stream, &[0x20; 20]].concat();
            assert_eq!(Socks::probe(&stream), Probe::NotOurs, "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_survived(stream in prop::collection::vec(any::<u8>(), 0..40)) {
            for version in [4, 5] {
                let stream = [&[version][..], &stream].concat();
                let _ = Socks::probe(&stream);
                Socks::push(&stream, &mut |_| {});
            }
        }
    }
}
