//! The daemon's workers on the processors that they are given.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity};

use super::daemon::Daemon;
use super::lab::Lab;

/// A worker on each end of the lab's cable.
fn start(cpus: &str) -> Daemon {
    Daemon::start(&["-i", "wire", "-i", "span", "--capture.cpus", cpus])
}

/// The processors that each worker may use, in the words of proc(5).
fn workers(daemon: &Daemon) -> BTreeMap<String, String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", daemon.id())) else {
        return BTreeMap::new();
    };
    tasks
        .filter_map(|task| allowed(&task.ok()?.path()))
        .filter(|(name, _)| name.starts_with("worker-"))
        .collect()
}

/// Waits until the workers may use these processors, and no others.
fn wait_for(daemon: &Daemon, wanted: &[(&str, String)]) {
    let wanted: BTreeMap<_, _> =
        wanted.iter().map(|(name, cpus)| ((*name).to_owned(), cpus.clone())).collect();
    daemon.wait_until(&format!("{wanted:?}"), || workers(daemon) == wanted);
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
    let daemon = start(&cpus.join(","));
    let second = cpus[1 % cpus.len()].clone();
    wait_for(&daemon, &[("worker-0", cpus[0].clone()), ("worker-1", second)]);
    assert!(!daemon.said().contains("not pinned"), "{}", daemon.said());
}

#[test]
#[ignore = "needs root"]
fn a_processor_that_is_not_there_is_said_and_the_worker_goes_on() {
    let _lab = Lab::new();
    let (_, all) = allowed(Path::new("/proc/thread-self")).unwrap();
    let daemon = start(&(CpuSet::MAX_CPU - 1).to_string());
    wait_for(&daemon, &[("worker-0", all.clone()), ("worker-1", all)]);
    daemon.wait_until("said", || daemon.said().matches("not pinned").count() == 2);
}
