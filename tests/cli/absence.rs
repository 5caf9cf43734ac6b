//! Nobody reads that a vendor is absent where something was not looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Run, small_capture, vendorwatch};
use crate::support::wire;

const ABSENT: &str = "No endpoint of a listed vendor was contacted in what could be seen.";
const ALL_READ: &str = "Nothing that was captured stayed unread.";

const UNCOUNTED: &str = "Not counted: connections that were open before the capture began, for they \
    said their names then; datagrams of protocols that name no host.";

/// Where the first record of [`small_capture`] begins, and its frame.
const RECORD: usize = 24;
const FRAME: usize = RECORD + 16;

fn read(words: &[&str], path: &Path) -> String {
    let Run { code, stdout, stderr } =
        vendorwatch(["read", path.to_str().unwrap()].iter().chain(words));
    assert_eq!(code, 0, "{stderr}");
    stdout
}

fn written(folder: &tempfile::TempDir, name: &str, octets: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, octets).unwrap();
    path
}

/// The file's header, and the question of as many clients.
fn capture_of(clients: u16) -> Vec<u8> {
    let one = small_capture();
    let mut file = one[..RECORD].to_vec();
    for client in 0..clients {
        let mut record = one[RECORD..].to_vec();
        let address = FRAME - RECORD + 14 + 14;
        record[address..address + 2].copy_from_slice(&client.to_be_bytes());
        file.extend(record);
    }
    file
}

#[test]
fn a_file_that_breaks_off_is_in_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let mut octets = small_capture();
    octets.extend([0; 9]);
    let said = read(&[], &written(&folder, "cut.pcap", octets));
    assert!(said.contains(" 1  captures that could not be read, or not to their end"), "{said}");
    assert!(!said.contains(ALL_READ), "{said}");
}

#[test]
fn what_a_directory_holds_beside_captures_is_named_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    written(&folder, "one.pcap", small_capture());
    written(&folder, "notes.txt", "no capture");
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("today")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("live")).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let Run { code, stdout, stderr } = vendorwatch(["read", &path]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(" 3  files and directories passed over"), "{stdout}");
    for name in ["notes.txt", "today", "live"] {
        assert!(stderr.contains(name), "{stderr}");
    }
    assert!(!stdout.contains(ALL_READ), "{stdout}");

    // Captures in a form that is not read here are more than passed over.
    written(&folder, "night.pcap.xz", b"\xfd7zXZ\0 and so on");
    let Run { stdout, stderr, .. } = vendorwatch(["read", &path]);
    assert!(stderr.contains("night.pcap.xz") && stderr.contains("xz -dc"), "{stderr}");
    assert!(stdout.contains(" 1  captures that could not be read"), "{stdout}");
}

#[test]
fn a_directory_without_a_capture_fails_the_job() {
    let folder = tempfile::tempdir().unwrap();
    for (name, part) in [(None, "an empty directory"), (Some("notes.txt"), "none of the 1 files")] {
        if let Some(name) = name {
            written(&folder, name, "no capture");
        }
        let Run { code, stdout, stderr } =
            vendorwatch(["read".as_ref(), folder.path().as_os_str()]);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn losses_that_the_file_reports_are_in_the_account() {
    let block = |kind: u32, body: &[u8]| {
        let len = u32::try_from(12 + body.len()).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let frame = &small_capture()[FRAME..];
    let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
    let padded = frame.len().next_multiple_of(4) - frame.len();
    let packet = [&[0; 12][..], &len, &len, frame, &vec![0; padded]].concat();
    // `isb_ifdrop`, `isb_osdrop` (draft-ietf-opsawg-pcapng §4.6).
    let statistics = [
        &[0; 12][..],
        &[5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let capture = [
        block(0x0a0d_0d0a, &section),
        block(1, &[1, 0, 0, 0, 0, 0, 4, 0]),
        block(6, &packet),
        block(5, &statistics),
    ];
    let said = read(&[], &written(&folder, "lossy.pcapng", capture.concat()));
    assert!(said.contains("kaspersky"), "{said}");
    assert!(said.contains(" 9  packets lost before they were captured"), "{said}");
}

#[test]
fn what_a_filter_leaves_out_is_in_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let said = read(&["--", "port 80"], &written(&folder, "one.pcap", small_capture()));
    assert!(said.contains(" 1  packets that the filter left out"), "{said}");
    assert!(said.contains("No packet was read") && !said.contains(ABSENT), "{said}");
}

#[test]
fn an_empty_capture_says_nothing_of_absence() {
    let folder = tempfile::tempdir().unwrap();
    let said = read(&[], &written(&folder, "none.pcap", &small_capture()[..RECORD]));
    assert!(said.contains("No packet was read"), "{said}");
    assert!(!said.contains(ABSENT) && !said.contains(ALL_READ), "{said}");
}

/// The middle of a connection to one of the vendor's own addresses, and a datagram to it.
#[test]
fn what_is_not_counted_is_not_said_to_be_absent() {
    let (client, server) = ([192, 0, 2, 1].into(), [77, 74, 181, 1].into());
    let folder = tempfile::tempdir().unwrap();
    for (protocol, contents) in [
        (6, wire::tcp((client, server), (40_000, 443), &[0x17; 100])),
        (17, wire::udp(40_000, 8_800, b"DHGET /probe/device HTTP/1.1\r\n\r\n")),
    ] {
        let frame = wire::ethernet(0x0800, &wire::ip(client, server, protocol, &contents));
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        let file = [&small_capture()[..RECORD], &[0; 8], &len, &len, &frame].concat();
        let said = read(&[], &written(&folder, "middle.pcap", file));
        assert!(said.contains(" 1  packets of TCP and UDP"), "{said}");
        assert!(said.contains(UNCOUNTED), "{said}");
    }
    let none = read(&[], &written(&folder, "none.pcap", &small_capture()[..RECORD]));
    assert!(!none.contains(UNCOUNTED), "{none}");
}

#[test]
fn a_vendor_that_is_not_reported_is_not_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, "one.pcap", small_capture());
    let said = read(&["--signatures.disable", "kaspersky"], &path);
    assert!(said.contains("Nothing is reported.") && said.contains(": 1 finding."), "{said}");
    assert!(said.contains("of them reported), SHA-256"), "{said}");
    assert!(!said.contains(ABSENT), "{said}");
}

#[test]
fn findings_beyond_the_budget_are_in_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let config = written(&folder, "small.toml", "[budgets]\nfindings = 1024\n");
    let path = written(&folder, "many.pcap", capture_of(1_027));
    let said = read(&["--config", config.to_str().unwrap()], &path);
    assert!(said.contains(" 3  findings given up for want of room (budgets.findings)"), "{said}");
    let said = read(&[], &path);
    assert!(!said.contains("given up"), "{said}");
}
