//! Long documentation, as modules: what an operator reads once and comes back to.

pub mod capturing;
