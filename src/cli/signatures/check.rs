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
    let Contents { files, packs, mut faults } = sources.read().map_err(refusal)?;
    faults.extend(lint::check(&files));
    faults.extend(lint::overdue(&files, jiff::Zoned::now().date()));
    faults.sort();
    for fault in &faults {
        eprintln!("{fault}");
    }
    let errors = faults.iter().filter(|fault| args.strict || fault.is_error()).count();
    if errors > 0 {
        let noun = if errors == 1 { "fault" } else { "faults" };
        return Err(Failure::Usage(anyhow!("{errors} {noun}: these signatures would be refused")));
    }
    let set = Set::with_packs(files, packs)
        .map_err(|faults: Vec<Fault>| Failure::usage(LoadError::Wrong(faults)))?;
    eprintln!(
        "{} indicators of {} vendors, {} exclusions: no fault",
        set.indicators().len(),
        set.vendors().len(),
        set.excluded().len()
    );
    Ok(())
}
