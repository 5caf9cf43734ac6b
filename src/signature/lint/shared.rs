//! Zones that many firms share, as data.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::ancestors;

/// What kind of sharing a zone is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Delivery: names below it name no firm.
    Cdn,
    /// Hosting: names below it are customers'.
    Tenants,
}

/// The list.
#[derive(Debug)]
pub(super) struct Shared {
    zones: HashMap<&'static str, Kind>,
    /// What lies above a zone, and one zone below it.
    above: HashMap<&'static str, &'static str>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| Shared::parse(TEXT));

impl Shared {
    /// The shared zone for which `name` may not be a pattern, if there is one.
    pub(super) fn forbids(name: &str, as_suffix: bool) -> Option<&'static str> {
        SHARED.zone_against(name, as_suffix)
    }

    fn zone_against(&self, name: &str, as_suffix: bool) -> Option<&'static str> {
        if let Some((zone, _)) = self.zones.get_key_value(name).filter(|_| as_suffix) {
            return Some(zone);
        }
        let below_delivery = ancestors(name).chain([name]).find_map(|parent| {
            self.zones.get_key_value(parent).filter(|(_, kind)| **kind == Kind::Cdn)
        });
        if let Some((zone, _)) = below_delivery {
            return Some(zone);
        }
        if as_suffix { self.above.get(name).copied() } else { None }
    }

    /// Lines of a kind and a zone; `#` begins a comment.
    fn parse(text: &'static str) -> Self {
        let zones: HashMap<_, _> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let kind = match words.next()? {
                    "cdn" => Kind::Cdn,
                    "tenants" => Kind::Tenants,
                    _ => return None,
                };
                Some((words.next()?, kind))
            })
            .collect();
        let above = zones
            .keys()
            .flat_map(|&zone| ancestors(zone).map(move |above| (above, zone)))
            .collect();
        Self { zones, above }
    }
}

const TEXT: &str = include_str!("shared-zones.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read_and_canonical() {
        let lines = TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut count = 0;
        for line in lines {
            let (kind, zone) = line.split_once(' ').unwrap();
            assert!(["cdn", "tenants"].contains(&kind), "{line}");
            assert_eq!(crate::signature::pattern::canonical_name(zone).unwrap(), zone);
            count += 1;
        }
        assert_eq!(SHARED.zones.len(), count, "a zone stands there twice");
    }

    #[test]
    fn what_is_shared_cannot_be_a_sign() {
        let forbids = |name, as_suffix| Shared::forbids(name, as_suffix).is_some();
        assert!(forbids("edgekey.net", true));
        assert!(forbids("vendor.com.edgekey.net", false));
        assert!(forbids("myhuaweicloud.com", true));
        assert!(!forbids("bucket.obs.cn-north-1.myhuaweicloud.com", false));
        assert!(forbids("windows.net", true), "above core.windows.net");
        assert!(!forbids("login.windows.net", false));
        assert!(!forbids("kaspersky.com", true));
    }
}
