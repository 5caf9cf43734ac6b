//! From answers to connections: which name did the client have in mind when it connected to an
//! address without naming it?

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use crate::net::{Addr, TenantId};

/// How a connection's server was known from answers seen before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attribution {
    /// How long before the connection the client learned the address.
    pub age: Duration,
    /// The answer's TTL had run out; the connection fell into the grace after it.
    pub stale: bool,
    /// Names, this one included, by which the client knew the address at that moment.
    pub names: u16,
    /// Unrelated names were answered with this address, to whichever client: a shared server.
    /// Such an attribution is never above weak.
    pub shared: bool,
}

/// Servers that are known to be a vendor's, for clients that connected to them: what workers need
/// to count volume. A plain value, swapped whole.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    vendors: HashMap<(TenantId, Addr, Addr), Arc<str>, foldhash::fast::RandomState>,
}

impl Attributed {
    /// The vendor whose server `server` is, for `client`.
    #[must_use]
    pub fn vendor(&self, tenant: TenantId, client: Addr, server: Addr) -> Option<&Arc<str>> {
        self.vendors.get(&(tenant, client, server))
    }

    /// Pairs of client and server.
    pub fn pairs(&self) -> impl Iterator<Item = (TenantId, Addr, Addr, &Arc<str>)> {
        self.vendors
            .iter()
            .map(|((tenant, client, server), vendor)| (*tenant, *client, *server, vendor))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vendors.len()
    }

    /// No pair at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty()
    }
}
