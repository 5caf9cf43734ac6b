//! The daemon's workers on the processors that they are given.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity};
use tempfile::NamedTempFile;

use super::lab::{Lab, ip};
use crate::support::process::{Running, program};

/// How long a daemon may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// One worker on each end of the lab's cable.
struct Daemon {
    process: Running,
    log: NamedTempFile,
}

impl Daemon {
    fn start(cpus: &str) -> Self {
        // A new namespace has no 127.0.0.1 to listen on.
        ip(&["link", "set", "lo", "up"]);
        let log = NamedTempFile::new().unwrap();
        let process = program()
            .args(["run", "-i", "wire", "-i", "span", "--workers=1", "--buffer-size=4MiB"])
            .args(["--web.listen-address=127.0.0.1:0", "--capture.cpus", cpus])
            .env("NO_COLOR", "1")
            .stderr(Stdio::from(log.reopen().unwrap()))
            .spawn()
            .unwrap();
        Self { process: Running(process), log }
    }

    /// The processors that each worker may use, in the words of proc(5).
    fn workers(&self) -> BTreeMap<String, String> {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.process.0.id())) else {
            return BTreeMap::new();
        };
        tasks
            .filter_map(|task| allowed(&task.ok()?.path()))
            .filter(|(name, _)| name.starts_with("worker-"))
            .collect()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Waits until the workers may use these processors, and no others.
    fn wait_for(&self, wanted: &[(&str, String)]) {
        let wanted: BTreeMap<_, _> =
            wanted.iter().map(|(name, cpus)| ((*name).to_owned(), cpus.clone())).collect();
        let end = Instant::now() + PATIENCE;
        while self.workers() != wanted {
            let workers = self.workers();
            assert!(Instant::now() < end, "{workers:?} and not {wanted:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A thread's name and the processors that it may use; `None` when it has ended.
fn allowed(task: &Path) -> Option<(String, String)> {
    let status = fs::read_to_string(task.join("status")).ok()?;
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    Some((value("Name:")?.to_owned(), value("Cpus_allowed_list:")?.to_owned()))
}

#[test]
#[ignore = "needs root"]
fn workers_of_all_interfaces_take_turns_at_the_processors() {
    let _lab = Lab::new();
    let here = sched_getaffinity(None).unwrap();
    let here = (0..CpuSet::MAX_CPU).filter(|cpu| here.is_set(*cpu));
    // Backwards, which is not how a scheduler would hand them out.
    let mut cpus: Vec<_> = here.map(|cpu| cpu.to_string()).collect();
    cpus.reverse();
    let daemon = Daemon::start(&cpus.join(","));
    let second = cpus[1 % cpus.len()].clone();
    daemon.wait_for(&[("worker-0", cpus[0].clone()), ("worker-1", second)]);
    assert!(!daemon.said().contains("not pinned"), "{}", daemon.said());
}

#[test]
#[ignore = "needs root"]
fn a_processor_that_is_not_there_is_said_and_the_worker_goes_on() {
    let _lab = Lab::new();
    let (_, all) = allowed(Path::new("/proc/thread-self")).unwrap();
    let daemon = Daemon::start(&(CpuSet::MAX_CPU - 1).to_string());
    daemon.wait_for(&[("worker-0", all.clone()), ("worker-1", all)]);
    let end = Instant::now() + PATIENCE;
    while daemon.said().matches("not pinned").count() < 2 {
        assert!(Instant::now() < end, "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(10));
    }
}
