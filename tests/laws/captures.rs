//! Real captures, whole and mangled: this repository's own, and those that are no part of it (see
//! `support::shared`).

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use vendorwatch::capture::file::Reader;
use vendorwatch::capture::{Batch, Source};
use vendorwatch::frame::{Frame, SourceId};
use vendorwatch::pipeline::{Pipeline, Settings};
use vendorwatch::signature::Set;
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::{HandshakeProtocol, Ledger};

use crate::support::talk::{Heard, assert_conserved};
use crate::support::{captures_in, repository, shared};

fn captures() -> Vec<PathBuf> {
    ["corpus/dev", "corpus/vendors"]
        .into_iter()
        .filter_map(shared)
        .chain([repository("tests/pcap")])
        .flat_map(|folder| captures_in(&folder))
        .collect()
}

/// A frame that owns its octets.
pub(super) struct Kept(Vec<u8>, Frame<'static>);

impl Kept {
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame { data: &self.0, ..self.1 }
    }
}

pub(super) fn frames(path: &PathBuf) -> Vec<Kept> {
    let mut kept = Vec::new();
    let file = fs::File::open(path).unwrap();
    let Ok(mut reader) = Reader::new("capture", file, SourceId(0)) else { return kept };
    loop {
        let batch = reader.batch(Duration::ZERO, &mut |frame| {
            kept.push(Kept(frame.data.to_vec(), Frame { data: &[], ..*frame }));
        });
        if !matches!(batch, Ok(Batch::Frames(_))) {
            return kept;
        }
    }
}

fn run<'a>(frames: impl Iterator<Item = Frame<'a>>) -> Heard {
    let ledger = Arc::<Ledger>::default();
    let mut pipeline =
        Pipeline::with(Arc::<Set>::default(), Arc::clone(&ledger), Settings::default());
    let mut heard = Heard::default();
    for frame in frames {
        pipeline.frame(&frame, &mut heard);
    }
    assert_conserved(&ledger, &pipeline);
    pipeline.advance(Timestamp::from_nanos(u64::MAX), &mut heard);
    pipeline.finish(&mut heard);
    assert_conserved(&ledger, &pipeline);
    for protocol in HandshakeProtocol::ALL {
        assert_eq!(pipeline.pending_handshakes(protocol), 0);
    }
    heard
}

#[test]
fn accounts_of_real_captures_balance_whatever_is_done_to_them() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for path in captures() {
        let mut frames = frames(&path);
        let whole = run(frames.iter().map(Kept::frame));
        let again = run(frames.iter().map(Kept::frame));
        assert_eq!(whole.names, again.names, "{}", path.display());

        // A sensor may begin at any packet.
        for _ in 0..if frames.len() < 1_000 { 16 } else { 1 } {
            let start = random(frames.len());
            run(frames[start.min(frames.len())..].iter().map(Kept::frame));
        }
        let snaplen = 20 + random(180);
        run(frames.iter().map(|kept| {
            let frame = kept.frame();
            Frame { data: &frame.data[..frame.data.len().min(snaplen)], ..frame }
        }));
        for kept in &mut frames {
            if !kept.0.is_empty() && random(3) == 0 {
                let at = random(kept.0.len());
                kept.0[at] ^= 1 << random(8);
            }
        }
        run(frames.iter().rev().map(Kept::frame));
    }
}
