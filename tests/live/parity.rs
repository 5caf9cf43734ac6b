//! The same traffic gives the same names, whether it comes from a file or through an interface,
//! and whether or not the kernel leaves out what it thinks nobody needs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

use super::lab::{Kept, Lab, Sender, ip, open, take};
use crate::support::{repository, shared};

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
    for part in sent.chunks(64) {
        for frame in part {
            sender.send(&frame.data);
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
    (found.names, counters.skipped)
}

#[test]
#[ignore = "needs root"]
fn the_same_names_by_file_ring_socket_filter_and_driver() {
    let _lab = Lab::new();
    for end in ["wire", "span"] {
        ip(&["link", "set", end, "mtu", "9000"]);
    }
    let sender = Sender::on("wire");
    let mut captures = Vec::new();
    for folder in [Some(repository("tests/pcap")), shared("corpus/dev")].into_iter().flatten() {
        captures.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    captures.retain(|path| {
        path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng")
    });
    captures.sort();
    let (mut compared, mut names, mut left, mut all) = (0, 0, 0, 0);
    for capture in &captures {
        let Some((frames, expected)) = from_file(capture) else { continue };
        println!("{}", capture.display());
        for backend in [Backend::Ring, Backend::Auto, Backend::Xdp] {
            let (seen, skipped) = through(&sender, backend, &frames);
            let missing: Vec<_> = expected.difference(&seen).collect();
            let extra: Vec<_> = seen.difference(&expected).collect();
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{}, {}: missing {missing:?}, extra {extra:?}",
                capture.display(),
                backend.label()
            );
            if backend == Backend::Xdp {
                left += skipped.total().packets;
                all += frames.len();
            }
        }
        compared += 1;
        names += expected.len();
    }
    println!("{compared} captures, {names} names, {left} of {all} packets left in the kernel");
    assert!(compared >= 3 && names > 20 && left > 0);
}
