//! What a DNS message means: sightings, answers, ECH offers, each counted once.

use core::time::Duration;
use std::sync::Arc;

use super::Sink;
use super::emitter::{Emitter, Named, Scene};
use crate::decode::Seen;
use crate::detect::{Answer, EchOffered, Listed, Record};
use crate::inspect::dns::{Message, NameRef, OPCODE_QUERY, RecordType, Svcb};
use crate::inspect::{Malformed, Signal, dns};
use crate::name::{Name, NameId, normalise_host};
use crate::net::{Addr, Path};
use crate::visibility::{DnsOutcome, DnsTransport};

/// The same question within this span is one.
const REPEATED: Duration = Duration::from_secs(5);
/// The same message within this span is a copy that a mirror made.
pub(super) const COPY: Duration = Duration::from_secs(1);
/// The most addresses reported of one answer.
const MAX_ADDRESSES: u32 = 64;

/// How a UDP packet's ports say that it carries DNS.
pub(super) fn transport(source_port: u16, destination_port: u16) -> Option<DnsTransport> {
    let is = |port| source_port == port || destination_port == port;
    if is(dns::PORT) {
        Some(DnsTransport::Udp)
    } else if is(dns::MDNS_PORT) {
        Some(DnsTransport::Mdns)
    } else if is(dns::LLMNR_PORT) {
        Some(DnsTransport::Llmnr)
    } else {
        None
    }
}

/// One message, on its way along `path`, that was counted as begun. `cut`: its end is not there,
/// and why.
pub(super) fn message(
    emitter: &mut Emitter,
    seen: &Seen,
    path: &Path,
    transport: DnsTransport,
    octets: &[u8],
    cut: Option<DnsOutcome>,
    out: &mut impl Sink,
) {
    let outcome = match Message::read(octets) {
        Err(_) => cut.unwrap_or(DnsOutcome::Malformed),
        Ok(message) if message.header.opcode() != OPCODE_QUERY => DnsOutcome::OtherOpcode,
        Ok(message) => {
            let mut reading = Reading { emitter, seen, path, transport, message, out };
            let (outcome, sound) =
                if message.header.is_response() { reading.response() } else { reading.query() };
            if sound.is_ok() { outcome } else { cut.unwrap_or(DnsOutcome::Malformed) }
        }
    };
    emitter.ledger.dns(transport, outcome);
}

struct Reading<'a, S> {
    emitter: &'a mut Emitter,
    seen: &'a Seen,
    path: &'a Path,
    transport: DnsTransport,
    message: Message<'a>,
    out: &'a mut S,
}

impl<'a, S: Sink> Reading<'a, S> {
    fn query(&mut self) -> (DnsOutcome, Result<(), Malformed>) {
        let scene = self.scene(*self.path, true);
        let exchange = self.exchange(&scene);
        let signal = match self.transport {
            DnsTransport::Udp | DnsTransport::Tcp => Signal::DnsQuery,
            DnsTransport::Mdns => Signal::MdnsQuery,
            DnsTransport::Llmnr => Signal::LlmnrQuery,
        };
        let mut text = core::mem::take(&mut self.emitter.text);
        let mut sound = Ok(());
        let mut asked = 0;
        let mut repeated = 0;
        for question in self.message.questions() {
            let read = question
                .and_then(|question| question.name.write(&mut text).map(|()| question.record_type));
            let record_type = match read {
                Ok(record_type) => record_type,
                Err(fault) => {
                    sound = Err(fault);
                    continue;
                }
            };
            asked += 1;
            let id = self.emitter.hasher.name(&text);
            self.emitter.verdicts.prepare(id);
            let identity = self.question_identity(exchange, id, record_type);
            if let Some(age) = self.emitter.recent.note(identity, self.emitter.now, REPEATED) {
                repeated += 1;
                self.emitter.ledger.copies.add(u64::from(age < COPY));
            } else if !text.is_empty() {
                let named = Named { signal, name: &text, id, identity, ech: None };
                self.emitter.name(&scene, &named, self.out);
            }
        }
        self.emitter.text = text;
        let all_repeated = asked > 0 && asked == repeated;
        (if all_repeated { DnsOutcome::Repeated } else { DnsOutcome::Query }, sound)
    }

    fn response(&mut self) -> (DnsOutcome, Result<(), Malformed>) {
        if matches!(self.transport, DnsTransport::Mdns | DnsTransport::Llmnr) {
            // Announcements and answers on the link: nobody's contact with a vendor.
            return (DnsOutcome::Response, Ok(()));
        }
        let scene = self.scene(self.path.reversed(), false);
        let mut qname = core::mem::take(&mut self.emitter.text);
        let mut link = core::mem::take(&mut self.emitter.other_text);
        let result = self.answer(&scene, &mut qname, &mut link);
        self.emitter.text = qname;
        self.emitter.other_text = link;
        result
    }

    fn answer(
        &mut self,
        scene: &Scene<'_>,
        qname: &mut String,
        link: &mut String,
    ) -> (DnsOutcome, Result<(), Malformed>) {
        let exchange = self.exchange(scene);
        let mut identity = None;
        let question = match self.message.questions().next() {
            Some(Ok(question)) => match question.name.write(qname) {
                Ok(()) => Some(question),
                Err(fault) => return (DnsOutcome::Response, Err(fault)),
            },
            Some(Err(fault)) => return (DnsOutcome::Response, Err(fault)),
            None => None,
        };
        if let Some(question) = question {
            let id = self.emitter.hasher.name(qname);
            self.emitter.verdicts.prepare(id);
            let asked = self.question_identity(exchange, id, question.record_type);
            let answered = self.emitter.recent.answer(asked, self.emitter.now, REPEATED);
            if let Some(age) = answered.before {
                self.emitter.ledger.copies.add(u64::from(age < COPY));
                return (DnsOutcome::Repeated, Ok(()));
            }
            if !answered.asked && !qname.is_empty() {
                let signal = Signal::DnsAnswer;
                let named = Named { signal, name: qname, id, identity: asked, ech: None };
                self.emitter.name(scene, &named, self.out);
            }
            identity = Some((id, asked));
        }
        (DnsOutcome::Response, self.records(scene, identity, qname, link))
    }

    /// The answer section. Without a question the first owner stands for it.
    fn records(
        &mut self,
        scene: &Scene<'_>,
        identity: Option<(NameId, u64)>,
        qname: &mut String,
        link: &mut String,
    ) -> Result<(), Malformed> {
        let mut identity = identity;
        let mut chain_ttl = u32::MAX;
        let mut addresses = 0;
        let records = self.message.answers()?;
        for record in records {
            let record = record?;
            if identity.is_none() {
                record.name.write(qname)?;
                let id = self.emitter.hasher.name(qname);
                let exchange = self.exchange(scene);
                identity = Some((id, self.question_identity(exchange, id, record.record_type)));
            }
            let (id, identity) = identity.unwrap_or_default();
            let ttl = record.ttl.min(chain_ttl);
            let mut address = |this: &mut Self, address: Addr| {
                addresses += 1;
                if addresses <= MAX_ADDRESSES {
                    this.learned(scene, (id, qname), address, ttl);
                }
            };
            match record.record_type {
                RecordType::A => {
                    if let Ok(octets) = record.data.try_into() {
                        address(self, Addr::from_v4(octets));
                    }
                }
                RecordType::AAAA => {
                    if let Ok(octets) = record.data.try_into() {
                        address(self, Addr::from_v6(octets));
                    }
                }
                RecordType::CNAME => {
                    chain_ttl = ttl;
                    self.link(scene, identity, record.data_name(0)?, link)?;
                }
                RecordType::HTTPS | RecordType::SVCB => {
                    let svcb = Svcb::read(&record)?;
                    for hint in svcb.ipv4_hint.as_chunks().0 {
                        address(self, Addr::from_v4(*hint));
                    }
                    for hint in svcb.ipv6_hint.as_chunks().0 {
                        address(self, Addr::from_v6(*hint));
                    }
                    self.link(scene, identity, svcb.target, link)?;
                    self.ech_offers(scene, qname, link, &svcb, ttl);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A link of a chain: seen, but matched only where its indicator asks for that.
    fn link(
        &mut self,
        scene: &Scene<'_>,
        identity: u64,
        target: NameRef<'_>,
        link: &mut String,
    ) -> Result<(), Malformed> {
        target.write(link)?;
        if link.is_empty() {
            return Ok(());
        }
        let id = self.emitter.hasher.name(link);
        let identity = self.emitter.hasher.word(identity, id.0);
        let named = Named { signal: Signal::DnsAnswer, name: link, id, identity, ech: None };
        scene.sighting(&named, self.out);
        if let Some(indicator) = &self.emitter.verdicts.of(id, link).indicator
            && indicator.cname
            && indicator.applies_to(Signal::DnsAnswer)
        {
            scene.detection(&named, indicator, self.out);
        }
        Ok(())
    }

    fn learned(
        &mut self,
        scene: &Scene<'_>,
        (name, text): (NameId, &str),
        address: Addr,
        ttl: u32,
    ) {
        let (verdict, relation) = self.emitter.verdicts.with_relation(name, text);
        let listed = verdict.indicator.as_ref().map(|indicator| {
            Box::new(Listed { name: Name::new(text), indicator: Arc::clone(indicator) })
        });
        self.out.record(Record::Answer(Answer {
            origin: scene.origin(),
            tenant: scene.seen.tenant,
            client: scene.path.source.addr,
            address,
            name,
            relation,
            ttl,
            over_https: verdict.over_https,
            listed,
        }));
    }

    fn ech_offers(
        &mut self,
        scene: &Scene<'_>,
        qname: &str,
        text: &mut String,
        svcb: &Svcb<'_>,
        ttl: u32,
    ) {
        for config in svcb.ech_configs().take(MAX_ECH_CONFIGS) {
            normalise_host(text, config.public_name);
            self.out.record(Record::EchOffered(Box::new(EchOffered {
                origin: scene.origin(),
                tenant: scene.seen.tenant,
                client: scene.path.source.addr,
                name: Name::new(qname),
                public_name: Name::new(text),
                config_id: config.config_id,
                ttl,
            })));
        }
    }

    /// Equal for a message, its repetitions and its answer, whatever is asked. Says where what is
    /// known of its questions is kept, so that memory brings it while their names are read.
    fn exchange(&self, scene: &Scene<'_>) -> u64 {
        let Emitter { hasher, recent, .. } = &*self.emitter;
        let exchange = hasher.word(scene.identity, u64::from(self.message.header.id));
        recent.prepare(exchange);
        exchange
    }

    /// Equal for a question of an exchange, its repetitions and its answer.
    fn question_identity(&self, exchange: u64, name: NameId, record_type: RecordType) -> u64 {
        let question = self.emitter.hasher.word(exchange ^ u64::from(record_type.0), name.0);
        // The upper half chooses the place; the lower tells exchanges apart as well.
        exchange & !u64::from(u32::MAX) | question & u64::from(u32::MAX)
    }

    fn scene(&self, path: Path, from_client: bool) -> Scene<'a> {
        Scene { seen: self.seen, path, from_client, identity: self.emitter.identity(&path) }
    }
}

/// Servers publish one or two.
const MAX_ECH_CONFIGS: usize = 8;
