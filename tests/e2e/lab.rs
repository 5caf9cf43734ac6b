//! A network of the test's own: a namespace that sends and one that listens, joined by a veth
//! pair, and the processes in them. Everything is removed again when the value is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Running;

/// How long anything may take that is waited for. Far more than it needs, so that a busy machine
/// fails no test; a test that fails waits this long once.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `ready` until it gives something.
pub(super) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Two namespaces: frames sent on [`Lab::SENDER`] arrive on [`Lab::SPAN`].
pub(super) struct Lab {
    name: String,
    dir: TempDir,
}

impl Lab {
    pub(super) const SENDER: &str = "tx0";
    pub(super) const SPAN: &str = "span0";

    /// `name` is at most eight characters and unique among the tests.
    pub(super) fn new(name: &str) -> Self {
        let lab = Self { name: format!("vwe-{name}"), dir: TempDir::new().unwrap() };
        lab.remove();
        for side in ["a", "b"] {
            ip(&["netns", "add", &lab.netns(side)]);
            // No neighbour discovery: only replayed frames are on this wire.
            for scope in ["all", "default"] {
                let key = format!("net.ipv6.conf.{scope}.disable_ipv6=1");
                let done = lab.command(side, "sysctl").args(["-qw", &key]).status().unwrap();
                assert!(done.success(), "sysctl {key}");
            }
        }
        let (a, b) = (lab.netns("a"), lab.netns("b"));
        ip(&[
            "link",
            "add",
            Self::SENDER,
            "netns",
            &a,
            "type",
            "veth",
            "peer",
            "name",
            Self::SPAN,
            "netns",
            &b,
        ]);
        ip(&["-n", &a, "link", "set", Self::SENDER, "mtu", "9000", "up"]);
        ip(&["-n", &b, "link", "set", Self::SPAN, "mtu", "9000", "up"]);
        ip(&["-n", &b, "link", "set", "lo", "up"]);
        lab
    }

    fn netns(&self, side: &str) -> String {
        format!("{}-{side}", self.name)
    }

    fn remove(&self) {
        for side in ["a", "b"] {
            // It need not exist.
            let _ = Command::new("ip")
                .args(["netns", "del", &self.netns(side)])
                .stderr(Stdio::null())
                .status();
        }
    }

    /// A folder that goes with the lab.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn command(&self, side: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.netns(side)]).arg(program);
        command
    }

    /// Starts a program on the listening side; its standard error goes to `log`.
    pub(super) fn start(&self, program: &str, args: &[&str], log: &str) -> Process {
        let log = self.path(log);
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let child = self
            .command("b", program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Process { running: Running(child), log }
    }

    /// Sends every frame of an Ethernet capture, at its own pace or at a given rate.
    pub(super) fn replay(&self, capture: &Path, packets_per_second: Option<u32>) -> u64 {
        let pace = packets_per_second
            .map_or_else(|| "--multiplier=1".to_owned(), |rate| format!("--pps={rate}"));
        let output = self
            .command("a", "tcpreplay")
            .args(["-i", Self::SENDER, &pace])
            .arg(capture)
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "tcpreplay {}: {text}", capture.display());
        text.lines()
            .find_map(|line| line.trim().strip_prefix("Successful packets:"))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or_else(|| panic!("tcpreplay did not say how many packets it sent: {text}"))
    }

    /// Takes the listening interface down, or up again.
    pub(super) fn span(&self, state: &str) {
        ip(&["-n", &self.netns("b"), "link", "set", Self::SPAN, state]);
    }

    /// `curl` on the listening side: the status code and the body.
    pub(super) fn http(&self, method: &str, url: &str) -> Option<(u16, String)> {
        let output: Output = self
            .command("b", "curl")
            .args(["-s", "--max-time", "10", "-X", method, "-w", "\n%{http_code}", url])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n')?;
        match code.parse().ok()? {
            0 => None,
            code => Some((code, body.to_owned())),
        }
    }

    /// The body of a page that must be there.
    pub(super) fn get(&self, url: &str) -> String {
        let (code, body) = self.http("GET", url).unwrap_or_else(|| panic!("{url}: no answer"));
        assert_eq!(code, 200, "{url}: {body}");
        body
    }

    /// The answer of a Prometheus HTTP API call.
    pub(super) fn json(&self, url: &str) -> Value {
        serde_json::from_str(&self.get(url)).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {}: {} (these tests need root)",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A process that ends with its value.
pub(super) struct Process {
    running: Running,
    log: PathBuf,
}

impl Process {
    /// What it has said so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Panics with its log when it has ended.
    pub(super) fn must_live(&mut self) {
        if let Some(status) = self.running.0.try_wait().unwrap() {
            panic!("ended with {status}:\n{}", self.log());
        }
    }

    pub(super) fn signal(&self, signal: &str) {
        self.running.signal(signal);
    }

    /// Sends a signal and waits for the end.
    pub(super) fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        wait_for("the process to end", || self.running.0.try_wait().unwrap())
    }
}
