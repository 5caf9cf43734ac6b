//! `vendorwatch inventory`: what was found, from the database, also while the daemon writes to it.

use core::net::IpAddr;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Failure;
use super::config::FileArg;
use crate::config::{Policy, StateFlags, key, keys};
use crate::detect::Finding;
use crate::detect::summary::by_client;
use crate::export::findings::{self, Context, Format};
use crate::inventory::{InventoryError, Location, Query, Reader};
use crate::signature::Strength;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this vendor (by id); may be given more than once
    #[arg(long, value_name = "ID")]
    vendor: Vec<String>,
    /// Only this network (by name); may be given more than once
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Only this client
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Only this strength and what is stronger
    #[arg(long, value_name = "STRENGTH", value_parser = strength)]
    min_strength: Option<Strength>,
    /// Only what was seen since then: a span such as 7d, a date, or a moment in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only so many findings, those seen last
    #[arg(long, value_name = "NUMBER")]
    newest: Option<usize>,
    /// Also what the configuration does not report: other vendors, listings and strengths
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The database, where it is not the configured one
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    signatures: StateFlags,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.file.load(&args.signatures.0)?;
    let path = match &args.inventory {
        Some(path) => path.clone(),
        None => Location::parse(config.text(&keys::INVENTORY_PATH)).to_read(Some(config.text(&keys::DAEMON_STATE_DIR))).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "the configuration turns the inventory off; name a database with --inventory FILE"
            ))
        })?,
    };
    let policy = Policy::load(&config, &[], Timestamp::ZERO).map_err(Failure::usage)?;
    let query = Query {
        vendors: args.vendor.clone(),
        networks: args.network.clone(),
        client: args.client,
        strength: args.min_strength,
        since: args.since,
        newest: args.newest,
    };
    let found = Reader::open(&path).and_then(|reader| reader.findings(&query)).map_err(blame)?;
    // Who is asked for by name is shown, whatever is reported otherwise.
    let reported = found.iter().filter(|Finding { key, .. }| {
        args.all || !args.vendor.is_empty() || policy.takes(&key.vendor, key.strength)
    });
    let rows = by_client(reported);
    let context = Context::of(&policy);
    let mut out = BufWriter::new(io::stdout().lock());
    findings::write_clients(&rows, &context, args.format, &mut out)?;
    out.flush()?;
    if rows.len() < found.len() {
        eprintln!(
            "{} more findings are not reported by the [signatures] of the configuration; --all \
             shows them",
            found.len() - rows.len()
        );
    }
    context.write_signatures(&mut io::stderr().lock())?;
    Ok(())
}

/// A file that is not an inventory for this program is the wrong argument; all else is the job's
/// failure.
fn blame(error: InventoryError) -> Failure {
    match error {
        InventoryError::Foreign { .. } | InventoryError::Newer { .. } => Failure::usage(error),
        error => error.into(),
    }
}

fn strength(word: &str) -> Result<Strength, String> {
    Strength::from_label(word)
        .ok_or_else(|| format!("not one of {}", Strength::ALL.map(Strength::label).join(", ")))
}

/// A span before now, a day (as UTC), or a moment.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(span) = key::parse_span(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(Timestamp::ZERO.plus(now).minus(span));
    }
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
        let day: jiff::civil::Date = text.parse()?;
        day.to_zoned(jiff::tz::TimeZone::UTC).map(|midnight| midnight.timestamp())
    });
    moment
        .map(|moment| {
            Timestamp::from_nanos(u64::try_from(moment.as_nanosecond()).unwrap_or_default())
        })
        .map_err(|_| format!("`{text}` is no span such as 7d, no date, and no moment in RFC 3339"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_said_in_three_ways() {
        let day = Timestamp::from_parts(1_763_683_200, 0);
        assert_eq!(since("2025-11-21"), Ok(day));
        assert_eq!(since("2025-11-21T01:00:00+01:00"), Ok(day));
        let week = since("7d").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ago = Timestamp::ZERO.plus(now).since(week).as_secs();
        assert!((7 * 86_400..7 * 86_400 + 60).contains(&ago), "{ago}");
        for wrong in ["", "yesterday", "7", "2025-13-01"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
