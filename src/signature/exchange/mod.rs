//! Other people's formats: lists to take names from, and rules to give ours to.
//!
//! In: lines and documents. Out: names and addresses, each with why it was skipped if it was; and
//! texts that resolvers and sensors read. Nothing here reads or writes files.

pub mod document;
pub mod export;
pub mod list;

use super::lint;
use super::pattern::{BadPattern, Pattern, canonical_name};

/// Why a line or an element was left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Skipped {
    #[error("is no UTF-8 text")]
    NotText,
    #[error("does not begin with an address")]
    NoAddress,
    #[error("names no host")]
    NoName,
    #[error("{0}")]
    Name(#[from] BadPattern),
    #[error("is a public suffix or a single label")]
    PublicSuffix,
    #[error("is shared infrastructure")]
    Shared,
    #[error("is an exception, and exceptions are not imported")]
    Exception,
    #[error("is a rule about pages, not names")]
    PageRule,
    #[error("is a kind of indicator that a passive sensor of names cannot match")]
    Foreign,
    #[error("holds a character that lists cannot hold")]
    Unwritable,
}

/// What a list says of one name or address.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Taken {
    /// With or without the names below it.
    Name {
        name: String,
        exact: bool,
    },
    Prefix(Pattern),
}

/// Takes a name into a list, unless it would match what is not the vendor's.
pub fn admit(text: &str, exact: bool) -> Result<Taken, Skipped> {
    let name = canonical_name(text)?;
    if !super::pack::is_writable(&name) {
        return Err(Skipped::Unwritable);
    }
    lint::admits(&name, exact)?;
    Ok(Taken::Name { name, exact })
}

/// Takes an address or a prefix.
fn admit_prefix(text: &str) -> Result<Taken, Skipped> {
    let whole = match text.parse::<core::net::IpAddr>() {
        Ok(core::net::IpAddr::V4(_)) => format!("{text}/32"),
        Ok(core::net::IpAddr::V6(_)) => format!("{text}/128"),
        Err(_) => text.to_owned(),
    };
    Ok(Taken::Prefix(Pattern::parse("prefix", &whole)?))
}
