//! Values that several tests make.

use std::sync::Arc;

use super::FindingKey;
use crate::net::Addr;
use crate::signature::{Indicator, Pattern, Purpose, Strength};

/// An indicator of the vendor that its id begins with.
pub(crate) fn indicator(id: &str, purpose: Purpose, strength: Strength) -> Arc<Indicator> {
    Arc::new(Indicator {
        id: id.into(),
        number: 1,
        vendor: id.split('.').next().unwrap_or_default().into(),
        product: "agent".into(),
        pattern: Pattern::Suffix("example".into()),
        purpose,
        strength,
        signals: Vec::new(),
        cname: false,
        evidence: Vec::new(),
        confounders: Vec::new(),
        note: String::new(),
        first_seen: String::new(),
        review_by: String::new(),
    })
}

/// A finding's key.
pub(crate) fn key() -> FindingKey {
    FindingKey {
        tenant: "".into(),
        network: "other".into(),
        client: Addr::from_v4([192, 0, 2, 1]),
        vendor: "acme".into(),
        product: "agent".into(),
        strength: Strength::Strong,
    }
}
