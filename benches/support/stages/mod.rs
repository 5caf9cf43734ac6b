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

/// In the order of the way that a packet takes.
pub(crate) const STAGES: [Stage; 21] = [
    Stage { name: "decode, an ordinary frame", operations: parts::FRAMES, make: parts::ordinary },
    Stage { name: "decode, a frame in VXLAN", operations: parts::FRAMES, make: parts::tunnelled },
    Stage { name: "flow, hash and filter", operations: parts::FRAMES, make: parts::filter },
    Stage {
        name: "flow, two segments out of order",
        operations: parts::MESSAGES,
        make: parts::segments,
    },
    Stage { name: "dns, a question's name", operations: parts::MESSAGES, make: parts::question },
    Stage { name: "dns, an answer's addresses", operations: parts::MESSAGES, make: parts::answer },
    Stage { name: "tls, a ClientHello", operations: parts::MESSAGES, make: parts::classic },
    Stage {
        name: "tls, a hybrid ClientHello in two",
        operations: parts::MESSAGES,
        make: parts::hybrid,
    },
    Stage { name: "quic, key schedule", operations: parts::MESSAGES, make: parts::schedule },
    Stage { name: "quic, open 1,200 octets", operations: parts::MESSAGES, make: parts::open },
    Stage {
        name: "quic, a hello in one Initial",
        operations: parts::CONNECTIONS,
        make: parts::flight_of_one,
    },
    Stage { name: "quic, first of two", operations: parts::CONNECTIONS, make: parts::flight_first },
    Stage {
        name: "quic, second of two",
        operations: parts::CONNECTIONS,
        make: parts::flight_second,
    },
    Stage {
        name: "quic, the server's and the next flight",
        operations: parts::CONNECTIONS,
        make: parts::flight_settled,
    },
    Stage { name: "match, a listed name", operations: parts::NAMES, make: parts::listed },
    Stage { name: "match, another name", operations: parts::NAMES, make: parts::other },
    Stage {
        name: "correlate, an answer known",
        operations: records::BATCH,
        make: records::known_answers,
    },
    Stage {
        name: "correlate, an answer to full tables",
        operations: records::BATCH,
        make: records::new_answers,
    },
    Stage {
        name: "correlate, a connection",
        operations: records::BATCH,
        make: records::connections,
    },
    Stage { name: "correlate, a detection", operations: records::BATCH, make: records::detections },
    Stage {
        name: "core, a packet of mixed traffic",
        operations: whole::PACKETS,
        make: whole::mixed,
    },
];
