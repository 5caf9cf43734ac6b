//! Seeds made from the standards: streams and messages of one protocol each.

use vendorwatch::inspect::fuzzing::TARGETS;

use super::inspect::{certificate, client_hello};
use super::{Seed, named};
use crate::support::handshake::{message, records, u24, vector16};
use crate::support::talk::dns;

/// Every entry with its seeds.
pub(super) fn all() -> Vec<(&'static str, Vec<Seed>)> {
    let all = vec![
        ("http1", named(http1())),
        ("http2", named(http2())),
        ("hpack", named(hpack())),
        ("starttls", named(starttls())),
        ("socks", named(socks())),
        ("proxy_header", named(proxy_header())),
        ("client_hello", named(hellos())),
        ("server_flight", named(server_flight())),
        ("dns", named(messages())),
        ("dns_stream", named(dns_stream())),
    ];
    assert!(all.iter().all(|(entry, _)| TARGETS.iter().any(|(name, _)| name == entry)));
    all
}

fn http1() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("get", b"GET / HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n".to_vec()),
        (
            "pipelined",
            b"POST /x HTTP/1.1\r\nhost:\r\n b.example\r\nContent-Length: 3\r\n\r\nGET\
              PUT http://me@c.example/y HTTP/1.1\r\nHost: d.example\r\n\
              Transfer-Encoding: chunked\r\n\r\n\
              5;x=y\r\nHost:\r\n0\r\nTrailer: Host: n\r\n\r\nOPTIONS * HTTP/1.0\nHost: [::1]:80\n\n"
                .to_vec(),
        ),
        ("connect", b"CONNECT f.example:443 HTTP/1.1\r\nHost: f.example\r\n\r\n\x16\x03\x01".to_vec()),
        ("upgrade", b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ]
}

/// RFC 7541 C.4.1, without the first octet of which it would be a field section alone.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&u24(payload.len()), &[kind, flags, 0, 0, 0, stream][..], payload].concat()
}

fn http2() -> Vec<(&'static str, Vec<u8>)> {
    let padded = [&[3, 0, 0, 0, 0, 9, 0x82, 0x01, 0x11][..], b"me@b.ex\0\0\0"].concat();
    vec![
        ("request", frame(1, 4, 1, REQUEST)),
        (
            "session",
            [
                frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]),
                frame(1, 4, 1, REQUEST),
                frame(0, 1, 1, &[7; 30]),
                frame(1, 4, 3, b"\x82\x86\x84\xbe"),
                frame(1, 0x28, 5, &padded),
                frame(9, 4, 5, b"ample:8443"),
            ]
            .concat(),
        ),
        ("connect", frame(1, 4, 1, b"\x02\x07CONNECT\x01\x0da.example:443")),
    ]
}

fn hpack() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("huffman", [&[5], REQUEST].concat()),
        (
            "table-sizes",
            b"\x03\x20\x3f\xe1\x1f\x82\x41\x09a.example\x40\x04host\x09b.example".to_vec(),
        ),
        ("never-indexed", b"\x01\x10\x0a:authority\x09a.example\x0f\x29\x01x".to_vec()),
    ]
}

fn starttls() -> Vec<(&'static str, Vec<u8>)> {
    let then_tls = |begin: &[u8]| [begin, b"\x16\x03\x01\x00\x0a\x01\x00\x01\x0a\n"].concat();
    let mut mysql = vec![32, 0, 0, 1, 0x85, 0xae, 0xff, 0x19];
    mysql.resize(36, 0);
    vec![
        ("smtp", then_tls(b"EHLO me.example\r\nSTARTTLS\r\n")),
        ("imap", then_tls(b"a001 CAPABILITY\r\na002 STARTTLS\r\n")),
        ("pop3", then_tls(b"CAPA\r\nSTLS\r\n")),
        ("ftp", then_tls(b"AUTH TLS\r\n")),
        ("unasked", then_tls(b"EHLO me.example\r\n")),
        (
            "xmpp",
            then_tls(
                b"<?xml version='1.0'?><stream:stream to='a.example' xmlns='jabber:client'>\
                  <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ),
        ),
        ("ldap", then_tls(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037")),
        ("postgresql", then_tls(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])),
        ("rdp", then_tls(&[3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0])),
        ("mysql", then_tls(&mysql)),
    ]
}

fn socks() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("5-name", b"\x05\x01\x00\x05\x01\x00\x03\x09a.example\x01\xbb\x16\x03\x01".to_vec()),
        ("5-password", b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x01b\x01\xbb".to_vec()),
        (
            "5-address",
            b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"
                .to_vec(),
        ),
        ("4a", b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00c.example\x00\x16".to_vec()),
        ("4", b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00".to_vec()),
    ]
}

fn proxy_header() -> Vec<(&'static str, Vec<u8>)> {
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([192, 0, 2, 1, 198, 51, 100, 1, 0xc3, 0x50, 1, 0xbb]);
    v2.extend(b"GET ");
    vec![
        ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\nGET / HTTP/1.1\r\n".to_vec()),
        ("v1-unknown", b"PROXY UNKNOWN\r\n\x16\x03".to_vec()),
        ("v2", v2),
    ]
}

fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    let body = |name: &[u8], padding| client_hello(name, padding)[4..].to_vec();
    let mut ech = body(b"outer.example", 3);
    let extension = b"\xfe\x0d\x00\x0d\x00\x00\x01\x00\x01\x2a\x00\x02ab\x00\x01x";
    // The extensions' length is behind version, random, session, suites and compression.
    let at = 2 + 32 + 1 + 1 + 4 + 1;
    let len = u16::from_be_bytes([ech[at], ech[at + 1]]) + u16::try_from(extension.len()).unwrap();
    ech[at..at + 2].copy_from_slice(&len.to_be_bytes());
    ech.extend(extension);
    vec![
        ("small-records", [&[30, 11], &body(b"a.example", 60)[..]].concat()),
        ("long", [&[255, 99], &body(b"b.example", 1_700)[..]].concat()),
        ("ech", [&[200, 200], &ech[..]].concat()),
    ]
}

fn server_flight() -> Vec<(&'static str, Vec<u8>)> {
    let hello = |extensions: &[u8]| {
        let mut body = vec![3, 3];
        body.extend([1; 32]);
        body.extend([0, 0xc0, 0x2f, 0]);
        body.extend(vector16(extensions));
        message(2, &body)
    };
    let der = certificate();
    let entry = [u24(der.len()), der].concat();
    let chain = message(11, &[u24(entry.len()), entry].concat());
    let earlier = [hello(&[]), message(22, b"\x01\0\0\x01x"), chain, message(14, b"")].concat();
    vec![
        ("tls12", records(&earlier, 16_000)),
        ("tls12-small-records", records(&earlier, 50)),
        ("tls13", records(&hello(&[0, 43, 0, 2, 3, 4]), 16_000)),
        ("alert-first", [&[21, 3, 3, 0, 2, 1, 112][..], &records(&earlier, 90)].concat()),
    ]
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let https = b"\x00\x01\x03svc\xc0\x10\x00\x04\x00\x04\xc0\x00\x02\x07\x00\x05\x00\x1d\x00\x1b\
                  \xfe\x0d\x00\x17\x2a\x00\x20\x00\x02pk\x00\x04\x00\x01\x00\x01\x00\x05p.net\x00\x00";
    vec![
        ("query", dns(1, false, "www.example.com", &[])),
        (
            "chain",
            dns(
                2,
                true,
                "www.example.com",
                &[(5, b"\x03cdn\xc0\x10".to_vec()), (1, vec![192, 0, 2, 1])],
            ),
        ),
        ("https", dns(3, true, "www.example.com", &[(65, https.to_vec())])),
        ("odd-octets", dns(4, false, "a\u{e9} \\.x", &[])),
        ("loop", [&dns(5, true, "a", &[])[..12], b"\x01a\xc0\x0c\0\x01\0\x01"].concat()),
    ]
}

fn dns_stream() -> Vec<(&'static str, Vec<u8>)> {
    let message = |id, name| vector16(&dns(id, false, name, &[]));
    let two = [message(1, "a.example"), message(2, "b.example")].concat();
    vec![("two", two.clone()), ("empty-and-cut", [&[0, 0], &two[..40]].concat())]
}
