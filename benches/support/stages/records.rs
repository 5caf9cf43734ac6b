//! Records as pipelines make them, of a link with many hosts.

use std::hint::black_box;
use std::sync::Arc;

use vendorwatch::detect::{
    Answer, Client, Connection, Correlator, Detection, Limits, Origin, Record, Relation,
};
use vendorwatch::flow::FlowHasher;
use vendorwatch::frame::SourceId;
use vendorwatch::inspect::Signal;
use vendorwatch::name::Name;
use vendorwatch::net::{Addr, Endpoint, IpProtocol, TenantId};
use vendorwatch::signature::{Set, embedded, format};
use vendorwatch::time::Timestamp;

use super::Body;

/// Records a measured batch.
pub(crate) const BATCH: u64 = 10_000;

/// A link with so many hosts, each asking for names of so many servers: the tables are full, and
/// far larger than any cache.
const CLIENTS: u32 = 2_000;
const SERVERS: u32 = 20_000;

/// The names, made once: making text is not what is measured.
struct World {
    set: Arc<Set>,
    hasher: FlowHasher,
    names: Vec<Name>,
    listed: Vec<Name>,
    at: u64,
    state: u64,
}

impl World {
    fn new() -> Self {
        let files = embedded::FILES
            .iter()
            .map(|(name, text)| format::parse(name, text).expect("the shipped files are sound"));
        let set = Set::build(files.collect()).expect("the shipped files are sound");
        Self {
            set: Arc::new(set),
            hasher: FlowHasher::new(1),
            names: (0..SERVERS)
                .map(|n| Name::new(&format!("host{n}.zone{}.example", n / 4)))
                .collect(),
            listed: (0..256).map(|n| Name::new(&format!("s{n}.upd.kaspersky.com"))).collect(),
            at: 0,
            state: 1,
        }
    }

    /// A xorshift generator: the same records each run.
    fn random(&mut self, below: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        u32::try_from(self.state % u64::from(below)).expect("below")
    }

    /// Ten microseconds later.
    fn origin(&mut self) -> Origin {
        self.at += 10_000;
        Origin { at: Timestamp::from_nanos(self.at), source: SourceId(0), number: self.at }
    }

    fn client(&mut self) -> Client {
        let n = self.random(CLIENTS);
        Client { addr: Addr::from_v4((0x0a00_0000 | n).to_be_bytes()), ..Client::default() }
    }

    fn server(n: u32) -> Addr {
        Addr::from_v4((0x6440_0000 | n).to_be_bytes())
    }

    /// Of any client for any server: nearly always a pair that the table does not hold, so that
    /// the oldest makes room. The worst case.
    fn answer(&mut self) -> Record {
        let client = self.client().addr;
        let n = self.random(SERVERS);
        self.answer_of(client, n)
    }

    /// Of some thousand pairs, as hosts ask again for what they use.
    fn answer_again(&mut self) -> Record {
        let pair = self.random(4_096);
        let client = Addr::from_v4((0x0a00_0000 | (pair & 0x3f)).to_be_bytes());
        self.answer_of(client, pair)
    }

    fn answer_of(&mut self, client: Addr, n: u32) -> Record {
        Record::Answer(Answer {
            origin: self.origin(),
            tenant: TenantId::NONE,
            client,
            address: Self::server(n),
            name: self.hasher.name(&self.names[n as usize]),
            relation: Relation::of(&self.names[n as usize], None),
            ttl: 300,
            over_https: false,
            listed: None,
        })
    }

    /// One in four without a name of its own.
    fn connection(&mut self) -> Record {
        let n = self.random(SERVERS);
        Record::Connection(Connection {
            origin: self.origin(),
            client: self.client(),
            server: Endpoint { addr: Self::server(n), port: 443 },
            client_port: 50_000,
            protocol: IpProtocol::TCP,
            named: !n.is_multiple_of(4),
            encrypted_dns: None,
            identity: self.at,
            ech: None,
        })
    }

    fn detection(&mut self) -> Record {
        let n = self.random(256);
        let name = self.listed[n as usize].clone();
        let hit = self.set.lookup(&name).expect("a listed name");
        let indicator = Arc::clone(hit.indicator);
        let client = self.client();
        let origin = self.origin();
        Record::Detection(Box::new(Detection {
            origin,
            signal: Signal::DnsQuery,
            name_id: self.hasher.name(&name),
            name,
            indicator,
            path: vendorwatch::net::Path {
                source: Endpoint { addr: client.addr, port: 50_000 },
                destination: Endpoint { addr: Self::server(0), port: 53 },
                protocol: IpProtocol::UDP,
                tenant: TenantId::NONE,
            },
            client,
            identity: self.at,
            ech: None,
            shared: false,
        }))
    }
}

/// Hands a batch to one lane and lets it through, as a worker does.
fn judge(correlator: &mut Correlator, mut records: Vec<Record>) {
    let last = records.last().map(|record| record.origin().at).unwrap_or_default();
    correlator.push(0, &mut records, |event| {
        black_box(&event);
    });
    correlator.advance(0, last, |event| {
        black_box(&event);
    });
}

/// How a record of one kind is made.
type Make = fn(&mut World) -> Record;

/// A correlator with full tables, as a sensor has after some minutes.
struct Judge {
    world: World,
    correlator: Correlator,
    make: Make,
    batch: Vec<Record>,
}

impl Judge {
    fn make(make: Make) -> Box<dyn Body> {
        /// Batches until the tables are full.
        const FILL: usize = 40;
        let mut world = World::new();
        let set = Arc::clone(&world.set);
        let mut correlator = Correlator::new(&Limits::default(), 1, set, Arc::default());
        correlator.keep_changes();
        for _ in 0..FILL {
            judge(&mut correlator, (0..BATCH).map(|_| world.answer()).collect());
        }
        Box::new(Self { world, correlator, make, batch: Vec::new() })
    }
}

impl Body for Judge {
    fn prepare(&mut self) {
        self.correlator.take_changes();
        self.batch = (0..BATCH).map(|_| (self.make)(&mut self.world)).collect();
    }

    fn run(&mut self) {
        judge(&mut self.correlator, std::mem::take(&mut self.batch));
    }
}

pub(crate) fn known_answers() -> Box<dyn Body> {
    Judge::make(World::answer_again)
}

pub(crate) fn new_answers() -> Box<dyn Body> {
    Judge::make(World::answer)
}

pub(crate) fn connections() -> Box<dyn Body> {
    Judge::make(World::connection)
}

pub(crate) fn detections() -> Box<dyn Body> {
    Judge::make(World::detection)
}
