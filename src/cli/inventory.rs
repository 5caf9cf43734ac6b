//! `vendorwatch inventory`: what was found, from the database, also while the daemon writes to it.

use core::cmp::Reverse;
use core::net::IpAddr;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Failure;
use super::config::FileArg;
use crate::config::{Policy, StateFlags, key, keys};
use crate::detect::summary::by_client;
use crate::detect::{Finding, Observed, Seen, VendorKey, vendor_key};
use crate::export::account::left_out_by_configuration;
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
    let reader = Reader::open(&path).map_err(blame)?;
    let sights = reader.vendors().map_err(blame)?;
    args.check(&policy, &sights)?;
    // How a client may be spoken of rests on all of its findings, not only on those asked for.
    let whole = Query { vendors: args.vendor.clone(), client: args.client, ..Query::default() };
    let answer = reader.findings(&whole).map_err(blame)?;
    let all = &answer.findings;
    // Who is asked for by name is shown, whatever is reported otherwise.
    let is_reported = |vendor: &str, strength| {
        args.all || !args.vendor.is_empty() || policy.takes(vendor, strength)
    };
    let (reported, left_out): (Vec<&Finding>, Vec<&Finding>) =
        all.iter().partition(|found| is_reported(&found.key.vendor, found.key.strength));
    let is_asked = |found: &Finding| args.asks(&vendor_key(&found.key), found.last_seen);
    let mut rows = by_client(reported);
    rows.retain(|(_, found)| is_asked(found));
    if let Some(most) = args.newest {
        keep_newest(&mut rows, most);
    }

    let mut remarks = Vec::new();
    if rows.is_empty() {
        writeln!(
            remarks,
            "Nothing that was asked for is kept here. That says nothing of absence: what could \
             not be seen is in the metrics and on the page `/` of the sensor."
        )?;
    }
    let left_out = left_out.into_iter().filter(|found| is_asked(found)).count();
    if left_out > 0 {
        writeln!(
            remarks,
            "{} --all shows what is left out.",
            left_out_by_configuration(left_out, "finding")
        )?;
    }
    if let Some(remark) = answer.remark() {
        writeln!(remarks, "{remark}")?;
    }
    // First sights outlive findings, and say nothing of clients.
    let kept: BTreeSet<VendorKey> = all.iter().map(|found| vendor_key(&found.key)).collect();
    for (key, seen) in sights.iter().filter(|_| args.client.is_none()) {
        if is_reported(&key.0, key.1) && args.asks(key, seen.last) && !kept.contains(key) {
            let (vendor, strength, network) = key;
            let (first, last) = (findings::moment(seen.first), findings::moment(seen.last));
            writeln!(
                remarks,
                "{vendor} ({}, network {network}) was seen from {first} to {last}; the findings \
                 themselves were removed.",
                strength.label(),
            )?;
        }
    }

    let context = Context::of(&policy);
    let mut out = BufWriter::new(io::stdout().lock());
    findings::write_clients(&rows, &context, args.format, &mut out)?;
    let mut talk = io::stderr().lock();
    if args.format == Format::Table {
        out.write_all(&remarks)?;
        out.flush()?;
    } else {
        out.flush()?;
        talk.write_all(&remarks)?;
    }
    context.write_signatures(&mut talk)?;
    Ok(())
}

impl Args {
    /// A name that nobody knows is a mistake: the answer to it would be nothing.
    fn check(&self, policy: &Policy, sights: &[(VendorKey, Seen)]) -> Result<(), Failure> {
        let unknown = |flag, name: &str, whence| {
            Failure::usage(anyhow::anyhow!(
                "{flag} {name}: neither the {whence} nor the inventory know it"
            ))
        };
        for vendor in &self.vendor {
            let was_seen = || sights.iter().any(|(key, _)| **vendor == *key.0);
            if policy.set.vendor(vendor).is_none() && !was_seen() {
                return Err(unknown("--vendor", vendor, "signatures"));
            }
        }
        for network in &self.network {
            let was_seen = || sights.iter().any(|(key, _)| **network == *key.2);
            if !policy.knows_network(network) && !was_seen() {
                return Err(unknown("--network", network, "configured networks"));
            }
        }
        Ok(())
    }

    /// Is what was seen last at `last` asked for?
    fn asks(&self, (vendor, strength, network): &VendorKey, last: Timestamp) -> bool {
        let among = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
        };
        among(&self.vendor, vendor)
            && among(&self.network, network)
            && self.min_strength.is_none_or(|least| *strength >= least)
            && self.since.is_none_or(|since| last >= since)
    }
}

/// Keeps the order of those that stay.
fn keep_newest(rows: &mut Vec<(Observed, &Finding)>, most: usize) {
    let mut newest: Vec<usize> = (0..rows.len()).collect();
    newest.sort_by_key(|&at| Reverse(rows[at].1.last_seen));
    newest.truncate(most);
    newest.sort_unstable();
    *rows = newest.into_iter().map(|at| rows[at]).collect();
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
    // What lies beyond the times of packets is before all of them, or after.
    moment
        .map(|moment| {
            let nanos = moment.as_nanosecond().clamp(0, i128::from(u64::MAX));
            Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
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

    #[test]
    fn a_moment_beyond_all_packets_lies_on_its_side_of_them() {
        assert_eq!(since("1960-01-01"), Ok(Timestamp::ZERO));
        assert_eq!(since("3026-11-01"), Ok(Timestamp::from_nanos(u64::MAX)));
    }
}
