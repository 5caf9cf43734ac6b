//! The daemon on the loopback interface. It opens a packet socket; `make test` runs these as root.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Run, vendorwatch};
use crate::support::process::Running;

/// Long enough for the busiest machine; nobody waits for it who is not failing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that is killed with the test.
struct Daemon {
    process: Running,
    log: Receiver<String>,
    address: String,
}

impl Daemon {
    /// Starts on a free port and waits until it serves.
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
            .args(["run", "-i", "lo", "--web.listen-address=127.0.0.1:0", "--log.format=logfmt"])
            .args(words)
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        let mut daemon = Self { process: Running(child), log, address: String::new() };
        let line = daemon.wait_for("listening");
        let (_, address) = line.split_once("address=").unwrap();
        address.trim().clone_into(&mut daemon.address);
        daemon
    }

    /// The next line of the log that holds `part`.
    fn wait_for(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(why) => panic!("no `{part}` in the log ({why}): {seen:#?}"),
            }
        }
    }

    /// One request; the answer with its head.
    fn ask(&self, method: &str, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    fn end(mut self) -> Option<i32> {
        self.process.0.wait().unwrap().code()
    }
}

/// The value of an unlabelled family.
fn value(exposition: &str, family: &str) -> Option<f64> {
    exposition.lines().find_map(|line| line.strip_prefix(family)?.trim().parse().ok())
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn pages_answer_as_exporters_do() {
    let daemon = Daemon::start(&[]);
    let status = |method, path| {
        let answer = daemon.ask(method, path, "localhost");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for (method, path, want) in [
        ("GET", "/", "200"),
        ("GET", "/metrics", "200"),
        ("GET", "/-/healthy", "200"),
        ("GET", "/-/ready", "200"),
        ("GET", "/config", "200"),
        ("GET", "/api/v1/findings", "200"),
        ("GET", "/api/v1/findings?vendor=kaspersky", "200"),
        ("GET", "/api/v1/findings?colour=red", "400"),
        ("GET", "/-/reload", "405"),
        ("POST", "/-/reload", "200"),
        ("GET", "/nowhere", "404"),
    ] {
        assert_eq!(status(method, path), want, "{method} {path}");
    }
    // A page elsewhere whose name was made to point here.
    for path in ["/api/v1/findings", "/config"] {
        let answer = daemon.ask("GET", path, "evil.example");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    daemon.signal("TERM");
    daemon.wait_for("stopped");
    assert_eq!(daemon.end(), Some(0));
}

/// Asks DNS, which nobody serves, for a listed name.
fn ask_for_ztems() {
    let mut question = b"\x5a\x5a\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in ["update", "ztems", "com", ""] {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.bytes());
    }
    question.extend([0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&question, "127.0.0.1:53").unwrap();
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn clients_of_before_a_restart_count_at_the_first_scrape() {
    let state = tempfile::tempdir().unwrap();
    let words = ["--state-dir", state.path().to_str().unwrap()];
    let clients = |daemon: &Daemon| {
        let metrics = daemon.ask("GET", "/metrics", "localhost");
        let family = "vendorwatch_vendor_clients{network=\"other\",strength=\"moderate\",\
                      vendor=\"zte\"} ";
        value(&metrics, family).unwrap_or_else(|| panic!("{metrics}"))
    };
    let daemon = Daemon::start(&words);
    ask_for_ztems();
    let begun = Instant::now();
    while clients(&daemon) < 1.0 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
    let daemon = Daemon::start(&words);
    assert!((clients(&daemon) - 1.0).abs() < f64::EPSILON);
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn the_api_hides_no_vendor_that_is_asked_for_and_knows_no_other() {
    let daemon = Daemon::start(&["--signatures.disable=zte"]);
    let body = |query: &str| {
        let answer = daemon.ask("GET", &format!("/api/v1/findings{query}"), "localhost");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    ask_for_ztems();
    let begun = Instant::now();
    while body("?client=127.0.0.1") != r#"{"findings":[],"left_out_by_configuration":1}"# {
        assert!(begun.elapsed() < PATIENCE, "{}", body(""));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(body("?client=192.0.2.1"), r#"{"findings":[],"left_out_by_configuration":0}"#);
    assert!(body("?vendor=zte").contains("update.ztems.com"), "{}", body("?vendor=zte"));
    let mapped = body("?vendor=zte&client=::ffff:127.0.0.1");
    assert!(mapped.contains("update.ztems.com"), "{mapped}");
    for (query, part) in [
        ("?vendor=ztee", "vendor=ztee: neither the signatures nor a finding know it"),
        ("?network=lan", "network=lan: neither the configured networks nor a finding know it"),
    ] {
        let answer = daemon.ask("GET", &format!("/api/v1/findings{query}"), "localhost");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(part), "{answer}");
    }
    daemon.signal("TERM");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn connections_that_ask_nothing_take_few_descriptors_and_no_answers() {
    let daemon = Daemon::start(&["--web.max-requests=1"]);
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(&daemon.address).unwrap();
            stream.write_all(b"GET /metrics HT").unwrap();
            stream
        })
        .collect();
    let metrics = daemon.ask("GET", "/metrics", "localhost");
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    let open = value(&metrics, "process_open_fds ").unwrap();
    assert!(open < 200.0, "{open} descriptors");
    daemon.wait_for("the oldest give way");
    drop(slow);
}

#[test]
#[ignore = "needs CAP_NET_RAW and promtool"]
fn the_exposition_is_clean() {
    let daemon = Daemon::start(&[]);
    let answer = daemon.ask("GET", "/metrics", "localhost");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    lint.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let lint = lint.wait_with_output().unwrap();
    assert!(
        lint.status.success() && lint.stdout.is_empty() && lint.stderr.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&lint.stdout),
        String::from_utf8_lossy(&lint.stderr)
    );
    for (family, least) in [
        ("vendorwatch_config_last_reload_successful ", 1.0),
        ("process_start_time_seconds ", 1e9),
        ("process_resident_memory_bytes ", 1e5),
    ] {
        assert!(value(body, family).is_some_and(|value| value >= least), "{family}");
    }
    // What a rule asks for is there before it is needed.
    let zero = "vendorwatch_vendor_first_seen_timestamp_seconds{network=\"other\",\
                strength=\"strong\",vendor=\"kaspersky\"} 0";
    assert!(body.contains(zero), "{body}");
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn a_bad_reload_is_refused_by_name_and_the_old_one_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("v.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("[signatures]\nmin_strength = \"moderate\"\n");
    let daemon = Daemon::start(&["-c", path_text(&path)]);
    for (text, part) in [
        ("[capture]\nkernel_flows = 4096\n", "only a restart can change capture.kernel_flows"),
        ("[[network]]\nname = \"a\"\nvlans = [1]\n", "only a restart can change [[network]]"),
        ("[[tenant]]\nname = \"a\"\nvnis = [1]\n", "only a restart can change [[tenant]]"),
        ("[events]\nrepeat = \"2h\"\n", "only a restart can change events.repeat"),
        ("[signatures]\nmin_strenth = \"weak\"\n", ":2: unknown key"),
        ("[signatures]\ndisable = [\"nobody\"]\n", "nobody"),
    ] {
        write(text);
        daemon.signal("HUP");
        let line = daemon.wait_for("reload refused");
        assert!(line.contains(part), "{line}");
        let metrics = daemon.ask("GET", "/metrics", "localhost");
        assert_eq!(value(&metrics, "vendorwatch_config_last_reload_successful "), Some(0.0));
        let config = daemon.ask("GET", "/config", "localhost");
        assert!(config.contains("min_strength = \"moderate\""), "{config}");
        let answer = daemon.ask("POST", "/-/reload", "localhost");
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains(part), "{answer}");
        daemon.wait_for("reload refused");
    }
    write("[signatures]\nmin_strength = \"strong\"\n");
    daemon.signal("HUP");
    daemon.wait_for("reloaded");
    let metrics = daemon.ask("GET", "/metrics", "localhost");
    assert_eq!(value(&metrics, "vendorwatch_config_last_reload_successful "), Some(1.0));
    assert!(daemon.ask("GET", "/config", "localhost").contains("min_strength = \"strong\""));
}

/// Builds a pack of one name.
fn pack(directory: &Path, version: &str, name: &str) {
    let list = directory.join("list");
    std::fs::create_dir_all(&list).unwrap();
    let described = "[vendor]\nid = \"kaspersky\"\nextends = true\n[[indicator]]\n\
                     id = \"kaspersky.own\"\nnumber = 1900001\n\
                     match = { kind = \"list\", value = \"names\" }\npurpose = \"update\"\n\
                     product = \"Agent\"\nstrength = \"strong\"\nconfounders = [\"none known\"]\n\
                     evidence = [{ class = \"C\", title = \"t\", reference = \"r\", \
                     retrieved = \"2026-11-21\", says = \"s\" }]\n\
                     first_seen = \"2026-11-21\"\nreview_by = \"2027-05-21\"\n";
    std::fs::write(list.join("own.toml"), described).unwrap();
    std::fs::write(list.join("names"), format!("{name}\n")).unwrap();
    let output = directory.join("packs/own.pack");
    let run = vendorwatch([
        "signatures",
        "pack",
        path_text(&list),
        "--name=own",
        "--version",
        version,
        "--output",
        path_text(&output),
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn packs_come_and_go_with_a_reload_and_the_metrics_say_which_are_in_use() {
    let scratch = tempfile::tempdir().unwrap();
    let packs = scratch.path().join("packs");
    std::fs::create_dir(&packs).unwrap();
    let daemon = Daemon::start(&["--signatures", path_text(&packs)]);
    let reload = || {
        let answer = daemon.ask("POST", "/-/reload", "localhost");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let metrics = daemon.ask("GET", "/metrics", "localhost");
        let infos = metrics.lines().filter(|line| line.starts_with("vendorwatch_signatures_info{"));
        let infos: Vec<String> = infos.map(str::to_owned).collect();
        let all = infos.iter().find(|line| line.contains("=\"all\"")).unwrap().clone();
        let own = infos.iter().find(|line| line.contains("=\"own\"")).cloned();
        (all, own)
    };
    let (empty, none) = reload();
    assert_eq!(none, None);
    pack(scratch.path(), "1", "one.example.com");
    let (one, own) = reload();
    assert!(own.unwrap().contains("version=\"1\""));
    assert_ne!(one, empty, "the hash over all is another");
    assert_eq!(reload().0, one, "and the same while nothing changes");
    pack(scratch.path(), "2", "two.example.com");
    assert!(reload().1.unwrap().contains("version=\"2\""));
    std::fs::write(packs.join("own.pack"), "no pack").unwrap();
    let answer = daemon.ask("POST", "/-/reload", "localhost");
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("own.pack"), "{answer}");
    std::fs::remove_file(packs.join("own.pack")).unwrap();
    assert_eq!(reload(), (empty, None), "what is deleted is gone");
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn the_service_manager_hears_of_every_step() {
    use std::os::unix::net::UnixDatagram;

    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let wait_for = |parts: &[&str]| {
        let mut seen = String::new();
        let mut octets = [0; 4_096];
        while !parts.iter().all(|part| seen.contains(part)) {
            let length = match manager.recv(&mut octets) {
                // A receive with a time limit is not begun anew after a signal (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                received => received.unwrap_or_else(|error| panic!("{error}: {seen}")),
            };
            seen.push_str(core::str::from_utf8(&octets[..length]).unwrap());
            seen.push('\n');
        }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_vendorwatch"));
    command
        .args(["run", "-i", "lo", "--web.listen-address=127.0.0.1:0", "-q"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000");
    let mut process = Running(command.spawn().unwrap());
    wait_for(&["READY=1", "STATUS="]);
    wait_for(&["WATCHDOG=1"]);
    process.signal("HUP");
    wait_for(&["RELOADING=1", "MONOTONIC_USEC=", "READY=1"]);
    process.signal("TERM");
    wait_for(&["STOPPING=1"]);
    assert!(process.0.wait().unwrap().success());
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn a_port_in_use_and_an_event_file_that_cannot_be_written_fail_the_job() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("--web.listen-address={}", taken.local_addr().unwrap());
    let Run { code, stderr, .. } = vendorwatch(["run", "-i", "lo", &address]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot listen on 127.0.0.1:"), "{stderr}");

    let Run { code, stderr, .. } = vendorwatch([
        "run",
        "-i",
        "lo",
        "--web.listen-address=127.0.0.1:0",
        "--events=/nonexistent/events.json",
    ]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot write events to /nonexistent/events.json"), "{stderr}");
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
