//! What was found, as others want it: metrics, events, pages, rules and dashboards.

pub mod account;
pub mod dashboard;
pub mod events;
pub mod findings;
pub mod metrics;
pub mod names;
pub mod web;
