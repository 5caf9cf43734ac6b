//! `vendorwatch bench`: what each stage costs on one's own captures, and what a link would need.

use std::hint::black_box;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Failure;
use super::config::FileArg;
use crate::capture::file::Files;
use crate::capture::{Batch, CaptureError, Source};
use crate::config::{Policy, SignatureFlags};
use crate::daemon::replay::{SETTLED, promise};
use crate::decode;
use crate::decode::fast::Head;
use crate::detect::{Correlator, Event, Limits, Record};
use crate::frame::Frame;
use crate::pipeline::{Pipeline, Settings, Sink};
use crate::signature::Set;
use crate::time::Timestamp;
use crate::visibility::{HandshakeProtocol, Ledger};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Capture files, or directories with captures below them
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// The link to estimate for, in Gbit/s
    #[arg(long, value_name = "GBIT", default_value_t = 10.0)]
    link: f64,
    /// How often each stage is timed; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: SignatureFlags,
}

/// Each stage with all before it.
#[derive(Clone, Copy)]
enum Stage {
    Read,
    Decode,
    Inspect,
    Match,
}

impl Stage {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Read, "read the file"),
        (Self::Decode, "decode"),
        (Self::Inspect, "find names"),
        (Self::Match, "match, correlate"),
    ];
}

/// What one pass saw.
#[derive(Clone, Copy, Default)]
struct Pass {
    took: Duration,
    packets: u64,
    octets: u64,
    handshakes: u64,
    first: Timestamp,
    last: Timestamp,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if !args.link.is_finite() || args.link <= 0.0 {
        return Err(Failure::usage(anyhow::anyhow!("--link: {} is no speed", args.link)));
    }
    let config = args.file.load(&args.flags.0)?;
    let policy = Policy::load(&config, &[], Timestamp::ZERO).map_err(Failure::usage)?;
    let (settings, limits) =
        (crate::daemon::settings(&config), crate::daemon::replay_limits(&config));
    // Once for the page cache, so that the disk is not what is measured.
    pass(args, Stage::Read, &policy, &settings, &limits)?;
    let mut passes = Vec::new();
    for (stage, _) in Stage::ALL {
        let mut best: Option<Pass> = None;
        for _ in 0..args.rounds {
            let this = pass(args, stage, &policy, &settings, &limits)?;
            best = Some(best.filter(|best| best.took <= this.took).unwrap_or(this));
        }
        passes.extend(best);
    }
    report(args, &passes)?;
    Ok(())
}

fn pass(
    args: &Args,
    stage: Stage,
    policy: &Policy,
    settings: &Settings,
    limits: &Limits,
) -> Result<Pass, CaptureError> {
    let mut files = Files::new(&args.inputs, None)?;
    let ledger = Arc::new(Ledger::default());
    let set = match stage {
        Stage::Match => Arc::clone(&policy.set),
        _ => Arc::new(Set::default()),
    };
    let mut pipeline = Pipeline::with(Arc::clone(&set), Arc::clone(&ledger), settings.clone());
    let mut correlator = Correlator::new(limits, 1, set, Arc::clone(&policy.networks));
    let mut found = Found::default();
    let mut seen = Pass::default();
    let begun = processor_time();
    loop {
        let batch = files.batch(Duration::ZERO, &mut |frame| {
            seen.count(frame);
            match stage {
                Stage::Read => {
                    black_box(frame.data);
                }
                Stage::Decode => match Head::of(frame) {
                    Some(head) => {
                        black_box(head);
                    }
                    None => {
                        black_box(decode::frame(frame, &settings.tenants));
                    }
                },
                Stage::Inspect => {
                    pipeline.frame(frame, &mut found);
                    found.records.clear();
                }
                Stage::Match => {
                    pipeline.frame(frame, &mut found);
                    if found.records.len() >= SETTLED {
                        found.judge(&mut correlator);
                        correlator.advance(0, promise(seen.last), unheard);
                    }
                }
            }
        })?;
        if batch == Batch::End {
            pipeline.finish(&mut found);
            if matches!(stage, Stage::Match) {
                found.judge(&mut correlator);
                correlator.finish(unheard);
            }
            break;
        }
    }
    seen.took = processor_time().saturating_sub(begun);
    let begun = |protocol: HandshakeProtocol| ledger.handshakes_begun[protocol as usize].value();
    seen.handshakes = HandshakeProtocol::ALL.into_iter().map(begun).sum();
    Ok(seen)
}

/// What this thread has used: other work on the machine does not lengthen it, but slows it by what
/// it takes of caches and memory.
#[must_use]
pub fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl Pass {
    fn count(&mut self, frame: &Frame<'_>) {
        if self.packets == 0 {
            self.first = frame.at;
        }
        self.packets += 1;
        self.octets += u64::from(frame.wire_len);
        self.last = self.last.max(frame.at);
    }
}

#[derive(Default)]
struct Found {
    records: Vec<Record>,
}

impl Found {
    fn judge(&mut self, correlator: &mut Correlator) {
        correlator.push(0, &mut self.records, unheard);
    }
}

fn unheard(event: Event<'_>) {
    black_box(&event);
}

impl Sink for Found {
    fn wants_sightings(&self) -> bool {
        false
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

/// Octets that a frame takes on Ethernet beside itself: preamble, check sequence, gap
/// (IEEE 802.3 §4.2).
const FRAMING: f64 = 24.0;
/// A worker that is busier than this has no headroom for bursts.
const COMFORT: f64 = 0.5;

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(args: &Args, passes: &[Pass]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Some(whole) = passes.last().filter(|pass| pass.packets > 0) else {
        return writeln!(out, "The captures hold no packets.");
    };
    let packets = whole.packets as f64;
    let size = whole.octets as f64 / packets;
    writeln!(
        out,
        "{} packets of {size:.0} octets, {} handshakes",
        whole.packets, whole.handshakes
    )?;
    writeln!(out, "\n  ns/packet  stage (one worker, fastest of {} rounds)", args.rounds)?;
    let nanos = |pass: &Pass| pass.took.as_nanos() as f64 / packets;
    let mut before = 0.0;
    for (pass, (_, name)) in passes.iter().zip(Stage::ALL) {
        writeln!(out, "{:>11.1}  {name}", (nanos(pass) - before).max(0.0))?;
        before = nanos(pass);
    }
    let cost = nanos(whole);
    writeln!(
        out,
        "{cost:>11.1}  together: {:.2} million packets a second, {:.1} Gbit/s",
        1e3 / cost,
        size * 8.0 / cost
    )?;
    // Live, a worker walks a ring in place of a file.
    let core = passes.first().map_or(cost, |read| (cost - nanos(read)).max(0.0));
    let offered = args.link * 1e9 / 8.0 / (size + FRAMING);
    let busy = offered * core / 1e9;
    let workers = (busy / COMFORT).ceil().max(1.0);
    writeln!(
        out,
        "\nA full link of {} Gbit/s with such packets carries {:.2} million of them a second. \
         All that follows\nthe reading, {core:.0} ns a packet, keeps a worker {:.0} % busy, so {} \
         worker{} at half load can look at\nevery packet (`run --capture ring`).",
        args.link,
        offered / 1e6,
        busy * 100.0,
        workers,
        if workers > 1.0 { "s" } else { "" },
    )?;
    writeln!(
        out,
        "\nNot measured: what the kernel spends on delivering packets, which is more than all of \
         this (the manual on\nsizing has figures); how many packets its filter leaves out \
         (`--capture auto` and `xdp`), which the\nsensor then never sees; the card, its driver, \
         and several workers that share the memory's speed."
    )
}
