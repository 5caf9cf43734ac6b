//! What the configuration allows a replay to remember.

use std::fs;

use super::{Run, vendorwatch};
use crate::support::talk::{ACK, Ends, SYN, dns};

/// A classic pcap file, a frame a millisecond.
fn file(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file: Vec<u8> =
        [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1].map(u32::to_le_bytes).concat();
    for (number, frame) in (0..).zip(frames) {
        let size = u32::try_from(frame.len()).unwrap();
        let head = [1_790_000_000 + number / 1_000, number % 1_000 * 1_000, size, size];
        file.extend(head.map(u32::to_le_bytes).concat());
        file.extend(frame);
    }
    file
}

/// Between an answer and the connection that it explains come more of them than the least budget
/// holds several times over, and fewer than the usual one.
#[test]
fn a_replay_remembers_as_many_answers_as_it_is_told() {
    let talk = Ends::v4(50_000, 443);
    let std::net::IpAddr::V4(server) = talk.server.0 else { unreachable!() };
    let answer = |client: [u8; 4], name: &str, address: [u8; 4]| {
        let asked = Ends { client: (client.into(), 40_000), server: ([192, 0, 2, 53].into(), 53) };
        asked.reversed().udp(&dns(7, true, name, &[(1, address.to_vec())]))
    };
    let std::net::IpAddr::V4(client) = talk.client.0 else { unreachable!() };
    let mut frames = vec![answer(client.octets(), "downloads.kaspersky-labs.com", server.octets())];
    for number in 0..60_000_u16 {
        let [high, low] = number.to_be_bytes();
        frames.push(answer(
            [10, 0, high, low],
            &format!("n{number}.example"),
            [198, 18, high, low],
        ));
    }
    frames.push(talk.tcp(100, 0, SYN, b""));
    frames.push(talk.tcp(101, 901, ACK, b"\x99nothing with a name"));
    let folder = tempfile::tempdir().unwrap();
    let [capture, configuration] = ["answers.pcap", "v.toml"].map(|name| folder.path().join(name));
    fs::write(&capture, file(&frames)).unwrap();
    for (answers, is_explained) in [("1MiB", false), ("32MiB", true)] {
        fs::write(&configuration, format!("[budgets]\nanswers = \"{answers}\"\n")).unwrap();
        let Run { code, stdout, stderr } = vendorwatch([
            "read".as_ref(),
            "--format=json".as_ref(),
            "--by=client".as_ref(),
            "--config".as_ref(),
            configuration.as_os_str(),
            capture.as_os_str(),
        ]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("dns_answer"), "{stdout}");
        assert_eq!(stdout.contains("dns_attributed"), is_explained, "{answers}: {stdout}");
    }
}
