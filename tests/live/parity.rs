//! The same traffic gives the same names to the same clients as often, whether it comes from a file
//! or through an interface, to one worker or several, and whether or not the kernel leaves out what
//! it thinks nobody needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vendorwatch::capture::bpf::Skipped;
use vendorwatch::capture::file::Files;
use vendorwatch::capture::live::{Backend, Live, Options};
use vendorwatch::capture::{Batch, Source};
use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::signature::Set;
use vendorwatch::time::Timestamp;

use super::judged::{Judged, Seen, Worker, judge, listing_all};
use super::lab::{Kept, Lab, Sender, ip, open, take, wait_for_free_driver};
use super::packets;
use crate::support::talk::{ACK, Ends, SYN, client_hello, dns, server_hello};
use crate::support::{captures_in, repository, shared, wire};

/// All that there are, compared with a file, and their workers.
const WAYS: &[(Backend, usize)] = &[
    (Backend::Ring, 1),
    (Backend::Ring, 2),
    (Backend::Auto, 1),
    (Backend::Auto, 2),
    (Backend::Xdp, 1),
    (Backend::Xdp, 2),
    #[cfg(feature = "libpcap")]
    (Backend::Libpcap, 1),
];

/// The largest frame that the lab's interfaces carry.
const LARGEST: usize = 9_014;

struct Sent {
    data: Vec<u8>,
    at: Timestamp,
}

impl Sent {
    /// Is this the frame that arrived, its outermost tag put beside it?
    fn arrived_as(&self, kept: &Kept) -> bool {
        match kept.vlan {
            None => self.data == kept.data,
            Some(_) => {
                self.data.len() == kept.data.len() + 4
                    && self.data[..12] == kept.data[..12]
                    && self.data[16..] == kept.data[12..]
            }
        }
    }
}

/// The time of captures one after another, without their long silences: of several workers each
/// believes a stamp far ahead with its own second frame after it, which for one alone is the second
/// of all.
struct Time {
    last: Timestamp,
    reached: Timestamp,
}

impl Time {
    const SILENCE: Duration = Duration::from_secs(60);

    fn of(&mut self, stamp: Timestamp) -> Timestamp {
        let silence = stamp.since(self.last).min(Self::SILENCE);
        // One of the two is zero.
        self.reached = self.reached.plus(silence).minus(self.last.since(stamp));
        self.last = stamp;
        self.reached
    }
}

/// A capture's frames, from `begin` on; `None` when an interface cannot carry it.
fn frames_of(path: &PathBuf, begin: Timestamp) -> Option<Vec<Sent>> {
    let mut files = Files::new(std::slice::from_ref(path), None).unwrap();
    let (mut frames, mut fit) = (Vec::new(), true);
    let mut time = Time { last: Timestamp::ZERO, reached: begin };
    while let Ok(Batch::Frames(_)) = files.batch(Duration::ZERO, &mut |frame| {
        fit &= frame.link == LinkType::ETHERNET
            && frame.wire_len as usize == frame.data.len()
            && (15..=LARGEST).contains(&frame.data.len());
        frames.push(Sent { data: frame.data.to_vec(), at: time.of(frame.at) });
    }) {}
    (fit && !frames.is_empty() && frames.len() < 20_000).then_some(frames)
}

/// What one worker sees of frames that it is simply given.
fn given(set: &Arc<Set>, frames: &[Sent]) -> Judged {
    let mut worker = Worker::new(set, 1);
    for (number, sent) in (1..).zip(frames) {
        worker.frame(&Frame {
            data: &sent.data,
            wire_len: u32::try_from(sent.data.len()).unwrap(),
            at: sent.at,
            link: LinkType::ETHERNET,
            source: SourceId::default(),
            number,
            vlan: None,
        });
    }
    judge(set, vec![worker])
}

/// What the workers of one interface see of the frames, and what stayed in the kernel.
fn through(
    sender: &Sender,
    (backend, workers): (Backend, usize),
    set: &Arc<Set>,
    sent: &[Sent],
) -> (Judged, Skipped) {
    wait_for_free_driver();
    let mut opened = open(&Options {
        backend,
        workers: u16::try_from(workers).unwrap(),
        ring_bytes: 16 << 20,
        retire: Duration::from_millis(2),
        ..Options::default()
    });
    assert_eq!((opened.backend, opened.notices.len()), (backend, 0));
    let mut taps: Vec<_> = opened
        .sources
        .drain(..)
        .map(|source| Tap { source, worker: Worker::new(set, workers), place: 0 })
        .collect();
    assert_eq!(taps.len(), workers);
    let (mut parts, end) = (sent.chunks(64), Instant::now() + Duration::from_secs(60));
    loop {
        match parts.next() {
            Some(part) => part.iter().for_each(|frame| sender.send(&frame.data)),
            // A busy machine may hand over the last blocks late.
            None if accounted(&mut taps) >= sent.len() as u64 || Instant::now() > end => break,
            None => {}
        }
        for tap in &mut taps {
            tap.turn(sent);
        }
    }
    assert_eq!(accounted(&mut taps), sent.len() as u64);
    let (mut heard, mut skipped) = (Vec::new(), Skipped::default());
    for mut tap in taps {
        let counters = tap.source.counters();
        skipped.add(&counters.skipped);
        assert_eq!(counters.dropped_kernel, 0);
        // libpcap counts what no protocol of the host asked for: a frame with two tags, for one.
        assert!(counters.dropped_interface == 0 || backend == Backend::Libpcap);
        heard.push(tap.worker);
    }
    (judge(set, heard), skipped)
}

/// Frames that were received, or left in the kernel.
fn accounted(taps: &mut [Tap]) -> u64 {
    let counters = taps.iter_mut().map(|tap| tap.source.counters());
    counters.map(|counters| counters.packets + counters.skipped_in_kernel).sum()
}

/// A source and the worker that looks at its frames.
struct Tap {
    source: Live,
    worker: Worker,
    /// Of the next frame, in what was sent, or before it.
    place: usize,
}

impl Tap {
    /// Takes what is there.
    fn turn(&mut self, sent: &[Sent]) {
        for kept in take(&mut self.source, Duration::from_millis(6)) {
            // The time of the capture, so that what depends on time does not differ.
            let ahead = sent[self.place..].iter().position(|frame| frame.arrived_as(&kept));
            self.place += ahead.unwrap_or_else(|| panic!("nobody sent this: {kept:02x?}"));
            self.worker.frame(&Frame { at: sent[self.place].at, ..kept.frame() });
            self.place += 1;
        }
        for (path, wish) in self.worker.wishes() {
            self.source.wish(&path, wish);
        }
    }
}

/// Every way gives what the frames alone give, with every name listed. Answers that, and how many
/// frames stayed in the driver.
fn alike(sender: &Sender, frames: &[Sent], what: &str) -> (Judged, u64) {
    let set = listing_all(&given(&Arc::default(), frames).sightings);
    let expected = given(&set, frames);
    let mut left = 0;
    for &(backend, workers) in WAYS {
        let (found, skipped) = through(sender, (backend, workers), &set, frames);
        let way = format!("{what}, {}, {workers} workers", backend.label());
        assert_same(&expected.detections, &found.detections, &format!("{way}, detections"));
        // A name in an answer is seen beside that in its question by a worker that has the one
        // without the other, as where the answer comes in fragments; it is counted once all the
        // same.
        if workers == 1 {
            assert_same(&expected.sightings, &found.sightings, &format!("{way}, sightings"));
        }
        assert_eq!(expected.connections, found.connections, "{way}, connections by outcome");
        if backend == Backend::Xdp {
            left = skipped.total().packets;
        }
    }
    (expected, left)
}

fn assert_same(expected: &Seen, found: &Seen, what: &str) {
    let differ = |one: &Seen, other: &Seen| -> Vec<_> {
        let more = one.iter().filter(|(what, times)| other.get(what) != Some(times));
        more.map(|(what, times)| (what.clone(), *times)).collect()
    };
    let (missing, extra) = (differ(expected, found), differ(found, expected));
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{what}: expected {missing:?}, found {extra:?}",
    );
}

/// A question and a hybrid ClientHello in two segments, then downloads, each conversation carried
/// in another way: a tunnel, tags, fragments.
fn carried() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (n, carry) in (0_u16..).zip(CARRIERS) {
        let name = format!("host{n}.carried.example");
        let mut conversation = vec![Ends::v4(20_000 + n, 53).udp(&dns(n, false, &name, &[]))];
        let ends = Ends::v4(30_000 + n, 443);
        conversation.push(ends.tcp(99, 0, SYN, &[]));
        conversation.push(ends.reversed().tcp(7, 100, SYN | ACK, &[]));
        let random = u8::try_from(n).unwrap();
        let hello = client_hello(Some(&format!("tls-{name}")), random, 1_400, 1 << 14);
        let (first, second) = hello.split_at(hello.len() / 2);
        conversation.push(ends.tcp(100, 8, ACK, first));
        let half = u32::try_from(first.len()).unwrap();
        conversation.push(ends.tcp(100 + half, 8, ACK, second));
        conversation.push(ends.reversed().tcp(8, 2_000, ACK, &server_hello(random)));
        for part in 0..20 {
            let bulk = [0x17, 3, 3, 4, 0].repeat(200);
            conversation.push(ends.reversed().tcp(100_000 + part * 1_000, 2_000, ACK, &bulk));
        }
        frames.extend(conversation.iter().flat_map(|frame| carry(frame)));
    }
    frames
}

/// A way to carry a frame, in one or more others.
type Carry = fn(&[u8]) -> Vec<Vec<u8>>;

const CARRIERS: [Carry; 10] = [
    |frame| vec![frame.to_vec()],
    |frame| vec![packets::tagged(frame, &[(0x8100, 42)])],
    |frame| vec![packets::tagged(frame, &[(0x88a8, 7), (0x8100, 42)])],
    |frame| vec![packets::vxlan(frame, false, 50_001)],
    |frame| vec![packets::geneve(frame, true, 50_002)],
    |frame| vec![packets::gtp(frame, false, 99)],
    |frame| vec![packets::erspan(frame, 1)],
    |frame| vec![packets::tagged(&packets::vxlan(frame, true, 50_003), &[(0x8100, 9)])],
    fragments,
    // The last fragment overtakes the first.
    |frame| fragments(frame).into_iter().rev().collect(),
];

/// The IPv4 packet of a frame in fragments (RFC 791 §3.2), when it has more than a few octets.
fn fragments(frame: &[u8]) -> Vec<Vec<u8>> {
    const HEADERS: usize = 34;
    let (headers, payload) = frame.split_at(HEADERS);
    let cut = payload.len() / 2 / 8 * 8;
    if cut < 8 {
        return vec![frame.to_vec()];
    }
    // A datagram is known by its identification, which must differ from the next one's. (The sum of
    // its octets would not: a checksum is there to make that constant.)
    let mix = |mixed: u16, octet: &u8| mixed.wrapping_mul(31).wrapping_add((*octet).into());
    let identification = payload.iter().fold(0, mix).to_be_bytes();
    let part = |more: bool, from: usize, octets: &[u8]| {
        let mut out = [headers, octets].concat();
        let length = u16::try_from(20 + octets.len()).unwrap();
        let offset = u16::try_from(from / 8).unwrap() | if more { 0x2000 } else { 0 };
        out[16..18].copy_from_slice(&length.to_be_bytes());
        out[18..20].copy_from_slice(&identification);
        out[20..22].copy_from_slice(&offset.to_be_bytes());
        out[24..26].fill(0);
        let sum = !wire::sum(&out[14..HEADERS], 0);
        out[24..26].copy_from_slice(&sum.to_be_bytes());
        out
    };
    vec![part(true, 0, &payload[..cut]), part(false, cut, &payload[cut..])]
}

#[test]
#[ignore = "needs root"]
fn tunnels_tags_and_fragments_show_the_same_names_everywhere() {
    let _lab = jumbo_lab();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("carried.pcap");
    std::fs::write(&path, capture(&carried())).unwrap();
    let (expected, left) =
        alike(&Sender::on("wire"), &frames_of(&path, Timestamp::ZERO).unwrap(), "carried");
    for n in 0..CARRIERS.len() {
        let name = format!("host{n}.carried.example");
        for (kind, name) in [("dns-query", name.clone()), ("tls-sni", format!("tls-{name}"))] {
            let times: Vec<_> = expected
                .detections
                .iter()
                .filter(|((of, it, _), _)| (*of, it) == (kind, &name))
                .map(|(_, times)| *times)
                .collect();
            assert_eq!(times, [1], "{kind} {name} in {expected:?}");
        }
    }
    // Of what is not plainly TCP in Ethernet nothing may stay in the kernel.
    assert!((1..=3 * 20).contains(&left), "{left} frames left in the kernel");
}

/// Clients that hand more over at once than a worker is told of in time, and ask for something else
/// in the middle of the segment with the last of it.
fn handed_over() -> Vec<Vec<u8>> {
    let request = |method: &str, host: &str, length: usize| {
        format!(
            "{method} /x HTTP/1.1\r\nHost: {host}.upload.example\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut frames = Vec::new();
    for (n, method) in (0_u16..).zip(["POST", "PUT"]) {
        let (ends, body) = (Ends::v4(40_000 + n, 80), vec![0x17; 60 * 8_000]);
        let first = request(method, &format!("first{n}"), body.len());
        let said =
            [first.as_bytes(), &body, request("GET", &format!("next{n}"), 0).as_bytes()].concat();
        frames.push(ends.tcp(99, 0, SYN, &[]));
        frames.push(ends.reversed().tcp(7, 100, SYN | ACK, &[]));
        let mut sequence = 100;
        for segment in said.chunks(8_000) {
            frames.push(ends.tcp(sequence, 8, ACK, segment));
            sequence += 8_000;
        }
    }
    frames
}

#[test]
#[ignore = "needs root"]
fn what_a_client_asks_behind_a_long_upload_is_seen_everywhere() {
    let _lab = jumbo_lab();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("handed-over.pcap");
    std::fs::write(&path, capture(&handed_over())).unwrap();
    let frames = frames_of(&path, Timestamp::ZERO).unwrap();
    let (expected, _) = alike(&Sender::on("wire"), &frames, "handed over");
    for name in ["first0", "next0", "first1", "next1"] {
        let name = format!("{name}.upload.example");
        let seen = expected.detections.iter().any(|((_, it, _), _)| *it == name);
        assert!(seen, "{name} in {expected:?}");
    }
}

/// A lab whose interfaces take what captures hold.
fn jumbo_lab() -> Lab {
    let lab = Lab::new();
    for end in ["wire", "span"] {
        ip(&["link", "set", end, "mtu", "9000"]);
    }
    lab
}

/// A classic pcap file with these Ethernet frames, a millisecond apart.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        octets.extend(field.to_le_bytes());
    }
    for (n, frame) in (0_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        for field in [1_700_000_000 + n / 1_000, n % 1_000 * 1_000, length, length] {
            octets.extend(field.to_le_bytes());
        }
        octets.extend(frame);
    }
    octets
}

#[test]
#[ignore = "needs root"]
fn the_same_names_by_file_libpcap_ring_socket_filter_and_driver() {
    let _lab = jumbo_lab();
    let sender = Sender::on("wire");
    let folders = [Some(repository("tests/pcap")), shared("corpus/dev")].into_iter().flatten();
    let captures: Vec<_> = folders.flat_map(|folder| captures_in(&folder)).collect();
    let (mut compared, mut names, mut seen, mut left, mut all) = (0, 0, 0, 0, 0);
    let mut captures = captures.iter().peekable();
    while captures.peek().is_some() {
        // Several small ones at a time, for opening takes longer than they do.
        let (mut frames, mut which) = (Vec::<Sent>::new(), Vec::new());
        while let Some(capture) = captures.next_if(|_| frames.len() < 1_000) {
            let end = frames.last().map_or(Timestamp::ZERO, |last| last.at);
            if let Some(more) = frames_of(capture, end) {
                frames.extend(more);
                which.push(capture.file_name().unwrap().to_string_lossy());
            }
        }
        let what = which.join(", ");
        println!("{what}");
        let (expected, in_driver) = alike(&sender, &frames, &what);
        left += in_driver;
        all += frames.len();
        compared += which.len();
        names += expected.detections.len();
        seen += expected.sightings.len();
    }
    println!(
        "{compared} captures, {seen} names seen, {names} detected, {left} of {all} packets left in \
         the kernel"
    );
    assert!(compared >= 3 && names > 20 && left > 0);
}
