//! `signatures diff`: what changes between two sets, and with them in what was found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::super::Failure;
use super::super::config::FileArg;
use super::refusal;
use crate::capture::CaptureError;
use crate::capture::file::Files;
use crate::config::signatures::Sources;
use crate::config::{Policy, SignatureFlags};
use crate::daemon::replay::{Plan, Watch, replay};
use crate::detect::{Finding, FindingKey};
use crate::inventory::{Query, Reader};
use crate::signature::{Set, Strength, diff};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Signature file, pack or directory; `built-in` for the files in this program
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The same, for the set that comes after it
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Inventory or capture: say which findings would appear, vanish or change, too
    #[arg(long, value_name = "INVENTORY|CAPTURE")]
    against: Option<PathBuf>,
    /// Names of lists that are printed one by one; the others are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    show_names: u64,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: SignatureFlags,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (old, new) = (side(&args.old)?, side(&args.new)?);
    let mut out = BufWriter::new(io::stdout().lock());
    for change in diff::changes(&old, &new) {
        writeln!(out, "{change}")?;
    }
    names(&old, &new, args.show_names, &mut out)?;
    if let Some(path) = &args.against {
        writeln!(out)?;
        if is_inventory(path)? {
            against_inventory(path, &old, &new, &mut out)?;
        } else {
            against_capture(args, path, old, new, &mut out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What the lists of the two have not in common.
fn names(old: &Set, new: &Set, show: u64, out: &mut impl Write) -> io::Result<()> {
    let mut counts = BTreeMap::<Arc<str>, (u64, u64)>::new();
    let mut shown = 0;
    for diff::ListedName { name, indicator, added } in diff::names(old, new) {
        let (more, fewer) = counts.entry(Arc::clone(&indicator.id)).or_default();
        *(if added { more } else { fewer }) += 1;
        if shown < show {
            shown += 1;
            writeln!(out, "{} {}: {name}", if added { '+' } else { '-' }, indicator.id)?;
        }
    }
    for (id, (added, removed)) in counts {
        writeln!(out, "~ {id}: names: {added} added, {removed} removed")?;
    }
    Ok(())
}

fn side(path: &Path) -> Result<Set, Failure> {
    let built_in = path == Path::new("built-in");
    let directories = if built_in { Vec::new() } else { vec![path.to_owned()] };
    Sources { built_in, directories, ..Sources::default() }.load().map_err(refusal)
}

/// Does the file begin as SQLite files do?
fn is_inventory(path: &Path) -> anyhow::Result<bool> {
    let mut begin = [0; 16];
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(file.read_exact(&mut begin).is_ok() && begin == *b"SQLite format 3\0")
}

/// An inventory keeps what was listed then: findings can vanish or change by it, and what the new
/// set would find besides was not written down.
fn against_inventory(
    path: &Path,
    old: &Set,
    new: &Set,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let reader = Reader::open(path)?;
    let (mut kept, mut others) = (0_u64, 0_u64);
    let answer = reader.findings(&Query::default())?;
    for finding in &answer.findings {
        let [before, after] =
            [old, new].map(|set| set.lookup(&finding.last_name).map(|hit| hit.indicator));
        match after {
            Some(indicator) => {
                // What made it weaker than its indicator is not of the set.
                let is_bound = before.is_some_and(|old| finding.key.strength < old.strength);
                let most = if is_bound { finding.key.strength } else { Strength::Strong };
                let strength = indicator.strength.min(most);
                if indicator.vendor == finding.key.vendor
                    && indicator.product == finding.key.product
                    && strength == finding.key.strength
                {
                    kept += 1;
                    continue;
                }
                others += 1;
                let (product, strength) = (&indicator.product, strength.label());
                let becomes = format!("{} {product} ({strength})", indicator.vendor);
                writeln!(out, "~ {} becomes {becomes}", line(finding))?;
            }
            // Found by address: the name says nothing then.
            None if finding.tallies.keys().any(|(id, _)| new.indicator(id).is_some()) => kept += 1,
            None => {
                others += 1;
                writeln!(out, "- {}", line(finding))?;
            }
        }
    }
    writeln!(
        out,
        "{kept} findings stay, {others} vanish or change; what would appear is not in an inventory: \
         ask a capture"
    )?;
    if let Some(remark) = answer.remark() {
        writeln!(out, "{remark}")?;
    }
    Ok(())
}

/// The capture is read with both sets; the findings are compared.
fn against_capture(
    args: &Args,
    path: &Path,
    old: Set,
    new: Set,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let (before, after) = (findings(args, path, old)?, findings(args, path, new)?);
    let mut kept = 0_u64;
    for (key, finding) in &before {
        if after.contains_key(key) {
            kept += 1;
        } else {
            writeln!(out, "- {}", line(finding))?;
        }
    }
    for (key, finding) in &after {
        if !before.contains_key(key) {
            writeln!(out, "+ {}", line(finding))?;
        }
    }
    writeln!(
        out,
        "{kept} findings stay, {} vanish, {} appear",
        before.keys().filter(|key| !after.contains_key(key)).count(),
        after.keys().filter(|key| !before.contains_key(key)).count()
    )?;
    Ok(())
}

fn findings(args: &Args, path: &Path, set: Set) -> Result<BTreeMap<FindingKey, Finding>, Failure> {
    let config = args.file.load(&args.flags.0)?;
    let mut policy = Policy::load(&config, &[], Timestamp::ZERO).map_err(Failure::usage)?;
    policy.set = Arc::new(set);
    let plan = Plan {
        policy,
        settings: crate::daemon::settings(&config),
        limits: crate::daemon::replay_limits(&config),
        names: false,
        workers: NonZeroUsize::MIN,
    };
    let mut files = Files::new(&[path.to_owned()], None)?;
    let replayed = replay(&mut files, &plan, &mut Warn, &mut |_| ())?;
    Ok(replayed
        .correlator
        .findings()
        .map(|finding| (finding.key.clone(), finding.clone()))
        .collect())
}

fn line(finding: &Finding) -> String {
    let FindingKey { client, vendor, product, strength, network, .. } = &finding.key;
    format!(
        "{client} in {network}: {vendor} {product} ({}), last {}, {} times",
        strength.label(),
        finding.last_name,
        finding.count
    )
}

/// Says what could not be read.
struct Warn;

impl Watch for Warn {
    fn fault(&mut self, fault: &CaptureError) {
        say!("warning: {fault}");
    }

    fn progress(&mut self, _read: u64, _total: Option<u64>) {}
}
