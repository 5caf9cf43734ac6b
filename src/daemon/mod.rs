//! What makes a process of the parts: workers and the correlator behind them, over files or live;
//! reload, shutdown, privileges.
//!
//! In: a checked configuration. Out: an exit, with a reason. Threads: one a worker, one that
//! correlates, one each for events and inventory, and the control plane, which alone has signals,
//! HTTP and the service manager.

mod check;
mod control;
mod correlate;
mod live;
mod privileges;
pub mod replay;
mod shared;
mod worker;

pub use check::faults;
pub use live::{DaemonError, Reread, run};

use std::sync::Arc;

use crate::config::{Config, Origin, keys};
use crate::decode::Tenants;
use crate::detect::Limits;
use crate::net::TenantId;
use crate::pipeline::{Budgets, Settings};
use crate::signature::resolvers::SHIPPED;

/// What pipelines are told at their start.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let tenants = config.places.tenants.iter().zip(1_u16..).flat_map(|(tenant, number)| {
        tenant.ids.iter().map(move |(space, id)| (*space, *id, TenantId(number)))
    });
    Settings {
        seed: seed(),
        budgets: Budgets {
            connections: config.size(&keys::BUDGETS_CONNECTIONS),
            ..Budgets::default()
        },
        tenants: Arc::new(Tenants::new(tenants)),
        resolvers: Arc::clone(&SHIPPED),
        one_of_many: false,
        filtered: false,
    }
}

/// The correlator's limits, as configured.
#[must_use]
pub fn limits(config: &Config) -> Limits {
    Limits {
        records: config.size(&keys::BUDGETS_RECORDS),
        answers: config.size(&keys::BUDGETS_ANSWERS),
        findings: config.size(&keys::BUDGETS_FINDINGS),
        attributed: config.size(&keys::BUDGETS_ATTRIBUTED),
        repeat: config.span(&keys::EVENTS_REPEAT),
        ..Limits::default()
    }
}

/// The same for captures that are read to their end. Unless somebody says how many, they remember so
/// many answers that any capture is read in 64 MiB.
#[must_use]
pub fn replay_limits(config: &Config) -> Limits {
    const ANSWERS: usize = 16 << 20;
    let limits = limits(config);
    match config.value(&keys::BUDGETS_ANSWERS) {
        Some((_, Origin::Default)) => Limits { answers: ANSWERS, ..limits },
        _ => limits,
    }
}

/// Table seeds that whoever sends packets cannot know.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn what_nobody_configures_is_as_the_correlator_has_it() {
        let config = Config::read(None, "", |_| None, &Flags::default()).unwrap();
        assert_eq!(limits(&config), Limits::default());
    }

    #[test]
    fn a_replay_remembers_as_many_answers_as_it_is_told_and_fewer_unasked() {
        let limits = |text| {
            let config = Config::read(None, text, |_| None, &Flags::default()).unwrap();
            replay_limits(&config)
        };
        let mut unasked = Limits::default();
        unasked.answers /= 2;
        assert_eq!(limits(""), unasked);
        assert_eq!(limits("[budgets]\nanswers = \"32MiB\""), Limits::default());
    }
}
