//! What the lists say of names seen lately, so that they are asked once for each.

use std::sync::Arc;

use crate::detect::Relation;
use crate::name::NameId;
use crate::prefetch::prefetch;
use crate::signature::resolvers::Resolvers;
use crate::signature::{Indicator, Set};

/// The set of signatures and the list of resolvers, with a small memory in front of them: most
/// names that pass are few, and ordinary.
///
/// The memory is direct-mapped, by [`NameId`]: whoever does not know the seed can neither choose
/// names that share an id, nor names that drive a given one out.
#[derive(Debug)]
pub(super) struct Verdicts {
    set: Arc<Set>,
    resolvers: Arc<Resolvers>,
    entries: Box<[Entry]>,
    /// By how they are spelled, so that most names are known before they are read.
    ordinary: Box<[Spelled]>,
}

/// A spelling of a name that is on no list.
#[derive(Clone, Copy, Debug, Default)]
struct Spelled {
    /// Zero: nothing is remembered here.
    spelling: u64,
    name: Ordinary,
}

/// A name that is on no list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ordinary {
    pub(super) id: NameId,
    /// Found when it is first asked for.
    pub(super) relation: Option<Relation>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    name: NameId,
    /// False: nothing is remembered here.
    taken: bool,
    verdict: Verdict,
    /// Found when it is first asked for.
    relation: Option<Relation>,
}

/// What the lists say of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) indicator: Option<Arc<Indicator>>,
    /// It is that of a resolver which answers over HTTPS.
    pub(super) over_https: bool,
}

impl Verdicts {
    pub(super) fn new(set: Arc<Set>, resolvers: Arc<Resolvers>) -> Self {
        let entries = vec![Entry::default(); ENTRIES].into_boxed_slice();
        let ordinary = vec![Spelled::default(); ENTRIES].into_boxed_slice();
        Self { set, resolvers, entries, ordinary }
    }

    /// From now on asks `set`.
    pub(super) fn set_signatures(&mut self, set: Arc<Set>) {
        self.set = set;
        self.entries.fill(Entry::default());
        self.ordinary.fill(Spelled::default());
    }

    /// The name that is spelled so, when it is remembered as one that is on no list.
    pub(super) fn ordinary(&self, spelling: u64) -> Option<Ordinary> {
        let spelled = &self.ordinary[place(spelling)];
        (spelled.spelling == spelling && spelling != 0).then_some(spelled.name)
    }

    /// `name`, whose id is `id`, is spelled so. Remembered when it is on no list, and with its
    /// relation when that will be asked for.
    pub(super) fn spelled(&mut self, spelling: u64, id: NameId, name: &str, related: bool) {
        let entry = self.entry(id, name);
        if entry.verdict.indicator.is_none() && !entry.verdict.over_https {
            let relation = if related { Some(entry.relation(name)) } else { entry.relation };
            self.ordinary[place(spelling)] = Spelled { spelling, name: Ordinary { id, relation } };
        }
    }

    /// What is said of `name`, whose id is `id`.
    pub(super) fn of(&mut self, id: NameId, name: &str) -> &Verdict {
        &self.entry(id, name).verdict
    }

    /// As [`Self::of`], with the relation of `name`, which is dearer to find than the rest.
    pub(super) fn with_relation(&mut self, id: NameId, name: &str) -> (&Verdict, Relation) {
        let entry = self.entry(id, name);
        let relation = entry.relation(name);
        (&entry.verdict, relation)
    }

    /// Asks memory for what will be needed of the name, and does not wait for it.
    pub(super) fn prepare(&self, id: NameId) {
        prefetch(&self.entries[place(id.0)]);
    }

    fn entry(&mut self, id: NameId, name: &str) -> &mut Entry {
        let entry = &mut self.entries[place(id.0)];
        if !entry.taken || entry.name != id {
            *entry = Entry {
                name: id,
                taken: true,
                verdict: Verdict {
                    indicator: self.set.lookup(name).map(|hit| Arc::clone(hit.indicator)),
                    over_https: Resolvers::over_https(self.resolvers.by_name(name)),
                },
                relation: None,
            };
        }
        entry
    }
}

impl Entry {
    fn relation(&mut self, name: &str) -> Relation {
        let indicator = self.verdict.indicator.as_deref();
        *self.relation.get_or_insert_with(|| Relation::of(name, indicator))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
const fn place(hash: u64) -> usize {
    hash as usize & (ENTRIES - 1)
}

/// Of 40 and of 24 octets: they share a core's second-level cache with the tables of flows.
const ENTRIES: usize = 1 << 13;
const _: () = assert!(size_of::<Entry>() <= 40 && size_of::<Spelled>() <= 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowHasher;
    use crate::signature::{embedded, resolvers};

    #[test]
    fn it_says_what_the_lists_say_however_often_it_is_asked_and_forgets_with_the_set() {
        let set = Arc::new(Set::build(embedded::files().unwrap()).unwrap());
        let resolvers = Arc::clone(&resolvers::SHIPPED);
        let hasher = FlowHasher::new(7);
        let mut verdicts = Verdicts::new(Arc::clone(&set), resolvers);
        let mut names: Vec<String> = (0..3 * ENTRIES).map(|n| format!("h{n}.example")).collect();
        names.extend(["s00.upd.kaspersky.com".into(), "dns.google".into()]);
        for name in names.iter().chain(&names) {
            let verdict = verdicts.of(hasher.name(name), name);
            let found = set.lookup(name).map(|hit| &hit.indicator.id);
            assert_eq!(
                verdict.indicator.as_ref().map(|indicator| &indicator.id),
                found.as_ref().copied()
            );
            assert_eq!(verdict.over_https, name == "dns.google");
        }
        let id = hasher.name("s00.upd.kaspersky.com");
        let of_vendor = verdicts.with_relation(id, "s00.upd.kaspersky.com").1;
        assert_eq!(
            of_vendor,
            verdicts.with_relation(hasher.name("kaspersky.com"), "kaspersky.com").1
        );
        verdicts.set_signatures(Arc::new(Set::default()));
        assert!(verdicts.of(id, "s00.upd.kaspersky.com").indicator.is_none());
        assert_ne!(of_vendor, verdicts.with_relation(id, "s00.upd.kaspersky.com").1);
    }
}
