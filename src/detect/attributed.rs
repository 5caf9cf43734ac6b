//! Servers attributed to vendors, handed back to the workers so that they count the volume.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use super::recent::Recent;
use crate::net::{Addr, TenantId};
use crate::time::Timestamp;

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

    /// Pairs of client and server, in no order.
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

/// The pairs of client and server that are published, and when each was last used.
#[derive(Debug)]
pub(super) struct Pairs {
    recent: Recent<(TenantId, Addr, Addr), (Arc<str>, Timestamp)>,
    changed: bool,
}

impl Pairs {
    pub(super) fn new(limit: usize) -> Self {
        Self { recent: Recent::new(limit), changed: false }
    }

    /// `client` connected to a server that is `vendor`'s.
    pub(super) fn add(
        &mut self,
        tenant: TenantId,
        client: Addr,
        server: Addr,
        vendor: &Arc<str>,
        at: Timestamp,
    ) {
        let key = (tenant, client, server);
        let entered = self.recent.enter(key, || (Arc::clone(vendor), at));
        let (known, last) = entered.value;
        self.changed |= entered.new || known != vendor;
        known.clone_from(vendor);
        *last = at;
    }

    /// What to publish, when it differs from what was published last. Pairs not used for
    /// [`Self::IDLE`] before `now` are dropped.
    pub(super) fn publish(&mut self, now: Timestamp) -> Option<Attributed> {
        while self.recent.oldest().is_some_and(|(_, (_, last))| now.since(*last) > Self::IDLE) {
            self.recent.pop_oldest();
            self.changed = true;
        }
        core::mem::take(&mut self.changed).then(|| Attributed {
            vendors: self
                .recent
                .iter()
                .map(|(key, (vendor, _))| (*key, Arc::clone(vendor)))
                .collect(),
        })
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        (self.recent.len(), self.recent.allocated(), self.recent.evicted())
    }

    /// A connection that moves octets for longer than this without another beginning is no longer
    /// counted.
    const IDLE: Duration = Duration::from_secs(6 * 3_600);
}
