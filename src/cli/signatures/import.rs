//! `signatures import`: names from other people's lists become a list of a vendor.
//!
//! What is written is a beginning: a signature file with one record for each kind of name found,
//! and the names beside it. Somebody who knows the source fills in what the list does not say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::super::Failure;
use super::SourceArgs;
use super::lines::{Line, each_line, open};
use super::whole::{self, Whole};
use crate::signature::exchange::document::{self, Kind};
use crate::signature::exchange::list::{self, Syntax};
use crate::signature::exchange::{Skipped, Taken};
use crate::signature::{Class, Pattern, Purpose, Set, Strength, format};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The list; - is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Id of the vendor that the names are said to belong to
    #[arg(long, value_name = "ID", value_parser = vendor_id)]
    vendor: String,
    /// How the list is written
    #[arg(long, value_enum)]
    format: Format,
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Where the list can be read, as a citation
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// What the list is called; the file's name when absent
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How good a source the list is
    #[arg(long, value_name = "CLASS", default_value = "C", value_parser = class)]
    class: Class,
    /// What the names are for, if one word fits all
    #[arg(long, value_name = "WORD", default_value = "cloud", value_parser = purpose)]
    purpose: Purpose,
    /// Which product asks for them
    #[arg(long, value_name = "TEXT", default_value = "unknown")]
    product: String,
    /// How strongly a match implies the product
    #[arg(long, value_name = "WORD", default_value = "weak", value_parser = strength)]
    strength: Strength,
    /// First event number; the next free one from 1900000 when absent
    #[arg(long, value_name = "NUMBER")]
    number: Option<u32>,
    /// Lines that are reported one by one; the others are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    show_skipped: usize,
    #[command(flatten)]
    sources: SourceArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// hosts(5): these hosts only
    Hosts,
    /// ||name^ rules, with the names below
    Adblock,
    /// A name a line, with the names below
    Domains,
    /// STIX 2.1 bundle
    Stix,
    /// MISP event or warning list
    Misp,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let set = args.sources.load()?;
    let mut found = Found { limit: args.show_skipped, ..Found::default() };
    match args.format {
        Format::Hosts => lines(args, Syntax::Hosts, &mut found)?,
        Format::Adblock => lines(args, Syntax::Adblock, &mut found)?,
        Format::Domains => lines(args, Syntax::Domains, &mut found)?,
        Format::Stix => whole(args, Kind::Stix, &mut found)?,
        Format::Misp => whole(args, Kind::Misp, &mut found)?,
    }
    found.report();
    if found.is_empty() {
        return Err(anyhow!("{}: no name to import", args.input.display()).into());
    }
    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let written = write(args, &set, &found)?;
    say!(
        "{} names and {} prefixes for {}: wrote {}",
        found.below.len() + found.exact.len(),
        found.prefixes.len(),
        args.vendor,
        written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    say!(
        "look over {}, then build a pack: vendorwatch signatures pack {}",
        written[0].display(),
        args.output.display()
    );
    let vendor = &args.vendor;
    if set.vendor(vendor).is_none_or(|known| !known.default_enabled) {
        say!(
            "{vendor} is off by default: nothing of it is reported without --signatures.enable {vendor}"
        );
    }
    Ok(())
}

/// What the list says, each once.
#[derive(Default)]
struct Found {
    below: BTreeSet<String>,
    exact: BTreeSet<String>,
    prefixes: BTreeSet<Pattern>,
    skipped: BTreeMap<String, u64>,
    shown: Vec<String>,
    limit: usize,
}

impl Found {
    fn take(&mut self, place: impl FnOnce() -> String, taken: Result<Taken, Skipped>) {
        match taken {
            Ok(Taken::Name { name, exact: false }) => {
                self.below.insert(name);
            }
            Ok(Taken::Name { name, exact: true }) => {
                self.exact.insert(name);
            }
            Ok(Taken::Prefix(pattern)) => {
                self.prefixes.insert(pattern);
            }
            Err(reason) => {
                *self.skipped.entry(reason.to_string()).or_default() += 1;
                if self.shown.len() < self.limit {
                    self.shown.push(format!("{}: {reason}: skipped", place()));
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn report(&self) {
        for line in &self.shown {
            say!("{line}");
        }
        let all: u64 = self.skipped.values().sum();
        let shown = u64::try_from(self.shown.len()).unwrap_or(u64::MAX);
        if all > shown {
            say!("{} more were skipped; by reason:", all - shown);
            for (reason, count) in &self.skipped {
                say!("  {count} {reason}");
            }
        }
    }
}

fn lines(args: &Args, syntax: Syntax, found: &mut Found) -> Result<(), Failure> {
    let name = args.input.display();
    each_line(&args.input, |Line { number, octets, .. }| {
        list::line(syntax, octets, &mut |taken| found.take(|| format!("{name}:{number}"), taken));
        Ok(())
    })
}

fn whole(args: &Args, kind: Kind, found: &mut Found) -> Result<(), Failure> {
    let name = args.input.display().to_string();
    let mut text = String::new();
    open(&args.input)?
        .0
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    document::read(kind, &text, &mut |place, taken| {
        found.take(|| format!("{name}: {place}"), taken);
    })
    .map_err(|error| anyhow!("{name}: {error}").into())
}

/// The signature file first, then the lists that it speaks of.
fn write(args: &Args, set: &Set, found: &Found) -> anyhow::Result<Vec<PathBuf>> {
    let title = match (&args.title, args.input.file_name()) {
        (Some(title), _) => title.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => "standard input".to_owned(),
    };
    let mut records = Records {
        args,
        title,
        today: jiff::Zoned::now().date(),
        next: Numbers { set, next: args.number.unwrap_or(OWN_NUMBERS) },
        text: head(args, set),
    };
    let record = args.output.join(format!("{}-import.toml", args.vendor));
    check_place(&record, &args.reference)?;
    let mut written = vec![record];
    for (kind, word, names) in
        [("list", "names", &found.below), ("host-list", "hosts", &found.exact)]
    {
        if names.is_empty() {
            continue;
        }
        let list = format!("{}.{word}", args.vendor);
        records.record(word, kind, &list, args.strength, 180)?;
        let path = args.output.join(&list);
        let mut out = Whole::create(&path)?;
        for name in names {
            writeln!(out, "{name}").with_context(|| format!("cannot write {}", path.display()))?;
        }
        out.finish()?;
        written.push(path);
    }
    for (number, pattern) in found.prefixes.iter().enumerate() {
        let strength = args.strength.min(Strength::Moderate);
        let word = format!("prefix-{}", number + 1);
        records.record(&word, pattern.kind(), &pattern.value(), strength, 90)?;
    }
    whole::write(&written[0], records.text.as_bytes())?;
    Ok(written)
}

/// The same list may be imported again; another would take the place of its names.
fn check_place(record: &Path, reference: &str) -> anyhow::Result<()> {
    let text = match fs::read_to_string(record) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("cannot read {}", record.display()))?,
    };
    if text.contains(&format!("reference = {},", quoted(reference))) {
        return Ok(());
    }
    bail!(
        "{}: an import of another list is there; name another directory with --output",
        record.display()
    )
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A vendor that is known is extended; another must be described.
fn head(args: &Args, set: &Set) -> String {
    let id = &args.vendor;
    if set.vendor(id).is_some() {
        return format!("[vendor]\nid = {id:?}\nextends = true\n");
    }
    format!(
        "[vendor]\nid = {id:?}\nname = {id:?}\ncountry = \"ZZ\"\ndefault_enabled = false\n\
         disabled_reason = \"imported, and nobody has looked at it yet\"\n"
    )
}

struct Records<'a> {
    args: &'a Args,
    title: String,
    today: jiff::civil::Date,
    next: Numbers<'a>,
    text: String,
}

impl Records<'_> {
    fn record(
        &mut self,
        word: &str,
        kind: &str,
        value: &str,
        strength: Strength,
        review_days: i64,
    ) -> anyhow::Result<()> {
        use std::fmt::Write as _;
        let Args { vendor, purpose, product, reference, class, .. } = self.args;
        let number = self.next.take()?;
        let review = self.today.checked_add(jiff::Span::new().days(review_days))?;
        write!(
            self.text,
            "\n[[indicator]]\nid = \"{vendor}.import.{word}\"\nnumber = {number}\n\
             match = {{ kind = {kind:?}, value = {value:?} }}\npurpose = \"{}\"\nproduct = {}\n\
             strength = \"{}\"\nconfounders = [\"whatever else the list holds\"]\n\
             evidence = [\n  {{ class = \"{}\", title = {}, reference = {}, retrieved = \"{}\", \
             says = \"listed\" }},\n]\nfirst_seen = \"{}\"\nreview_by = \"{review}\"\n",
            purpose.label(),
            quoted(product),
            strength.label(),
            class.label(),
            quoted(&self.title),
            quoted(reference),
            self.today,
            self.today,
        )?;
        Ok(())
    }
}

/// Event numbers that no indicator of the set has.
struct Numbers<'a> {
    set: &'a Set,
    next: u32,
}

impl Numbers<'_> {
    fn take(&mut self) -> anyhow::Result<u32> {
        while self.set.indicators().iter().any(|indicator| indicator.number == self.next) {
            self.next += 1;
        }
        if !crate::signature::format::NUMBERS.contains(&self.next) {
            let (least, most) = (format::NUMBERS.start(), format::NUMBERS.end());
            bail!(
                "{} is no event number; give one from {least} to {most} with --number",
                self.next
            );
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

/// It becomes a part of the names of files, too.
fn vendor_id(word: &str) -> Result<String, String> {
    if format::is_vendor_id(word) {
        Ok(word.to_owned())
    } else {
        Err("an id is lower-case letters, digits, and hyphens between them".to_owned())
    }
}

fn class(word: &str) -> Result<Class, String> {
    Class::from_label(word).ok_or_else(|| format!("one of {}", Class::LABELS.join(", ")))
}

fn purpose(word: &str) -> Result<Purpose, String> {
    Purpose::from_label(word).ok_or_else(|| format!("one of {}", Purpose::LABELS.join(", ")))
}

fn strength(word: &str) -> Result<Strength, String> {
    Strength::from_label(word).ok_or_else(|| format!("one of {}", Strength::LABELS.join(", ")))
}

/// Where numbers of files outside the repository begin.
const OWN_NUMBERS: u32 = 1_900_000;
