//! What goes wrong is said clearly, on standard error, with the documented exit code.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Run, small_capture, vendorwatch, vendorwatch_with};

#[test]
fn a_file_that_is_not_there_or_no_capture_fails_the_job() {
    let scratch = tempfile::tempdir().unwrap();
    let text = scratch.path().join("notes.txt");
    fs::write(&text, "no capture").unwrap();
    for (path, part) in [
        (scratch.path().join("absent.pcap"), "absent.pcap: No such file"),
        (text.clone(), "notes.txt: not a capture file"),
    ] {
        let Run { code, stderr, stdout } = vendorwatch(["read".as_ref(), path.as_os_str()]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
        assert_eq!(stdout, "");
    }
}

#[test]
fn one_unreadable_file_among_several_is_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    let good = scratch.path().join("good.pcap");
    fs::write(&good, small_capture()).unwrap();
    let bad = scratch.path().join("bad.pcap");
    fs::write(&bad, "nothing").unwrap();
    let Run { code, stderr, stdout } =
        vendorwatch(["read".as_ref(), "--names".as_ref(), good.as_os_str(), bad.as_os_str()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("warning: ") && stderr.contains("bad.pcap"), "{stderr}");
    assert_eq!(stdout, "dns-query\tdownloads.kaspersky-labs.com\n");
}

/// Whoever read the warnings and the log may be gone: the job is done all the same, and how it
/// ended is told.
#[test]
fn nobody_need_read_standard_error() {
    let scratch = tempfile::tempdir().unwrap();
    let [good, bad] = ["good.pcap", "bad.pcap"].map(|name| scratch.path().join(name));
    fs::write(&good, small_capture()).unwrap();
    fs::write(&bad, "nothing").unwrap();
    let unread = |format, inputs: &[&Path]| {
        let (reader, stderr) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
            // Of which the log has a warning.
            .env("VENDORWATCH_SETS_NOTHING", "1")
            .args(["read", "--names", "--log.format", format])
            .args(inputs)
            .stdin(Stdio::null())
            .stderr(stderr)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for format in ["logfmt", "json"] {
        let names = "dns-query\tdownloads.kaspersky-labs.com\n".to_owned();
        assert_eq!(unread(format, &[&good, &bad]), (Some(0), names), "{format}");
        assert_eq!(unread(format, &[&bad]), (Some(1), String::new()), "{format}");
    }
}

/// Somebody expected captures there.
#[test]
fn an_empty_directory_among_several_is_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    let good = scratch.path().join("monday");
    let empty = scratch.path().join("tuesday");
    fs::create_dir(&good).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(good.join("good.pcap"), small_capture()).unwrap();
    let Run { code, stderr, stdout } =
        vendorwatch(["read".as_ref(), good.as_os_str(), empty.as_os_str()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("warning: "), "{stderr}");
    assert!(stderr.contains("tuesday: not a capture file: it is an empty directory"), "{stderr}");
    assert!(stdout.contains("captures that could not be read"), "{stdout}");
}

#[test]
fn a_broken_tail_yields_what_came_before_and_says_where() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("cut.pcap");
    let mut octets = small_capture();
    let whole = octets.len();
    octets.extend([0; 9]);
    fs::write(&path, octets).unwrap();
    let Run { code, stderr, stdout } =
        vendorwatch(["read".as_ref(), "--names".as_ref(), path.as_os_str()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("broken at byte {whole}")), "{stderr}");
    assert_eq!(stdout.lines().count(), 1);
}

#[test]
fn a_link_type_that_is_not_known_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("odd.pcap");
    let mut octets = small_capture();
    // The link type is the last field of the file header.
    octets[20..24].copy_from_slice(&9_999_u32.to_le_bytes());
    fs::write(&path, octets).unwrap();
    let Run { code, stderr, stdout } = vendorwatch(["read".as_ref(), path.as_os_str()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1  packets of a link type that is not known here"), "{stdout}");
}

#[test]
fn findings_come_with_their_evidence() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("seen.pcap");
    fs::write(&path, small_capture()).unwrap();
    let Run { code, stdout, stderr } = vendorwatch([
        "read".as_ref(),
        "--format=json".as_ref(),
        "--by=client".as_ref(),
        path.as_os_str(),
    ]);
    assert_eq!(code, 0, "{stderr}");
    let finding: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    assert_eq!(finding["vendor"], "kaspersky");
    assert_eq!(finding["client"], "192.0.2.7");
    let with_workers = vendorwatch([
        "read".as_ref(),
        "--format=json".as_ref(),
        "--by=client".as_ref(),
        "--workers=3".as_ref(),
        path.as_os_str(),
    ]);
    assert_eq!(with_workers.stdout, stdout, "the number of workers changes nothing");
}

#[test]
fn bad_usage_configuration_and_filters_are_exit_code_2() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("v.toml");
    fs::write(&config, "[capture]\nworker = 2\n").unwrap();
    let capture = scratch.path().join("c.pcap");
    fs::write(&capture, small_capture()).unwrap();
    let (config, capture) = (config.to_str().unwrap(), capture.to_str().unwrap());
    for (words, part) in [
        (vec!["reed"], "unrecognized subcommand"),
        (vec!["read"], "required arguments"),
        (vec!["config", "check", "-c", config], "v.toml:2: unknown key `capture.worker`; known: "),
        (vec!["config", "check", "--signatures.disable=nobody"], "nobody"),
        (vec!["config", "check", "--capture.cpus=one"], "capture.cpus: `one`"),
        (vec!["config", "check", "--web.listen-address=nonsense"], "`nonsense` is not an address"),
        (vec!["run", "-c", config], "v.toml:2: unknown key"),
        (vec!["run"], "no interface to capture from"),
        (vec!["run", "-i", "lo", "--budgets.records=1"], "between 1024 and"),
        (vec!["run", "-i", "lo", "--capture.busy-poll=1s"], "`1s` is longer than 100ms"),
        (
            vec!["run", "-i", "vw-nowhere0", "--web.listen-address=:1,:1"],
            ":1 cannot be listened on beside :1",
        ),
        (vec!["config", "check", "-c", "/nonexistent/v.toml"], "/nonexistent/v.toml"),
        (vec!["read", capture, "--", "udp", "port", "nosuch"], "nosuch"),
        (vec!["read", capture, "--signatures.disable=nobody"], "nobody"),
        (vec!["read", capture, "--workers=1025"], "1025 is not in 0..=1024"),
        (vec!["read", capture, "--names", "--format=json"], "cannot be used with"),
        (vec!["run", "-i", "lo", "--filter=udp", "tcp"], "cannot be used with"),
        (vec!["config", "check", "--inventory="], "`off` is the word for none"),
        (vec!["config", "check", "--inventory.retention=0s"], "`0s` is shorter than 1d"),
    ] {
        let Run { code, stderr, .. } = vendorwatch(&words);
        assert_eq!(code, 2, "{words:?}: {stderr}");
        assert!(stderr.contains(part), "{words:?}: {stderr}");
    }
}

#[test]
fn a_variable_that_sets_nothing_is_told() {
    let check = |name: &str, value: &[u8]| {
        vendorwatch_with(&[(name, OsStr::from_bytes(value))], ["config", "check"])
    };
    let sound = "the configuration is sound\n";
    for (name, value, code, said) in [
        ("VENDORWATCH_CAPTURE_SNAPLENGTH", &b"96"[..], 0, Some("SNAPLENGTH sets nothing")),
        ("VENDORWATCH_SIGNATURES_ENABLE", b"zte\xff", 2, Some("ENABLE: the value is not UTF-8")),
        ("VENDORWATCH_SIGNATURES_ENABLE", b"zte", 0, None),
        ("VENDORWATCH_LOG_LEVEL", b"info", 0, None),
        ("VENDORWATCH_SERVICE_HOST", b"192.0.2.1", 0, None),
        ("VENDORWATCH_PORT", b"tcp://192.0.2.1:10064", 0, None),
    ] {
        let run = check(name, value);
        assert_eq!(run.code, code, "{name}: {}", run.stderr);
        match said {
            Some(said) => assert!(run.stderr.contains(said), "{}", run.stderr),
            None => assert_eq!(run.stderr, sound),
        }
    }
}

#[test]
fn an_interface_that_is_not_there_fails_the_job() {
    let Run { code, stderr, .. } = vendorwatch([
        "run",
        "-i",
        "vw-nowhere0",
        "--capture=ring",
        "--web.listen-address=127.0.0.1:0",
    ]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("vw-nowhere0"), "{stderr}");
}

#[test]
fn who_reads_no_further_is_no_failure() {
    use std::io::Read;
    use std::process::{Command, Stdio};

    // More than a pipe holds, to a reader that takes one octet and goes.
    let mut child = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .args(["signatures", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut octet = [0];
    child.stdout.take().unwrap().read_exact(&mut octet).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
