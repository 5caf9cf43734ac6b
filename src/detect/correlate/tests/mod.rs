//! What the correlator says of records, as lines.

mod attribution;
mod findings;
mod hidden;
mod kept;
mod lanes;
mod limits;

use core::fmt::Write;
use core::hash::BuildHasher;
use core::net::IpAddr;

use super::*;
use crate::detect::{Accepted, EchOffered, Exception, Network, Relation, exception::Place};
use crate::frame::SourceId;
use crate::net::{Addr, Endpoint, IpProtocol, TenantId};
use crate::signature::format;
use crate::signature::resolvers::Resolvers;

/// Indicators: what they match, by kind and value, their purpose and strength.
type Lines = [(&'static str, &'static str, &'static str, &'static str)];

const ACME: &Lines = &[
    ("suffix", "upd.acme.test", "update", "strong"),
    ("suffix", "acme-site.test", "website", "weak"),
    ("prefix", "198.51.100.0/24", "cloud", "moderate"),
];

const RESOLVERS: &str = r#"
[[resolver]]
name = "dns.test"
operator = "T"
below = true
kinds = ["doh"]
addresses = ["9.9.9.9"]
evidence = ["https://dns.test/help"]
retrieved = "2026-11-21"
"#;

fn set_of(vendor: &str, lines: &Lines) -> Arc<Set> {
    let mut text = format!(
        "[vendor]\nid = '{vendor}'\nname = 'V'\ncountry = 'CN'\naffiliates = []\n\
         default_enabled = true\n"
    );
    for (number, (kind, value, purpose, strength)) in (1_000_001..).zip(lines) {
        let _ = write!(
            text,
            "[[indicator]]\nid = '{vendor}.{purpose}.n{number}'\nnumber = {number}\n\
             match = {{ kind = '{kind}', value = '{value}' }}\npurpose = '{purpose}'\n\
             product = 'agent'\nstrength = '{strength}'\nfirst_seen = '2026-11-21'\n\
             review_by = '2027-05-21'\nevidence = [{{ class = 'A', title = 't', \
             reference = 'r', retrieved = '2026-11-21', says = 's' }}]\n"
        );
    }
    let file = format::parse("test.toml", &text).unwrap();
    Arc::new(Set::build(vec![file]).unwrap())
}

fn set() -> Arc<Set> {
    set_of("acme", ACME)
}

const SECOND: u64 = 1_000_000_000;

const CLIENT: &str = "192.0.2.10";
const SERVER: &str = "203.0.113.5";

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn origin(nanos: u64) -> Origin {
    Origin { at: Timestamp::from_nanos(nanos), source: SourceId(0), number: nanos }
}

fn client(text: &str) -> Client {
    Client { addr: addr(text), ..Client::default() }
}

fn detection(set: &Set, nanos: u64, signal: Signal, name: &str, identity: u64) -> Record {
    let client = client(CLIENT);
    Record::Detection(Box::new(Detection {
        origin: origin(nanos),
        signal,
        name: name.into(),
        name_id: id(name),
        indicator: Arc::clone(set.lookup(name).unwrap().indicator),
        client,
        path: Path {
            source: Endpoint { addr: client.addr, port: 50_000 },
            destination: Endpoint { addr: addr(SERVER), port: 443 },
            protocol: IpProtocol::TCP,
            tenant: TenantId::NONE,
        },
        identity,
        ech: None,
        shared: false,
    }))
}

fn resolvers() -> Resolvers {
    Resolvers::parse("resolvers", RESOLVERS).unwrap()
}

fn id(name: &str) -> NameId {
    NameId(foldhash::fast::FixedState::default().hash_one(name))
}

fn answer(set: &Set, nanos: u64, who: &str, name: &str, address: &str, ttl: u32) -> Record {
    let indicator = set.lookup(name).map(|hit| hit.indicator);
    let listed =
        indicator.map(|indicator| Listed { name: name.into(), indicator: Arc::clone(indicator) });
    Record::Answer(Answer {
        origin: origin(nanos),
        tenant: TenantId::NONE,
        client: addr(who),
        address: addr(address),
        name: id(name),
        relation: Relation::of(name, indicator.map(AsRef::as_ref)),
        ttl,
        over_https: Resolvers::over_https(resolvers().by_name(name)),
        listed: listed.map(Box::new),
    })
}

fn connection(nanos: u64, server: &str, named: bool, identity: u64) -> Connection {
    Connection {
        origin: origin(nanos),
        client: client(CLIENT),
        server: Endpoint { addr: addr(server), port: 443 },
        client_port: 50_000,
        protocol: IpProtocol::TCP,
        named,
        encrypted_dns: None,
        identity,
        ech: None,
    }
}

fn nameless(nanos: u64, server: &str, identity: u64) -> Record {
    Record::Connection(connection(nanos, server, false, identity))
}

fn offered(nanos: u64, public_name: &str, config_id: u8) -> Record {
    Record::EchOffered(Box::new(EchOffered {
        origin: origin(nanos),
        public_name: public_name.into(),
        config_id,
    }))
}

fn accepted(nanos: u64, identity: u64) -> Record {
    Record::Accepted(Accepted { origin: origin(nanos), identity })
}

fn ech(config_id: u8, outer_name: &str) -> EchHello {
    EchHello {
        outer_name: outer_name.into(),
        outer_id: id(outer_name),
        config_id,
        payload_len: 208,
    }
}

/// An event as one line.
fn line(event: &Event<'_>) -> String {
    match event {
        Event::Detected(detected) => {
            let Detected { detection, strength, finding, attribution, resolved, .. } = detected;
            let mut line = format!(
                "{} {} {} #{}",
                detection.signal.label(),
                detection.name,
                strength.label(),
                finding.count
            );
            for word in [
                attribution.map(|a| {
                    let age = a.age.as_secs();
                    format!("age={age} stale={} names={} shared={}", a.stale, a.names, a.shared)
                }),
                resolved.map(|resolved| format!("resolved={}", resolved.label())),
                detected.ech.map(|(verdict, _)| format!("ech={}", verdict.label())),
                detected.notice.map(|notice| notice.label().to_owned()),
                detected.role.map(|role| role.label().to_owned()),
                detected.exception.map(|exception| format!("expected: {}", exception.reason)),
            ]
            .into_iter()
            .flatten()
            {
                line.push(' ');
                line.push_str(&word);
            }
            line
        }
        Event::Connection { outcome, never_resolved, .. } => {
            let unseen = if *never_resolved { " never resolved" } else { "" };
            format!("{}{unseen}", outcome.label())
        }
        Event::EncryptedDns { kind, .. } => kind.label().to_owned(),
        Event::Ech { verdict, rule, .. } => format!("ech {} {}", verdict.label(), rule.label()),
        Event::Copy { source } => format!("copy {}", source.0),
        Event::Volume { vendor, sent, received, .. } => format!("{vendor} {sent} {received}"),
        Event::Split { source } => format!("split {}", source.0),
    }
}

fn correlator(set: &Arc<Set>, lanes: usize) -> Correlator {
    Correlator::new(&Limits::default(), lanes, Arc::clone(set), Arc::default())
}

fn said(correlator: &mut Correlator, records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let mut lines = Vec::new();
    for record in records {
        let at = record.origin().at;
        correlator.push(0, &mut vec![record], |event| lines.push(line(&event)));
        let next = Timestamp::from_nanos(at.as_nanos() + 1);
        correlator.advance(0, next, |event| lines.push(line(&event)));
    }
    lines
}

fn said_alone(records: impl IntoIterator<Item = Record>) -> Vec<String> {
    said(&mut correlator(&set(), 1), records)
}
