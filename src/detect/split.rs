//! Connections whose directions come to different lanes.
//!
//! In: what each lane saw of a connection, its beginning by the client or its acceptance by the
//! server. Out: "did another lane see the other half?".

use core::time::Duration;

use super::recent::Recent;
use super::{Accepted, Connection, Origin};
use crate::time::Timestamp;

/// Connections accepted in sight of a lane that did not see their clients begin them.
#[derive(Debug)]
pub(super) struct Splits {
    /// By identity: the lane, and where it saw that.
    accepted: Recent<u64, (usize, Origin)>,
}

impl Splits {
    /// How long a client may be silent after its connection was accepted. Its worker waits as long.
    pub(super) const LIFETIME: Duration = Duration::from_secs(30);

    pub(super) fn new(limit: usize) -> Self {
        Self { accepted: Recent::new(limit) }
    }

    /// The worker `lane` saw the server only.
    pub(super) fn accepted(&mut self, lane: usize, accepted: &Accepted) {
        let &Accepted { origin, identity } = accepted;
        self.forget(origin.at);
        self.accepted.enter(identity, || (lane, origin));
    }

    /// The worker `lane` saw the client: where another one saw the server accept, if one did.
    pub(super) fn begun(&mut self, lane: usize, connection: &Connection) -> Option<Origin> {
        self.forget(connection.origin.at);
        if self.accepted.len() == 0 {
            return None;
        }
        let (other, origin) = self.accepted.remove(&connection.identity)?;
        (other != lane).then_some(origin)
    }

    /// Connections that wait for their clients, their octets, and how many were given up for room.
    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        (self.accepted.len(), self.accepted.allocated(), self.accepted.evicted())
    }

    fn forget(&mut self, now: Timestamp) {
        let is_over = |origin: &Origin| now.since(origin.at) > Self::LIFETIME;
        while self.accepted.oldest().is_some_and(|(_, (_, origin))| is_over(origin)) {
            self.accepted.pop_oldest();
        }
    }
}
