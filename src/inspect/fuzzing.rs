//! Fuzz entries: ordinary functions that take any octets and assert a property. The same ones
//! serve cargo-fuzz, the committed seeds and property tests.

use super::quic::{CryptoFrames, LongPacket, Packets, Schedules, google};
use super::stream::{Choice, Observation, Progress, Stream};
use super::{Reassembly, Signal, dtls, tls};

/// A UDP payload as QUIC: packets lie inside it, and what opens is put together within bounds.
pub fn quic(octets: &[u8]) {
    let schedules = Schedules::default();
    let mut scratch = Vec::new();
    for cut in [false, true] {
        for packet in Packets::new(octets, cut).flatten() {
            let LongPacket::Initial(initial) = packet else { continue };
            assert!(initial.number_at <= initial.octets.len());
            assert!(initial.octets.len() <= octets.len());
            let keys = schedules.client(initial.scheme.salt, initial.header.dcid);
            let Ok(payload) = keys.open(&initial, &mut scratch) else { continue };
            assert!(payload.len() < initial.octets.len());
            crypto(payload, &initial);
        }
    }
    if let Some(packet) = google::Packet::read(octets) {
        for piece in packet.crypto() {
            assert!(piece.data.len() <= octets.len());
            let _ = google::ClientHello::read(piece.data);
        }
    }
}

fn crypto(payload: &[u8], initial: &super::quic::Initial<'_>) {
    let mut stream = Reassembly::default();
    for piece in CryptoFrames::new(payload, initial.scheme.dialect, initial.cut).flatten() {
        assert!(piece.data.len() <= payload.len());
        let _ = stream.insert(piece.offset, piece.data);
        assert!(stream.prefix().len() <= Reassembly::LIMIT);
        assert!(stream.footprint() <= 4 * Reassembly::LIMIT);
    }
}

/// A UDP payload as DTLS: fragments lie inside their message and inside the datagram.
pub fn dtls(octets: &[u8]) {
    for cut in [false, true] {
        let mut sum = 0;
        for fragment in dtls::fragments(octets, cut) {
            assert!(fragment.offset + fragment.data.len() <= fragment.length);
            assert!(cut || !fragment.cut);
            sum += fragment.data.len();
        }
        assert!(sum <= octets.len());
    }
    if dtls::may_be(octets) {
        assert_eq!(octets[0], tls::content_type::HANDSHAKE);
    }
}

/// Handshake octets in pieces: two of offset and one of length, then the piece. What is in front
/// of the first hole is what a map of octets says.
pub fn reassembly(mut octets: &[u8]) {
    let mut stream = Reassembly::default();
    let mut map = vec![None; 1 << 16];
    while let [high, low, len, rest @ ..] = octets {
        let offset = u16::from_be_bytes([*high, *low]);
        let (piece, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        octets = rest;
        if stream.insert(u64::from(offset), piece).is_ok() {
            for (at, octet) in map[usize::from(offset)..].iter_mut().zip(piece) {
                at.get_or_insert(*octet);
            }
        }
    }
    let expected: Vec<u8> = map.iter().map_while(|octet| *octet).collect();
    assert_eq!(stream.prefix(), expected);
}

/// A client's stream, whatever it is: it is read to its end in steps of any size, nothing is
/// consumed that is not there, and HTTP gives the same names however it is cut.
pub fn stream(octets: &[u8]) {
    let whole = names(octets, octets.len().max(1));
    for step in [1, 2, 7, 100] {
        let cut = names(octets, step);
        let begins_like_http = octets.starts_with(b"GET ") || octets.starts_with(b"PRI * HTTP/2.0");
        // Lines beyond the limit are given up where they are when it is passed.
        if begins_like_http && octets.len() < super::http::Http1::MAX_LINE {
            assert_eq!(cut, whole, "in steps of {step}");
        }
    }
}

/// What a stream that comes in steps names.
fn names(octets: &[u8], step: usize) -> Vec<(Signal, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut observe = |observation: Observation<'_>| match observation {
        Observation::Names { names, .. } => {
            seen.extend(names.iter().map(|(signal, host)| (*signal, host.to_vec())));
        }
        Observation::ClientHello(hello) => {
            seen.extend(hello.server_name.map(|name| (Signal::TlsSni, name.to_vec())));
        }
        _ => {}
    };
    let mut reading: Option<Stream> = None;
    let (mut start, mut end, mut wanted) = (0, 0, 0);
    while end < octets.len() {
        end = (end + step).min(octets.len());
        while end > start && end - start >= wanted {
            let rest = &octets[start..end];
            let Some(stream) = &mut reading else {
                match Stream::probe(rest, 443) {
                    Choice::Stream(stream) => reading = Some(stream),
                    Choice::Unsure => wanted = rest.len() + 1,
                    Choice::NotOurs => return seen,
                }
                continue;
            };
            match stream.push(rest, &mut observe) {
                Progress::More { consumed, need } => {
                    assert!(consumed <= rest.len() && need > 0);
                    start += consumed;
                    wanted = need;
                    // The rest does not suffice, or all was consumed.
                    if end - start >= need {
                        assert!(consumed > 0, "no progress");
                    }
                }
                Progress::Next { consumed } => {
                    assert!(consumed <= rest.len());
                    start += consumed;
                    wanted = 0;
                    reading = None;
                }
                Progress::Done => return seen,
            }
        }
    }
    if let Some(mut stream) = reading {
        stream.end(&octets[start..], &mut observe);
    }
    seen
}

/// A certificate: names are bounded in number and length.
pub fn certificate(octets: &[u8]) {
    let mut count = 0;
    tls::certificate::names(octets, |name| {
        count += 1;
        assert!(!name.is_empty() && name.len() <= octets.len());
    });
    assert!(count <= tls::certificate::MAX_NAMES);
}

/// A fuzz entry.
pub type Entry = fn(&[u8]);

/// Every entry by its name, which is that of its folder of seeds.
pub const TARGETS: [(&str, Entry); 5] = [
    ("quic", quic),
    ("dtls", dtls),
    ("reassembly", reassembly),
    ("stream", stream),
    ("certificate", certificate),
];
