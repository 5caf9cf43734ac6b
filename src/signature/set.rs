//! The compiled, immutable set that workers ask. Built once, swapped whole.

use std::sync::Arc;

use super::{Indicator, Vendor};
use crate::net::Addr;

/// Everything that is looked for.
#[derive(Debug, Default)]
pub struct Set {
    vendors: Vec<Vendor>,
}

/// A name or address that an indicator matches.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    pub indicator: &'a Arc<Indicator>,
    /// The part of the name that matched: the suffix, or the whole name.
    pub matched: &'a str,
}

impl Set {
    /// The indicator of the longest matching suffix of `name` (printed form, see
    /// [`name`](crate::name)); none when an exclusion is longer.
    #[must_use]
    pub fn lookup<'a>(&'a self, name: &'a str) -> Option<Hit<'a>> {
        let _ = name;
        None
    }

    /// The indicator of the longest prefix that holds `addr`.
    #[must_use]
    pub fn lookup_addr(&self, addr: Addr) -> Option<&Arc<Indicator>> {
        let _ = addr;
        None
    }

    /// The vendors, by id.
    #[must_use]
    pub fn vendors(&self) -> &[Vendor] {
        &self.vendors
    }
}
