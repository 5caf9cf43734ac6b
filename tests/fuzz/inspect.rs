//! Seeds made from the standards: hellos over QUIC, DTLS and TCP, and streams.

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SanType};

use super::{Seed, named};
use crate::support::handshake::{crypto, dtls, initial, message, records, vector16};

/// Every entry with its seeds.
pub(super) fn all() -> Vec<(&'static str, Vec<Seed>)> {
    let hello = client_hello(b"a.example", 300);
    let long = client_hello(b"b.example", 1_800);
    let datagram = initial(1, 1, &crypto(0, &hello));
    vec![
        (
            "quic",
            named(vec![
                ("v1", datagram.clone()),
                ("v2", initial(0x6b33_43cf, 1, &crypto(0, &hello))),
                ("draft-29", initial(0xff00_001d, 1, &crypto(0, &hello))),
                (
                    "shuffled",
                    initial(1, 2, &[crypto(100, &hello[100..]), vec![1], crypto(0, &hello[..120])].concat()),
                ),
                (
                    "coalesced",
                    [initial(1, 3, &crypto(0, &long[..900])), initial(1, 4, &crypto(900, &long[900..]))]
                        .concat(),
                ),
                ("q043", b"\x0912345678Q043\x01----hash----\xa4\x01\0\0\0\x15CHLO\x01\0\0\0SNI\0\x01\0\0\0a".to_vec()),
            ]),
        ),
        (
            "dtls",
            named(vec![
                ("whole", dtls(&hello[4..], 0, 0, hello.len() - 4)),
                (
                    "fragments",
                    [dtls(&hello[4..], 0, 150, hello.len() - 4), dtls(&hello[4..], 0, 0, 150)].concat(),
                ),
            ]),
        ),
        (
            "reassembly",
            named(vec![
                ("in-order", b"\0\0\x03abc\0\x03\x03def".to_vec()),
                ("overlapping", b"\0\x02\x04cdef\0\0\x03abX\0\x06\x01g".to_vec()),
            ]),
        ),
        (
            "stream",
            named(vec![
                ("tls", records(&hello, 16_000)),
                ("tls-in-small-records", records(&hello, 40)),
                ("http", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec()),
                (
                    "http-bodies",
                    b"GET / HTTP/1.1\r\nHost:\r\n a.example\r\nContent-Length: 3\r\n\r\nabc\
                      GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: b.example\r\n\r\n\
                      3\r\nabc\r\n0\r\n\r\n"
                        .to_vec(),
                ),
                (
                    "http2",
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x11\x01\x04\0\0\0\x01\x82\x86\x84\x41\x8c\
                      \xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"
                        .to_vec(),
                ),
                (
                    "connect-tls",
                    [&b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"[..], &records(&hello, 16_000)].concat(),
                ),
                (
                    "socks-http",
                    b"\x05\x01\0\x05\x01\0\x03\x09a.example\0\x50GET / HTTP/1.0\r\nHost: b\r\n\r\n".to_vec(),
                ),
                (
                    "smtp-tls",
                    [&b"EHLO me\r\nSTARTTLS\r\n"[..], &records(&hello, 16_000)].concat(),
                ),
                (
                    "proxy-tls",
                    [&b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n"[..], &records(&hello, 16_000)].concat(),
                ),
            ]),
        ),
        ("certificate", named(vec![("two-names", certificate())])),
        (
            "frames",
            named(vec![
                ("quic", frame(&datagram)),
                ("quic-server-and-again", [frame(&datagram), frame(&datagram), frame(&long)].concat()),
                ("dtls", frame(&dtls(&hello[4..], 0, 0, hello.len() - 4))),
            ]),
        ),
    ]
}

/// A ClientHello message (RFC 8446 §4.1.2) with padding (RFC 7685) before the name.
pub(super) fn client_hello(name: &[u8], padding: usize) -> Vec<u8> {
    let entry = [&[0][..], &vector16(name)].concat();
    let mut extensions = vec![0, 21];
    extensions.extend(vector16(&vec![0; padding]));
    extensions.extend([0, 0]);
    extensions.extend(vector16(&vector16(&entry)));
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // Read as DTLS too: an empty session id, and for it an empty cookie.
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(vector16(&extensions));
    message(1, &body)
}

/// A certificate with two names. Its key is made from the same octets every time, and Ed25519
/// signs without chance, so that it is always the same.
pub(super) fn certificate() -> Vec<u8> {
    // PKCS #8 of an Ed25519 key (RFC 8410 §7).
    let mut key = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    key.extend([7; 32]);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key.as_slice().into(), &PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.serial_number = Some(vec![1].into());
    params.subject_alt_names = ["a.example", "*.b.example"]
        .map(|name| SanType::DnsName(name.try_into().unwrap()))
        .to_vec();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A UDP datagram in IPv4 in Ethernet, as the entry for frames wants it.
fn frame(payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((udp + 20).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 198, 51, 100, 1]);
    frame.extend(50_000_u16.to_be_bytes());
    frame.extend(443_u16.to_be_bytes());
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    let mut out = u16::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    out.push(1);
    out.extend(frame);
    out
}
