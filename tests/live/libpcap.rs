//! libpcap on a veth pair.

use std::time::{Duration, Instant};

use vendorwatch::capture::live::{Backend, Lacking, Options, open_live};
use vendorwatch::capture::{CaptureError, Source};
use vendorwatch::frame::SourceId;

use super::lab::{Lab, Sender, ip, open, pass, receive, take};
use super::packets::{self, End, SERVER};

fn options() -> Options {
    Options {
        backend: Backend::Libpcap,
        ring_bytes: 4 << 20,
        retire: Duration::from_millis(5),
        ..Options::default()
    }
}

/// A UDP packet from client `n` to a port, in Ethernet.
fn udp(n: u16, port: u16) -> Vec<u8> {
    let [high, low] = n.to_be_bytes();
    let payload = vec![7; usize::from(n) % 1_400];
    packets::udp(End([192, 0, high, low], 40_000), End(SERVER.0, port), &payload)
}

#[test]
#[ignore = "needs root"]
fn every_frame_arrives_once_and_in_order() {
    let _lab = Lab::new();
    let mut opened = open(&Options { workers: 2, ..options() });
    let lacking: Vec<_> = opened.notices.iter().map(|notice| notice.what).collect();
    assert_eq!(lacking, [Lacking::Workers]);
    let source = &mut opened.sources[0];
    let sender = Sender::on("wire");
    let mut sent: Vec<_> = (0..3_000_u16).map(|n| udp(n, 9_999)).collect();
    // A tag that the kernel took out of the octets is put back.
    let untagged = &sent[0];
    sent[1] = [&untagged[..12], &[0x81, 0, 0, 42], &untagged[12..]].concat();
    let got = pass(&sender, source, &sent);
    assert!(got.iter().any(|kept| kept.at % 1_000 != 0), "times are in nanoseconds");
    let counters = source.counters();
    assert_eq!(counters.packets, sent.len() as u64);
    assert_eq!((counters.dropped_kernel, counters.outages), (0, 0));
}

#[test]
#[ignore = "needs root"]
fn a_filter_works_in_the_kernel() {
    let _lab = Lab::new();
    let mut opened = open(&Options { filter: Some("udp port 53".into()), ..options() });
    let sender = Sender::on("wire");
    for n in 0..200 {
        sender.send(&udp(n, if n % 4 == 0 { 53 } else { 9_999 }));
    }
    assert_eq!(receive(&mut opened.sources[0], 50).len(), 50);
    let wrong = Options { filter: Some("udp porrt 53".into()), ..options() };
    let error = open_live("span", SourceId(0), &wrong).unwrap_err();
    assert!(matches!(error, CaptureError::Filter { .. }), "{error}");
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_comes_back_is_captured_again() {
    let _lab = Lab::new();
    let mut opened = open(&options());
    let source = &mut opened.sources[0];
    Sender::on("wire").send(&udp(1, 53));
    assert_eq!(receive(source, 1).len(), 1);
    Lab::unplug();
    let end = Instant::now() + Duration::from_secs(10);
    while source.counters().outages == 0 {
        assert!(Instant::now() < end, "nobody noticed");
        take(source, Duration::from_millis(10));
    }
    Lab::plug();
    let sender = Sender::on("wire");
    let mut got = Vec::new();
    while got.is_empty() {
        assert!(Instant::now() < end + Duration::from_secs(10), "it did not come back");
        sender.send(&udp(2, 53));
        got = take(source, Duration::from_millis(50));
    }
    assert_eq!(got[0].data, udp(2, 53));
}

#[test]
#[ignore = "needs root"]
fn each_time_that_an_interface_goes_down_is_an_outage() {
    let _lab = Lab::new();
    let mut opened = open(&options());
    let source = &mut opened.sources[0];
    let sender = Sender::on("wire");
    for outages in 1..=3 {
        ip(&["link", "set", "span", "down"]);
        take(source, Duration::from_millis(50));
        ip(&["link", "set", "span", "up"]);
        let end = Instant::now() + Duration::from_secs(10);
        let mut got = Vec::new();
        while got.is_empty() {
            assert!(Instant::now() < end, "it did not come back");
            sender.send(&udp(2, 53));
            got = take(source, Duration::from_millis(50));
        }
        assert_eq!(source.counters().outages, outages);
    }
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_is_down_at_the_start_is_an_outage_until_it_is_up() {
    let _lab = Lab::new();
    ip(&["link", "set", "span", "down"]);
    let wrong = Options { filter: Some("udp porrt 53".into()), ..options() };
    let error = open_live("span", SourceId(0), &wrong).unwrap_err();
    assert!(matches!(error, CaptureError::Filter { .. }), "{error}");
    let mut opened = open(&Options { filter: Some("udp port 53".into()), ..options() });
    assert_eq!(opened.backend, Backend::Libpcap);
    let source = &mut opened.sources[0];
    assert_eq!(take(source, Duration::from_millis(10)), []);
    assert!(!source.is_open());
    assert_eq!((source.counters().packets, source.counters().outages), (0, 1));
    ip(&["link", "set", "span", "up"]);
    let end = Instant::now() + Duration::from_secs(10);
    while !source.is_open() {
        assert!(Instant::now() < end, "nobody noticed");
        take(source, Duration::from_millis(10));
    }
    let sender = Sender::on("wire");
    sender.send(&udp(1, 9_999));
    sender.send(&udp(2, 53));
    let got = receive(source, 1);
    assert_eq!(got[0].data, udp(2, 53));
    assert_eq!((source.counters().packets, source.counters().outages), (1, 1));
}

#[test]
#[ignore = "needs root"]
fn an_absent_interface_is_an_error_that_names_those_there_are() {
    let _lab = Lab::new();
    for backend in [Backend::Libpcap, Backend::Auto] {
        let error = open_live("absent0", SourceId(0), &Options { backend, ..options() });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("absent0"), "{error}");
    }
    let any = Options { backend: Backend::Auto, ignore_outgoing: true, ..options() };
    let opened = open_live("any", SourceId(0), &any).unwrap();
    assert_eq!(opened.backend, Backend::Libpcap);
    let lacking: Vec<_> = opened.notices.iter().map(|notice| notice.what).collect();
    assert_eq!(lacking, [Lacking::Ring, Lacking::IgnoreOutgoing]);
}
