//! The daemon in a lab.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::lab::ip;
use crate::support::process::{Running, program};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Daemon {
    process: Running,
    log: NamedTempFile,
}

impl Daemon {
    /// With one worker for each interface that is named, and no inventory.
    pub(super) fn start(words: &[&str]) -> Self {
        // A new namespace has no 127.0.0.1 to listen on.
        ip(&["link", "set", "lo", "up"]);
        let log = NamedTempFile::new().unwrap();
        let process = program()
            .args(["run", "--workers=1", "--buffer-size=4MiB"])
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"])
            .args(words)
            .env("NO_COLOR", "1")
            .stderr(Stdio::from(log.reopen().unwrap()))
            .spawn()
            .unwrap();
        Self { process: Running(process), log }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// All that it has logged.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Waits until something holds.
    pub(super) fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "not {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The sum of a family's samples, of those with `label` in them.
    pub(super) fn sum(&self, family: &str, label: &str) -> f64 {
        let said = self.said();
        let line = said.lines().find(|line| line.contains("listening")).unwrap();
        let (_, address) = line.split_once("address=").unwrap();
        let mut stream = TcpStream::connect(address.trim()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let samples = answer.lines().filter_map(|line| line.strip_prefix(family));
        samples
            .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            .map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}
