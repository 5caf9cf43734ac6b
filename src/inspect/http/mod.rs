//! HTTP in clear: which hosts its requests are for.
//!
//! In: the client's side of a stream. Out: the names of each request, in one
//! [`Observation::Names`](super::stream::Observation::Names): the authority of its target and its
//! Host fields (RFC 9112 §3.2), or `:authority` (RFC 9113 §8.3.1). Bodies are counted past, never
//! kept. After `CONNECT` the stream is somebody else's.

pub mod http1;
pub mod http2;

pub use http1::Http1;
pub use http2::Http2;

use super::Signal;

/// The most names of one request. It has a target and a Host field; more are an attempt at
/// something.
pub const MAX_NAMES: usize = 8;

/// The names of a request that is being read: at most [`MAX_NAMES`].
#[derive(Debug, Default)]
struct Names {
    octets: Vec<u8>,
    /// How each was seen, and where it ends in `octets`.
    ends: Vec<(Signal, usize)>,
}

impl Names {
    /// The longest name that is kept. A host name has 253 octets (RFC 1035 §2.3.4).
    const MAX_LEN: usize = 1_024;

    fn push(&mut self, signal: Signal, host: &[u8]) {
        let host = without_port(host);
        if !host.is_empty() && host.len() <= Self::MAX_LEN && self.ends.len() < MAX_NAMES {
            self.octets.extend_from_slice(host);
            self.ends.push((signal, self.octets.len()));
        }
    }

    /// Hands the names over, and is empty afterwards.
    fn give(&mut self, to: impl FnOnce(&[(Signal, &[u8])])) {
        let mut names = [(Signal::HttpHost, &[][..]); MAX_NAMES];
        let mut start = 0;
        for (name, &(signal, end)) in names.iter_mut().zip(&self.ends) {
            *name = (signal, &self.octets[start..end]);
            start = end;
        }
        if !self.ends.is_empty() {
            to(&names[..self.ends.len()]);
        }
        self.octets.clear();
        self.ends.clear();
    }

    fn heap(&self) -> usize {
        self.octets.capacity() + self.ends.capacity() * size_of::<(Signal, usize)>()
    }
}

/// A host without the port behind it (RFC 3986 §3.2). Brackets of an IPv6 address stay.
fn without_port(host: &[u8]) -> &[u8] {
    let host = host.trim_ascii();
    let digits = |octets: &[u8]| octets.iter().all(u8::is_ascii_digit);
    if host.first() == Some(&b'[') {
        return match memchr::memchr(b']', host) {
            Some(at) if matches!(&host[at + 1..], [b':', port @ ..] if digits(port)) => {
                &host[..=at]
            }
            _ => host,
        };
    }
    match memchr::memchr(b':', host) {
        Some(at) if digits(&host[at + 1..]) => &host[..at],
        _ => host,
    }
}

/// The authority of an absolute URI (RFC 3986 §3.2), without user information; `None` for other
/// forms. Proxies are asked for other schemes than HTTP's too (RFC 9112 §3.2.2), as `ftp`.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(target, b"://")?;
    // RFC 3986 §3.1.
    let scheme = &target[..at];
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic)
        || !scheme.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet))
    {
        return None;
    }
    let rest = &target[at + 3..];
    let end = rest.iter().position(|octet| b"/?#".contains(octet)).unwrap_or(rest.len());
    let authority = &rest[..end];
    Some(match memchr::memrchr(b'@', authority) {
        Some(at) => &authority[at + 1..],
        None => authority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_user_information_are_no_part_of_a_host() {
        for (host, name) in [
            ("a.example:8080", "a.example"),
            (" a.example ", "a.example"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("2001:db8::1", "2001:db8::1"),
            ("a.example:", "a.example"),
            ("a.example:http", "a.example:http"),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes());
        }
        assert_eq!(authority(b"http://me:pw@a.example:80/x?y"), Some(&b"a.example:80"[..]));
        assert_eq!(authority(b"HTTPS://a.example"), Some(&b"a.example"[..]));
        assert_eq!(authority(b"/x?u=http://b.example/"), None);
        assert_eq!(authority(b"ftp://a.example/"), Some(&b"a.example"[..]));
        assert_eq!(authority(b"*"), None);
        assert_eq!(authority(b"://a.example/"), None);
    }
}
