//! The same traffic gives the same names, whether it comes from a file or through an interface,
//! and whether or not the kernel leaves out what it thinks nobody needs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vendorwatch::capture::bpf::Skipped;
use vendorwatch::capture::file::Files;
use vendorwatch::capture::live::{Backend, Options};
use vendorwatch::capture::{Batch, Source};
use vendorwatch::detect::Record;
use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::net::{Path, Wish};
use vendorwatch::pipeline::{Pipeline, Sighting, Sink};
use vendorwatch::signature::Set;
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

use super::lab::{Kept, Lab, Sender, ip, open, take, wait_for_free_driver};
use super::packets;
use crate::support::talk::{ACK, Ends, SYN, client_hello, dns, server_hello};
use crate::support::{captures_in, repository, shared, wire};

/// All that there are, compared with a file.
const BACKENDS: &[Backend] = &[
    Backend::Ring,
    Backend::Auto,
    Backend::Xdp,
    #[cfg(feature = "libpcap")]
    Backend::Libpcap,
];

/// The largest frame that the lab's interfaces carry.
const LARGEST: usize = 9_014;

/// Kinds and names.
type Seen = BTreeSet<(&'static str, String)>;

#[derive(Default)]
struct Names {
    names: Seen,
    wishes: Vec<(Path, Wish)>,
}

impl Sink for Names {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        self.names.insert((sighting.signal.kind(), sighting.name.to_owned()));
    }

    fn record(&mut self, _record: Record) {}

    fn wish(&mut self, path: &Path, wish: Wish) {
        self.wishes.push((*path, wish));
    }
}

fn pipeline() -> Pipeline {
    Pipeline::new(Arc::new(Set::default()), Arc::new(Ledger::default()))
}

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

/// A capture's frames and names; `None` when an interface cannot carry it.
fn from_file(path: &PathBuf) -> Option<(Vec<Sent>, Seen)> {
    let mut files = Files::new(std::slice::from_ref(path), None).unwrap();
    let (mut frames, mut fit) = (Vec::new(), true);
    let (mut pipeline, mut found) = (pipeline(), Names::default());
    while let Ok(Batch::Frames(_)) = files.batch(Duration::ZERO, &mut |frame| {
        fit &= frame.link == LinkType::ETHERNET
            && frame.wire_len as usize == frame.data.len()
            && (15..=LARGEST).contains(&frame.data.len());
        frames.push(Sent { data: frame.data.to_vec(), at: frame.at });
        pipeline.frame(frame, &mut found);
    }) {}
    pipeline.finish(&mut found);
    (fit && !frames.is_empty() && frames.len() < 20_000).then_some((frames, found.names))
}

/// The names that a live source sees in the same frames, and what stayed in the kernel.
fn through(sender: &Sender, backend: Backend, sent: &[Sent]) -> (Seen, Skipped) {
    wait_for_free_driver();
    let mut opened = open(&Options {
        backend,
        ring_bytes: 16 << 20,
        retire: Duration::from_millis(2),
        ..Options::default()
    });
    assert_eq!((opened.backend, opened.notices.len()), (backend, 0));
    let source = &mut opened.sources[0];
    let (mut pipeline, mut found) = (pipeline(), Names::default());
    let mut place = 0;
    let (mut parts, end) = (sent.chunks(64), Instant::now() + Duration::from_secs(60));
    loop {
        match parts.next() {
            Some(part) => part.iter().for_each(|frame| sender.send(&frame.data)),
            // A busy machine may hand over the last blocks late.
            None => {
                let counters = source.counters();
                let accounted = counters.packets + counters.skipped_in_kernel;
                if accounted >= sent.len() as u64 || Instant::now() > end {
                    break;
                }
            }
        }
        for kept in take(source, Duration::from_millis(6)) {
            // The time of the capture, so that what depends on time does not differ.
            let ahead = sent[place..].iter().position(|frame| frame.arrived_as(&kept));
            place += ahead.unwrap_or_else(|| panic!("nobody sent this: {kept:02x?}"));
            let frame = Frame {
                data: &kept.data,
                wire_len: kept.wire_len,
                at: sent[place].at,
                link: LinkType::ETHERNET,
                source: SourceId::default(),
                number: kept.number,
                vlan: kept.vlan,
            };
            place += 1;
            pipeline.frame(&frame, &mut found);
        }
        for (path, wish) in found.wishes.drain(..) {
            source.wish(&path, wish);
        }
    }
    pipeline.finish(&mut found);
    let counters = source.counters();
    assert_eq!(counters.packets + counters.skipped_in_kernel, sent.len() as u64);
    assert_eq!(counters.dropped_kernel, 0);
    // libpcap counts what no protocol of the host asked for: a frame with two tags, for one.
    assert!(counters.dropped_interface == 0 || backend == Backend::Libpcap);
    (found.names, counters.skipped)
}

/// Every back end sees the names that the file has. Answers how many frames stayed in the driver.
fn alike(sender: &Sender, frames: &[Sent], expected: &Seen, what: &str) -> u64 {
    let mut left = 0;
    for backend in BACKENDS {
        let (seen, skipped) = through(sender, *backend, frames);
        let missing: Vec<_> = expected.difference(&seen).collect();
        let extra: Vec<_> = seen.difference(expected).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "{what}, {}: missing {missing:?}, extra {extra:?}",
            backend.label()
        );
        if *backend == Backend::Xdp {
            left = skipped.total().packets;
        }
    }
    left
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
    let (frames, expected) = from_file(&path).unwrap();
    for n in 0..CARRIERS.len() {
        let name = format!("host{n}.carried.example");
        for (kind, name) in [("dns-query", name.clone()), ("tls-sni", format!("tls-{name}"))] {
            assert!(expected.contains(&(kind, name.clone())), "{kind} {name} in {expected:?}");
        }
    }
    let left = alike(&Sender::on("wire"), &frames, &expected, "carried");
    // Of what is not plainly TCP in Ethernet nothing may stay in the kernel.
    assert!((1..=3 * 20).contains(&left), "{left} frames left in the kernel");
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
    let (mut compared, mut names, mut left, mut all) = (0, 0, 0, 0);
    for capture in &captures {
        let Some((frames, expected)) = from_file(capture) else { continue };
        println!("{}", capture.display());
        left += alike(&sender, &frames, &expected, &capture.display().to_string());
        all += frames.len() as u64;
        compared += 1;
        names += expected.len();
    }
    println!("{compared} captures, {names} names, {left} of {all} packets left in the kernel");
    assert!(compared >= 3 && names > 20 && left > 0);
}
