//! The compiled, immutable set that workers ask. Built once, swapped whole.

use core::fmt::Write as _;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::fault::{Fault, Severity};
use super::format::{File, Located};
use super::index::{Found, Names, Prefixes, Rule};
use super::pack::Pack;
use super::{Excluded, Indicator, Pattern, Vendor};
use crate::net::Addr;

/// Everything that is looked for.
#[derive(Debug, Default)]
pub struct Set {
    vendors: Vec<Vendor>,
    indicators: Vec<Arc<Indicator>>,
    excluded: Vec<Arc<Excluded>>,
    sources: Vec<Source>,
    names: Names,
    prefixes: Prefixes,
    packs: Vec<Lists>,
}

/// A pack, and the indicators of its lists.
#[derive(Debug)]
struct Lists {
    pack: Arc<Pack>,
    /// By the number of the list: the indicator's place in the set.
    indicators: Vec<u32>,
}

/// Where records came from: a file, or a pack.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source {
    pub name: Arc<str>,
    /// A pack's version; empty for a file, which its hash names well enough.
    pub version: String,
    /// SHA-256, in hexadecimal.
    pub hash: String,
}

/// A name or address that an indicator matches.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    pub indicator: &'a Arc<Indicator>,
    /// The part of the name that matched: the suffix, or the whole name.
    pub matched: &'a str,
}

/// What the set says about a name, exclusions included.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    Listed(Hit<'a>),
    /// The longest match is documented as nobody's sign.
    Excluded {
        record: &'a Arc<Excluded>,
        matched: &'a str,
    },
}

impl Set {
    /// Compiles files. Ids, numbers and patterns that two records share are refused.
    pub fn build(files: Vec<File>) -> Result<Self, Vec<Fault>> {
        Self::with_packs(files, Vec::new())
    }

    /// Compiles files, among them those of the packs whose lists they describe.
    pub fn with_packs(files: Vec<File>, packs: Vec<Arc<Pack>>) -> Result<Self, Vec<Fault>> {
        let mut faults = duplicates(&files);
        faults.extend(lists_without_names(&files, &packs));
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut set = Self::default();
        for file in files {
            set.sources.push(Source {
                name: Arc::clone(&file.name),
                version: String::new(),
                hash: hex(&file.digest),
            });
            if !file.extends {
                set.vendors.push(file.vendor.record);
            }
            set.indicators.extend(file.indicators.into_iter().map(|located| located.record));
            set.excluded.extend(file.excluded.into_iter().map(|located| located.record));
        }
        for pack in &packs {
            let manifest = pack.manifest();
            set.sources.push(Source {
                name: manifest.name.as_str().into(),
                version: manifest.version.clone(),
                hash: hex(pack.digest()),
            });
        }
        set.sources.sort();
        set.vendors.sort_by(|a, b| a.id.cmp(&b.id));
        set.indicators.sort_by(|a, b| a.id.cmp(&b.id));
        let patterns = || {
            let excluded = set.excluded.iter().map(|record| &record.pattern);
            let listed = set.indicators.iter().map(|record| &record.pattern);
            // The number of records is bounded by the text they were read from.
            excluded.zip((0..).map(Rule::Excluded)).chain(listed.zip((0..).map(Rule::Indicator)))
        };
        let (names, prefixes) = (Names::build(patterns()), Prefixes::build(patterns()));
        let packs = packs
            .into_iter()
            .map(|pack| {
                let indicators =
                    pack.manifest().lists.iter().map(|list| set.place(&list.indicator));
                Lists { indicators: indicators.collect(), pack }
            })
            .collect();
        Ok(Self { names, prefixes, packs, ..set })
    }

    /// The indicator of the longest matching suffix of `name` (printed form, see
    /// [`name`](crate::name)); none when an exclusion is longer.
    ///
    /// Reads each octet of the name at most once, up to the longest pattern; allocates nothing.
    #[must_use]
    #[inline]
    pub fn lookup<'a>(&'a self, name: &'a str) -> Option<Hit<'a>> {
        let found = self.longest(name)?;
        match found.rule {
            Rule::Indicator(at) => Some(Hit {
                indicator: &self.indicators[at as usize],
                matched: &name[found.start..],
            }),
            Rule::Excluded(_) => None,
        }
    }

    /// The indicator of the longest prefix that holds `addr`.
    #[must_use]
    #[inline]
    pub fn lookup_addr(&self, addr: Addr) -> Option<&Arc<Indicator>> {
        match self.prefixes.longest(addr)? {
            Rule::Indicator(at) => Some(&self.indicators[at as usize]),
            Rule::Excluded(_) => None,
        }
    }

    /// As [`Self::lookup`], but says when and why an exclusion wins.
    #[must_use]
    pub fn explain<'a>(&'a self, name: &'a str) -> Option<Verdict<'a>> {
        let Found { rule, start, .. } = self.longest(name)?;
        Some(self.verdict(rule, &name[start..]))
    }

    /// As [`Self::lookup_addr`], but says when and why an exclusion wins.
    #[must_use]
    pub fn explain_addr(&self, addr: Addr) -> Option<Verdict<'_>> {
        Some(self.verdict(self.prefixes.longest(addr)?, ""))
    }

    /// The vendors, by id.
    #[must_use]
    pub fn vendors(&self) -> &[Vendor] {
        &self.vendors
    }

    /// The vendor with this id.
    #[must_use]
    pub fn vendor(&self, id: &str) -> Option<&Vendor> {
        let at = self.vendors.binary_search_by(|vendor| (*vendor.id).cmp(id)).ok()?;
        Some(&self.vendors[at])
    }

    /// The indicators, by id.
    #[must_use]
    pub fn indicators(&self) -> &[Arc<Indicator>] {
        &self.indicators
    }

    /// The indicator with this id.
    #[must_use]
    pub fn indicator(&self, id: &str) -> Option<&Arc<Indicator>> {
        let at = self.indicators.binary_search_by(|indicator| (*indicator.id).cmp(id)).ok()?;
        Some(&self.indicators[at])
    }

    /// What is documented as nobody's sign.
    #[must_use]
    pub fn excluded(&self) -> &[Arc<Excluded>] {
        &self.excluded
    }

    /// Every name of every pack, with the indicator of its list.
    pub fn listed_names(&self) -> impl Iterator<Item = (String, &Arc<Indicator>)> {
        self.packs.iter().flat_map(|lists| self.names_of(lists))
    }

    /// The names of the packs that `other` does not have as well, with the indicator of their list.
    pub(super) fn names_apart_from<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (String, &'a Arc<Indicator>)> {
        let has = |set: &Self, pack: &Pack| {
            set.packs.iter().any(|lists| lists.pack.digest() == pack.digest())
        };
        let apart = self.packs.iter().filter(move |lists| !has(other, &lists.pack));
        apart.flat_map(|lists| self.names_of(lists))
    }

    /// Does the list of the indicator `id` hold `name` itself?
    pub(super) fn lists(&self, name: &str, id: &str) -> bool {
        self.packs.iter().any(|Lists { pack, .. }| {
            let lists = pack.manifest().lists.iter().enumerate();
            lists.filter(|(_, list)| list.indicator == id).any(|(at, _)| pack.holds(name, at))
        })
    }

    /// The packs that this set looks into.
    pub fn packs(&self) -> impl Iterator<Item = &Arc<Pack>> {
        self.packs.iter().map(|lists| &lists.pack)
    }

    /// The files and packs that this set was built from, by name.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// One hash over all sources: equal for equal contents, wherever they were read.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hashes: Vec<&str> = self.sources.iter().map(|source| &*source.hash).collect();
        hashes.sort_unstable();
        hex(&Sha256::digest(hashes.join("\n")).into())
    }

    fn names_of<'a>(
        &'a self,
        lists: &'a Lists,
    ) -> impl Iterator<Item = (String, &'a Arc<Indicator>)> {
        lists.pack.names().filter_map(|(name, list)| {
            let at = usize::try_from(*lists.indicators.get(list)?).ok()?;
            Some((name, self.indicators.get(at)?))
        })
    }

    /// What holds the longest suffix of `name`. Where a file and a pack say it of the same suffix,
    /// the file does: somebody wrote it by hand.
    #[inline]
    fn longest(&self, name: &str) -> Option<Found> {
        let mut longest = self.names.longest(name);
        for Lists { pack, indicators } in &self.packs {
            if let Some(listed) = pack.longest(name)
                && longest
                    .is_none_or(|found| (listed.start, !listed.exact) < (found.start, !found.exact))
                && let Some(&indicator) = indicators.get(listed.list)
            {
                let rule = Rule::Indicator(indicator);
                longest = Some(Found { rule, start: listed.start, exact: listed.exact });
            }
        }
        longest
    }

    /// The place of an indicator that is known to be there.
    fn place(&self, id: &str) -> u32 {
        let at = self.indicators.binary_search_by(|indicator| (*indicator.id).cmp(id));
        at.ok().and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
    }

    fn verdict<'a>(&'a self, rule: Rule, matched: &'a str) -> Verdict<'a> {
        match rule {
            Rule::Indicator(at) => {
                Verdict::Listed(Hit { indicator: &self.indicators[at as usize], matched })
            }
            Rule::Excluded(at) => {
                Verdict::Excluded { record: &self.excluded[at as usize], matched }
            }
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(octets: &[u8; 32]) -> String {
    octets.iter().fold(String::with_capacity(64), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Lists that are described but not there, and the reverse.
fn lists_without_names(files: &[File], packs: &[Arc<Pack>]) -> Vec<Fault> {
    let mut described = HashMap::new();
    for file in files {
        for located in &file.indicators {
            if let Pattern::Listed { exact, .. } = &located.record.pattern {
                described.insert(&*located.record.id, (file, located.line, *exact));
            }
        }
    }
    let mut faults = Vec::new();
    let mut there = std::collections::HashSet::new();
    for pack in packs {
        let manifest = pack.manifest();
        for list in &manifest.lists {
            let known =
                described.get(&*list.indicator).is_some_and(|&(.., exact)| exact == list.exact);
            if !known || !there.insert(&*list.indicator) {
                faults.push(Fault {
                    file: manifest.name.as_str().into(),
                    line: 1,
                    severity: Severity::Error,
                    key: "list".into(),
                    problem: format!("no record describes the list of {:?} alone", list.indicator),
                    advice: "build the pack anew, or take out the file that replaced its vendor"
                        .into(),
                });
            }
        }
    }
    for (id, (file, line, _)) in described {
        if !there.contains(id) {
            faults.push(Fault {
                file: Arc::clone(&file.name),
                line,
                severity: Severity::Error,
                key: "indicator.match".into(),
                problem: format!("the list of {id:?} is not there"),
                advice: "lists come in packs: see `vendorwatch signatures pack`".into(),
            });
        }
    }
    faults.sort();
    faults
}

/// Two records that claim the same id, number or pattern.
pub(super) fn duplicates(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut vendors = Seen::new("vendor.id");
    let mut ids = Seen::new("indicator.id");
    let mut numbers = Seen::new("indicator.number");
    let mut patterns = Seen::new("match");
    for file in files {
        let name = &file.name;
        let vendor = &file.vendor;
        if file.extends {
            let id = &vendor.record.id;
            if !files.iter().any(|other| !other.extends && other.vendor.record.id == *id) {
                faults.push(Fault {
                    file: Arc::clone(name),
                    line: vendor.line,
                    severity: Severity::Error,
                    key: "vendor.extends".to_owned(),
                    problem: format!("no other file describes {id:?}"),
                    advice: "describe the vendor here, or load the file that does".to_owned(),
                });
            }
        } else {
            faults.extend(vendors.claim(vendor.record.id.to_string(), name, vendor.line));
        }
        let mut listings = Seen::new("listing.id");
        for (listing, &line) in vendor.record.listings.iter().zip(&file.listing_lines) {
            faults.extend(listings.claim(listing.id.to_string(), name, line));
        }
        for Located { line, record } in &file.indicators {
            faults.extend(ids.claim(record.id.to_string(), name, *line));
            faults.extend(numbers.claim(record.number.to_string(), name, *line));
            faults.extend(patterns.claim(pattern_key(&record.pattern, name), name, *line));
        }
        for Located { line, record } in &file.excluded {
            faults.extend(patterns.claim(pattern_key(&record.pattern, name), name, *line));
        }
    }
    faults
}

/// Lists are named within their file; names and prefixes mean the same everywhere.
fn pattern_key(pattern: &Pattern, file: &Arc<str>) -> String {
    match pattern {
        Pattern::Listed { .. } => format!("{pattern} of {file}"),
        _ => pattern.to_string(),
    }
}

/// What was claimed, and where first.
struct Seen {
    key: &'static str,
    first: HashMap<String, (Arc<str>, usize)>,
}

impl Seen {
    fn new(key: &'static str) -> Self {
        Self { key, first: HashMap::new() }
    }

    fn claim(&mut self, value: String, file: &Arc<str>, line: usize) -> Option<Fault> {
        match self.first.entry(value) {
            Entry::Vacant(vacant) => {
                vacant.insert((Arc::clone(file), line));
                None
            }
            Entry::Occupied(occupied) => {
                let (first_file, first_line) = occupied.get();
                Some(Fault {
                    file: Arc::clone(file),
                    line,
                    severity: Severity::Error,
                    key: self.key.to_owned(),
                    problem: format!("{:?} is taken", occupied.key()),
                    advice: format!("{first_file}:{first_line} has it already"),
                })
            }
        }
    }
}
