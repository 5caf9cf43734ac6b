//! The operator's names for parts of the network, and who relays for others.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::Client;
use crate::frame::SourceId;
use crate::net::{Addr, NetworkId, TenantId};

/// What the configuration says a client does for others.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    Resolver,
    Proxy,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Resolver, Self::Proxy];

    /// The configuration word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Proxy => "proxy",
        }
    }

    /// The role that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.label() == label)
    }
}

/// One `[[network]]`. It holds a client when each kind that is given holds it, by any of its
/// values: prefixes `10.0.0.0/8, 192.168.0.0/16` with VLAN 20 means both address ranges, on VLAN
/// 20 only.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    pub name: Arc<str>,
    /// Declared tenants.
    pub tenants: Vec<TenantId>,
    /// Prefixes of client addresses.
    pub prefixes: Vec<IpNet>,
    pub vlans: Vec<u16>,
    /// Ids of the innermost tunnel: VNI, TEID, GRE key.
    pub tunnel_ids: Vec<u32>,
    /// Interfaces or files, as the capture numbered them.
    pub sources: Vec<SourceId>,
    /// Its clients relay for others. A network with a role and no name only gives the role.
    pub role: Option<Role>,
}

/// All `[[network]]`s of a configuration: whose client is it?
///
/// Of the networks that hold a client, the one wins that names its tenant; then the longest
/// prefix; then the one that gives more kinds; then the first in the file. Networks of one name
/// are one network.
#[derive(Clone, Debug)]
pub struct Networks {
    /// By [`NetworkId`].
    names: Vec<Arc<str>>,
    /// By [`TenantId`].
    tenants: Vec<Arc<str>>,
    named: Index<NetworkId>,
    roles: Index<Role>,
}

impl Networks {
    /// What is called so lies outside all networks.
    pub const OTHER: &'static str = "other";

    /// From the configuration. `tenants` are the declared ones: the first is `TenantId(1)`.
    pub fn new(networks: &[Network], tenants: &[Arc<str>]) -> Result<Self, TooMany> {
        let mut names: Vec<Arc<str>> = vec![Self::OTHER.into()];
        let mut named = Index::default();
        let mut roles = Index::default();
        for network in networks {
            if !network.name.is_empty() {
                let number =
                    names.iter().position(|name| *name == network.name).unwrap_or_else(|| {
                        names.push(Arc::clone(&network.name));
                        names.len() - 1
                    });
                let id = u16::try_from(number).map_err(|_| TooMany)?;
                named.add(network, NetworkId(id));
            }
            if let Some(role) = network.role {
                roles.add(network, role);
            }
        }
        u16::try_from(tenants.len()).map_err(|_| TooMany)?;
        let tenants = std::iter::once("".into()).chain(tenants.iter().cloned()).collect();
        named.sort();
        roles.sort();
        Ok(Self { names, tenants, named, roles })
    }

    /// The network of a client that a frame of `source` showed.
    #[must_use]
    pub fn classify(&self, client: &Client, source: SourceId) -> NetworkId {
        self.named.find(client, source).unwrap_or(NetworkId::OTHER)
    }

    /// What a client that a frame of `source` showed does for others.
    #[must_use]
    pub fn role(&self, client: &Client, source: SourceId) -> Option<Role> {
        self.roles.find(client, source)
    }

    /// Every network's name, `other` first: at each place the name of that [`NetworkId`].
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The name of a network; of `other` when `id` is from another configuration.
    #[must_use]
    pub fn name(&self, id: NetworkId) -> &Arc<str> {
        self.names.get(usize::from(id.0)).unwrap_or(&self.names[0])
    }

    /// The name of a tenant; empty outside the declared ones.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> &Arc<str> {
        self.tenants.get(usize::from(id.0)).unwrap_or(&self.tenants[0])
    }
}

impl Default for Networks {
    /// Nothing declared: all clients are in `other`.
    fn default() -> Self {
        Self {
            names: vec![Self::OTHER.into()],
            tenants: vec!["".into()],
            named: Index::default(),
            roles: Index::default(),
        }
    }
}

/// More networks or tenants than there are numbers for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more than 65535 networks or tenants")]
pub struct TooMany;

/// What networks say, found by client: one hash look-up for each prefix length in use.
#[derive(Clone, Debug)]
struct Index<T> {
    /// Best first.
    groups: Vec<Group<T>>,
}

/// The networks with and without tenants, of one prefix length.
#[derive(Clone, Debug)]
struct Group<T> {
    names_tenant: bool,
    /// Of the prefix, in the 128-bit form of an address; 0 for networks without prefixes.
    bits: u32,
    rules: HashMap<u128, Vec<Rule<T>>, foldhash::fast::RandomState>,
}

#[derive(Clone, Debug)]
struct Rule<T> {
    network: Network,
    gives: T,
}

impl<T: Copy> Index<T> {
    fn add(&mut self, network: &Network, gives: T) {
        let names_tenant = !network.tenants.is_empty();
        let everywhere = [(0, 0)];
        let prefixes: Vec<(u32, u128)> = network.prefixes.iter().map(mapped).collect();
        for &(bits, value) in if prefixes.is_empty() { &everywhere[..] } else { &prefixes } {
            let same = |group: &Group<T>| group.names_tenant == names_tenant && group.bits == bits;
            let at = self.groups.iter().position(same).unwrap_or_else(|| {
                self.groups.push(Group { names_tenant, bits, rules: HashMap::default() });
                self.groups.len() - 1
            });
            let rule = Rule { network: network.clone(), gives };
            self.groups[at].rules.entry(value).or_default().push(rule);
        }
    }

    fn sort(&mut self) {
        self.groups.sort_by_key(|group| std::cmp::Reverse((group.names_tenant, group.bits)));
        for rules in self.groups.iter_mut().flat_map(|group| group.rules.values_mut()) {
            rules.sort_by_key(|rule| std::cmp::Reverse(rule.kinds()));
        }
    }

    fn find(&self, client: &Client, source: SourceId) -> Option<T> {
        self.groups.iter().find_map(|group| {
            let rules = group.rules.get(&(client.addr.bits() & mask(group.bits)))?;
            rules.iter().find(|rule| rule.holds(client, source)).map(|rule| rule.gives)
        })
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { groups: Vec::new() }
    }
}

impl<T> Rule<T> {
    /// All but the prefix, which the index has compared.
    fn holds(&self, client: &Client, source: SourceId) -> bool {
        let Network { tenants, vlans, tunnel_ids, sources, .. } = &self.network;
        any(tenants, Some(client.tenant))
            && any(vlans, client.vlan)
            && any(tunnel_ids, client.tunnel_id)
            && any(sources, Some(source))
    }

    fn kinds(&self) -> usize {
        let Network { vlans, tunnel_ids, sources, .. } = &self.network;
        [vlans.is_empty(), tunnel_ids.is_empty(), sources.is_empty()]
            .into_iter()
            .filter(|empty| !empty)
            .count()
    }
}

/// A kind that is not given holds everything.
fn any<V: PartialEq>(given: &[V], value: Option<V>) -> bool {
    given.is_empty() || value.is_some_and(|value| given.contains(&value))
}

/// A prefix over the 128-bit form of an address: how many bits, and their value.
fn mapped(prefix: &IpNet) -> (u32, u128) {
    let bits = match prefix {
        IpNet::V4(v4) => 96 + u32::from(v4.prefix_len()),
        IpNet::V6(v6) => u32::from(v6.prefix_len()),
    };
    (bits, Addr::from(prefix.network()).bits() & mask(bits))
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    fn client(addr: &str) -> Client {
        Client { addr: addr.parse::<IpAddr>().unwrap().into(), ..Client::default() }
    }

    fn network(name: &str, prefixes: &[&str]) -> Network {
        Network {
            name: name.into(),
            prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            ..Network::default()
        }
    }

    fn name_of(networks: &Networks, client: &Client, source: u16) -> String {
        networks.name(networks.classify(client, SourceId(source))).to_string()
    }

    #[test]
    fn the_longest_prefix_wins_and_other_is_outside() {
        let networks = Networks::new(
            &[
                network("site", &["10.0.0.0/8", "2001:db8::/32"]),
                network("cameras", &["10.9.0.0/16"]),
                network("one", &["10.9.1.7/32"]),
            ],
            &[],
        )
        .unwrap();
        for (addr, name) in [
            ("10.1.1.1", "site"),
            ("10.9.1.6", "cameras"),
            ("10.9.1.7", "one"),
            ("2001:db8:1::1", "site"),
            ("192.0.2.1", "other"),
            ("2001:db9::1", "other"),
        ] {
            assert_eq!(name_of(&networks, &client(addr), 0), name, "{addr}");
        }
    }

    #[test]
    fn an_ipv4_network_of_all_addresses_leaves_ipv6_outside() {
        let networks = Networks::new(&[network("v4", &["0.0.0.0/0"])], &[]).unwrap();
        assert_eq!(name_of(&networks, &client("198.51.100.1"), 0), "v4");
        assert_eq!(name_of(&networks, &client("2001:db8::1"), 0), "other");
        let networks = Networks::new(&[network("all", &["::/0"])], &[]).unwrap();
        assert_eq!(name_of(&networks, &client("198.51.100.1"), 0), "all");
    }

    #[test]
    fn a_declared_tenant_goes_before_the_longest_prefix() {
        let networks = Networks::new(
            &[
                network("host", &["10.0.0.1/32"]),
                Network { tenants: vec![TenantId(2)], ..network("guest", &[]) },
            ],
            &["plant".into(), "guest".into()],
        )
        .unwrap();
        let in_guest = Client { tenant: TenantId(2), ..client("10.0.0.1") };
        let in_plant = Client { tenant: TenantId(1), ..client("10.0.0.1") };
        assert_eq!(name_of(&networks, &in_guest, 0), "guest");
        assert_eq!(name_of(&networks, &in_plant, 0), "host");
        assert_eq!(&**networks.tenant(TenantId(2)), "guest");
        assert_eq!(&**networks.tenant(TenantId::NONE), "");
    }

    #[test]
    fn every_kind_given_must_hold() {
        let networks = Networks::new(
            &[
                network("wide", &["10.0.0.0/8"]),
                Network { vlans: vec![20, 21], ..network("vlan", &["10.0.0.0/8"]) },
                Network { sources: vec![SourceId(3)], ..network("port", &[]) },
                Network { tunnel_ids: vec![7], ..network("overlay", &[]) },
            ],
            &[],
        )
        .unwrap();
        let on_vlan = |vlan| Client { vlan: Some(vlan), ..client("10.1.1.1") };
        assert_eq!(name_of(&networks, &on_vlan(21), 0), "vlan");
        assert_eq!(name_of(&networks, &on_vlan(22), 0), "wide");
        assert_eq!(name_of(&networks, &client("10.1.1.1"), 3), "wide");
        assert_eq!(name_of(&networks, &client("192.0.2.1"), 3), "port");
        let tunnelled = Client { tunnel_id: Some(7), ..client("192.0.2.1") };
        assert_eq!(name_of(&networks, &tunnelled, 0), "overlay");
    }

    #[test]
    fn roles_hold_whatever_network_wins() {
        let networks = Networks::new(
            &[
                network("site", &["10.0.0.0/8"]),
                Network { role: Some(Role::Resolver), ..network("", &["10.0.0.53/32"]) },
                Network { role: Some(Role::Proxy), ..network("dmz", &["192.0.2.0/24"]) },
                network("dmz", &["198.51.100.0/24"]),
            ],
            &[],
        )
        .unwrap();
        let role = |addr| networks.role(&client(addr), SourceId(0));
        assert_eq!(role("10.0.0.53"), Some(Role::Resolver));
        assert_eq!(role("10.0.0.54"), None);
        assert_eq!(role("192.0.2.1"), Some(Role::Proxy));
        assert_eq!(role("198.51.100.1"), None);
        assert_eq!(name_of(&networks, &client("10.0.0.53"), 0), "site");
        assert_eq!(name_of(&networks, &client("198.51.100.1"), 0), "dmz");
        assert_eq!(networks.names().len(), 3);
    }
}
