//! Servers attributed to vendors, handed back to the workers so that they count the volume.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use super::recent::Recent;
use super::{Client, Connection, Origin};
use crate::net::{Addr, TenantId};
use crate::time::Timestamp;

/// Servers that are known to be a vendor's, for clients that connected to them: what workers need
/// to count volume. A plain value, swapped whole.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    pairs: HashMap<(TenantId, Addr, Addr), AttributedPair, foldhash::fast::RandomState>,
}

/// A client's latest connection to a server of a vendor, and whose server it is.
#[derive(Clone, Debug)]
pub struct AttributedPair {
    /// As that connection showed it: its network may be told by more than its address.
    pub client: Client,
    pub origin: Origin,
    pub vendor: Arc<str>,
}

impl Attributed {
    /// The vendor whose server `server` is, for `client`.
    #[must_use]
    pub fn vendor(&self, tenant: TenantId, client: Addr, server: Addr) -> Option<&Arc<str>> {
        self.pairs.get(&(tenant, client, server)).map(|pair| &pair.vendor)
    }

    /// What is known of each pair, and its server, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = (&AttributedPair, Addr)> {
        self.pairs.iter().map(|((.., server), pair)| (pair, *server))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// No pair at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl FromIterator<(AttributedPair, Addr)> for Attributed {
    fn from_iter<T: IntoIterator<Item = (AttributedPair, Addr)>>(pairs: T) -> Self {
        let pairs = pairs.into_iter();
        Self {
            pairs: pairs
                .map(|(pair, server)| ((pair.client.tenant, pair.client.addr, server), pair))
                .collect(),
        }
    }
}

/// The pairs of client and server that are published.
#[derive(Debug)]
pub(super) struct Pairs {
    recent: Recent<(TenantId, Addr, Addr), AttributedPair>,
    changed: bool,
    /// The clock was set back since this was last published.
    set_back: bool,
}

impl Pairs {
    pub(super) fn new(limit: usize) -> Self {
        Self { recent: Recent::new(limit), changed: false, set_back: false }
    }

    /// A client connected to a server that is `vendor`'s.
    pub(super) fn add(&mut self, connection: &Connection, vendor: &Arc<str>) {
        let &Connection { origin, client, server, .. } = connection;
        let key = (client.tenant, client.addr, server.addr);
        let pair = || AttributedPair { client, origin, vendor: Arc::clone(vendor) };
        let entered = self.recent.enter(key, pair);
        let known = entered.value;
        self.changed |= entered.new || known.vendor != *vendor;
        known.vendor.clone_from(vendor);
        (known.client, known.origin) = (client, origin);
    }

    /// The clock was set back.
    pub(super) const fn set_back(&mut self) {
        self.set_back = true;
    }

    /// What to publish, when it differs from what was published last. Pairs not used for
    /// [`Self::IDLE`] before `now` are dropped.
    pub(super) fn publish(&mut self, now: Timestamp) -> Option<Attributed> {
        if core::mem::take(&mut self.set_back) {
            // How long ago they were used is not known any more.
            self.recent.visit_newest(|pair| {
                pair.origin.at = pair.origin.at.min(now);
                true
            });
        }
        let is_over = |pair: &AttributedPair| now.since(pair.origin.at) > Self::IDLE;
        while self.recent.oldest().is_some_and(|(_, pair)| is_over(pair)) {
            self.recent.pop_oldest();
            self.changed = true;
        }
        let changed = core::mem::take(&mut self.changed);
        let pairs = self.recent.iter().map(|((.., server), pair)| (pair.clone(), *server));
        changed.then(|| pairs.collect())
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        (self.recent.len(), self.recent.allocated(), self.recent.evicted())
    }

    /// A connection that moves octets for longer than this without another beginning is no longer
    /// counted.
    const IDLE: Duration = Duration::from_secs(6 * 3_600);
}
