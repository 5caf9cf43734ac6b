//! `signatures show`: one vendor or indicator with all that stands behind it.

use std::io::{self, BufWriter, Write};

use anyhow::anyhow;

use super::super::{Failure, explain};
use super::SourceArgs;
use crate::signature::{Set, Vendor};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of a vendor (`kaspersky`) or of an indicator (`kaspersky.update.upd`)
    id: String,
    #[command(flatten)]
    sources: SourceArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let set = args.sources.load()?;
    let mut out = BufWriter::new(io::stdout().lock());
    if let Some(indicator) = set.indicator(&args.id) {
        writeln!(out, "{}", indicator.pattern.value())?;
        explain::indicator(&set, indicator, &mut out)?;
    } else if let Some(found) = set.vendor(&args.id) {
        vendor(&set, found, &mut out)?;
    } else {
        return Err(Failure::Usage(anyhow!(
            "{:?} is no vendor and no indicator; `vendorwatch signatures list` prints the ids",
            args.id
        )));
    }
    out.flush()?;
    Ok(())
}

fn vendor(set: &Set, vendor: &Vendor, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} ({}, {})", vendor.name, vendor.id, vendor.country)?;
    if !vendor.affiliates.is_empty() {
        writeln!(out, "  also       {}", vendor.affiliates.join(", "))?;
    }
    if !vendor.default_enabled {
        writeln!(out, "  off        by default: {}", vendor.disabled_reason)?;
    }
    for listing in &vendor.listings {
        explain::listed(out, listing)?;
    }
    writeln!(out)?;
    for indicator in set.indicators().iter().filter(|found| found.vendor == vendor.id) {
        writeln!(
            out,
            "  {:<9} {:<11} {:<48} {}",
            indicator.strength.label(),
            indicator.purpose.label(),
            indicator.pattern.to_string(),
            indicator.id
        )?;
    }
    for record in set.excluded().iter().filter(|found| found.vendor == vendor.id) {
        writeln!(out, "  excluded  {:<60} {}", record.pattern.to_string(), record.reason)?;
    }
    Ok(())
}
