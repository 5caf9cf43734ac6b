//! Protocols that begin in clear and turn to TLS: SMTP, LMTP, IMAP, POP3, NNTP, FTP, ManageSieve
//! and IRC by a line, XMPP by an element, LDAP, PostgreSQL, MySQL, SQL Server and RDP by a message.
//!
//! In: the client's side of a stream. What follows the client's wish for TLS is a stream of its
//! own; the server's answer need not be seen. Nothing of the beginning is kept or reported. Records
//! of TLS before the hello that are no part of it are passed over likewise.

use memchr::{memchr, memmem};

use super::reader::Reader;
use super::stream::{Probe, Progress};
use super::tls::{content_type, hello_record_limit};

/// A stream that may turn to TLS.
#[derive(Clone, Copy, Debug)]
pub enum Starttls {
    /// Commands in lines; how many came already.
    Lines(u16),
    /// An XML stream (RFC 6120 §5).
    Xmpp,
    /// Requests of PostgreSQL, of which one asks for TLS.
    PostgreSql,
    /// One message of this length, and then TLS.
    Message(usize),
}

impl Starttls {
    /// How many lines a client sends at most before it asks for TLS.
    pub const MAX_LINES: u16 = 32;
    /// The longest line, element or message that is waited for.
    pub const MAX_LINE: usize = 4 * 1024;

    /// Could a client's stream that begins with `octets` turn to TLS, and how?
    pub fn choose(octets: &[u8]) -> Result<Self, Probe> {
        match octets {
            [0, ..] => postgresql(octets),
            [3] | [3, 0, ..] => rdp(octets),
            [PRELOGIN, ..] => sql_server(octets),
            [
                content_type::HANDSHAKE | content_type::ALERT | content_type::CHANGE_CIPHER_SPEC,
                ..,
            ] => record(octets),
            [0x30, ..] => ldap(octets),
            [b'<', ..] => {
                let begins = |begin: &[u8]| {
                    let len = begin.len().min(octets.len());
                    octets[..len] == begin[..len]
                };
                match octets.len() {
                    // Long enough to tell it from other XML.
                    14.. if begins(b"<stream:stream") => Ok(Self::Xmpp),
                    14.. if begins(b"<?xml") => xml(octets),
                    _ if begins(b"<stream:stream") || begins(b"<?xml") => Err(Probe::Unsure),
                    _ => Err(Probe::NotOurs),
                }
            }
            [32, 0] | [32, 0, 0] => Err(Probe::Unsure),
            [_, _, _, 1, ..] => mysql(octets),
            _ => lines(octets),
        }
    }

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8]) -> Progress {
        match self {
            Self::Message(len) if octets.len() >= *len => Progress::Next { consumed: *len },
            Self::Message(len) => Progress::More { consumed: 0, need: *len },
            Self::Xmpp => match end_of_element(octets, b"<starttls", b"</starttls") {
                Some(end) => Progress::Next { consumed: end },
                None if octets.len() > Self::MAX_LINE => Progress::Done,
                None => Progress::More { consumed: 0, need: octets.len() + 1 },
            },
            Self::PostgreSql => {
                let mut at = 0;
                while octets[at..].starts_with(&GSSENC_REQUEST) {
                    at += GSSENC_REQUEST.len();
                }
                let rest = &octets[at..];
                if rest.starts_with(&SSL_REQUEST) {
                    return Progress::Next { consumed: at + SSL_REQUEST.len() };
                }
                // Both are of one length, and differ in their last octet. The next octet may show
                // already that it is neither.
                if rest.len() < SSL_REQUEST.len() && SSL_REQUEST.starts_with(rest) {
                    Progress::More { consumed: at, need: rest.len() + 1 }
                } else {
                    Progress::Done
                }
            }
            Self::Lines(lines) => {
                let mut at = 0;
                loop {
                    let rest = &octets[at..];
                    // TLS without the wish for it having been seen; its octets make no lines.
                    if rest.first() == Some(&content_type::HANDSHAKE) {
                        return Progress::Next { consumed: at };
                    }
                    let Some(end) = memchr(b'\n', rest) else {
                        if rest.len() > Self::MAX_LINE {
                            return Progress::Done;
                        }
                        return Progress::More { consumed: at, need: rest.len() + 1 };
                    };
                    *lines += 1;
                    at += end + 1;
                    let (line, whole) = (rest[..end].trim_ascii(), end <= Self::MAX_LINE);
                    if asks_for_tls(line) {
                        return Progress::Next { consumed: at };
                    }
                    let binary = line.iter().any(|octet| *octet < 0x20 && *octet != b'\t');
                    if *lines >= Self::MAX_LINES || !whole || binary {
                        return Progress::Done;
                    }
                }
            }
        }
    }
}

/// Does the line ask for TLS? Compared without regard to case.
fn asks_for_tls(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    // SMTP (RFC 3207 §4), NNTP (RFC 4642 §2.2), ManageSieve (RFC 5804 §2.2), IRC
    is(first, "STARTTLS") && second.is_empty()
        // POP3 (RFC 2595 §4)
        || is(first, "STLS") && second.is_empty()
        // FTP (RFC 4217 §4)
        || is(first, "AUTH") && ["TLS", "SSL", "TLS-C", "TLS-P"].iter().any(|name| is(second, name))
        // IMAP (RFC 9051 §6.2.1), behind a tag
        || is(second, "STARTTLS") && words.next().is_none()
}

/// A line that clients of these protocols begin with.
fn lines(octets: &[u8]) -> Result<Starttls, Probe> {
    const FIRST: [&str; 16] = [
        "EHLO",
        "HELO",
        "LHLO",
        "CAPA",
        "STLS",
        "AUTH",
        "USER",
        "FEAT",
        "SYST",
        "CAPABILITIES",
        "MODE",
        "STARTTLS",
        "CAP",
        "NOOP",
        "QUIT",
        "OPTS",
    ];
    const SECOND: [&str; 5] = ["CAPABILITY", "STARTTLS", "ID", "NOOP", "LOGIN"];
    let end = memchr(b'\n', octets);
    let line = &octets[..end.unwrap_or(octets.len())];
    if line.len() > Starttls::MAX_LINE
        || line.iter().any(|octet| !(0x20..0x7f).contains(octet) && !b"\r\t".contains(octet))
    {
        return Err(Probe::NotOurs);
    }
    if end.is_none() {
        return Err(Probe::Unsure);
    }
    let mut words = line.trim_ascii().split(|octet| *octet == b' ');
    let mut is = |names: &[&str]| {
        let word = words.next().unwrap_or_default();
        names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is(&FIRST) || is(&SECOND) { Ok(Starttls::Lines(0)) } else { Err(Probe::NotOurs) }
}

/// XMPP may declare its XML first.
fn xml(octets: &[u8]) -> Result<Starttls, Probe> {
    const LIMIT: usize = 256;
    if memmem::find(&octets[..octets.len().min(LIMIT)], b"<stream:stream").is_some() {
        Ok(Starttls::Xmpp)
    } else if octets.len() < LIMIT {
        Err(Probe::Unsure)
    } else {
        Err(Probe::NotOurs)
    }
}

/// Where an element of XML ends, which may be empty or closed by a tag of its own.
fn end_of_element(octets: &[u8], tag: &[u8], closing: &[u8]) -> Option<usize> {
    let end_of_tag = |from: usize| memchr(b'>', &octets[from..]).map(|end| from + end + 1);
    let end = end_of_tag(memmem::find(octets, tag)?)?;
    if octets[..end].ends_with(b"/>") {
        return Some(end);
    }
    end_of_tag(end + memmem::find(&octets[end..], closing)?)
}

/// `SSLRequest`, and `GSSENCRequest` which a client may send before it and have refused
/// (PostgreSQL protocol 3.0, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

fn postgresql(octets: &[u8]) -> Result<Starttls, Probe> {
    let begins = |message: [u8; 8]| octets.starts_with(&message) || message.starts_with(octets);
    if !begins(SSL_REQUEST) && !begins(GSSENC_REQUEST) {
        Err(Probe::NotOurs)
    } else if octets.len() < SSL_REQUEST.len() {
        Err(Probe::Unsure)
    } else {
        Ok(Starttls::PostgreSql)
    }
}

/// A connection request in a TPKT (RFC 1006 §6): RDP clients of today go on in TLS.
fn rdp(octets: &[u8]) -> Result<Starttls, Probe> {
    let &[_, _, high, low, indicator, code, ..] = octets else { return Err(Probe::Unsure) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let fits = len == usize::from(indicator) + 5 && len <= Starttls::MAX_LINE;
    // X.224 CR (ISO 8073 §13.3)
    if code == 0xe0 && fits { Ok(Starttls::Message(len)) } else { Err(Probe::NotOurs) }
}

/// StartTLS (RFC 4511 §4.14): an extended request with this name, in the first message.
fn ldap(octets: &[u8]) -> Result<Starttls, Probe> {
    /// The request has no value; message ids and controls are short.
    const MAX_LDAP: usize = 256;
    const OID: &[u8] = b"\x80\x161.3.6.1.4.1.1466.20037";
    let mut reader = Reader::new(&octets[1..]);
    let len = match reader.u8("length") {
        Ok(len @ 0..=0x7f) => usize::from(len),
        Ok(0x81) => usize::from(reader.u8("length").map_err(|_| Probe::Unsure)?),
        Ok(0x82) => usize::from(reader.u16("length").map_err(|_| Probe::Unsure)?),
        Ok(0x84) => reader.u32("length").map_err(|_| Probe::Unsure)? as usize,
        Ok(_) => return Err(Probe::NotOurs),
        Err(_) => return Err(Probe::Unsure),
    };
    let whole = octets.len() - reader.left() + len;
    if whole > MAX_LDAP {
        return Err(Probe::NotOurs);
    }
    match octets.get(..whole) {
        None => Err(Probe::Unsure),
        Some(message) if memmem::find(message, OID).is_some() => Ok(Starttls::Message(whole)),
        _ => Err(Probe::NotOurs),
    }
}

/// A record of TLS that says nothing, or of which servers take no notice: a hello may follow that
/// in the same stream.
fn record(octets: &[u8]) -> Result<Starttls, Probe> {
    const HEADER: usize = 5;
    let kind = octets[0];
    if octets.get(1).is_some_and(|major| *major != 3) {
        return Err(Probe::NotOurs);
    }
    let Some(&[.., high, low]) = octets.first_chunk::<HEADER>() else { return Err(Probe::Unsure) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    match hello_record_limit(kind, 0) {
        Some(limit) if len <= limit => Ok(Starttls::Message(HEADER + len)),
        _ => Err(Probe::NotOurs),
    }
}

/// The type of a packet of TDS (MS-TDS §2.2.3.1.1) in which client and server agree on TLS, and
/// which then carries its handshake.
const PRELOGIN: u8 = 0x12;

/// TDS, up to a packet with a record in it: a hello begins behind that one's header. One that is
/// longer than a packet, of 4,096 octets at this time, is in several.
fn sql_server(octets: &[u8]) -> Result<Starttls, Probe> {
    const HEADER: usize = 8;
    const VERSION: u8 = 0;
    let octet = |at: usize, is: fn(u8) -> bool| octets.get(at).is_none_or(|octet| is(*octet));
    // Status: the last packet of its message or not; channel, number; window, which is zero.
    if !octet(1, |status| status <= 1) || !octet(7, |window| window == 0) {
        return Err(Probe::NotOurs);
    }
    let Some(&[_, _, high, low, .., first]) = octets.first_chunk::<{ HEADER + 1 }>() else {
        return Err(Probe::Unsure);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    match first {
        content_type::HANDSHAKE if len > HEADER => Ok(Starttls::Message(HEADER)),
        // The option that is first (§2.2.6.5).
        VERSION if (HEADER + 1..=Starttls::MAX_LINE).contains(&len) => Ok(Starttls::Message(len)),
        _ => Err(Probe::NotOurs),
    }
}

/// `Protocol::SSLRequest`: the first half of a handshake response, with the flag for TLS.
fn mysql(octets: &[u8]) -> Result<Starttls, Probe> {
    const LEN: usize = 4 + 32;
    const CLIENT_SSL: u16 = 0x0800;
    let &[32, 0, 0, 1, ref rest @ ..] = octets else { return lines(octets) };
    let &[low, high, ..] = rest else { return Err(Probe::Unsure) };
    if u16::from_le_bytes([low, high]) & CLIENT_SSL == 0 {
        return Err(Probe::NotOurs);
    }
    Ok(Starttls::Message(LEN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of SQL Server: version and encryption.
    const PRELOGIN_OPTIONS: &[u8] =
        b"\x12\x01\0\x1a\0\0\0\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\0\0\0\0\x01";

    fn streams() -> Vec<Vec<u8>> {
        let mut rdp = vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0];
        rdp.extend([1, 0, 8, 0, 3, 0, 0, 0]);
        let mut mysql = vec![32, 0, 0, 1, 0x85, 0xae, 0xff, 0x19];
        mysql.resize(36, 0);
        vec![
            b"EHLO me.example\r\nSTARTTLS\r\n".to_vec(),
            b"a001 CAPABILITY\r\na002 STARTTLS\r\n".to_vec(),
            b"CAPA\r\nSTLS\r\n".to_vec(),
            b"AUTH TLS\r\n".to_vec(),
            b"<?xml version='1.0'?><stream:stream to='a.example' xmlns='jabber:client'>\
              <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                .to_vec(),
            b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037".to_vec(),
            b"<stream:stream xmlns='jabber:client'>\
              <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>"
                .to_vec(),
            SSL_REQUEST.to_vec(),
            [GSSENC_REQUEST, SSL_REQUEST].concat(),
            rdp,
            mysql,
            PRELOGIN_OPTIONS.to_vec(),
            b"\x12\x01\x02\x0d\0\0\0\0".to_vec(),
            b"\x16\x03\x01\0\0".to_vec(),
            b"\x15\x03\x01\0\x02\x01\0".to_vec(),
            b"\x14\x03\x03\0\x01\x01".to_vec(),
        ]
    }

    /// Feeds a stream in steps, as the pipeline does; where the next one begins.
    fn next(stream: &[u8], step: usize) -> Option<usize> {
        let mut chosen = None;
        let (mut start, mut end, mut wanted) = (0, 0, 0);
        while end < stream.len() {
            end = (end + step).min(stream.len());
            if end - start < wanted {
                continue;
            }
            if chosen.is_none() {
                match Starttls::choose(&stream[start..end]) {
                    Ok(starttls) => chosen = Some(starttls),
                    Err(Probe::Unsure) => continue,
                    Err(_) => return None,
                }
            }
            match chosen.as_mut()?.push(&stream[start..end]) {
                Progress::More { consumed, need } => {
                    start += consumed;
                    wanted = need;
                }
                Progress::Next { consumed } => return Some(start + consumed),
                Progress::Done => return None,
            }
        }
        None
    }

    #[test]
    fn tls_begins_where_the_client_asked_for_it() {
        for beginning in streams() {
            let mut stream = beginning.clone();
            stream.extend(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            for step in [1, 2, 5, 11, stream.len()] {
                assert_eq!(next(&stream, step), Some(beginning.len()), "{beginning:?} by {step}");
            }
        }
    }

    #[test]
    fn streams_that_stay_in_clear_are_left() {
        for stream in [
            &b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n\x01\r\n"[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"<html><head></head></html>",
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
            b"\x12\x01\x00\x2f\x00\x00\x01\x00\x10\x00\x00\x00",
            b"\x12\x34\x56",
            b"\x03\x00\x00\x13\x02\xf0\x80\x00\x00\x00\x00\x00",
            b"\x00\x00\x00\x08\x04\xd2\x16\x30\x00\x00\x00\x29\x00\x03\x00\x00user\x00",
        ] {
            assert_eq!(next(stream, stream.len()), None, "{stream:?}");
        }
        let endless = b"NOOP\r\n".repeat(100);
        assert_eq!(next(&endless, endless.len()), None);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(
            stream in prop::collection::vec(any::<u8>(), 0..100),
            head in prop::sample::select(streams()),
            keep in 0_usize..40,
            step in 1_usize..50,
        ) {
            let head = &head[..keep.min(head.len())];
            next(&[head, &stream].concat(), step);
        }
    }
}
