//! The process about itself, from `/proc/self` (proc(5)).
//!
//! The start time is taken when the program starts: `/proc/stat`, by which others compute it, is
//! hidden under a hardened unit (`ProcSubset=pid`).

use std::fs;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::families as f;
use super::family::Samples;

/// When the process started, as near as the first call.
pub(super) fn start_seconds() -> f64 {
    static START: OnceLock<f64> = OnceLock::new();
    *START.get_or_init(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    })
}

pub(super) fn families(out: &mut Vec<Samples>) {
    let mut add = |family: &'static super::Family, value: f64| {
        let mut samples = family.samples();
        samples.add(&[], value);
        out.push(samples);
    };
    add(&f::PROCESS_START, start_seconds());
    if let Some(usage) = fs::read_to_string("/proc/self/stat").ok().and_then(|s| Usage::read(&s)) {
        add(&f::PROCESS_CPU, usage.cpu_seconds);
        add(&f::PROCESS_RESIDENT, usage.resident);
        add(&f::PROCESS_VIRTUAL, usage.virtual_);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory being read.
        let count = open.count().saturating_sub(1);
        add(&f::PROCESS_FDS, f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    add(&f::PROCESS_MAX_FDS, limit.map_or(f64::INFINITY, |limit| limit as f64));
}

struct Usage {
    cpu_seconds: f64,
    virtual_: f64,
    resident: f64,
}

impl Usage {
    #[expect(clippy::cast_precision_loss, reason = "the exposition knows no other number")]
    fn read(stat: &str) -> Option<Self> {
        // The command's name is in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // Fields are numbered from 1 in proc(5), and the first after the name is number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            virtual_: field(23)? as f64,
            resident: field(24)? as f64 * rustix::param::page_size() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let mut out = Vec::new();
        families(&mut out);
        let families: Vec<_> = out.into_iter().filter_map(Samples::done).collect();
        assert_eq!(families.len(), 6, "{families:?}");
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 9 4096 3 18446744";
        let usage = Usage::read(stat).unwrap();
        assert!((usage.virtual_ - 4096.0).abs() < f64::EPSILON);
        assert!(usage.cpu_seconds > 0.0 && usage.resident >= 3.0 * 4096.0);
    }
}
