//! What changes from one set to the next.

use std::sync::Arc;

use super::{Indicator, Pattern, Set};

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    VendorAdded(Arc<str>),
    VendorRemoved(Arc<str>),
    /// The vendor's own facts, or its listings.
    VendorChanged {
        id: Arc<str>,
        what: Vec<&'static str>,
    },
    IndicatorAdded(Arc<Indicator>),
    IndicatorRemoved(Arc<Indicator>),
    IndicatorChanged {
        old: Arc<Indicator>,
        new: Arc<Indicator>,
        what: Vec<&'static str>,
    },
    ExclusionAdded(Pattern),
    ExclusionRemoved(Pattern),
}

/// Every difference: vendors, then indicators, then exclusions, each by id.
#[must_use]
pub fn changes(old: &Set, new: &Set) -> Vec<Change> {
    let mut changes = Vec::new();
    for vendor in old.vendors() {
        match new.vendor(&vendor.id) {
            None => changes.push(Change::VendorRemoved(Arc::clone(&vendor.id))),
            Some(after) => {
                let what = differing(&[
                    ("name", vendor.name != after.name),
                    ("country", vendor.country != after.country),
                    ("affiliates", vendor.affiliates != after.affiliates),
                    ("default_enabled", vendor.default_enabled != after.default_enabled),
                    ("disabled_reason", vendor.disabled_reason != after.disabled_reason),
                    ("listing", vendor.listings != after.listings),
                ]);
                if !what.is_empty() {
                    changes.push(Change::VendorChanged { id: Arc::clone(&vendor.id), what });
                }
            }
        }
    }
    let is_new = |id: &str| old.vendor(id).is_none();
    let added = new.vendors().iter().filter(|vendor| is_new(&vendor.id));
    changes.extend(added.map(|vendor| Change::VendorAdded(Arc::clone(&vendor.id))));

    for before in old.indicators() {
        match new.indicator(&before.id) {
            None => changes.push(Change::IndicatorRemoved(Arc::clone(before))),
            Some(after) => {
                let what = differing_fields(before, after);
                if !what.is_empty() {
                    let (old, new) = (Arc::clone(before), Arc::clone(after));
                    changes.push(Change::IndicatorChanged { old, new, what });
                }
            }
        }
    }
    let added = new.indicators().iter().filter(|after| old.indicator(&after.id).is_none());
    changes.extend(added.map(|after| Change::IndicatorAdded(Arc::clone(after))));

    let holds = |set: &Set, pattern: &Pattern| {
        set.excluded().iter().any(|record| record.pattern == *pattern)
    };
    for record in old.excluded().iter().filter(|record| !holds(new, &record.pattern)) {
        changes.push(Change::ExclusionRemoved(record.pattern.clone()));
    }
    for record in new.excluded().iter().filter(|record| !holds(old, &record.pattern)) {
        changes.push(Change::ExclusionAdded(record.pattern.clone()));
    }
    changes
}

/// A name that a list of one set holds and that of the other does not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedName<'a> {
    pub name: String,
    /// The record of the list, of the set that holds the name.
    pub indicator: &'a Arc<Indicator>,
    pub added: bool,
}

/// Every difference between the lists of two sets, by millions if need be: what is gone, then what
/// is new, each in the order of the packs.
pub fn names<'a>(old: &'a Set, new: &'a Set) -> impl Iterator<Item = ListedName<'a>> {
    let one_way = |from: &'a Set, to: &'a Set, added: bool| {
        from.names_apart_from(to)
            .filter(|(name, indicator)| !to.lists(name, &indicator.id))
            .map(move |(name, indicator)| ListedName { name, indicator, added })
    };
    one_way(old, new, false).chain(one_way(new, old, true))
}

fn differing_fields(a: &Indicator, b: &Indicator) -> Vec<&'static str> {
    differing(&[
        ("number", a.number != b.number),
        ("vendor", a.vendor != b.vendor),
        ("product", a.product != b.product),
        ("match", a.pattern != b.pattern),
        ("purpose", a.purpose != b.purpose),
        ("strength", a.strength != b.strength),
        ("signals", a.signals != b.signals),
        ("cname", a.cname != b.cname),
        ("evidence", a.evidence != b.evidence),
        ("confounders", a.confounders != b.confounders),
        ("note", a.note != b.note),
        ("first_seen", a.first_seen != b.first_seen),
        ("review_by", a.review_by != b.review_by),
    ])
}

fn differing(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, differs)| *differs).map(|(field, _)| *field).collect()
}

impl core::fmt::Display for Change {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let about = |indicator: &Indicator| {
            format!(
                "{} ({}, {})",
                indicator.pattern,
                indicator.purpose.label(),
                indicator.strength.label()
            )
        };
        match self {
            Self::VendorAdded(id) => write!(f, "+ vendor {id}"),
            Self::VendorRemoved(id) => write!(f, "- vendor {id}"),
            Self::VendorChanged { id, what } => write!(f, "~ vendor {id}: {}", what.join(", ")),
            Self::IndicatorAdded(new) => write!(f, "+ {}: {}", new.id, about(new)),
            Self::IndicatorRemoved(old) => write!(f, "- {}: {}", old.id, about(old)),
            Self::IndicatorChanged { old, new, what } => {
                write!(f, "~ {}: {}", new.id, what.join(", "))?;
                let (before, after) = (about(old), about(new));
                if before == after { Ok(()) } else { write!(f, ": {before} -> {after}") }
            }
            Self::ExclusionAdded(pattern) => write!(f, "+ excluded {pattern}"),
            Self::ExclusionRemoved(pattern) => write!(f, "- excluded {pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Strength, embedded};

    #[test]
    fn a_set_does_not_differ_from_itself() {
        let set = Set::build(embedded::files().unwrap()).unwrap();
        assert_eq!(changes(&set, &set), []);
    }

    #[test]
    fn what_was_changed_is_what_is_said() {
        let old = Set::build(embedded::files().unwrap()).unwrap();
        let mut files = embedded::files().unwrap();
        let at = files.iter().position(|file| &*file.vendor.record.id == "kaspersky").unwrap();
        let gone = files[at].indicators.remove(0).record;
        let changed = &mut files[at].indicators[0].record;
        let mut weaker = (**changed).clone();
        weaker.strength =
            if weaker.strength == Strength::Weak { Strength::Strong } else { Strength::Weak };
        *changed = Arc::new(weaker);
        files[at].vendor.record.default_enabled = false;
        files.retain(|file| &*file.vendor.record.id != "zte");
        let new = Set::build(files).unwrap();
        let found = changes(&old, &new);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.contains(&"- vendor zte".to_owned()), "{lines:?}");
        assert!(lines.contains(&"~ vendor kaspersky: default_enabled".to_owned()), "{lines:?}");
        assert!(found.contains(&Change::IndicatorRemoved(gone)));
        let strength =
            lines.iter().any(|line| line.starts_with("~ ") && line.contains(": strength: "));
        assert!(strength, "{lines:?}");
        let back = changes(&new, &old);
        assert!(back.iter().any(|change| *change == Change::VendorAdded("zte".into())));
    }
}
