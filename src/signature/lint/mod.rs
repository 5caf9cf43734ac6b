//! What `signatures check` says about files that can be read: faults of meaning.
//!
//! In: the records of all files. Out: every fault, with line and advice. The format has been
//! checked by then; here the question is whether a record would find what it says it finds, and
//! whether a reader could verify it.

mod shared;

use core::net::IpAddr;

use jiff::civil::Date;

use self::shared::Shared;
use super::exchange::Skipped;
use super::fault::{Fault, Severity};
use super::format::{File, Located};
use super::set::duplicates;
use super::{Class, Evidence, Indicator, Pattern, Purpose, Status, Strength, index, labels};
use crate::net::Addr;

/// Every fault of these files, in the order of files and lines.
#[must_use]
pub fn check(files: &[File]) -> Vec<Fault> {
    let mut faults = duplicates(files);
    for file in files {
        let mut report = Report { file, faults: &mut faults };
        if !file.extends {
            vendor(&mut report);
        }
        records(&mut report);
        redundant(&mut report);
    }
    faults.sort();
    faults
}

/// Every fault of the records of files that could be read in part: what depends on the records
/// that are missing is not asked.
#[must_use]
pub fn check_parts(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files {
        records(&mut Report { file, faults: &mut faults });
    }
    faults
}

fn records(report: &mut Report<'_>) {
    let file = report.file;
    for located in &file.indicators {
        indicator(report, located);
    }
    for Located { line, record } in &file.excluded {
        excluded_pattern(report, *line, &record.pattern);
        for evidence in &record.evidence {
            one_evidence(report, *line, evidence, "excluded.evidence");
        }
    }
}

/// Records whose `review_by` lies before `today`.
#[must_use]
pub fn overdue(files: &[File], today: Date) -> Vec<Fault> {
    let today = today.to_string();
    let mut faults = Vec::new();
    for file in files {
        let mut report = Report { file, faults: &mut faults };
        for Located { line, record } in &file.indicators {
            if record.review_by < today {
                report.warning(
                    *line,
                    "indicator.review_by",
                    format!("{} was to be reviewed by {}", record.id, record.review_by),
                    "look whether the source still says so, and set a new day",
                );
            }
        }
    }
    faults
}

/// May `name` stand in a list? What [`check`] asks of a record's name, for names by the million.
pub(super) fn admits(name: &str, exact: bool) -> Result<(), Skipped> {
    if !name.contains('.') || is_public_suffix(name, !exact) {
        Err(Skipped::PublicSuffix)
    } else if Shared::forbids(name, !exact).is_some() {
        Err(Skipped::Shared)
    } else {
        Ok(())
    }
}

/// Faults of one file.
struct Report<'a> {
    file: &'a File,
    faults: &'a mut Vec<Fault>,
}

impl Report<'_> {
    fn error(&mut self, line: usize, key: &str, problem: String, advice: &str) {
        self.push(Severity::Error, line, key, problem, advice);
    }

    fn warning(&mut self, line: usize, key: &str, problem: String, advice: &str) {
        self.push(Severity::Warning, line, key, problem, advice);
    }

    fn push(&mut self, severity: Severity, line: usize, key: &str, problem: String, advice: &str) {
        self.faults.push(Fault {
            file: self.file.name.clone(),
            line,
            severity,
            key: key.to_owned(),
            problem,
            advice: advice.to_owned(),
        });
    }
}

fn vendor(report: &mut Report<'_>) {
    let Located { line, record: vendor } = &report.file.vendor;
    let line = *line;
    if vendor.listings.is_empty() && vendor.default_enabled {
        report.error(
            line,
            "vendor.default_enabled",
            format!("{:?} is on, but no listing names it", vendor.id),
            "add the instrument that does, or set default_enabled = false with the reason",
        );
    }
    if report.file.indicators.is_empty() {
        report.warning(
            line,
            "indicator",
            format!("{:?} has none", vendor.id),
            "a vendor that cannot be recognised is never found: say so in the documentation",
        );
    }
    for (listing, &line) in vendor.listings.iter().zip(&report.file.listing_lines) {
        if listing.status_note.to_lowercase().contains("unverified") {
            report.error(
                line,
                "listing.status_note",
                format!("{} is not verified", listing.id),
                "verify it at its source, or leave the listing out",
            );
        }
        for source in &listing.source {
            if !is_url(source) {
                report.error(
                    line,
                    "listing.source",
                    format!("{source:?} of {} is no address", listing.id),
                    "cite where the instrument can be read, as https://…",
                );
            }
        }
        if listing.binding && listing.status == Status::NonBinding {
            report.error(
                line,
                "listing.binding",
                format!("{} is binding and has the status non-binding", listing.id),
                "one of the two is wrong",
            );
        }
    }
}

fn indicator(report: &mut Report<'_>, located: &Located<std::sync::Arc<Indicator>>) {
    let Located { line, record } = located;
    let line = *line;
    indicator_pattern(report, line, &record.pattern);
    if let Pattern::Prefix { .. } = record.pattern {
        if record.strength > Strength::Moderate {
            report.error(
                line,
                "indicator.strength",
                format!("{} is a prefix and strong", record.id),
                "addresses change hands: a prefix alone is moderate at most",
            );
        }
        if days_between(&record.first_seen, &record.review_by) > MAX_PREFIX_REVIEW_DAYS {
            report.error(
                line,
                "indicator.review_by",
                format!("{} is a prefix with a review far away", record.id),
                "addresses change hands: review within 100 days",
            );
        }
    } else if days_between(&record.first_seen, &record.review_by) > MAX_REVIEW_DAYS {
        report.error(
            line,
            "indicator.review_by",
            format!("{} is reviewed more than 400 days after it was first seen", record.id),
            "set an earlier day",
        );
    }
    if record.purpose == Purpose::Website && record.strength != Strength::Weak {
        report.error(
            line,
            "indicator.strength",
            format!("{} is a website and {}", record.id, record.strength.label()),
            "anybody with a browser goes there: write weak, or the purpose that the product has",
        );
    }
    if record.confounders.is_empty() {
        report.error(
            line,
            "indicator.confounders",
            format!("{} has none", record.id),
            "write what else could explain a match, one line each",
        );
    }
    for evidence in &record.evidence {
        one_evidence(report, line, evidence, "indicator.evidence");
    }
    let citable = |evidence: &Evidence| evidence.class != Class::B2;
    if !record.evidence.is_empty() && !record.evidence.iter().any(citable) {
        report.error(
            line,
            "indicator.evidence",
            format!("{} rests on class B2 alone", record.id),
            "find a source of class A, B1 or C beside the lead, or leave the record out",
        );
    }
}

fn one_evidence(report: &mut Report<'_>, line: usize, evidence: &Evidence, key: &str) {
    let reference = &evidence.reference;
    let (fits, advice) = match evidence.class {
        Class::A => (is_url(reference), "cite the vendor's page as https://…"),
        Class::B1 => (
            is_commit_reference(reference) || is_permanent_link(reference),
            "cite it as `owner/repository: path @ commit`, the commit in hexadecimal",
        ),
        Class::B2 | Class::C => (true, ""),
    };
    if !fits {
        let class = evidence.class.label();
        report.error(
            line,
            &format!("{key}.reference"),
            format!("{reference:?} is no reference of class {class}"),
            advice,
        );
    }
}

fn indicator_pattern(report: &mut Report<'_>, line: usize, pattern: &Pattern) {
    const KEY: &str = "indicator.match.value";
    let name = match pattern {
        Pattern::Prefix { address, length } => return prefix(report, line, *address, *length),
        Pattern::Listed { .. } => return,
        Pattern::Exact(name) | Pattern::Suffix(name) => name,
    };
    let is_suffix = matches!(pattern, Pattern::Suffix(_));
    // Every shared zone lies below a registry: that is not what is wrong with `com`.
    let shared = Shared::forbids(name, is_suffix).filter(|_| !is_registry(name));
    if let Some(zone) = shared {
        report.error(
            line,
            KEY,
            format!("{name:?} is shared infrastructure ({zone})"),
            "list the documented host below it, or the name that clients ask for",
        );
    } else if is_public_suffix(name, is_suffix) {
        report.error(
            line,
            KEY,
            format!("{name:?} is a public suffix"),
            "many firms register names below it: write the vendor's own zone",
        );
    } else if labels::count(name) < 2 {
        report.error(
            line,
            KEY,
            format!("{name:?} is a single label"),
            "write the whole name, as example.com",
        );
    }
}

fn excluded_pattern(report: &mut Report<'_>, line: usize, pattern: &Pattern) {
    const KEY: &str = "excluded.match.value";
    match pattern {
        // Shared zones are what exclusions are for; whole registries are not.
        Pattern::Exact(name) | Pattern::Suffix(name) => {
            if labels::count(name) < 2 || is_registry(name) {
                report.error(
                    line,
                    KEY,
                    format!("{name:?} is a public suffix"),
                    "an exclusion this wide would hide what other files list",
                );
            }
        }
        Pattern::Prefix { address, length } => prefix(report, line, *address, *length),
        Pattern::Listed { list, .. } => report.error(
            line,
            KEY,
            format!("list {list:?} cannot be excluded"),
            "write the names one by one",
        ),
    }
}

fn prefix(report: &mut Report<'_>, line: usize, address: IpAddr, length: u8) {
    const KEY: &str = "match.value";
    let shortest = if address.is_ipv4() { SHORTEST_V4 } else { SHORTEST_V6 };
    if length < shortest {
        report.error(
            line,
            KEY,
            format!("{address}/{length} is over-broad"),
            "write the documented blocks: /16 (IPv4) or /29 (IPv6) and longer",
        );
    }
    let (first, last) = index::range(Addr::from(address), length);
    for (special, special_length) in SPECIAL {
        let Ok(special) = special.parse::<IpAddr>() else { continue };
        if special.is_ipv4() != address.is_ipv4() {
            continue;
        }
        let (low, high) = index::range(Addr::from(special), *special_length);
        if first <= high && low <= last {
            report.error(
                line,
                KEY,
                format!("{address}/{length} lies in {special}/{special_length}"),
                "this block is nobody's (RFC 6890): take the record out",
            );
            return;
        }
    }
}

/// Records that say again what a shorter suffix of the same file says already.
fn redundant(report: &mut Report<'_>) {
    let file = report.file;
    let suffixes: std::collections::HashMap<&str, &Indicator> = file
        .indicators
        .iter()
        .filter_map(|located| match &located.record.pattern {
            Pattern::Suffix(name) => Some((name.as_str(), &*located.record)),
            _ => None,
        })
        .collect();
    let excluded: std::collections::HashSet<&str> =
        file.excluded.iter().filter_map(|located| located.record.pattern.name()).collect();
    for Located { line, record } in &file.indicators {
        let Some(name) = record.pattern.name() else { continue };
        let parent = ancestors(name).find_map(|parent| {
            let found = suffixes.get(parent).copied();
            if found.is_some() || excluded.contains(parent) { Some(found) } else { None }
        });
        if let Some(Some(parent)) = parent
            && (parent.purpose, parent.strength, &parent.product, &parent.signals, parent.cname)
                == (record.purpose, record.strength, &record.product, &record.signals, record.cname)
        {
            report.warning(
                *line,
                "indicator",
                format!("{} says no more than {}", record.id, parent.id),
                "take it out, or say what makes it different",
            );
        }
    }
}

/// The names above `name`, nearest first.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    core::iter::from_fn(move || {
        let first = labels::split(rest).next()?;
        rest = rest.get(first.len() + 1..)?;
        Some(rest)
    })
}

/// Is `name` a suffix below which anybody can register? A suffix of the list's private part is a
/// platform's: one host of it may be listed, all of it may not.
fn is_public_suffix(name: &str, as_suffix: bool) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| {
        suffix.is_known()
            && suffix.as_bytes() == name.as_bytes()
            && (as_suffix || suffix.typ() == Some(psl::Type::Icann))
    })
}

/// Is `name` a suffix that a registry runs?
fn is_registry(name: &str) -> bool {
    is_public_suffix(name, false)
}

fn is_url(text: &str) -> bool {
    text.strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .is_some_and(|rest| rest.contains('.') && !rest.contains(char::is_whitespace))
}

/// `owner/repository: path @ commit`.
fn is_commit_reference(text: &str) -> bool {
    let Some((repository, rest)) = text.split_once(": ") else { return false };
    let Some((path, commit)) = rest.rsplit_once(" @ ") else { return false };
    let is_name = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    repository.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
        && !path.trim().is_empty()
        && (7..=64).contains(&commit.len())
        && commit.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// A web address that holds a whole commit hash.
fn is_permanent_link(text: &str) -> bool {
    let is_hash =
        |part: &str| part.len() == 40 && part.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_url(text) && text.split('/').any(is_hash)
}

/// Days from one day to the other; the format has checked both.
fn days_between(from: &str, to: &str) -> i32 {
    match (from.parse::<Date>(), to.parse::<Date>()) {
        (Ok(from), Ok(to)) => from.until(to).map_or(0, |span| span.get_days()),
        _ => 0,
    }
}

/// A quarter and some days of grace.
const MAX_PREFIX_REVIEW_DAYS: i32 = 100;
/// A year and some days of grace.
const MAX_REVIEW_DAYS: i32 = 400;
const SHORTEST_V4: u8 = 16;
const SHORTEST_V6: u8 = 29;

/// Blocks that belong to no firm (RFC 6890 and its registries).
const SPECIAL: &[(&str, u8)] = &[
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.2.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("224.0.0.0", 3),
    ("::", 64),
    ("2001:db8::", 32),
    ("fc00::", 7),
    ("fe80::", 10),
    ("ff00::", 8),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_a_public_list_name_repository_path_and_commit() {
        assert!(is_commit_reference("v2fly/domain-list-community: data/huawei @ 0123abc"));
        assert!(!is_commit_reference("v2fly/domain-list-community: data/huawei"));
        assert!(!is_commit_reference("https://example.org/list @ 0123abc"));
        assert!(!is_commit_reference("v2fly: data/huawei @ 0123abc"));
        assert!(!is_commit_reference("v2fly/d: data/huawei @ main"));
    }

    #[test]
    fn public_suffixes_are_known_with_their_kind() {
        assert!(is_public_suffix("com", true));
        assert!(is_public_suffix("co.uk", false));
        assert!(is_public_suffix("github.io", true));
        assert!(!is_public_suffix("github.io", false));
        assert!(!is_public_suffix("kaspersky.com", true));
        assert!(!is_public_suffix("no-such-registry", true));
    }

    #[test]
    fn days_are_counted_over_months() {
        assert_eq!(days_between("2026-11-21", "2027-02-21"), 92);
        assert_eq!(days_between("2026-11-21", "2026-11-20"), -1);
    }

    #[test]
    fn ancestors_are_whole_labels() {
        assert!(ancestors("a.b\\.c.d").eq(["b\\.c.d", "d"]));
        assert!(ancestors("a").next().is_none());
    }
}
