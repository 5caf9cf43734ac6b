//! The file format: one TOML file a vendor, read strictly.
//!
//! In: a file's name and text. Out: its records, or every fault with line, key and advice. What
//! one file alone can show is checked here; what needs the others, or the public suffix list, is
//! checked by [`lint`](super::lint).
//!
//! Format and reasons are described in [`manual::signatures`](crate::manual::signatures).

mod table;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use self::table::{Reader, Table};
use super::fault::Fault;
use super::{
    Class, Evidence, Excluded, Indicator, Listing, Pattern, Purpose, Regulates, Status, Strength,
    Vendor,
};
use crate::inspect::Signal;

/// What one file says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    pub name: Arc<str>,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
    pub vendor: Located<Vendor>,
    /// The file adds records to a vendor that another file describes; of `vendor` only the id
    /// means anything.
    pub extends: bool,
    /// Where the vendor's listings begin, in their order.
    pub listing_lines: Vec<usize>,
    pub indicators: Vec<Located<Arc<Indicator>>>,
    pub excluded: Vec<Located<Arc<Excluded>>>,
}

/// A record and the line on which it begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located<T> {
    pub line: usize,
    pub record: T,
}

/// Event numbers lie in the range that rule writers leave to local rules.
pub const NUMBERS: core::ops::RangeInclusive<u32> = 1_000_000..=1_999_999;

/// Reads a file. Faults are in the order of their lines.
pub fn parse(name: &str, text: &str) -> Result<File, Vec<Fault>> {
    match parse_part(name, text) {
        (Some(file), faults) if faults.is_empty() => Ok(file),
        (_, faults) => Err(faults),
    }
}

/// Reads as much of a file as can be read: its faults, and the records that have none.
#[must_use]
pub fn parse_part(name: &str, text: &str) -> (Option<File>, Vec<Fault>) {
    let mut reader = Reader::new(name, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        reader.fault(offset, "", error.message(), "see the TOML specification, toml.io");
    }
    banned_words(&mut reader, text);
    // What the recovery made of broken syntax would only repeat the fault in other words.
    let file = if errors.is_empty() { read_file(&mut reader, name, root.get_ref()) } else { None };
    reader.faults.sort();
    let file = file.map(|file| File { digest: Sha256::digest(text).into(), ..file });
    (file, reader.faults)
}

/// Reads many files; the faults are those of all of them.
pub fn parse_all<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<File>, Vec<Fault>> {
    let mut read = Vec::new();
    let mut faults = Vec::new();
    for (name, text) in files {
        match parse(name, text) {
            Ok(file) => read.push(file),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

fn read_file(reader: &mut Reader, name: &str, root: &DeTable<'_>) -> Option<File> {
    let mut root = Table::new("", 0, root);
    let (listing_lines, listings): (Vec<usize>, Vec<Listing>) = root
        .tables(reader, "listing")
        .into_iter()
        .filter_map(|table| Some((reader.line(table.offset), listing(reader, table)?)))
        .unzip();
    let vendor = root.table(reader, "vendor").and_then(|table| vendor(reader, table, listings));
    let extends = vendor.as_ref().is_some_and(|(_, extends)| *extends);
    let vendor = vendor.map(|(vendor, _)| vendor);
    if extends && !listing_lines.is_empty() {
        reader.fault(
            0,
            "listing",
            "stands in a file that extends a vendor",
            "listings belong in the file that describes the vendor",
        );
    }
    let vendor_id = vendor.as_ref().map(|vendor| Arc::clone(&vendor.record.id));
    // Without the vendor's id the records are read all the same, for their faults.
    let id = vendor_id.unwrap_or_else(|| "".into());
    let indicators = root
        .tables(reader, "indicator")
        .into_iter()
        .filter_map(|table| indicator(reader, table, &id))
        .collect();
    let excluded = root
        .tables(reader, "excluded")
        .into_iter()
        .filter_map(|table| excluded(reader, table, &id))
        .collect();
    root.finish(reader);
    Some(File {
        name: name.into(),
        digest: [0; 32],
        vendor: vendor?,
        extends,
        listing_lines,
        indicators,
        excluded,
    })
}

fn vendor(
    reader: &mut Reader,
    mut table: Table<'_, '_>,
    listings: Vec<Listing>,
) -> Option<(Located<Vendor>, bool)> {
    let line = reader.line(table.offset);
    let id = identifier(reader, &mut table, "id", is_joint_of_vendors);
    if table.boolean_or(reader, "extends", false) {
        table.finish(reader);
        let record = Vendor {
            id: id?.into(),
            name: String::new(),
            country: String::new(),
            affiliates: Vec::new(),
            default_enabled: false,
            disabled_reason: String::new(),
            listings: Vec::new(),
        };
        return Some((Located { line, record }, true));
    }
    let name = table.text(reader, "name");
    let country = table.text(reader, "country");
    if let Some(country) = &country
        && !(country.len() == 2 && country.bytes().all(|octet| octet.is_ascii_uppercase()))
    {
        table.fault(
            reader,
            "country",
            format!("{country:?} is no country code"),
            "write two capital letters (ISO 3166-1 alpha-2)",
        );
    }
    let affiliates = table.texts(reader, "affiliates");
    let default_enabled = table.boolean(reader, "default_enabled");
    let disabled_reason = table.text_or_empty(reader, "disabled_reason");
    match default_enabled {
        Some(false) if disabled_reason.trim().is_empty() => {
            table.fault(
                reader,
                "disabled_reason",
                "is missing",
                "say why the vendor is off by default",
            );
        }
        Some(true) if !disabled_reason.is_empty() => {
            table.fault(
                reader,
                "disabled_reason",
                "is set for a vendor that is on",
                "take it out, or set default_enabled = false",
            );
        }
        _ => {}
    }
    table.finish(reader);
    let record = Vendor {
        id: id?.into(),
        name: name?,
        country: country?,
        affiliates,
        default_enabled: default_enabled?,
        disabled_reason,
        listings,
    };
    Some((Located { line, record }, false))
}

fn listing(reader: &mut Reader, mut table: Table<'_, '_>) -> Option<Listing> {
    let id = identifier(reader, &mut table, "id", |octet| matches!(octet, b'-' | b'.'));
    let jurisdiction = table.text(reader, "jurisdiction");
    if let Some(text) = &jurisdiction
        && !text.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'-')
    {
        table.fault(
            reader,
            "jurisdiction",
            format!("{text:?} is no jurisdiction"),
            "write capital letters, as US, EU, GB or US-TX",
        );
    }
    let instrument = table.text(reader, "instrument");
    let issuer = table.text(reader, "issuer");
    let date = date(reader, &mut table, "date", Precision::Year);
    let binding = table.boolean(reader, "binding");
    let names_vendor = table.boolean(reader, "names_vendor");
    let regulates = table.words(reader, "regulates", Regulates::from_label, &Regulates::LABELS);
    if regulates.is_empty() {
        table.fault(
            reader,
            "regulates",
            "is empty or missing",
            "say what the instrument speaks about, as [\"use\"]",
        );
    }
    let scope = table.text(reader, "scope");
    let status = table.word(reader, "status", Status::from_label, &Status::LABELS);
    let status_note = table.text_or_empty(reader, "status_note");
    let status_checked = date_of_day(reader, &mut table, "status_checked");
    let source = table.texts(reader, "source");
    if source.is_empty() {
        table.fault(
            reader,
            "source",
            "is empty or missing",
            "cite where the instrument can be read",
        );
    }
    let counter_evidence = table.texts(reader, "counter_evidence");
    table.finish(reader);
    Some(Listing {
        id: id?.into(),
        jurisdiction: jurisdiction?,
        instrument: instrument?,
        issuer: issuer?,
        date: date?,
        binding: binding?,
        names_vendor: names_vendor?,
        regulates,
        scope: scope?,
        status: status?,
        status_note,
        status_checked: status_checked?,
        source,
        counter_evidence,
    })
}

fn indicator(
    reader: &mut Reader,
    mut table: Table<'_, '_>,
    vendor: &Arc<str>,
) -> Option<Located<Arc<Indicator>>> {
    let line = reader.line(table.offset);
    let id = identifier(reader, &mut table, "id", |octet| matches!(octet, b'-' | b'.' | b'_'));
    if let Some(id) = &id
        && !vendor.is_empty()
        && id.strip_prefix(&**vendor).is_none_or(|rest| !rest.starts_with('.'))
    {
        let advice = format!("begin it with \"{vendor}.\"");
        table.fault(reader, "id", format!("{id:?} does not name its vendor"), advice);
    }
    let number = table.number(reader, "number");
    if let Some(number) = number
        && !NUMBERS.contains(&number)
    {
        let advice = format!("choose one from {} to {}", NUMBERS.start(), NUMBERS.end());
        table.fault(reader, "number", format!("{number} is out of range"), advice);
    }
    let pattern = pattern(reader, &mut table);
    let purpose = table.word(reader, "purpose", Purpose::from_label, &Purpose::LABELS);
    let product = table.text(reader, "product");
    let strength = table.word(reader, "strength", Strength::from_label, &Strength::LABELS);
    let signals =
        table.words(reader, "signals", Signal::from_label, &Signal::ALL.map(Signal::label));
    if let Some(Pattern::Prefix { .. }) = pattern
        && signals.iter().any(|&signal| signal != Signal::IpPrefix)
    {
        table.fault(
            reader,
            "signals",
            "names a signal of names for a prefix",
            "leave it out: a prefix matches addresses",
        );
    }
    let cname = table.boolean_or(reader, "cname", false);
    let evidence = evidence(reader, &mut table, true);
    let confounders = table.texts(reader, "confounders");
    let note = table.text_or_empty(reader, "note");
    let first_seen = date_of_day(reader, &mut table, "first_seen");
    let review_by = date_of_day(reader, &mut table, "review_by");
    if let (Some(first_seen), Some(review_by)) = (&first_seen, &review_by)
        && review_by <= first_seen
    {
        table.fault(
            reader,
            "review_by",
            "is not after first_seen",
            "set the day on which somebody should look again",
        );
    }
    table.finish(reader);
    let record = Indicator {
        id: id?.into(),
        number: number?,
        vendor: Arc::clone(vendor),
        product: product?.into(),
        pattern: pattern?,
        purpose: purpose?,
        strength: strength?,
        signals,
        cname,
        evidence,
        confounders,
        note,
        first_seen: first_seen?,
        review_by: review_by?,
    };
    Some(Located { line, record: Arc::new(record) })
}

fn excluded(
    reader: &mut Reader,
    mut table: Table<'_, '_>,
    vendor: &Arc<str>,
) -> Option<Located<Arc<Excluded>>> {
    let line = reader.line(table.offset);
    let pattern = pattern(reader, &mut table);
    let reason = table.text(reader, "reason");
    let evidence = evidence(reader, &mut table, false);
    table.finish(reader);
    let record =
        Excluded { vendor: Arc::clone(vendor), pattern: pattern?, reason: reason?, evidence };
    Some(Located { line, record: Arc::new(record) })
}

fn pattern(reader: &mut Reader, table: &mut Table<'_, '_>) -> Option<Pattern> {
    let mut inner = table.table(reader, "match")?;
    let kind = inner.text(reader, "kind");
    let value = inner.text(reader, "value");
    let pattern = match (&kind, &value) {
        (Some(kind), Some(value)) => match Pattern::parse(kind, value) {
            Ok(pattern) => Some(pattern),
            Err(bad) => {
                let (key, text) = match bad {
                    super::pattern::BadPattern::Kind => ("kind", kind),
                    _ => ("value", value),
                };
                inner.fault(reader, key, format!("{text:?} {bad}"), bad.advice());
                None
            }
        },
        _ => None,
    };
    inner.finish(reader);
    pattern
}

fn evidence(reader: &mut Reader, table: &mut Table<'_, '_>, needed: bool) -> Vec<Evidence> {
    let mut all = Vec::new();
    let given = table.tables(reader, "evidence");
    if given.is_empty() && needed {
        table.fault(
            reader,
            "evidence",
            "is empty or missing",
            "cite who documents this endpoint, or leave the record out",
        );
    }
    for mut inner in given {
        let class = match inner.text(reader, "class").as_deref() {
            Some("D") => {
                inner.fault(
                    reader,
                    "class",
                    "\"D\" is unverified",
                    "find a source of class A, B1 or C, or leave the record out",
                );
                None
            }
            Some(text) => {
                let class = Class::from_label(text);
                if class.is_none() {
                    inner.fault(
                        reader,
                        "class",
                        format!("{text:?} is not known"),
                        format!("known here: {}", Class::LABELS.join(", ")),
                    );
                }
                class
            }
            None => None,
        };
        let title = inner.text(reader, "title");
        let reference = inner.text(reader, "reference");
        let retrieved = date_of_day(reader, &mut inner, "retrieved");
        let says = inner.text(reader, "says");
        inner.finish(reader);
        if let (Some(class), Some(title), Some(reference), Some(retrieved), Some(says)) =
            (class, title, reference, retrieved, says)
        {
            all.push(Evidence { class, title, reference, retrieved, says });
        }
    }
    all
}

/// Words that judge: a signature says what was contacted and where that is documented.
fn banned_words(reader: &mut Reader, text: &str) {
    let is_letter = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_alphabetic);
    let lower = text.to_ascii_lowercase();
    for word in BANNED_WORDS {
        for (at, _) in lower.match_indices(word) {
            let before = at.checked_sub(1).and_then(|before| lower.as_bytes().get(before));
            if is_letter(before) || is_letter(lower.as_bytes().get(at + word.len())) {
                continue;
            }
            reader.fault(
                at,
                "",
                format!("{word:?} is a judgement"),
                "say what the source documents, in neutral words",
            );
        }
    }
}

/// Never in data or output: the facts must stand without them.
pub const BANNED_WORDS: [&str; 5] =
    ["malicious", "spyware", "compromised", "confirmed", "exfiltration"];

/// A stable id: lower-case letters, digits and what `joint` allows between them.
fn identifier(
    reader: &mut Reader,
    table: &mut Table<'_, '_>,
    key: &'static str,
    joint: impl Fn(u8) -> bool,
) -> Option<String> {
    let text = table.text(reader, key)?;
    if !is_identifier(&text, joint) {
        table.fault(
            reader,
            key,
            format!("{text:?} is no id"),
            "ids are quoted in labels: lower-case letters, digits and single joints between them",
        );
        return None;
    }
    Some(text)
}

fn is_identifier(text: &str, joint: impl Fn(u8) -> bool) -> bool {
    let is_plain = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    let octets = text.as_bytes();
    octets.iter().all(|&octet| is_plain(&octet) || joint(octet))
        && octets.first().is_some_and(is_plain)
        && octets.last().is_some_and(is_plain)
}

/// Could this be the id of a vendor?
#[must_use]
pub fn is_vendor_id(text: &str) -> bool {
    is_identifier(text, is_joint_of_vendors)
}

const fn is_joint_of_vendors(octet: u8) -> bool {
    octet == b'-'
}

/// How much of a date a source must tell.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Precision {
    Year,
    Day,
}

fn date_of_day(
    reader: &mut Reader,
    table: &mut Table<'_, '_>,
    key: &'static str,
) -> Option<String> {
    date(reader, table, key, Precision::Day)
}

fn date(
    reader: &mut Reader,
    table: &mut Table<'_, '_>,
    key: &'static str,
    precision: Precision,
) -> Option<String> {
    let text = table.text(reader, key)?;
    if is_date(&text, precision) {
        return Some(text);
    }
    let form = match precision {
        Precision::Day => "write it as \"2026-11-21\"",
        Precision::Year => "write it as \"2017-12-12\", or \"2017-12\" or \"2017\"",
    };
    table.fault(reader, key, format!("{text:?} is no date"), form);
    None
}

fn is_date(text: &str, precision: Precision) -> bool {
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let padded = match text.len() {
        4 if precision == Precision::Year => format!("{text}-01-01"),
        7 if precision == Precision::Year => format!("{text}-01"),
        _ => text.to_owned(),
    };
    let mut parts = padded.split('-');
    let shaped = [4, 2, 2].iter().all(|&len| parts.next().is_some_and(|part| digits(part, len)))
        && parts.next().is_none();
    shaped && padded.parse::<jiff::civil::Date>().is_ok()
}
