//! Exceptions: what the operator expects to see, until when, and why. An excepted detection is
//! counted and reported like any other; it is only not alerted.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::FindingKey;
use crate::time::Timestamp;

/// One exception: a vendor in a network or behind a prefix, until a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exception {
    pub vendor: Arc<str>,
    pub place: Place,
    /// It no longer holds from this moment on.
    pub until: Timestamp,
    pub reason: Arc<str>,
}

/// Where an exception holds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// A network of the configuration, by name.
    Network(Arc<str>),
    /// Clients of this prefix, in whichever network.
    Prefix(IpNet),
}

impl Place {
    /// As printed and as a label: the network's name, or the prefix.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Network(name) => name.to_string(),
            Self::Prefix(prefix) => prefix.to_string(),
        }
    }
}

impl Exception {
    /// Is it over at `now`? An expired exception deserves an alert of its own.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    fn covers(&self, key: &FindingKey) -> bool {
        self.vendor == key.vendor
            && match &self.place {
                Place::Network(name) => *name == key.network,
                Place::Prefix(prefix) => prefix.contains(&key.client.to_ip()),
            }
    }
}

/// All exceptions of a configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// In the order of the configuration.
    #[must_use]
    pub const fn new(exceptions: Vec<Exception>) -> Self {
        Self(exceptions)
    }

    /// The first exception that holds for `key` at `at`.
    #[must_use]
    pub fn covering(&self, key: &FindingKey, at: Timestamp) -> Option<&Exception> {
        self.0.iter().find(|exception| !exception.is_expired(at) && exception.covers(key))
    }

    /// The first exception that holds at `at` for all of `vendor` in `network`, whatever the client.
    #[must_use]
    pub fn covering_network(
        &self,
        vendor: &str,
        network: &str,
        at: Timestamp,
    ) -> Option<&Exception> {
        let covers = |exception: &Exception| match &exception.place {
            Place::Network(name) => *exception.vendor == *vendor && **name == *network,
            Place::Prefix(_) => false,
        };
        self.0.iter().find(|exception| !exception.is_expired(at) && covers(exception))
    }

    /// All of them, expired ones too.
    #[must_use]
    pub fn all(&self) -> &[Exception] {
        &self.0
    }

    /// When each vendor is covered no more in each place: whoever prolongs an exception may leave
    /// the old one where it is.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<(&str, &Place), Timestamp> {
        let mut ends = BTreeMap::new();
        for Exception { vendor, place, until, .. } in &self.0 {
            let end = ends.entry((&**vendor, place)).or_insert(*until);
            *end = (*end).max(*until);
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::signature::Strength;

    fn key(network: &str, client: [u8; 4], vendor: &str) -> FindingKey {
        FindingKey {
            tenant: "".into(),
            network: network.into(),
            client: core::net::IpAddr::V4(Ipv4Addr::from(client)).into(),
            vendor: vendor.into(),
            product: "".into(),
            strength: Strength::Strong,
        }
    }

    fn until(seconds: u64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    #[test]
    fn an_exception_holds_for_its_vendor_and_place_until_its_moment() {
        let by_network = Exception {
            vendor: "dji".into(),
            place: Place::Network("lab".into()),
            until: until(100),
            reason: "test flights".into(),
        };
        let by_prefix = Exception {
            place: Place::Prefix("10.1.0.0/16".parse().unwrap()),
            ..by_network.clone()
        };
        let exceptions = Exceptions::new(vec![by_network.clone(), by_prefix.clone()]);

        let lab = key("lab", [192, 0, 2, 1], "dji");
        let office = key("office", [10, 1, 9, 9], "dji");
        assert_eq!(exceptions.covering(&lab, until(99)), Some(&by_network));
        assert_eq!(exceptions.covering(&lab, until(100)), None);
        assert_eq!(exceptions.covering(&office, until(99)), Some(&by_prefix));
        assert_eq!(exceptions.covering(&key("office", [10, 2, 0, 1], "dji"), until(99)), None);
        assert_eq!(exceptions.covering(&key("lab", [192, 0, 2, 1], "zte"), until(99)), None);
        assert!(exceptions.all()[0].is_expired(until(100)));
    }
}
