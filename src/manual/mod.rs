//! Long documentation, as modules: what an operator reads once and comes back to.

pub mod capturing;
pub mod configuration;
pub mod limits;
pub mod metrics;
pub mod operating;
pub mod privacy;
pub mod signatures;
pub mod sizing;
