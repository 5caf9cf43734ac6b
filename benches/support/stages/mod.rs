//! The stages of the core, each as something that can be run again and again.

mod initials;
mod parts;
mod records;
mod whole;

/// A stage and how to set it up.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// In one run.
    pub(crate) operations: u64,
    pub(crate) make: fn() -> Box<dyn Body>,
}

/// A stage that is set up.
pub(crate) trait Body {
    /// What must be there before a run, and is not measured.
    fn prepare(&mut self) {}

    /// The stage's operations.
    fn run(&mut self);
}

impl<F: FnMut()> Body for F {
    fn run(&mut self) {
        self();
    }
}

const fn stage(name: &'static str, operations: u64, make: fn() -> Box<dyn Body>) -> Stage {
    Stage { name, operations, make }
}

/// In the order of the way that a packet takes.
pub(crate) const STAGES: [Stage; 21] = [
    stage("decode, an ordinary frame", parts::FRAMES, parts::ordinary),
    stage("decode, a frame in VXLAN", parts::FRAMES, parts::tunnelled),
    stage("flow, hash and filter", parts::FRAMES, parts::filter),
    stage("flow, two segments out of order", parts::MESSAGES, parts::segments),
    stage("dns, a question's name", parts::MESSAGES, parts::question),
    stage("dns, an answer's addresses", parts::MESSAGES, parts::answer),
    stage("tls, a ClientHello", parts::MESSAGES, parts::classic),
    stage("tls, a hybrid ClientHello in two", parts::MESSAGES, parts::hybrid),
    stage("quic, key schedule", parts::MESSAGES, parts::schedule),
    stage("quic, open 1,200 octets", parts::MESSAGES, parts::open),
    stage("quic, a hello in one Initial", parts::CONNECTIONS, parts::flight_of_one),
    stage("quic, first of two", parts::CONNECTIONS, parts::flight_first),
    stage("quic, second of two", parts::CONNECTIONS, parts::flight_second),
    stage("quic, the server's and the next flight", parts::CONNECTIONS, parts::flight_settled),
    stage("match, a listed name", parts::NAMES, parts::listed),
    stage("match, another name", parts::NAMES, parts::other),
    stage("correlate, an answer known", records::BATCH, records::known_answers),
    stage("correlate, an answer to full tables", records::BATCH, records::new_answers),
    stage("correlate, a connection", records::BATCH, records::connections),
    stage("correlate, a detection", records::BATCH, records::detections),
    stage("core, a packet of mixed traffic", whole::PACKETS, whole::mixed),
];
