//! The core behind a capture, as the daemon has it: a pipeline for each worker, and one correlator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vendorwatch::detect::{Correlator, Event, Limits, Record};
use vendorwatch::export::account::Tally;
use vendorwatch::frame::Frame;
use vendorwatch::net::{Addr, Path, Wish};
use vendorwatch::pipeline::{Pipeline, Settings, Sighting, Sink};
use vendorwatch::signature::{Set, format};
use vendorwatch::visibility::Ledger;

use crate::support::made_up;

/// How often: what was seen, its name, and its client.
pub(super) type Seen = BTreeMap<(&'static str, String, Addr), u64>;

/// All that workers saw together.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Judged {
    /// Names as the pipelines gave them.
    pub(super) sightings: Seen,
    /// Listed names as the correlator counted them.
    pub(super) detections: Seen,
    /// By outcome.
    pub(super) connections: [u64; 3],
}

/// One worker's part.
pub(super) struct Worker {
    pipeline: Pipeline,
    heard: Heard,
}

#[derive(Default)]
struct Heard {
    names: Seen,
    records: Vec<Record>,
    wishes: Vec<(Path, Wish)>,
}

impl Sink for Heard {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        let (name, client) = (sighting.name.to_owned(), sighting.path.source.addr);
        *self.names.entry((sighting.signal.kind(), name, client)).or_default() += 1;
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        self.wishes.push((*path, wish));
    }
}

impl Worker {
    pub(super) fn new(set: &Arc<Set>, workers: usize) -> Self {
        let settings = Settings { seed: 7, one_of_many: workers > 1, ..Settings::default() };
        let pipeline = Pipeline::with(Arc::clone(set), Arc::<Ledger>::default(), settings);
        Self { pipeline, heard: Heard::default() }
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        self.pipeline.frame(frame, &mut self.heard);
    }

    /// What a filter in the kernel should know.
    pub(super) fn wishes(&mut self) -> impl Iterator<Item = (Path, Wish)> + '_ {
        self.heard.wishes.drain(..)
    }
}

/// What the workers saw, now that nothing follows.
pub(super) fn judge(set: &Arc<Set>, workers: Vec<Worker>) -> Judged {
    let (mut judged, mut tally) = (Judged::default(), Tally::default());
    let lanes = workers.len();
    let limits = Limits::default();
    let mut correlator = Correlator::new(&limits, lanes, Arc::clone(set), Arc::default());
    let mut each = |event: Event<'_>| {
        tally.observe(&event);
        if let Event::Detected(detected) = event {
            let detection = detected.detection;
            let name = detection.name.as_str().to_owned();
            let what = (detection.signal.kind(), name, detection.path.source.addr);
            *judged.detections.entry(what).or_default() += 1;
        }
    };
    for (lane, mut worker) in workers.into_iter().enumerate() {
        worker.pipeline.finish(&mut worker.heard);
        let Heard { names, mut records, .. } = worker.heard;
        assert!(records.len() < limits.records / lanes, "the correlator can put them in order");
        correlator.push(lane, &mut records, &mut each);
        for (what, times) in names {
            *judged.sightings.entry(what).or_default() += times;
        }
    }
    correlator.finish(&mut each);
    assert_eq!(tally.split_flows, 0, "each worker saw both directions");
    judged.connections = tally.connections;
    judged
}

/// Signatures that list the domains of all these names.
pub(super) fn listing_all(seen: &Seen) -> Arc<Set> {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let domains: BTreeSet<_> = seen
        .keys()
        .filter_map(|(_, name, _)| {
            let labels: Vec<_> = name.rsplitn(3, '.').take(2).collect();
            let [top, second] = labels[..] else { return None };
            let usual = [top, second].iter().all(|label| {
                label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
            });
            let is_name = top.starts_with(|first: char| first.is_ascii_lowercase());
            (usual && is_name && !second.is_empty()).then(|| format!("{second}.{top}"))
        })
        .collect();
    let indicators = (1_900_001..).zip(domains).map(|(number, domain)| {
        made_up::indicator(&format!("all.n{number}"), number, "suffix", &domain)
    });
    let text: String = core::iter::once(made_up::vendor("all")).chain(indicators).collect();
    Arc::new(Set::build(vec![format::parse("all.toml", &text).unwrap()]).unwrap())
}
