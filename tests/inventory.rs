//! The inventory against what processes and disks do: a writer that is killed, a disk that is full.
//!
//! The writers are this test binary again, started for one test that does nothing otherwise.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vendorwatch::detect::{Finding, FindingKey, Tally};
use vendorwatch::inspect::Signal;
use vendorwatch::inventory::{InventoryError, Limits, Opened, Query, Reader, Writer};
use vendorwatch::net::Addr;
use vendorwatch::signature::{Class, Purpose, Strength};
use vendorwatch::time::Timestamp;

use crate::support::process::Running;

/// Where a child finds the path of its database.
const DATABASE: &str = "VENDORWATCH_TEST_INVENTORY";

/// Findings that a child hands over at once.
const PORTION: u32 = 50;

/// A change of the finding of client `n`, in the year 2100: past no retention.
fn change(n: u32) -> Finding {
    let at = Timestamp::from_parts(4_102_444_800 + u64::from(n), 0);
    let key = FindingKey {
        tenant: "".into(),
        network: "other".into(),
        client: Addr::from_v4(n.to_be_bytes()),
        vendor: "acme".into(),
        product: "agent".into(),
        strength: Strength::Strong,
    };
    let tally = Tally {
        purpose: Purpose::Update,
        class: Some(Class::A),
        count: 1,
        first_seen: at,
        last_seen: at,
    };
    Finding {
        count: 1,
        tallies: [(("acme.update".into(), Signal::TlsSni), tally)].into(),
        last_name: "upd.acme.test".into(),
        ..Finding::new(key, at)
    }
}

fn portion(number: u32) -> Vec<Finding> {
    (number * PORTION..(number + 1) * PORTION).map(change).collect()
}

fn open(path: &Path) -> Opened {
    Writer::open(path, Limits::default(), usize::MAX).unwrap()
}

fn database() -> Option<PathBuf> {
    std::env::var_os(DATABASE).map(PathBuf::from)
}

/// This binary, to run one of its tests on `path`.
fn child(program: &Path, test: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The numbers that a child prints after `word`.
fn said(child: &mut Child, word: &'static str) -> impl Iterator<Item = u32> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(word)?.trim().parse().ok())
}

/// Not a test by itself: writes, and says each portion that is on disk, until it is killed.
#[test]
fn child_that_writes_for_ever() {
    let Some(path) = database() else { return };
    let Opened { writer, .. } = open(&path);
    for number in 0.. {
        writer.submit(portion(number));
        writer.flush();
        println!("written {number}");
    }
}

#[test]
fn what_was_flushed_survives_a_kill_in_the_middle_of_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let mut told = 0;
    for round in 1..=3 {
        let program = std::env::current_exe().unwrap();
        let test = "inventory::child_that_writes_for_ever";
        let mut child = Running(child(&program, test, &path).spawn().unwrap());
        let last = said(&mut child.0, "written").take(8 * round).last().unwrap();
        drop(child);
        told = told.max(last);

        // Opening checks the file, and the lock of the dead is free.
        let Opened { writer, restored, set_aside } = open(&path);
        assert_eq!(set_aside, None);
        let found = restored.findings.len();
        assert_eq!(found % PORTION as usize, 0, "a portion is there whole or not at all");
        assert!(found >= ((told + 1) * PORTION) as usize, "{found} found, {told} told");
        for finding in &restored.findings {
            assert_eq!(
                finding.tallies.values().map(|tally| tally.count).sum::<u64>(),
                finding.count
            );
        }
        assert_eq!(restored.vendors[0].1.first, change(0).first_seen);
        drop(writer);
    }
    let first = Query { client: Some(change(0).key.client.to_ip()), ..Query::default() };
    let found = Reader::open(&path).unwrap().findings(&first).unwrap().findings;
    assert_eq!(found[0].count, 3, "each run added to what the one before left");
}

/// Not a test by itself: fills a small disk, then makes room on it.
#[test]
fn child_on_a_small_disk() {
    let Some(path) = database() else { return };
    let ballast = path.with_file_name("ballast");
    let Opened { writer, .. } = open(&path);
    let stats = writer.stats().clone();
    writer.submit(portion(0));
    writer.flush();
    assert_eq!(stats.pending.value(), 0);
    // A file takes all there is left; its last write fails.
    let _ = std::fs::write(&ballast, vec![1_u8; 8 << 20]);
    for number in 1..400 {
        writer.submit(portion(number));
        writer.flush();
        if stats.full.value() > 0 {
            break;
        }
    }
    let waiting = stats.pending.value();
    assert!(stats.full.value() > 0 && waiting > 0);
    assert_eq!(stats.evicted.value(), 0, "removing findings frees no full disk");
    let written = stats.written.value();
    let reader = Reader::open(&path).unwrap();
    let found = reader.findings(&Query::default()).unwrap().findings.len() as u64;
    assert_eq!(found, written, "what was written can be read while the disk is full");

    std::fs::remove_file(&ballast).unwrap();
    writer.submit(vec![change(0)]);
    writer.flush();
    assert_eq!(stats.pending.value(), 0);
    assert_eq!(stats.rows.value(), written + waiting);

    drop((reader, writer));
    let mut ballast = std::fs::File::create(&ballast).unwrap();
    while ballast.write_all(&[1; 512]).is_ok() {}
    let refused = Writer::open(&path, Limits::default(), 0).unwrap_err();
    assert!(refused.to_string().contains("is the disk full?"), "{refused}");
    let found =
        Reader::open(&path).unwrap().findings(&Query::default()).unwrap().findings.len() as u64;
    assert_eq!(found, written + waiting, "what is kept can be read without a writer, too");
    println!("waited {waiting}");
}

#[test]
fn a_full_disk_makes_changes_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A disk of our own needs a mount namespace, with the rights of root or a user namespace.
    let mount = "mount -t tmpfs -o size=4m none \"$1\" && shift && exec \"$@\"";
    let child = |unshare: &[&str], program: &Path, words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", mount, "sh"]).arg(&disk).arg(program).args(words);
        command
    };
    let ways: [&[&str]; 2] = [&["-m"], &["-Urm"]];
    let works = |way: &&&[&str]| {
        let status = child(way, Path::new("true"), &[]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        eprintln!("skipped: a disk of our own cannot be mounted here");
        return;
    };
    let program = std::env::current_exe().unwrap();
    let words = ["--exact", "inventory::child_on_a_small_disk", "--nocapture"];
    let output =
        child(way, &program, &words).env(DATABASE, disk.join("inventory.sqlite")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("waited"), "{text}");
}

/// The clients in the inventory at `path`, by their number.
fn clients(path: &Path) -> Vec<Addr> {
    let mut found = Reader::open(path).unwrap().findings(&Query::default()).unwrap().findings;
    found.sort_by_key(|finding| finding.key.client);
    found.into_iter().map(|finding| finding.key.client).collect()
}

#[test]
fn what_changes_after_the_file_was_removed_or_replaced_is_in_the_one_at_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let backup = dir.path().join("backup.sqlite");
    let [first, second, third] = [1_u32, 2, 3].map(|n| Addr::from_v4(n.to_be_bytes()));
    let Opened { writer, .. } = open(&path);
    writer.submit(vec![change(1)]);
    writer.flush();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    writer.submit(vec![change(2)]);
    writer.flush();
    assert_eq!(clients(&path), [second], "a new one");
    assert_eq!(writer.stats().rows.value(), 1);

    let Opened { writer: other, .. } = open(&backup);
    other.submit(vec![change(1)]);
    drop(other);
    std::fs::rename(&backup, &path).unwrap();
    writer.submit(vec![change(3)]);
    writer.flush();
    assert_eq!(clients(&path), [first, third], "the one that was put there");
    assert_eq!(writer.stats().rows.value(), 2);

    // What cannot be gone on in is left alone, and changes wait.
    let nonsense = b"no database".repeat(1_000);
    std::fs::write(&backup, &nonsense).unwrap();
    std::fs::rename(&backup, &path).unwrap();
    writer.submit(vec![change(4)]);
    writer.flush();
    let stats = writer.stats();
    assert_eq!((stats.pending.value(), stats.rows.value()), (1, 0));
    assert!(stats.failed.value() > 0);
    assert_eq!(std::fs::read(&path).unwrap(), nonsense);
    std::fs::remove_file(&path).unwrap();
    // Closing writes what waits.
    drop(writer);
    assert_eq!(clients(&path), [Addr::from_v4(4_u32.to_be_bytes())]);

    // Nothing changes after it was replaced: the next run finds the other as it was.
    let Opened { writer, .. } = open(&path);
    writer.submit(vec![change(5)]);
    writer.flush();
    let Opened { writer: other, .. } = open(&backup);
    other.submit(vec![change(1)]);
    drop(other);
    std::fs::rename(&backup, &path).unwrap();
    drop(writer);
    assert_eq!(clients(&path), [first]);
}

#[test]
fn the_command_reads_while_a_writer_holds_the_file_and_says_what_is_wrong_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
            .arg("inventory")
            .arg("--inventory")
            .arg(&path)
            .args(words)
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stdout, stderr)
    };
    let (code, _, stderr) = run(&[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no inventory there") && stderr.contains("--state-dir"), "{stderr}");

    let Opened { writer, .. } = open(&path);
    writer.submit(portion(0));
    writer.flush();
    let (code, stdout, stderr) = run(&["--format", "csv", "--vendor", "acme"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 51), "{stderr}");
    let (_, stdout, _) =
        run(&["--all", "--format", "json", "--client", "0.0.0.7", "--since", "2100-01-01"]);
    assert_eq!(stdout.lines().count(), 1);
    assert!(stdout.contains("\"client\":\"0.0.0.7\""), "{stdout}");
    for (flag, name) in [("--vendor", "nobody"), ("--network", "nowhere")] {
        let (code, stdout, stderr) = run(&[flag, name]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "an answer to it would be nothing");
        assert!(stderr.contains(name), "{stderr}");
    }
    assert!(matches!(Writer::open(&path, Limits::default(), 0), Err(InventoryError::InUse { .. })));

    drop(writer);
    std::fs::write(&path, "no database at all, whatever its name says".repeat(30)).unwrap();
    let (code, _, stderr) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("damaged"), "{stderr}");
    let (code, ..) = run(&["--since", "yesterday"]);
    assert_eq!(code, Some(2));
}

/// As an operator asks who is not the user of the unit: root without the right to read everything
/// stands for them.
#[test]
fn what_cannot_be_reached_is_not_called_missing() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    let path = closed.join("inventory.sqlite");
    drop(open(&path));
    let run = |path: &Path| {
        let program = env!("CARGO_BIN_EXE_vendorwatch");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-dac_override,-dac_read_search", program]);
            command
        } else {
            Command::new(program)
        };
        let output = command.arg("inventory").arg("--inventory").arg(path).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(!stderr.contains("no inventory there"), "{stderr}");
        stderr
    };
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&path, 0);
    assert!(run(&path).contains("may not read it"));
    set_mode(&path, 0o640);
    set_mode(&closed, 0);
    assert!(run(&path).contains("may not read it"));
    set_mode(&closed, 0o750);
    assert!(run(&closed).contains("directory"));
    let turn = dir.path().join("turn");
    std::os::unix::fs::symlink(&turn, &turn).unwrap();
    run(&turn);
}

/// What the command says on standard output of the inventory at `path`.
fn asked(path: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .arg("inventory")
        .arg("--inventory")
        .arg(path)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_was_removed_is_said_and_an_empty_answer_says_nothing_of_absence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let limits = Limits { rows: u64::from(PORTION), ..Limits::default() };
    let Opened { writer, .. } = Writer::open(&path, limits, usize::MAX).unwrap();
    let mut weak = change(7);
    weak.key.strength = Strength::Weak;
    weak.key.network = "lab".into();
    writer.submit(vec![weak]);
    writer.flush();
    assert!(asked(&path, &["--all", "--network", "lab"]).contains("0.0.0.7"));
    writer.submit(portion(1));
    writer.flush();
    let said = asked(&path, &["--all", "--network", "lab"]);
    assert!(said.contains("acme (weak, network lab) was seen from 2100-01-01 00:00:07Z"), "{said}");
    assert!(said.contains("says nothing of absence") && !said.contains("0.0.0.7"), "{said}");
}

#[test]
fn what_a_later_program_wrote_and_this_one_cannot_name_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let Opened { writer, .. } = open(&path);
    writer.submit(vec![change(7), change(8), change(9)]);
    writer.flush();
    drop(writer);
    let said = asked(&path, &["--all"]);
    assert!(!said.contains("Not shown"), "{said}");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "UPDATE finding SET strength = 9 WHERE client = '0.0.0.7';
             UPDATE tally SET signal = 'smoke' WHERE finding IN
                (SELECT id FROM finding WHERE client != '0.0.0.9');",
        )
        .unwrap();
    let said = asked(&path, &["--all"]);
    assert!(said.contains("Not shown, or not whole: 2 findings"), "{said}");
    assert!(!said.contains("0.0.0.7") && said.contains("0.0.0.8"), "{said}");
}

#[test]
fn how_a_client_is_spoken_of_does_not_depend_on_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.sqlite");
    let Opened { writer, .. } = open(&path);
    let mut known = change(7);
    known.key.vendor = "kaspersky".into();
    let mut later = known.clone();
    later.key.strength = Strength::Weak;
    later.last_seen = Timestamp::from_parts(4_200_000_000, 0);
    // No signature speaks of its vendor, so it is not reported.
    let mut hidden = change(8);
    hidden.last_seen = Timestamp::from_parts(4_300_000_000, 0);
    writer.submit(vec![known, later, hidden]);
    writer.flush();
    for words in [["--since", "2103-01-01"], ["--newest", "1"]] {
        let said = asked(&path, &[&["--format", "csv"], &words[..]].concat());
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains(",weak,product traffic observed,"), "{said}");
    }
}
