//! `signatures check`: every fault in one run.

use std::path::PathBuf;

use anyhow::anyhow;

use super::super::Failure;
use super::refusal;
use crate::config::signatures::{Contents, LoadError, Sources};
use crate::signature::{Fault, Set, lint};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Signature files, or directories with them; the built-in ones when none is given
    paths: Vec<PathBuf>,
    /// Refuse what is only warned about, too
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let sources = Sources {
        built_in: args.paths.is_empty(),
        directories: args.paths.clone(),
        ..Sources::default()
    };
    let contents = sources.read().map_err(refusal)?;
    let mut faults = contents.all_faults();
    faults.extend(lint::overdue(&contents.files, jiff::Zoned::now().date()));
    faults.sort();
    let Contents { files, packs, .. } = contents;
    for fault in &faults {
        say!("{fault}");
    }
    let errors = faults.iter().filter(|fault| args.strict || fault.is_error()).count();
    if errors > 0 {
        let noun = if errors == 1 { "fault" } else { "faults" };
        return Err(Failure::Usage(anyhow!("{errors} {noun}: these signatures would be refused")));
    }
    let set = Set::with_packs(files, packs)
        .map_err(|faults: Vec<Fault>| Failure::usage(LoadError::Wrong(faults)))?;
    if set.indicators().is_empty() {
        return Err(Failure::usage(LoadError::Empty));
    }
    let count = |number: usize, noun: &str| {
        format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
    };
    say!(
        "{} of {}, {}: no fault",
        count(set.indicators().len(), "indicator"),
        count(set.vendors().len(), "vendor"),
        count(set.excluded().len(), "exclusion")
    );
    Ok(())
}
