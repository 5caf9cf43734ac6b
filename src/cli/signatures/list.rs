//! `signatures list`: the indicators, or how many each vendor has.

use std::io::{self, BufWriter, Write};

use comfy_table::{CellAlignment, Table, presets};

use serde::Serialize;

use super::super::Failure;
use super::{Format, SourceArgs};
use crate::signature::{Indicator, Purpose, Set, Strength, summary};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this vendor (by id); may be given more than once
    #[arg(long, value_name = "ID")]
    vendor: Vec<String>,
    /// Only this purpose
    #[arg(long, value_parser = purpose)]
    purpose: Option<Purpose>,
    /// Only this strength and what is stronger
    #[arg(long, value_parser = strength)]
    min_strength: Option<Strength>,
    /// Count records by strength and evidence class instead
    #[arg(long, conflicts_with_all = ["vendor", "purpose", "min_strength", "format"])]
    summary: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    sources: SourceArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let set = args.sources.load()?;
    super::check_vendors(&set, &args.vendor)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.summary {
        out.write_all(summary::table(&set).as_bytes())?;
    } else {
        let chosen: Vec<&Indicator> = chosen(args, &set).collect();
        match args.format {
            Format::Table => table(&chosen, &mut out)?,
            Format::Tsv => tsv(&chosen, &mut out)?,
            Format::Json => {
                for indicator in chosen {
                    serde_json::to_writer(
                        &mut out,
                        &Line { vendor: &indicator.vendor, indicator },
                    )?;
                    out.write_all(b"\n")?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// A record with its vendor.
#[derive(Serialize)]
struct Line<'a> {
    vendor: &'a str,
    #[serde(flatten)]
    indicator: &'a Indicator,
}

fn chosen<'a>(args: &'a Args, set: &'a Set) -> impl Iterator<Item = &'a Indicator> {
    set.indicators().iter().map(|indicator| &**indicator).filter(|indicator| {
        (args.vendor.is_empty() || args.vendor.iter().any(|id| **id == *indicator.vendor))
            && args.purpose.is_none_or(|purpose| indicator.purpose == purpose)
            && args.min_strength.is_none_or(|strength| indicator.strength >= strength)
    })
}

fn table(indicators: &[&Indicator], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADER);
    for indicator in indicators {
        table.add_row(cells(indicator));
    }
    if let Some(numbers) = table.column_mut(1) {
        numbers.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{}", table.trim_fmt())
}

fn tsv(indicators: &[&Indicator], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", HEADER.join("\t"))?;
    for indicator in indicators {
        writeln!(out, "{}", cells(indicator).join("\t"))?;
    }
    Ok(())
}

const HEADER: [&str; 8] =
    ["indicator", "number", "kind", "value", "purpose", "strength", "evidence", "product"];

fn cells(indicator: &Indicator) -> [String; 8] {
    [
        indicator.id.to_string(),
        indicator.number.to_string(),
        indicator.pattern.kind().to_owned(),
        indicator.pattern.value(),
        indicator.purpose.label().to_owned(),
        indicator.strength.label().to_owned(),
        indicator.class().map_or("", |class| class.label()).to_owned(),
        indicator.product.to_string(),
    ]
}

fn purpose(word: &str) -> Result<Purpose, String> {
    Purpose::from_label(word).ok_or_else(|| format!("one of {}", Purpose::LABELS.join(", ")))
}

fn strength(word: &str) -> Result<Strength, String> {
    Strength::from_label(word).ok_or_else(|| format!("one of {}", Strength::LABELS.join(", ")))
}
