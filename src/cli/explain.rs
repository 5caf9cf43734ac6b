//! `vendorwatch match`: which documented endpoint a name or address is, and who says so.

use std::io::{self, BufRead, BufWriter, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::Failure;
use super::signatures::{Format, SourceArgs};
use crate::name;
use crate::net::Addr;
use crate::signature::pattern::{BadPattern, canonical_name};
use crate::signature::{Evidence, Excluded, Indicator, Listing, Set, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names or addresses; - reads them from standard input, one a line
    #[arg(required = true, value_name = "NAME|ADDRESS")]
    names: Vec<String>,
    /// How to print: an account for a person, a line a name, or a JSON object a name
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    sources: SourceArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let set = args.sources.load()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut answerer = Answerer { set: &set, format: args.format, printed: String::new() };
    for name in &args.names {
        if name == "-" {
            answerer.lines(io::stdin().lock(), &mut out)?;
        } else {
            answerer.answer(name.as_bytes(), &mut out)?;
        }
    }
    out.flush()?;
    Ok(())
}

struct Answerer<'a> {
    set: &'a Set,
    format: Format,
    /// The name at hand in its printed form; kept for its buffer.
    printed: String,
}

impl Answerer<'_> {
    /// Answers each line; empty ones are no names.
    fn lines(&mut self, mut input: impl BufRead, out: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without end is taken in pieces rather than kept whole.
            let mut limited = io::Read::take(&mut input, MAX_LINE);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let name = line.trim_ascii();
            if !name.is_empty() {
                self.answer(name, out)?;
            }
        }
    }

    fn answer(&mut self, given: &[u8], out: &mut impl Write) -> io::Result<()> {
        let address = core::str::from_utf8(given).ok().and_then(|text| text.parse().ok());
        name::normalise_text(&mut self.printed, given);
        let verdict = match address {
            Some(address) => self.set.explain_addr(IpAddr::into(address)),
            None => self.set.explain(&self.printed),
        };
        match self.format {
            Format::Tsv => tsv(given, &self.printed, verdict, out),
            Format::Json => json(self.set, &self.printed, verdict, out),
            Format::Table => {
                account(self.set, &self.printed, address.map(Addr::from), verdict, out)?;
                if verdict.is_none() && address.is_none() {
                    doubt(given, &self.printed, out)?;
                }
                writeln!(out)
            }
        }
    }
}

/// The name as it was given, so that the lines can be joined with their source; a name with
/// octets that would break the line in its printed form.
fn tsv(
    given: &[u8],
    printed: &str,
    verdict: Option<Verdict<'_>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = match core::str::from_utf8(given) {
        Ok(text) if !text.contains(char::is_control) => text,
        _ => printed,
    };
    match verdict {
        Some(Verdict::Listed(hit)) => {
            let Indicator { vendor, id, purpose, strength, .. } = &**hit.indicator;
            writeln!(out, "{name}\t{vendor}\t{id}\t{}\t{}", purpose.label(), strength.label())
        }
        Some(Verdict::Excluded { .. }) | None => writeln!(out, "{name}\t-\t-\t-\t-"),
    }
}

fn json(
    set: &Set,
    name: &str,
    verdict: Option<Verdict<'_>>,
    out: &mut impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        name: &'a str,
        /// The part of the name that matched; absent where nothing did.
        #[serde(skip_serializing_if = "Option::is_none")]
        matched: Option<&'a str>,
        vendor: Option<&'a str>,
        indicator: Option<&'a Indicator>,
        #[serde(skip_serializing_if = "Option::is_none")]
        excluded: Option<&'a Excluded>,
        listings: &'a [Listing],
    }
    let mut line =
        Line { name, matched: None, vendor: None, indicator: None, excluded: None, listings: &[] };
    match verdict {
        Some(Verdict::Listed(hit)) => {
            line.matched = Some(hit.matched);
            line.vendor = Some(&hit.indicator.vendor);
            line.indicator = Some(hit.indicator);
            if let Some(vendor) = set.vendor(&hit.indicator.vendor) {
                line.listings = &vendor.listings;
            }
        }
        Some(Verdict::Excluded { record, matched }) => {
            line.matched = Some(matched);
            line.excluded = Some(record);
        }
        None => {}
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Everything a person needs to judge for himself.
fn account(
    set: &Set,
    name: &str,
    address: Option<Addr>,
    verdict: Option<Verdict<'_>>,
    out: &mut impl Write,
) -> io::Result<()> {
    match address {
        Some(address) => writeln!(out, "{address}")?,
        None => writeln!(out, "{name}")?,
    }
    match verdict {
        None => writeln!(out, "  no indicator matches")?,
        Some(Verdict::Excluded { record, .. }) => {
            writeln!(out, "  no indicator: {} is excluded", record.pattern)?;
            field(out, "reason", &record.reason)?;
            cite(out, &record.evidence)?;
        }
        Some(Verdict::Listed(hit)) => indicator(set, hit.indicator, out)?,
    }
    Ok(())
}

/// What was typed is not always what clients ask for: that nothing matches may say nothing of the
/// vendor.
fn doubt(given: &[u8], printed: &str, out: &mut impl Write) -> io::Result<()> {
    let Ok(text) = core::str::from_utf8(given) else { return Ok(()) };
    match canonical_name(text) {
        Ok(wire) if wire != printed => {
            field(out, "but", &format!("it was asked for as it stands; on the wire it is {wire}"))
        }
        Ok(_) => Ok(()),
        Err(why @ BadPattern::NotAName) => {
            field(out, "but", &format!("it {why}; {}", why.advice()))
        }
        Err(why) => field(out, "but", &format!("it {why}")),
    }
}

/// An indicator with all that stands behind it.
pub(super) fn indicator(set: &Set, indicator: &Indicator, out: &mut impl Write) -> io::Result<()> {
    let vendor = set.vendor(&indicator.vendor);
    let name = vendor.map_or(&*indicator.vendor, |vendor| &vendor.name);
    field(out, "vendor", &format!("{name} ({})", indicator.vendor))?;
    field(out, "product", &indicator.product)?;
    field(out, "indicator", &format!("{} (event {})", indicator.id, indicator.number))?;
    field(out, "matches", &indicator.pattern.to_string())?;
    field(out, "purpose", indicator.purpose.label())?;
    field(
        out,
        "strength",
        &format!("{}: {}", indicator.strength.label(), indicator.strength.meaning()),
    )?;
    if !indicator.signals.is_empty() {
        let signals: Vec<_> = indicator.signals.iter().map(|signal| signal.label()).collect();
        field(out, "only as", &signals.join(", "))?;
    }
    if indicator.cname {
        field(out, "also as", "link of a CNAME chain")?;
    }
    cite(out, &indicator.evidence)?;
    for confounder in &indicator.confounders {
        field(out, "but also", confounder)?;
    }
    if !indicator.note.is_empty() {
        field(out, "note", &indicator.note)?;
    }
    field(out, "review by", &indicator.review_by)?;
    if let Some(vendor) = vendor {
        if !vendor.default_enabled {
            field(out, "off", &format!("by default: {}", vendor.disabled_reason))?;
        }
        for listing in &vendor.listings {
            listed(out, listing)?;
        }
    }
    Ok(())
}

/// One instrument and what it says.
pub(super) fn listed(out: &mut impl Write, listing: &Listing) -> io::Result<()> {
    let regulates: Vec<_> = listing.regulates.iter().map(|word| word.label()).collect();
    field(
        out,
        "listing",
        &format!(
            "{}: {}, {} ({}) [{}]",
            listing.jurisdiction, listing.instrument, listing.issuer, listing.date, listing.id
        ),
    )?;
    field(
        out,
        "",
        &format!(
            "{} on {}; {}; speaks about {}{}",
            listing.status.label(),
            listing.status_checked,
            if listing.binding { "binding" } else { "not binding" },
            regulates.join(", "),
            if listing.names_vendor { "" } else { "; names no vendor" },
        ),
    )?;
    field(out, "", &format!("scope: {}", listing.scope))?;
    for source in &listing.source {
        field(out, "", source)?;
    }
    for counter in &listing.counter_evidence {
        field(out, "", &format!("against it: {counter}"))?;
    }
    Ok(())
}

fn cite(out: &mut impl Write, evidence: &[Evidence]) -> io::Result<()> {
    for Evidence { class, title, reference, retrieved, says } in evidence {
        field(out, "evidence", &format!("{} {title}: {says}", class.label()))?;
        field(out, "", &format!("{reference} (read {retrieved})"))?;
    }
    Ok(())
}

fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<10} {value}")
}

/// Octets of a line of standard input that are taken as one name: more than any printed name has.
const MAX_LINE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::embedded;

    fn answers(format: Format, input: &[u8]) -> String {
        let set = Set::build(embedded::files().unwrap()).unwrap();
        let mut out = Vec::new();
        Answerer { set: &set, format, printed: String::new() }.lines(input, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_a_name_in_the_order_given() {
        let lines = answers(
            Format::Tsv,
            b"example.com\nS03.UPD.Kaspersky.com.\n\n  xupd.kaspersky.com.example \na\tb\n\xff.com",
        );
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines[0], "example.com\t-\t-\t-\t-");
        assert!(lines[1].starts_with("S03.UPD.Kaspersky.com.\tkaspersky\tkaspersky.update"));
        assert!(lines[1].ends_with("\tupdate\tstrong"));
        assert_eq!(lines[2], "xupd.kaspersky.com.example\t-\t-\t-\t-");
        assert_eq!(lines[3], "a\\009b\t-\t-\t-\t-");
        assert_eq!(lines[4], "\\255.com\t-\t-\t-\t-");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn the_account_names_indicator_evidence_and_listings() {
        let text = answers(Format::Table, b"s03.upd.kaspersky.com");
        for part in ["kaspersky.update", "evidence", "https://", "listing", "US:"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(answers(Format::Table, b"192.0.2.1").contains("no indicator matches"));
    }

    #[test]
    fn json_is_an_object_a_line() {
        let text = answers(Format::Json, b"s03.upd.kaspersky.com\nexample.com\n");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["vendor"], "kaspersky");
        assert_eq!(lines[0]["indicator"]["match"]["kind"], "suffix");
        assert!(lines[0]["listings"].as_array().is_some_and(|all| !all.is_empty()));
        assert!(lines[1]["indicator"].is_null());
    }
}
