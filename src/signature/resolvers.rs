//! Public resolvers that answer over an encrypted transport: where names go out of sight.
//!
//! In: the text of the list. Out: "which resolver has this name or address?". A hit is no
//! finding; it is counted as sight that was lost.

use core::net::IpAddr;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::fault::{Fault, Lines, Severity};
use super::labels;
use super::pattern::canonical_name;
use crate::net::Addr;

/// A transport that hides the names asked for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// DNS over HTTPS (RFC 8484).
    Doh,
    /// DNS over TLS (RFC 7858).
    Dot,
    /// DNS over QUIC (RFC 9250).
    Doq,
}

/// One name of a resolver, and where it is documented.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Resolver {
    /// As printed on the wire: `dns.google`.
    pub name: String,
    pub operator: String,
    /// Names below it are the resolver's too: one for each customer.
    #[serde(default)]
    pub below: bool,
    #[serde(rename = "kinds")]
    pub transports: Vec<Transport>,
    pub addresses: Vec<IpAddr>,
    /// Where name and addresses can be looked up.
    pub evidence: Vec<String>,
    /// The day on which somebody looked.
    pub retrieved: String,
}

/// The list, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Resolvers {
    all: Vec<Resolver>,
    names: HashMap<String, usize, RandomState>,
    /// The last two labels of each name: one look tells nearly every name from all of them.
    ends: HashSet<String, RandomState>,
    addresses: HashMap<Addr, usize, RandomState>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    resolver: Vec<Resolver>,
}

/// The list of this repository.
const SOURCE: (&str, &str) =
    ("signatures/resolvers/public.toml", include_str!("../../signatures/resolvers/public.toml"));

/// The list that is part of the program. A test sees to it that it can be read.
pub static SHIPPED: LazyLock<Arc<Resolvers>> =
    LazyLock::new(|| Arc::new(Resolvers::parse(SOURCE.0, SOURCE.1).unwrap_or_default()));

impl Resolvers {
    /// Reads a list.
    pub fn parse(file: &str, text: &str) -> Result<Self, Fault> {
        let list: List = toml::from_str(text).map_err(|error| Fault {
            line: Lines::of(text).number(error.span().map_or(0, |span| span.start)),
            ..fault(file, "resolver", error.message(), "see the records beside it")
        })?;
        let mut resolvers = Self::default();
        for resolver in list.resolver {
            resolvers.add(file, resolver)?;
        }
        Ok(resolvers)
    }

    fn add(&mut self, file: &str, resolver: Resolver) -> Result<(), Fault> {
        let name = &resolver.name;
        let refuse = |key: &str, problem: String, advice: &str| {
            Err(fault(file, key, &format!("{name}: {problem}"), advice))
        };
        match canonical_name(name) {
            Ok(canonical) if canonical == *name => {}
            Ok(canonical) => {
                return refuse("name", format!("is spelled {canonical} on the wire"), "write that");
            }
            Err(bad) => return refuse("name", bad.to_string(), bad.advice()),
        }
        if resolver.transports.is_empty() {
            return refuse("kinds", "is empty".into(), "write doh, dot or doq");
        }
        if resolver.evidence.is_empty() {
            return refuse("evidence", "is empty".into(), "cite the operator's documentation");
        }
        let at = self.all.len();
        self.ends.insert(end(name).into());
        if self.names.insert(name.clone(), at).is_some() {
            return refuse("name", "stands there twice".into(), "take one out");
        }
        for &address in &resolver.addresses {
            if self.addresses.insert(address.into(), at).is_some() {
                let problem = format!("{address} stands there twice");
                return refuse("addresses", problem, "leave it at the name it belongs to");
            }
        }
        self.all.push(resolver);
        Ok(())
    }

    /// The resolver that has this name, or gives names below its own.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Resolver> {
        if !self.ends.contains(end(name)) {
            return None;
        }
        let found = |name: &str| self.names.get(name).map(|&at| &self.all[at]);
        if let Some(resolver) = found(name) {
            return Some(resolver);
        }
        let mut rest = name;
        while let Some(first) = labels::split(rest).next() {
            rest = rest.get(first.len() + 1..)?;
            if let Some(resolver) = found(rest) {
                return resolver.below.then_some(resolver);
            }
        }
        None
    }

    /// The resolver that is documented at this address.
    #[must_use]
    pub fn by_address(&self, address: Addr) -> Option<&Resolver> {
        self.addresses.get(&address).map(|&at| &self.all[at])
    }

    /// Was a resolver found, and does it answer over HTTPS?
    #[must_use]
    pub fn over_https(found: Option<&Resolver>) -> bool {
        found.is_some_and(|resolver| resolver.transports.contains(&Transport::Doh))
    }

    /// All of them, in the order of the list.
    #[must_use]
    pub fn all(&self) -> &[Resolver] {
        &self.all
    }
}

/// The last two labels, if no dot is part of one; names of resolvers have no such dots.
fn end(name: &str) -> &str {
    let octets = name.as_bytes();
    let last = labels::last_dot(octets).unwrap_or_default();
    let before = labels::last_dot(&octets[..last]);
    &name[before.map_or(0, |dot| dot + 1)..]
}

fn fault(file: &str, key: &str, problem: &str, advice: &str) -> Fault {
    Fault {
        file: file.into(),
        line: 1,
        severity: Severity::Error,
        key: key.to_owned(),
        problem: problem.to_owned(),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_can_be_read() {
        let list = Resolvers::parse(SOURCE.0, SOURCE.1).map_err(|fault| fault.to_string()).unwrap();
        assert!(list.all().len() >= 100);
        assert_eq!(SHIPPED.all().len(), list.all().len());
    }

    #[test]
    fn names_are_found_whole_and_below_only_where_customers_have_theirs() {
        let list = &SHIPPED;
        let operator = |name| list.by_name(name).map(|resolver| &*resolver.operator);
        assert_eq!(operator("dns.google"), Some("Google Public DNS"));
        assert_eq!(operator("abc123.dns.nextdns.io"), Some("NextDNS"));
        assert_eq!(operator("www.dns.google"), None);
        assert_eq!(operator("notdns.google"), None);
        assert_eq!(operator("google"), None);
        assert_eq!(operator(""), None);
    }

    #[test]
    fn addresses_are_found_in_either_family() {
        let list = &SHIPPED;
        let name = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            list.by_address(address.into()).map(|resolver| &*resolver.name)
        };
        assert_eq!(name("8.8.8.8"), Some("dns.google"));
        assert_eq!(name("2620:fe::fe"), Some("dns.quad9.net"));
        assert_eq!(name("192.0.2.1"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let record = |name: &str, kinds: &str| {
            format!(
                "[[resolver]]\nname = {name:?}\noperator = \"x\"\nkinds = [{kinds}]\n\
                 addresses = []\nevidence = [\"https://example.org/\"]\nretrieved = \"2026-11-21\"\n"
            )
        };
        assert!(Resolvers::parse("a", &record("dns.example", "\"dot\"")).is_ok());
        for text in [
            record("DNS.example", "\"dot\""),
            record("*.example", "\"dot\""),
            record("dns.example", ""),
            record("dns.example", "\"dns\""),
            record("dns.example", "\"dot\"") + "port = 853\n",
            record("dns.example", "\"dot\"") + &record("dns.example", "\"doh\""),
            "resolver = 1".to_owned(),
        ] {
            assert!(Resolvers::parse("a", &text).is_err(), "{text}");
        }
        let fault = Resolvers::parse("a", "\n\n[[resolver]]\nnme = 1\n").unwrap_err();
        assert!(fault.line >= 3, "{fault}");
    }
}
