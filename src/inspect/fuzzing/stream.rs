//! Inspectors of a client's stream: however it is cut, they say the same.

use core::fmt::Debug;

use crate::inspect::http::{Http1, Http2};
use crate::inspect::proxy::{Header, Socks};
use crate::inspect::starttls::Starttls;
use crate::inspect::stream::{Choice, Observation, Probe, Progress, Stream};
use crate::inspect::{Signal, http};

/// What was named, and how.
type Named = Vec<(Signal, Vec<u8>)>;

/// How a stream ended for its inspector, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// It wanted more. So much is unconsumed.
    Open { rest: usize },
    /// Another stream begins here.
    Next { at: usize },
    /// It wanted no more.
    Done,
}

/// What `read` makes of `len` octets, which is the same in whatever steps they come.
pub(super) fn however_cut<T: Debug + PartialEq>(len: usize, read: impl Fn(usize) -> T) -> T {
    let whole = read(len.max(1));
    for step in [1, 2, 7, 100] {
        assert_eq!(read(step), whole, "in steps of {step}");
    }
    whole
}

/// Feeds an inspector as the pipeline does: octets come in steps, and it is asked again when
/// those that it needs are there.
pub(super) fn drive(octets: &[u8], step: usize, mut push: impl FnMut(&[u8]) -> Progress) -> Ended {
    let (mut start, mut end, mut wanted) = (0, 0, 0);
    while end < octets.len() {
        end = (end + step).min(octets.len());
        while end > start && end - start >= wanted {
            let rest = &octets[start..end];
            match push(rest) {
                Progress::More { consumed, need } => {
                    assert!(consumed <= rest.len() && need > 0);
                    start += consumed;
                    wanted = need;
                    // The rest does not suffice, or something was consumed.
                    assert!(consumed > 0 || end - start < need, "no progress");
                }
                Progress::Next { consumed } => {
                    assert!(consumed <= rest.len());
                    return Ended::Next { at: start + consumed };
                }
                Progress::Done => return Ended::Done,
            }
        }
    }
    Ended::Open { rest: octets.len() - start }
}

fn note(named: &mut Named, observation: &Observation<'_>) {
    match observation {
        Observation::Names { names, .. } => {
            assert!(!names.is_empty() && names.len() <= http::MAX_NAMES);
            for (signal, host) in *names {
                assert!(!host.is_empty());
                named.push((*signal, host.to_vec()));
            }
        }
        Observation::ClientHello(hello) => {
            named.extend(hello.server_name.map(|name| (Signal::TlsSni, name.to_vec())));
        }
        _ => {}
    }
}

/// A client's stream, whatever it is, through every wrapper it may have: it is read to its end,
/// nothing is consumed that is not there, and it gives the same names however it is cut.
pub fn stream(octets: &[u8]) {
    // Lines beyond the limit are given up where they are when it is passed.
    let octets = &octets[..octets.len().min(Starttls::MAX_LINE)];
    however_cut(octets.len(), |step| names(octets, step));
}

/// What a stream that comes in steps names, and the streams in it.
fn names(mut octets: &[u8], step: usize) -> Named {
    let mut named = Vec::new();
    loop {
        let mut reading = None;
        let ended = drive(octets, step, |rest| {
            let stream: &mut Stream = match &mut reading {
                Some(stream) => stream,
                None => match Stream::probe(rest, 443) {
                    Choice::Stream(stream) => reading.insert(stream),
                    Choice::Unsure => return Progress::More { consumed: 0, need: rest.len() + 1 },
                    Choice::NotOurs => return Progress::Done,
                },
            };
            stream.push(rest, &mut |seen| note(&mut named, &seen))
        });
        match (ended, reading) {
            (Ended::Next { at }, _) => octets = &octets[at..],
            (Ended::Open { rest }, Some(mut stream)) => {
                let rest = &octets[octets.len() - rest..];
                stream.end(rest, &mut |seen| note(&mut named, &seen));
                return named;
            }
            (Ended::Open { .. } | Ended::Done, _) => return named,
        }
    }
}

/// A stream of HTTP/1 requests from its first octet on: the same names and the same end however it
/// is cut, and no more kept than one request's names.
pub fn http1(octets: &[u8]) {
    let octets = &octets[..octets.len().min(Http1::MAX_LINE)];
    however_cut(octets.len(), |step| {
        let (mut http, mut named) = (Http1::default(), Vec::new());
        let ended = drive(octets, step, |rest| {
            let progress = http.push(rest, &mut |seen| note(&mut named, &seen));
            assert!(http.heap() <= 1 << 15);
            progress
        });
        if let Ended::Open { rest } = ended {
            http.end(&octets[octets.len() - rest..], &mut |seen| note(&mut named, &seen));
        }
        (ended, named)
    });
}

/// HTTP/2 frames behind a preface: the same names however they are cut, and no more memory than
/// the limits say.
pub fn http2(octets: &[u8]) {
    let stream = [PREFACE, octets].concat();
    however_cut(stream.len(), |step| authorities(&stream, step));
}

/// A compressed field section, twice on one connection; the first octet says where it is cut into
/// HEADERS and CONTINUATION (RFC 9113 §6.10): the same names as in one frame.
pub fn hpack(octets: &[u8]) {
    let Some((&cut, section)) = octets.split_first() else { return };
    let section = &section[..section.len().min(MAX_FRAGMENT)];
    let (head, tail) = section.split_at(usize::from(cut).min(section.len()));
    let (mut whole, mut parts) = (PREFACE.to_vec(), PREFACE.to_vec());
    for stream in [1, 3] {
        frame(&mut whole, HEADERS, END_HEADERS, stream, section);
        frame(&mut parts, HEADERS, 0, stream, head);
        frame(&mut parts, CONTINUATION, END_HEADERS, stream, tail);
    }
    assert_eq!(authorities(&whole, whole.len()), authorities(&parts, parts.len()));
}

fn authorities(stream: &[u8], step: usize) -> Named {
    let (mut http, mut named) = (Http2::default(), Vec::new());
    drive(stream, step, |rest| {
        let progress = http.push(rest, &mut |seen| note(&mut named, &seen));
        // A section's buffer grows by doubling.
        assert!(http.heap() <= 2 * Http2::MAX_SECTION + (1 << 15));
        progress
    });
    named
}

/// A stream that may turn to TLS: it does so at the same octet however it is cut.
pub fn starttls(octets: &[u8]) {
    let octets = &octets[..octets.len().min(Starttls::MAX_LINE)];
    however_cut(octets.len(), |step| {
        let mut chosen = None;
        let ended = drive(octets, step, |rest| {
            if chosen.is_none() {
                match Starttls::choose(rest) {
                    Ok(starttls) => chosen = Some(starttls),
                    Err(Probe::Unsure) => {
                        return Progress::More { consumed: 0, need: rest.len() + 1 };
                    }
                    Err(_) => return Progress::Done,
                }
            }
            chosen.as_mut().map_or(Progress::Done, |starttls| starttls.push(rest))
        });
        // How much of it is unconsumed may differ: nothing is done with it.
        Some(ended).filter(|ended| !matches!(ended, Ended::Open { .. }))
    });
}

/// A SOCKS client's octets: once the request is read, more octets change nothing.
pub fn socks(octets: &[u8]) {
    verdicts(octets, Socks::probe, |rest| {
        let mut host = None;
        let progress = Socks::push(rest, &mut |seen| {
            let mut named = Vec::new();
            note(&mut named, &seen);
            assert_eq!(named.len(), 1);
            host = named.pop();
        });
        (progress, host)
    });
}

/// The PROXY protocol's header: once it is read, more octets change nothing.
pub fn proxy_header(octets: &[u8]) {
    verdicts(octets, Header::probe, |rest| (Header::push(rest), None));
}

/// What is decided of a stream's beginning stays decided: every prefix gives what the whole gives,
/// or asks for more.
fn verdicts(
    octets: &[u8],
    probe: fn(&[u8]) -> Probe,
    push: impl Fn(&[u8]) -> (Progress, Option<(Signal, Vec<u8>)>),
) {
    let whole = (probe(octets) == Probe::Certain).then(|| push(octets));
    for len in 0..octets.len().min(1 << 10) {
        match probe(&octets[..len]) {
            Probe::Unsure => {}
            // It may yet turn out otherwise, as long as nothing is decided.
            Probe::Certain => {
                let (progress, host) = push(&octets[..len]);
                match progress {
                    Progress::More { consumed, need } => assert!(consumed == 0 && need > len),
                    _ => assert_eq!(Some((progress, host)), whole, "of {len}"),
                }
            }
            Probe::NotOurs => assert_eq!(probe(octets), Probe::NotOurs, "of {len}"),
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    // Shorter than `MAX_FRAGMENT`.
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or_default().to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// What a frame holds by default (RFC 9113 §6.5.2).
const MAX_FRAGMENT: usize = 1 << 14;
