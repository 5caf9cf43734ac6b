//! What is looked for and reported: the part of a configuration that a reload may change.

use std::sync::Arc;

use super::signatures::{LoadError, Sources};
use super::{Config, Place, keys};
use crate::detect::exception::Place as ExceptionPlace;
use crate::detect::{Exception, Exceptions, Network, Networks};
use crate::frame::SourceId;
use crate::net::TenantId;
use crate::signature::pack::Manifest;
use crate::signature::{Pack, Regulates, Selection, Set, Strength, Vendor};
use crate::time::Timestamp;

/// Built whole, checked, then swapped.
#[derive(Clone, Debug)]
pub struct Policy {
    pub set: Arc<Set>,
    pub networks: Arc<Networks>,
    pub exceptions: Arc<Exceptions>,
    pub selection: Selection,
    /// When it was loaded.
    pub loaded: Timestamp,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error(transparent)]
    Signatures(#[from] LoadError),
    #[error("{key}: no vendor or listing is called {}", words.join(", "))]
    UnknownWords { key: &'static str, words: Vec<String> },
    #[error(
        "signatures.regulates: no listing regulates {}; known: {}",
        words.join(", "),
        Regulates::ALL.map(Regulates::label).join(", ")
    )]
    UnknownRegulates { words: Vec<String> },
    #[error("[[network]] `{network}`: {interface} is not captured from")]
    UnknownInterface { network: String, interface: String },
    #[error(transparent)]
    TooMany(#[from] crate::detect::networks::TooMany),
}

impl Policy {
    /// What `config` says, with the signatures it names. `interfaces` in the order of their
    /// [`SourceId`]s; none when files are read, where networks of interfaces hold nothing.
    pub fn load(
        config: &Config,
        interfaces: &[Arc<str>],
        now: Timestamp,
    ) -> Result<Self, PolicyError> {
        Self::load_beside(config, interfaces, now, &[])
    }

    /// What `config` says now, to follow this policy. A pack that has not changed is not read into
    /// memory again.
    pub fn next(
        &self,
        config: &Config,
        interfaces: &[Arc<str>],
        now: Timestamp,
    ) -> Result<Self, PolicyError> {
        let held: Vec<_> = self.set.packs().cloned().collect();
        Self::load_beside(config, interfaces, now, &held)
    }

    /// The packs that `next` has in an older state than this policy, as a person would say it:
    /// somebody went back, or an old file was put in the place of the new one.
    #[must_use]
    pub fn packs_gone_back(&self, next: &Self) -> Vec<String> {
        let gone_back = |now: &Manifest| {
            let before = self
                .set
                .packs()
                .map(|pack| pack.manifest())
                .find(|before| before.name == now.name && before.created > now.created)?;
            Some(format!(
                "{}: version {} of {} instead of {} of {}",
                now.name, now.version, now.created, before.version, before.created
            ))
        };
        next.set.packs().filter_map(|pack| gone_back(pack.manifest())).collect()
    }

    fn load_beside(
        config: &Config,
        interfaces: &[Arc<str>],
        now: Timestamp,
        held: &[Arc<Pack>],
    ) -> Result<Self, PolicyError> {
        let set = Arc::new(Sources::configured(config).load_beside(held)?);
        let selection = selection(config)?;
        let unknown = selection.unknown_words(set.vendors());
        if !unknown.is_empty() {
            let words = unknown.into_iter().map(str::to_owned).collect();
            return Err(PolicyError::UnknownWords { key: "[signatures]", words });
        }
        let exceptions = exceptions(config);
        let strangers: Vec<String> = exceptions
            .all()
            .iter()
            .filter(|exception| set.vendor(&exception.vendor).is_none())
            .map(|exception| exception.vendor.to_string())
            .collect();
        if !strangers.is_empty() {
            return Err(PolicyError::UnknownWords { key: "[[exception]]", words: strangers });
        }
        let networks = Arc::new(networks(config, interfaces)?);
        Ok(Self { set, networks, exceptions: Arc::new(exceptions), selection, loaded: now })
    }

    /// The vendors that are reported on.
    pub fn vendors(&self) -> impl Iterator<Item = &Vendor> {
        self.set.vendors().iter().filter(|vendor| self.selection.takes_vendor(vendor))
    }

    /// Is a detection of this vendor and strength reported?
    #[must_use]
    pub fn takes(&self, vendor: &str, strength: Strength) -> bool {
        self.set.vendor(vendor).is_some_and(|vendor| self.selection.takes(vendor, strength))
    }

    /// Is a network of this name configured?
    #[must_use]
    pub fn knows_network(&self, name: &str) -> bool {
        self.networks.names().iter().any(|known| **known == *name)
    }
}

fn selection(config: &Config) -> Result<Selection, PolicyError> {
    let words = config.list(&keys::SIGNATURES_REGULATES);
    let known = |word: &String| Regulates::ALL.into_iter().find(|r| r.label() == word);
    let unknown: Vec<String> = words.iter().filter(|word| known(word).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(PolicyError::UnknownRegulates { words: unknown });
    }
    let strength = config.text(&keys::SIGNATURES_MIN_STRENGTH);
    Ok(Selection {
        enable: config.list(&keys::SIGNATURES_ENABLE).to_vec(),
        disable: config.list(&keys::SIGNATURES_DISABLE).to_vec(),
        listings: config.list(&keys::SIGNATURES_LISTINGS).to_vec(),
        regulates: words.iter().filter_map(known).collect(),
        min_strength: Strength::ALL
            .into_iter()
            .find(|s| s.label() == strength)
            .unwrap_or(Strength::Weak),
    })
}

fn networks(config: &Config, interfaces: &[Arc<str>]) -> Result<Networks, PolicyError> {
    let tenants: Vec<Arc<str>> =
        config.places.tenants.iter().map(|tenant| tenant.name.as_str().into()).collect();
    let mut networks = Vec::new();
    for network in &config.places.networks {
        let mut sources = Vec::new();
        for name in &network.interfaces {
            match interfaces.iter().position(|known| **known == **name).map(u16::try_from) {
                Some(Ok(number)) => sources.push(SourceId(number)),
                // A file's frames come from no interface.
                _ if interfaces.is_empty() => sources.push(SourceId(u16::MAX)),
                _ => {
                    return Err(PolicyError::UnknownInterface {
                        network: network.name.clone(),
                        interface: name.clone(),
                    });
                }
            }
        }
        networks.push(Network {
            name: network.name.as_str().into(),
            tenants: network.tenants.iter().filter_map(|name| tenant_id(config, name)).collect(),
            prefixes: network.prefixes.clone(),
            vlans: network.vlans.clone(),
            tunnel_ids: network.tunnel_ids.clone(),
            sources,
            role: network.role,
        });
    }
    Ok(Networks::new(&networks, &tenants)?)
}

/// Tenants are numbered from 1 in the order of the file.
fn tenant_id(config: &Config, name: &str) -> Option<TenantId> {
    let at = config.places.tenants.iter().position(|tenant| tenant.name == name)?;
    u16::try_from(at + 1).ok().map(TenantId)
}

fn exceptions(config: &Config) -> Exceptions {
    let list = config.places.exceptions.iter().map(|exception| Exception {
        vendor: exception.vendor.as_str().into(),
        place: match &exception.place {
            Place::Network(name) => ExceptionPlace::Network(name.as_str().into()),
            Place::Prefix(prefix) => ExceptionPlace::Prefix(*prefix),
        },
        until: end_of_day(exception.until),
        reason: exception.reason.as_str().into(),
    });
    Exceptions::new(list.collect())
}

/// The first moment after `day`, UTC.
fn end_of_day(day: jiff::civil::Date) -> Timestamp {
    day.tomorrow()
        .and_then(|next| next.to_zoned(jiff::tz::TimeZone::UTC))
        .ok()
        .and_then(|midnight| u64::try_from(midnight.timestamp().as_second()).ok())
        .map_or(Timestamp::from_nanos(u64::MAX), |seconds| Timestamp::from_parts(seconds, 0))
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::*;

    fn load(text: &str, interfaces: &[Arc<str>]) -> Result<Policy, PolicyError> {
        let config = Config::read(None, text, |_| None, &Flags::default()).unwrap();
        Policy::load(&config, interfaces, Timestamp::ZERO)
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for (text, want) in [
            ("[signatures]\ndisable = [\"nobody\"]\n", "nobody"),
            ("[signatures]\nregulates = [\"breathing\"]\n", "breathing"),
            (
                "[[exception]]\nvendor = \"nobody\"\nnetwork = \"other\"\nuntil = 2027-01-01\n\
                 reason = \"r\"\n",
                "nobody",
            ),
            ("[[network]]\nname = \"n\"\ninterfaces = [\"eth9\"]\n", "eth9 is not captured from"),
        ] {
            let refusal = load(text, &["eth0".into()]).unwrap_err().to_string();
            assert!(refusal.contains(want), "{refusal}");
        }
        assert!(load("[[network]]\nname = \"n\"\ninterfaces = [\"eth9\"]\n", &[]).is_ok());
    }

    #[test]
    fn an_exception_holds_until_its_day_is_over() {
        let day = jiff::civil::date(2026, 12, 31);
        assert_eq!(end_of_day(day), Timestamp::from_parts(1_798_761_600, 0));
    }

    #[test]
    fn min_strength_leaves_weaker_ones_out() {
        let policy = load("[signatures]\nmin_strength = \"strong\"\n", &[]).unwrap();
        let vendor = policy.vendors().next().unwrap().id.to_string();
        assert!(policy.takes(&vendor, Strength::Strong));
        assert!(!policy.takes(&vendor, Strength::Moderate));
        assert!(!policy.takes("nobody", Strength::Strong));
    }
}
