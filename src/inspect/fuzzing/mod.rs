//! Fuzz entries: ordinary functions that take any octets and assert a property. The same ones
//! serve cargo-fuzz, the committed seeds and property tests.

mod dns;
mod stream;
mod tls;

pub use self::dns::{dns, dns_stream};
pub use self::stream::{hpack, http1, http2, proxy_header, socks, starttls, stream};
pub use self::tls::{certificate, client_hello, server_flight};

use super::Reassembly;
use super::quic::{CryptoFrames, Initial, LongPacket, Packets, Schedules, google};
use super::{dtls, tls::content_type};

/// A fuzz entry.
pub type Entry = fn(&[u8]);

/// Every entry by its name, which is that of its folder of seeds.
pub const TARGETS: [(&str, Entry); 15] = [
    ("quic", quic),
    ("dtls", dtls),
    ("reassembly", reassembly),
    ("stream", stream),
    ("http1", http1),
    ("http2", http2),
    ("hpack", hpack),
    ("starttls", starttls),
    ("socks", socks),
    ("proxy_header", proxy_header),
    ("client_hello", client_hello),
    ("server_flight", server_flight),
    ("certificate", certificate),
    ("dns", dns),
    ("dns_stream", dns_stream),
];

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
        for piece in packet.crypto(false).chain(packet.crypto(true)) {
            assert!(piece.data.len() <= octets.len());
            let _ = google::ClientHello::read(piece.data);
        }
    }
}

fn crypto(payload: &[u8], initial: &Initial<'_>) {
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
        assert_eq!(octets[0], content_type::HANDSHAKE);
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
