//! The packet ring on a veth pair.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use vendorwatch::capture::Source;
use vendorwatch::capture::live::{Backend, Options};

use super::lab::{Lab, Sender, ip, open, pass, receive, take};
use super::packets::{self, End, SERVER, tagged};

const SMALL: u64 = 4 << 20;

fn options() -> Options {
    Options {
        backend: Backend::Ring,
        ring_bytes: SMALL,
        retire: Duration::from_millis(5),
        ..Options::default()
    }
}

/// A UDP packet of client `n` whose payload is `length` octets.
fn udp(n: u16, length: usize) -> Vec<u8> {
    let [high, low] = n.to_be_bytes();
    let payload: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
    packets::udp(End([192, 0, high, low], 20_000 + n % 1_000), End(SERVER.0, 9_999), &payload)
}

#[test]
#[ignore = "needs root"]
fn every_frame_arrives_once_whole_and_in_order() {
    let _lab = Lab::new();
    let mut opened = open(&options());
    assert_eq!(opened.notices, []);
    let source = &mut opened.sources[0];
    let sender = Sender::on("wire");

    let sent: Vec<_> = (0..5_000_u16).map(|n| udp(n, usize::from(n) % 1_400)).collect();
    for (got, sent) in pass(&sender, source, &sent).iter().zip(&sent) {
        assert_eq!((got.wire_len as usize, got.vlan), (sent.len(), None));
    }
    let counters = source.counters();
    assert_eq!(counters.packets, sent.len() as u64);
    assert_eq!(counters.bytes, sent.iter().map(|frame| frame.len() as u64).sum::<u64>());
    assert_eq!((counters.dropped_kernel, counters.freezes, counters.outages), (0, 0, 0));
}

#[test]
#[ignore = "needs root"]
fn the_outer_tag_comes_beside_the_octets_and_inner_ones_within() {
    let _lab = Lab::new();
    let mut opened = open(&options());
    let source = &mut opened.sources[0];
    let sender = Sender::on("wire");
    let plain = udp(1, 100);
    sender.send(&tagged(&plain, &[(0x8100, 0x6005)]));
    sender.send(&tagged(&plain, &[(0x88a8, 100), (0x8100, 200)]));
    sender.send(&plain);
    let got = receive(source, 3);
    assert_eq!(got[0].vlan, Some(0x6005), "priority bits are kept");
    assert_eq!(got[0].data, plain);
    assert_eq!(got[1].vlan, Some(100));
    assert_eq!(got[1].data, tagged(&plain, &[(0x8100, 200)]));
    assert_eq!((got[2].vlan, &got[2].data), (None, &plain));
}

#[test]
#[ignore = "needs root"]
fn what_does_not_fit_is_counted_and_nothing_else_is_lost() {
    let _lab = Lab::new();
    let mut opened = open(&options());
    let source = &mut opened.sources[0];
    let sender = Sender::on("wire");
    let sent = 20_000_u16;
    let frame = udp(1, 1_000);
    for _ in 0..sent {
        sender.send(&frame);
    }
    let mut got = 0;
    loop {
        let more = take(source, Duration::from_millis(100)).len();
        got += more as u64;
        if more == 0 {
            break;
        }
    }
    let counters = source.counters();
    assert!(counters.dropped_kernel > 0, "20 MB do not fit into 4 MiB");
    assert!(counters.freezes > 0);
    assert_eq!(counters.packets, got);
    assert_eq!(counters.packets + counters.dropped_kernel, u64::from(sent));
}

#[test]
#[ignore = "needs root"]
fn both_directions_of_a_flow_reach_one_worker_and_no_frame_two() {
    let _lab = Lab::new();
    let mut opened = open(&Options { workers: 3, ring_bytes: 8 * SMALL, ..options() });
    let sender = Sender::on("wire");
    let (mut sent, mut seen) = (0, Vec::new());
    let mut receive = |seen: &mut Vec<_>| {
        for (worker, source) in opened.sources.iter_mut().enumerate() {
            for kept in take(source, Duration::from_millis(20)) {
                seen.push((client_of(&kept.data), worker, kept.number));
            }
        }
    };
    for n in 0..300_u16 {
        let frame = udp(n, 64);
        sender.send(&frame);
        sender.send(&answer(&frame));
        sent += 2;
        // A slow machine's ring has room.
        if n % 50 == 49 {
            receive(&mut seen);
        }
    }
    let end = Instant::now() + Duration::from_secs(10);
    while seen.len() < sent && Instant::now() < end {
        receive(&mut seen);
    }
    assert_eq!(seen.len(), sent);
    let mut numbers: Vec<_> = seen.iter().map(|(_, _, number)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), sent, "numbers are unique within the interface");
    for n in 0..300_u16 {
        let client = n.to_be_bytes();
        let workers: Vec<_> =
            seen.iter().filter(|(of, ..)| *of == client).map(|(_, worker, _)| *worker).collect();
        assert_eq!(workers.len(), 2);
        assert_eq!(workers[0], workers[1], "client {n}");
    }
    for worker in 0..3 {
        let share = seen.iter().filter(|(_, at, _)| *at == worker).count();
        assert!(share > 100, "worker {worker} got {share} of {sent}");
    }
}

/// The frame with its ends exchanged.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut out = frame.to_vec();
    out[26..30].copy_from_slice(&frame[30..34]);
    out[30..34].copy_from_slice(&frame[26..30]);
    out[34..36].copy_from_slice(&frame[36..38]);
    out[36..38].copy_from_slice(&frame[34..36]);
    out
}

/// The last octets of the address within 192.0.0.0/16, whichever end it is.
fn client_of(frame: &[u8]) -> [u8; 2] {
    if frame[26] == 192 { [frame[28], frame[29]] } else { [frame[32], frame[33]] }
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_flaps_or_is_made_anew_is_captured_again() {
    let _lab = Lab::new();
    let mut opened = open(&Options { workers: 2, ..options() });
    let frame = udp(1, 100);
    let reaches = |opened: &mut vendorwatch::capture::live::Opened| {
        let end = Instant::now() + Duration::from_secs(20);
        let mut got = 0;
        // What is sent before the rings are back is lost, as it should be: send until one comes.
        while got == 0 && Instant::now() < end {
            Sender::on("wire").send(&frame);
            for source in &mut opened.sources {
                got += take(source, Duration::from_millis(50)).len();
            }
        }
        got > 0
    };
    assert!(reaches(&mut opened));

    ip(&["link", "set", "span", "down"]);
    for source in &mut opened.sources {
        take(source, Duration::from_millis(50));
    }
    ip(&["link", "set", "span", "up"]);
    assert!(reaches(&mut opened), "after down and up");

    // Its last frames come after the kernel has said that it went down.
    Sender::on("wire").send(&frame);
    Lab::unplug();
    for _ in 0..5 {
        for source in &mut opened.sources {
            take(source, Duration::from_millis(50));
        }
    }
    Lab::plug();
    assert!(reaches(&mut opened), "after it was removed and made anew");
    let outages: Vec<_> = opened.sources.iter_mut().map(|s| s.counters().outages).collect();
    assert_eq!(outages, [2, 2]);
}

#[test]
#[ignore = "needs root"]
fn it_is_the_interface_that_has_the_name_which_is_captured() {
    for backend in [Backend::Ring, Backend::Auto, Backend::Xdp, Backend::Libpcap] {
        if cfg!(not(feature = "libpcap")) && backend == Backend::Libpcap {
            continue;
        }
        let _lab = Lab::new();
        let workers = if backend == Backend::Libpcap { 1 } else { 2 };
        let mut opened = open(&Options { workers, backend, ..options() });
        // What a filter in the kernel lets pass.
        let frame = packets::udp(End([192, 0, 2, 1], 20_000), End(SERVER.0, 53), &[0; 100]);
        ip(&["link", "set", "span", "down"]);
        ip(&["link", "set", "span", "name", "other"]);
        ip(&["link", "set", "other", "up"]);
        ip(&["link", "add", "wire2", "type", "veth", "peer", "name", "span"]);
        for end in ["wire2", "span"] {
            ip(&["link", "set", end, "up"]);
        }
        let end = Instant::now() + Duration::from_secs(20);
        let mut got = 0;
        while got == 0 {
            assert!(Instant::now() < end, "{}", backend.label());
            Sender::on("wire2").send(&frame);
            for source in &mut opened.sources {
                got += take(source, Duration::from_millis(50)).len();
                // As a worker does once a second.
                let lost = source.counters().dropped_interface;
                assert!(lost == 0 || backend == Backend::Libpcap);
            }
        }
        Sender::on("wire").send(&frame);
        for source in &mut opened.sources {
            assert_eq!(take(source, Duration::from_millis(50)), [], "{}", backend.label());
            assert!(source.counters().outages > 0);
        }
    }
}

/// Processor time of this thread.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
#[ignore = "needs root"]
fn spinning_takes_the_time_it_may_and_loses_neither_frames_nor_patience() {
    const PATIENCE: Duration = Duration::from_millis(300);
    let _lab = Lab::new();
    let idle = |busy_poll| {
        let mut opened = open(&Options { busy_poll, ..options() });
        let before = (Instant::now(), worked());
        assert_eq!(take(&mut opened.sources[0], PATIENCE), []);
        (before.0.elapsed(), worked().saturating_sub(before.1), opened)
    };
    let (_, asleep, _) = idle(None);
    let (lasted, awake, mut opened) = idle(Some(Duration::from_secs(3_600)));
    // A tenth of a processor is left for this on the busiest machine.
    assert!(awake > asleep + PATIENCE / 10, "{awake:?} spinning, {asleep:?} asleep");
    assert!(lasted >= PATIENCE && lasted < 20 * PATIENCE, "{lasted:?}");

    let source = &mut opened.sources[0];
    let sent: Vec<_> = (0..2_000_u16).map(|n| udp(n, usize::from(n) % 1_400)).collect();
    pass(&Sender::on("wire"), source, &sent);
    ip(&["link", "set", "span", "down"]);
    take(source, PATIENCE);
    assert_eq!(source.counters().outages, 1, "trouble is noticed all the same");
}

#[test]
#[ignore = "needs root"]
#[cfg(feature = "libpcap")]
fn a_filter_is_applied_in_the_kernel_tags_included() {
    let _lab = Lab::new();
    let filter = |text: &str| Options { filter: Some(text.to_owned()), ..options() };
    let sender = Sender::on("wire");
    let mut ports = open(&filter("src port 20007"));
    let mut vlans = open(&filter("vlan 5 and udp"));
    for n in 0..20 {
        sender.send(&udp(n, 10));
    }
    sender.send(&tagged(&udp(3, 10), &[(0x8100, 5)]));
    let got = receive(&mut ports.sources[0], 1);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].data, udp(7, 10));
    let got = receive(&mut vlans.sources[0], 1);
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].vlan, &got[0].data), (Some(5), &udp(3, 10)));

    let wrong = vendorwatch::capture::live::open_live(
        "span",
        vendorwatch::frame::SourceId(0),
        &filter("no such word"),
    );
    assert!(wrong.unwrap_err().to_string().contains("no such word"));
}
