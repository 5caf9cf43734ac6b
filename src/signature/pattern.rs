//! What an indicator matches, and how a name in a file becomes the spelling of names on the wire.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::labels;
use crate::name;

/// What an indicator matches.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Pattern {
    /// This name only. File word: `host`.
    Exact(String),
    /// This name and every name below it, by whole labels. File word: `suffix`.
    Suffix(String),
    /// Addresses of this prefix; the host bits of `address` are zero. File word: `prefix`.
    Prefix { address: IpAddr, length: u8 },
    /// The names of a list, by the list's name. File words: `list`, or `host-list` when names
    /// below the listed ones are not meant.
    Listed { list: Arc<str>, exact: bool },
}

impl Pattern {
    /// The words that a file may use for the kind of a match.
    pub const KINDS: [&'static str; 5] = ["suffix", "host", "prefix", "list", "host-list"];

    /// From the two words of a file.
    pub fn parse(kind: &str, value: &str) -> Result<Self, BadPattern> {
        match kind {
            "suffix" => canonical_name(value).map(Self::Suffix),
            "host" => canonical_name(value).map(Self::Exact),
            "prefix" => parse_prefix(value),
            "list" | "host-list" if is_list_name(value) => {
                Ok(Self::Listed { list: value.into(), exact: kind == "host-list" })
            }
            "list" | "host-list" => Err(BadPattern::ListName),
            _ => Err(BadPattern::Kind),
        }
    }

    /// The file word of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Suffix(_) => "suffix",
            Self::Exact(_) => "host",
            Self::Prefix { .. } => "prefix",
            Self::Listed { exact: false, .. } => "list",
            Self::Listed { exact: true, .. } => "host-list",
        }
    }

    /// The value as a file would spell it.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Suffix(name) | Self::Exact(name) => name.clone(),
            Self::Prefix { address, length } => format!("{address}/{length}"),
            Self::Listed { list, .. } => list.to_string(),
        }
    }

    /// The name, when it is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Suffix(name) | Self::Exact(name) => Some(name),
            Self::Prefix { .. } | Self::Listed { .. } => None,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.value())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_struct("match", 2)?;
        table.serialize_field("kind", self.kind())?;
        table.serialize_field("value", &self.value())?;
        table.end()
    }
}

/// Why a pattern cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPattern {
    #[error("is not a kind of match")]
    Kind,
    #[error("is empty")]
    Empty,
    #[error("has an empty label")]
    EmptyLabel,
    #[error("has a label of more than 63 octets")]
    LongLabel,
    #[error("is longer than a name can be")]
    TooLong,
    #[error("holds a wildcard")]
    Wildcard,
    #[error("is not a name alone")]
    NotAName,
    #[error("is an address, not a name")]
    Address,
    #[error("has no A-label form")]
    Idna,
    #[error("has a label that begins with xn-- and is no A-label")]
    ALabel,
    #[error("holds a character that no host's name has")]
    Character,
    #[error("ends in a number, as no name does")]
    Number,
    #[error("holds a backslash that begins no escape")]
    Escape,
    #[error("is not an IP prefix")]
    Prefix,
    #[error("has host bits below its prefix length")]
    HostBits,
    #[error("is not the name of a list")]
    ListName,
}

impl BadPattern {
    /// What the author should do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Kind => "write one of suffix, host, prefix, list, host-list",
            Self::Empty => "write the name that the source documents",
            Self::EmptyLabel => "take the extra dot out",
            Self::LongLabel | Self::TooLong => {
                "names have labels of up to 63 and up to 253 octets in all (RFC 1035 §2.3.4)"
            }
            Self::Wildcard => "write kind = \"suffix\" and leave the `*.` out",
            Self::NotAName => "leave scheme, port, path and spaces out",
            Self::Address => "write kind = \"prefix\"",
            Self::Number => "write the whole name, or an address with kind = \"prefix\"",
            Self::Character => {
                "write letters, digits, `-`, `_` and dots: a plain name, not a regular expression"
            }
            Self::Idna | Self::ALabel => "write the name as it is registered (RFC 5890 §2.3.2.1)",
            Self::Escape => "write other octets as three decimal digits, as in \\032",
            Self::Prefix => "write it as 192.0.2.0/24 or 2001:db8::/32",
            Self::HostBits => "write the first address of the prefix",
            Self::ListName => "write a file name of letters, digits, `.`, `_` and `-`",
        }
    }
}

/// The spelling of `text` that names on the wire are printed in: lower case, one trailing dot
/// off, other scripts as A-labels. Only files are mapped; what was on the wire never is.
pub fn canonical_name(text: &str) -> Result<String, BadPattern> {
    let text = text.strip_suffix('.').filter(|rest| !rest.ends_with('\\')).unwrap_or(text);
    if text.is_empty() {
        return Err(BadPattern::Empty);
    }
    let ascii = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| BadPattern::Idna)?
            .into_owned()
    };
    // Wide forms of these characters are mapped to them (UTS #46 §4), so they are looked for in
    // what became of the text.
    if ascii.contains('*') {
        return Err(BadPattern::Wildcard);
    }
    if ascii.parse::<IpAddr>().is_ok() {
        return Err(BadPattern::Address);
    }
    if ascii.contains(['/', ':', '@', '?', '#', ',']) || text.contains(char::is_whitespace) {
        return Err(BadPattern::NotAName);
    }
    let mut total = 1; // the root's empty label
    let mut last = "";
    for label in labels::split(&ascii) {
        total += 1 + check_label(label)?;
        last = label;
    }
    if last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(BadPattern::Number);
    }
    if total > MAX_WIRE_OCTETS { Err(BadPattern::TooLong) } else { Ok(ascii) }
}

/// How many octets a label has, if it could be one of a host's name.
///
/// On the wire any octet can be in a name. What cannot be written here is nobody's endpoint, but
/// what became of an expression: a pattern that would be kept and never match.
fn check_label(label: &str) -> Result<usize, BadPattern> {
    let octets = label_octets(label)?;
    match octets.len() {
        0 => return Err(BadPattern::EmptyLabel),
        64.. => return Err(BadPattern::LongLabel),
        _ => {}
    }
    let mut printed = String::new();
    name::escape_into(&mut printed, &octets, true);
    if printed != label {
        return Err(BadPattern::Escape);
    }
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    // What is escaped by number is no printable character, and so no part of an expression.
    let is_unprintable = |octet: &u8| !(0x21..=0x7e).contains(octet);
    if !octets.iter().all(|octet| is_plain(octet) || is_unprintable(octet)) {
        return Err(BadPattern::Character);
    }
    match label.strip_prefix("xn--") {
        Some(encoded) if !is_punycode(encoded) => Err(BadPattern::ALabel),
        _ => Ok(octets.len()),
    }
}

/// Does this stand for something that needs it? Whether the characters may be registered is not
/// asked: registries began before the rules did.
fn is_punycode(encoded: &str) -> bool {
    idna::punycode::decode_to_string(encoded).is_some_and(|decoded| !decoded.is_ascii())
}

/// The octets that a printed label stands for.
fn label_octets(label: &str) -> Result<Vec<u8>, BadPattern> {
    let mut octets = Vec::with_capacity(label.len());
    let mut rest = label.as_bytes();
    loop {
        match rest {
            [] => return Ok(octets),
            [b'\\', quoted @ (b'\\' | b'.'), tail @ ..] => {
                octets.push(*quoted);
                rest = tail;
            }
            [b'\\', digits @ ..] => {
                let (digits, tail) = digits.split_at_checked(3).ok_or(BadPattern::Escape)?;
                let digits = core::str::from_utf8(digits).map_err(|_| BadPattern::Escape)?;
                octets.push(digits.parse().map_err(|_| BadPattern::Escape)?);
                rest = tail;
            }
            [octet, tail @ ..] => {
                octets.push(*octet);
                rest = tail;
            }
        }
    }
}

fn parse_prefix(value: &str) -> Result<Pattern, BadPattern> {
    let net: ipnet::IpNet = value.parse().map_err(|_| BadPattern::Prefix)?;
    if net.addr() != net.network() {
        return Err(BadPattern::HostBits);
    }
    Ok(Pattern::Prefix { address: net.network(), length: net.prefix_len() })
}

fn is_list_name(value: &str) -> bool {
    !value.is_empty()
        && !value.starts_with('.')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A name on the wire, length octets included (RFC 1035 §2.3.4).
const MAX_WIRE_OCTETS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_files_become_the_spelling_of_the_wire() {
        let name = |text| canonical_name(text).unwrap();
        assert_eq!(name("UPD.Kaspersky.COM."), "upd.kaspersky.com");
        assert_eq!(name("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(name("_dns._udp.example"), "_dns._udp.example");
        assert_eq!(name("XN--Bcher-kva.example"), "xn--bcher-kva.example");
        assert_eq!(name("a\\032c.example"), "a\\032c.example");
        assert_eq!(name("3com.example.163.com"), "3com.example.163.com");
    }

    #[test]
    fn what_is_not_a_name_is_refused_by_its_reason() {
        for (text, reason) in [
            ("", BadPattern::Empty),
            (".", BadPattern::Empty),
            ("*.example", BadPattern::Wildcard),
            ("https://a.example", BadPattern::NotAName),
            ("a.example:443", BadPattern::NotAName),
            ("a b.example", BadPattern::NotAName),
            ("192.0.2.1", BadPattern::Address),
            ("2001:db8::1", BadPattern::Address),
            ("a..example", BadPattern::EmptyLabel),
            (".example", BadPattern::EmptyLabel),
            ("a\\65.example", BadPattern::Escape),
            ("\\065.example", BadPattern::Escape),
            ("a\\", BadPattern::Escape),
            ("^a.example", BadPattern::Character),
            ("a.example$", BadPattern::Character),
            ("(a|b).example", BadPattern::Character),
            ("[a-z].example", BadPattern::Character),
            ("a\\.example", BadPattern::Character),
            ("a\\\\.example", BadPattern::Character),
            ("a.example;b", BadPattern::Character),
            ("a\"b.example", BadPattern::Character),
            ("xn--zzzz!!.example", BadPattern::Character),
            ("xn--0.example", BadPattern::ALabel),
            ("xn--acme-.example", BadPattern::ALabel),
            ("xn--.example", BadPattern::ALabel),
            ("127.1", BadPattern::Number),
            ("a.example.2", BadPattern::Number),
        ] {
            assert_eq!(canonical_name(text), Err(reason), "{text:?}");
        }
        assert_eq!(canonical_name(&"a".repeat(64)), Err(BadPattern::LongLabel));
        assert!(canonical_name(&"a".repeat(63)).is_ok());
        let longest = ["a"; 127].join(".");
        assert!(canonical_name(&longest).is_ok());
        assert_eq!(canonical_name(&format!("{longest}.a")), Err(BadPattern::TooLong));
    }

    #[test]
    fn prefixes_are_whole() {
        assert!(Pattern::parse("prefix", "192.0.2.0/24").is_ok());
        assert!(Pattern::parse("prefix", "2001:db8::/32").is_ok());
        assert_eq!(Pattern::parse("prefix", "192.0.2.1/24"), Err(BadPattern::HostBits));
        assert_eq!(Pattern::parse("prefix", "192.0.2.0"), Err(BadPattern::Prefix));
        assert_eq!(Pattern::parse("asn", "64496"), Err(BadPattern::Kind));
        assert_eq!(Pattern::parse("list", "../etc/passwd"), Err(BadPattern::ListName));
    }
}
