//! The parts of the configuration that are lists of tables: networks, tenants, exceptions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::file::{Faults, Table};
use crate::decode::IdSpace;
use crate::detect::Role;

/// `[[network]]`: an operator's name for clients. It holds a client when each kind that is given
/// holds it, by any of its values. Without a name it only gives a role.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Network {
    pub name: String,
    pub prefixes: Vec<IpNet>,
    pub vlans: Vec<u16>,
    /// Of the innermost tunnel: VNI, TEID, GRE key.
    pub tunnel_ids: Vec<u32>,
    pub interfaces: Vec<String>,
    pub tenants: Vec<String>,
    /// Its clients ask for others.
    pub role: Option<Role>,
}

/// `[[tenant]]`: an address space of its own, known by what encloses its packets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tenant {
    pub name: String,
    pub ids: Vec<(IdSpace, u32)>,
}

impl Tenant {
    /// The keys under which ids are declared.
    pub const KEYS: [(&'static str, IdSpace); 7] = [
        ("vlans", IdSpace::Vlan),
        ("vnis", IdSpace::Vni),
        ("teids", IdSpace::Teid),
        ("gre_keys", IdSpace::GreKey),
        ("erspan_sessions", IdSpace::ErspanSession),
        ("mpls_labels", IdSpace::MplsLabel),
        ("l2tp_sessions", IdSpace::L2tpSession),
    ];
}

/// `[[exception]]`: a finding that is known and accepted until a day.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exception {
    pub vendor: String,
    pub place: Place,
    /// The last day it holds.
    pub until: jiff::civil::Date,
    pub reason: String,
}

/// Where an exception holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A network, by name.
    Network(String),
    Prefix(IpNet),
}

/// All of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    pub networks: Vec<Network>,
    pub tenants: Vec<Tenant>,
    pub exceptions: Vec<Exception>,
}

impl Places {
    /// The lists of tables that a file may have.
    pub(super) const LISTS: [&str; 3] = ["network", "tenant", "exception"];
    /// Networks and tenants are numbered in 16 bits and the number is a label: a bound on series.
    const MOST: usize = 1_000;

    /// Reads one table of list `list`.
    pub(super) fn read(&mut self, list: &str, table: &mut Table<'_>, faults: &mut Faults) {
        match list {
            "network" => {
                let role = table.text("role", faults);
                let name =
                    if role.is_some() { table.optional_name(faults) } else { table.name(faults) };
                let role = role.and_then(|role| match role.as_str() {
                    "resolver" => Some(Role::Resolver),
                    "proxy" => Some(Role::Proxy),
                    other => {
                        table.fault("role", &format!("`{other}` is not resolver or proxy"), faults);
                        None
                    }
                });
                self.networks.push(Network {
                    name,
                    prefixes: table.items("prefixes", faults, parse_prefix),
                    vlans: table.items("vlans", faults, parse_vlan),
                    tunnel_ids: table.items("tunnel_ids", faults, parse_tunnel_id),
                    interfaces: table.items("interfaces", faults, |text| Ok(text.to_owned())),
                    tenants: table.items("tenants", faults, |text| Ok(text.to_owned())),
                    role,
                });
            }
            "tenant" => {
                let name = table.name(faults);
                let mut ids = Vec::new();
                for (key, space) in Tenant::KEYS {
                    let parse = |text: &str| match space {
                        IdSpace::Vlan => parse_vlan(text).map(u32::from),
                        IdSpace::Vni => parse_vni(text),
                        _ => parse_tunnel_id(text),
                    };
                    ids.extend(table.items(key, faults, parse).into_iter().map(|id| (space, id)));
                }
                self.tenants.push(Tenant { name, ids });
            }
            _ => {
                let vendor = table.required("vendor", faults);
                let network = table.text("network", faults).map(Place::Network);
                let prefix = table.text("prefix", faults).and_then(|text| {
                    parse_prefix(&text).map_err(|what| table.fault("prefix", &what, faults)).ok()
                });
                let place = match (network, prefix.map(Place::Prefix)) {
                    (Some(place), None) | (None, Some(place)) => Some(place),
                    _ => {
                        table.fault("network", "either a network or a prefix is wanted", faults);
                        None
                    }
                };
                let reason = table.required("reason", faults);
                let until = table.required("until", faults).and_then(|text| {
                    text.parse()
                        .map_err(|_| {
                            let wrong = format!("`{text}` is not a day such as 2027-03-31");
                            table.fault("until", &wrong, faults);
                        })
                        .ok()
                });
                if let (Some(vendor), Some(place), Some(reason), Some(until)) =
                    (vendor, place, reason, until)
                {
                    self.exceptions.push(Exception { vendor, place, until, reason });
                }
            }
        }
    }

    /// What no single table can know: names are unique, references lead somewhere.
    pub(super) fn check(&self, faults: &mut Faults) {
        for network in &self.networks {
            let Network { name, prefixes, vlans, tunnel_ids, interfaces, tenants, .. } = network;
            for tenant in tenants {
                if !self.tenants.iter().any(|known| known.name == *tenant) {
                    faults.add(None, format!("[[network]] `{name}`: no [[tenant]] `{tenant}`"));
                }
            }
            if prefixes.is_empty()
                && vlans.is_empty()
                && tunnel_ids.is_empty()
                && interfaces.is_empty()
                && tenants.is_empty()
            {
                faults.add(None, format!("[[network]] `{name}` holds nothing"));
            }
        }
        self.check_shadows(faults);
        let mut tenants = BTreeSet::new();
        for tenant in &self.tenants {
            if tenant.ids.is_empty() {
                faults.add(None, format!("[[tenant]] `{}` declares no id", tenant.name));
            }
            if !tenants.insert(&tenant.name) {
                faults.add(None, format!("[[tenant]] `{}` is there twice", tenant.name));
            }
        }
        for exception in &self.exceptions {
            if let Place::Network(network) = &exception.place
                && network != OTHER
                && !self.networks.iter().any(|known| known.name == *network)
            {
                let vendor = &exception.vendor;
                faults.add(None, format!("[[exception]] of {vendor}: no [[network]] `{network}`"));
            }
        }
        if self.networks.len() > Self::MOST || self.tenants.len() > Self::MOST {
            faults.add(None, format!("more than {} networks or tenants", Self::MOST));
        }
    }
}

impl Places {
    /// Of two that hold the same the first would win: the other's counts would be 0 whatever is seen.
    fn check_shadows(&self, faults: &mut Faults) {
        let mut held = BTreeMap::new();
        for network in self.networks.iter().filter(|network| !network.name.is_empty()) {
            let Network { name, prefixes, vlans, tunnel_ids, interfaces, tenants, .. } = network;
            let others = (
                vlans.iter().collect::<BTreeSet<_>>(),
                tunnel_ids.iter().collect::<BTreeSet<_>>(),
                interfaces.iter().collect::<BTreeSet<_>>(),
                tenants.iter().collect::<BTreeSet<_>>(),
            );
            let mut prefixes: Vec<Option<&IpNet>> = prefixes.iter().map(Some).collect();
            if prefixes.is_empty() {
                prefixes.push(None);
            }
            for prefix in prefixes {
                let first = held.entry((prefix, others.clone())).or_insert(name);
                if *first != name {
                    let what = prefix.map_or_else(|| "what it holds".to_owned(), IpNet::to_string);
                    faults.add(None, format!("[[network]] `{name}`: {what} is in `{first}`"));
                }
            }
        }
        let mut declared = BTreeMap::new();
        for tenant in &self.tenants {
            for (space, id) in &tenant.ids {
                let first = declared.entry((space, id)).or_insert(&tenant.name);
                if **first != tenant.name {
                    let key =
                        Tenant::KEYS.iter().find(|key| key.1 == *space).map_or("", |key| key.0);
                    let name = &tenant.name;
                    faults.add(None, format!("[[tenant]] `{name}`: {key} {id} is in `{first}`"));
                }
            }
        }
    }
}

/// The network of what is outside all others.
pub const OTHER: &str = "other";

fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("`{text}` is not a prefix such as 192.0.2.0/24 or 2001:db8::/32");
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let prefix: IpNet = text.parse().map_err(|_| wrong())?;
    if prefix.trunc() == prefix {
        Ok(prefix)
    } else {
        Err(format!("`{text}` has bits beyond its length; {} would do", prefix.trunc()))
    }
}

/// 802.1Q: twelve bits, 0 and 4095 are reserved.
fn parse_vlan(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(id @ 1..=4_094) => Ok(id),
        _ => Err(format!("`{text}` is not a VLAN between 1 and 4094")),
    }
}

fn parse_tunnel_id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a tunnel id of 32 bits"))
}

/// RFC 7348 §5: twenty-four bits.
fn parse_vni(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(id @ 0..=0xff_ffff) => Ok(id),
        _ => Err(format!("`{text}` is not a VNI of 24 bits")),
    }
}
