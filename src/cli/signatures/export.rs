//! `signatures export`: what is looked for, in the forms that others read.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::super::Failure;
use super::super::config::FileArg;
use super::whole::{self, Whole};
use crate::config::{Policy, SignatureFlags};
use crate::export::events::base64;
use crate::signature::exchange::export::{Export, Form, dataset};
use crate::signature::{Indicator, Strength, Vendor};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// In which form
    #[arg(long, value_enum)]
    format: Format,
    /// Only this vendor (by id); may be given more than once. The reported ones when absent
    #[arg(long, value_name = "ID")]
    vendor: Vec<String>,
    /// File to write, or directory for --format toml; standard output when absent
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: SignatureFlags,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// Signature files, one a vendor
    Toml,
    /// STIX 2.1 bundle
    Stix,
    /// MISP event
    Misp,
    /// hosts(5)
    Hosts,
    /// Response policy zone, for resolvers
    Rpz,
    /// Rules for DNS and TLS; lists as datasets beside the file, for version 8
    Suricata,
    /// Intelligence framework
    Zeek,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.file.load(&args.flags.0)?;
    let policy = Policy::load(&config, &[], Timestamp::ZERO).map_err(Failure::usage)?;
    super::check_vendors(&policy.set, &args.vendor)?;
    let chosen = |vendor: &Vendor, strength: Strength| {
        if args.vendor.is_empty() {
            policy.selection.takes(vendor, strength)
        } else {
            args.vendor.iter().any(|id| **id == *vendor.id)
                && strength >= policy.selection.min_strength
        }
    };
    let takes = |vendor: &Vendor, indicator: &Indicator| chosen(vendor, indicator.strength);
    let export = Export {
        set: &policy.set,
        takes: &takes,
        created: jiff::Zoned::now().date(),
        datasets: args.output.is_some(),
    };
    let form = match args.format {
        Format::Toml => return toml(args, &export, &chosen),
        Format::Stix => Form::Stix,
        Format::Misp => Form::Misp,
        Format::Hosts => Form::Hosts,
        Format::Rpz => Form::Rpz,
        Format::Suricata => Form::Suricata,
        Format::Zeek => Form::Zeek,
    };
    match &args.output {
        Some(path) => {
            let mut out = Whole::create(path)?;
            write(&export, form, &mut out)
                .with_context(|| format!("cannot write {}", path.display()))?;
            out.finish()?;
        }
        None => write(&export, form, &mut BufWriter::new(io::stdout().lock()))?,
    }
    if form == Form::Suricata && export.lists().next().is_some() {
        match &args.output {
            Some(rules) => datasets(rules, &export)?,
            None => say!("lists are files of their own: name the rules with --output FILE"),
        }
    }
    Ok(())
}

fn write(export: &Export<'_>, form: Form, out: &mut impl Write) -> anyhow::Result<()> {
    let mut text = Text { out, failed: None };
    let written = export.write(form, &mut text);
    if let Some(error) = text.failed {
        return Err(error.into());
    }
    written?;
    Ok(text.out.flush()?)
}

/// The names of each list to a file beside the rules, which load it.
fn datasets(rules: &Path, export: &Export<'_>) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    for indicator in export.lists() {
        let path = rules.with_file_name(dataset(indicator));
        files.insert(&*indicator.id, Whole::create(&path)?);
    }
    for (name, indicator) in export.set.listed_names() {
        if let Some(file) = files.get_mut(&*indicator.id) {
            writeln!(file, "{}", base64(name.as_bytes()))?;
        }
    }
    files.into_values().try_for_each(Whole::finish)
}

/// One vendor to standard output, or each to its file.
fn toml(
    args: &Args,
    export: &Export<'_>,
    chosen: &dyn Fn(&Vendor, Strength) -> bool,
) -> Result<(), Failure> {
    let vendors: Vec<&Vendor> =
        export.set.vendors().iter().filter(|vendor| chosen(vendor, Strength::Strong)).collect();
    match (&args.output, &*vendors) {
        (Some(directory), vendors) => {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
            for vendor in vendors {
                let path = directory.join(format!("{}.toml", vendor.id));
                whole::write(&path, export.toml(vendor)?.as_bytes())?;
            }
            Ok(())
        }
        (None, [vendor]) => {
            io::stdout().lock().write_all(export.toml(vendor)?.as_bytes())?;
            Ok(())
        }
        (None, _) => Err(Failure::Usage(anyhow!(
            "a signature file holds one vendor: name one with --vendor, or a directory with --output"
        ))),
    }
}

/// Text into octets; keeps what went wrong, which `fmt::Error` cannot say.
struct Text<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.failed = Some(error);
            fmt::Error
        })
    }
}
