//! What the threads share: written by the control plane or the correlator, read by workers.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};

use arc_swap::ArcSwap;

use crate::config::Policy;
use crate::detect::Attributed;

/// Swapped whole; a generation tells that there is something to take over, and is published after
/// it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) policy_generation: AtomicU64,
    pub(super) attributed: ArcSwap<Attributed>,
    pub(super) attributed_generation: AtomicU64,
    pub(super) stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(policy: Arc<ArcSwap<Policy>>) -> Self {
        Self {
            policy,
            policy_generation: AtomicU64::new(0),
            attributed: ArcSwap::default(),
            attributed_generation: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on this policy.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
        self.policy_generation.fetch_add(1, Release);
    }

    /// From now on these pairs.
    pub(super) fn set_attributed(&self, attributed: Attributed) {
        self.attributed.store(Arc::new(attributed));
        self.attributed_generation.fetch_add(1, Release);
    }

    /// All threads end, each after its last work.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }
}
