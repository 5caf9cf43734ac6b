//! Names as text: how octets from the wire become the one spelling that is matched, counted and
//! printed, and a small owned form of it.
//!
//! ASCII letters are lower-cased and one trailing dot is dropped. Any octet that is not printable
//! ASCII becomes `\DDD` (decimal), a backslash `\\`, and a dot inside a DNS label `\.` (RFC 1035
//! §5.1, RFC 4343 §2.1). Nothing is IDNA-mapped: what was on the wire was on the wire.

use core::fmt;
use core::net::IpAddr;
use core::ops::Deref;

/// Appends `octets` to `out` in their printed form. `in_label`: a dot is data, not a separator.
pub fn escape_into(out: &mut String, octets: &[u8], in_label: bool) {
    for &octet in octets {
        match octet {
            b'A'..=b'Z' => out.push(char::from(octet.to_ascii_lowercase())),
            b'\\' => out.push_str("\\\\"),
            b'.' if in_label => out.push_str("\\."),
            0x21..=0x7e => out.push(char::from(octet)),
            _ => {
                out.push('\\');
                for digit in [octet / 100, octet / 10 % 10, octet % 10] {
                    out.push(char::from(b'0' + digit));
                }
            }
        }
    }
}

/// Is this octet, upper-case letters apart, printed as something else? 1 or 0, so that answers are
/// gathered without a branch and the compiler looks at many octets at once.
#[inline]
fn odd(octet: u8) -> u8 {
    u8::from(octet < 0x21) | u8::from(octet > 0x7e) | u8::from(octet == b'\\')
}

/// Octets looked at together by [`lower_case`]: a vector of the plainest x86-64.
pub const CHUNK: usize = 16;

/// Lowers letters. Are there octets that do not print as they are, and how many dots?
#[inline]
pub fn lower_case(chunks: &mut [[u8; CHUNK]]) -> (bool, usize) {
    let (mut any, mut dots) = (0, 0);
    for chunk in chunks {
        let mut of_chunk = 0_u8;
        for octet in chunk {
            any |= odd(*octet);
            of_chunk += u8::from(*octet == b'.');
            *octet |= u8::from(octet.is_ascii_uppercase()) << 5;
        }
        dots += usize::from(of_chunk);
    }
    (any != 0, dots)
}

/// Writes a host given as one run of octets (SNI, Host header) in its printed form to `out`,
/// replacing what was there. One trailing dot is dropped unless it is all there is.
pub fn normalise_host(out: &mut String, octets: &[u8]) {
    out.clear();
    let octets = match octets {
        [head @ .., b'.'] if !head.is_empty() => head,
        _ => octets,
    };
    match core::str::from_utf8(octets) {
        Ok(text) if octets.iter().fold(0, |any, &octet| any | odd(octet)) == 0 => {
            out.push_str(text);
            out.make_ascii_lowercase();
        }
        _ => escape_into(out, octets, false),
    }
}

/// Is a host an address in place of a name (RFC 3986 §3.2.2)? It names the server no better than the
/// packet that it is in.
#[must_use]
pub fn is_address(host: &[u8]) -> bool {
    let inside = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let text = core::str::from_utf8(inside.unwrap_or(host)).unwrap_or_default();
    text.strip_suffix('.').unwrap_or(text).parse::<IpAddr>().is_ok()
}

/// Writes a name that a person typed, or that was printed before, in its printed form to `out`,
/// replacing what was there: escapes that are whole stay, any other octet is escaped as
/// [`escape_into`] does. One trailing dot is dropped unless it is all there is.
pub fn normalise_text(out: &mut String, octets: &[u8]) {
    out.clear();
    let mut rest = octets;
    loop {
        match rest {
            [] => break,
            [b'.'] if !out.is_empty() => break,
            [b'\\', quoted @ (b'.' | b'\\'), tail @ ..] => {
                out.push('\\');
                out.push(char::from(*quoted));
                rest = tail;
            }
            [b'\\', a @ b'0'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..]
                if [*a, *b, *c] <= *b"255" =>
            {
                out.extend(['\\', char::from(*a), char::from(*b), char::from(*c)]);
                rest = tail;
            }
            [octet, tail @ ..] => {
                escape_into(out, &[*octet], false);
                rest = tail;
            }
        }
    }
}

/// The seeded hash of a name in its printed form: equal for equal names within one process, and
/// for others once in 2⁶⁴. Nobody who does not know the seed can choose names that share one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NameId(pub u64);

/// An owned name in its printed form; up to [`Name::INLINE`] octets need no allocation.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, octets: [u8; Name::INLINE] },
    Heap(Box<str>),
}

impl Name {
    /// Most names on the wire are shorter than this.
    pub const INLINE: usize = 62;

    /// Takes a name that is in its printed form already.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= Self::INLINE => {
                let mut octets = [0; Self::INLINE];
                octets[..text.len()].copy_from_slice(text.as_bytes());
                Self(Repr::Inline { len, octets })
            }
            _ => Self(Repr::Heap(text.into())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Only ever filled from a whole `&str`; an empty name is the harmless answer otherwise.
            Repr::Inline { len, octets } => {
                core::str::from_utf8(&octets[..usize::from(*len)]).unwrap_or_default()
            }
            Repr::Heap(text) => text,
        }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl core::hash::Hash for Name {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl core::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(octets: &[u8]) -> String {
        let mut out = String::from("old");
        normalise_host(&mut out, octets);
        out
    }

    #[test]
    fn hosts_are_printed_in_one_spelling() {
        assert_eq!(host(b"WWW.Example.COM."), "www.example.com");
        assert_eq!(host(b"a\x00b\xff \\"), "a\\000b\\255\\032\\\\");
        assert_eq!(host(b"."), ".");
        let mut label = String::new();
        escape_into(&mut label, b"a.b", true);
        assert_eq!(label, "a\\.b");
    }

    #[test]
    fn what_was_printed_is_read_again_as_it_was() {
        let text = |octets: &[u8]| {
            let mut out = String::from("old");
            normalise_text(&mut out, octets);
            out
        };
        assert_eq!(text(b"WWW.Example.COM."), "www.example.com");
        assert_eq!(text(b"."), ".");
        for printed in ["a\\000b.c", "a\\.b.c", "a\\\\.b", "a\\."] {
            assert_eq!(text(printed.as_bytes()), printed);
        }
        assert_eq!(text(b"a\\256\\x\xff"), "a\\\\256\\\\x\\255");
    }

    #[test]
    fn a_name_is_its_text_whatever_its_length() {
        for len in [0, 1, Name::INLINE, Name::INLINE + 1, 1_000] {
            let text = "a".repeat(len);
            assert_eq!(Name::new(&text).as_str(), text);
        }
    }
}
