//! What a DNS message means: sightings, answers, ECH offers, each counted once.

use core::time::Duration;
use std::sync::Arc;

use super::Sink;
use super::emitter::{Emitter, Named, Scene};
use super::verdicts::Ordinary;
use crate::decode::Seen;
use crate::detect::{Answer, EchOffered, Listed, Record, Relation};
use crate::inspect::dns::{Message, NameRef, OPCODE_QUERY, Questions, RecordType, Svcb};
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
            let is_sound = sound.is_ok() || outcome == DnsOutcome::Repeated;
            if is_sound { outcome } else { cut.unwrap_or(DnsOutcome::Malformed) }
        }
    };
    let by_question = match outcome {
        DnsOutcome::Query | DnsOutcome::Repeated => true,
        DnsOutcome::Response => !is_on_link(transport),
        _ => false,
    };
    // What is cut may begin as another message does.
    let outcome = if !by_question && cut.is_none() && is_copy(emitter, path, octets) {
        DnsOutcome::Repeated
    } else {
        outcome
    };
    emitter.ledger.dns(transport, outcome);
}

/// Whose messages ask and answer on the link alone.
const fn is_on_link(transport: DnsTransport) -> bool {
    matches!(transport, DnsTransport::Mdns | DnsTransport::Llmnr)
}

/// Was a message that is not told from others by its question just there, octet for octet?
#[cold]
fn is_copy(emitter: &mut Emitter, path: &Path, octets: &[u8]) -> bool {
    let identity = emitter.hasher.octets(emitter.identity(path), octets);
    let is_copy = emitter.recent.note(identity, emitter.now, COPY).is_some();
    emitter.ledger.copies.add(u64::from(is_copy));
    is_copy
}

/// A name that was read.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It is on no list, and nobody wants its text. With its relation, where that was asked for.
    Ordinary(NameId, Relation),
    /// Its text is at hand.
    Written(NameId),
}

/// What a response answers.
#[derive(Clone, Copy, Debug)]
struct Asked {
    known: Known,
    identity: u64,
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
            let read = question.and_then(|question| {
                Ok((question.record_type, self.read(question.name, true, &mut text)?))
            });
            let (record_type, known) = match read {
                Ok(read) => read,
                Err(fault) => {
                    sound = Err(fault);
                    continue;
                }
            };
            asked += 1;
            let id = known.id();
            let identity = self.question_identity(exchange, id, record_type);
            if let Some(age) = self.emitter.recent.note(identity, self.emitter.now, REPEATED) {
                repeated += 1;
                self.emitter.ledger.copies.add(u64::from(age < COPY));
            } else if known.is_written(&text) {
                let named = Named { signal, name: &text, id, identity, ech: None };
                self.emitter.name(&scene, &named, self.out);
            }
        }
        self.emitter.text = text;
        let all_repeated = asked > 0 && asked == repeated;
        (if all_repeated { DnsOutcome::Repeated } else { DnsOutcome::Query }, sound)
    }

    fn response(&mut self) -> (DnsOutcome, Result<(), Malformed>) {
        if is_on_link(self.transport) {
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
        let mut questions = self.message.questions();
        let mut asked = None;
        if let Some(question) = questions.next() {
            let read = question
                .and_then(|question| Ok((question, self.read(question.name, true, qname)?)));
            let (question, known) = match read {
                Ok(read) => read,
                Err(fault) => return (DnsOutcome::Response, Err(fault)),
            };
            let id = known.id();
            let identity = self.question_identity(exchange, id, question.record_type);
            let answered = self.emitter.recent.answer(identity, self.emitter.now, REPEATED);
            if let Some(age) = answered.before {
                self.emitter.ledger.copies.add(u64::from(age < COPY));
                return (DnsOutcome::Repeated, Ok(()));
            }
            if !answered.asked && known.is_written(qname) {
                let signal = Signal::DnsAnswer;
                let named = Named { signal, name: qname, id, identity, ech: None };
                self.emitter.name(scene, &named, self.out);
            }
            asked = Some(Asked { known, identity });
        }
        (DnsOutcome::Response, self.records(scene, questions, asked, qname, link))
    }

    /// The answer section. Without a question the first owner stands for it.
    fn records(
        &mut self,
        scene: &Scene<'_>,
        questions: Questions<'a>,
        asked: Option<Asked>,
        qname: &mut String,
        link: &mut String,
    ) -> Result<(), Malformed> {
        let mut asked = asked;
        let mut chain_ttl = u32::MAX;
        let mut addresses = 0;
        for record in self.message.answers_after(questions)? {
            let record = record?;
            let &mut Asked { known, identity } = match &mut asked {
                Some(asked) => asked,
                None => {
                    let known = self.read(record.name, true, qname)?;
                    let exchange = self.exchange(scene);
                    let identity = self.question_identity(exchange, known.id(), record.record_type);
                    asked.insert(Asked { known, identity })
                }
            };
            let ttl = record.ttl.min(chain_ttl);
            let mut address = |this: &mut Self, address: Addr| {
                addresses += 1;
                if addresses <= MAX_ADDRESSES {
                    this.learned(scene, known, qname, address, ttl);
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
                    self.ech_offers(scene, link, &svcb);
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
        let known = self.read(target, false, link)?;
        if !known.is_written(link) {
            return Ok(());
        }
        let id = known.id();
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

    /// `text`: of the name, when it was written.
    fn learned(&mut self, scene: &Scene<'_>, known: Known, text: &str, address: Addr, ttl: u32) {
        let (name, relation, listed, over_https) = match known {
            Known::Ordinary(id, relation) => (id, relation, None, false),
            Known::Written(id) => {
                let (verdict, relation) = self.emitter.verdicts.with_relation(id, text);
                let listed = verdict.indicator.as_ref().map(|indicator| {
                    Box::new(Listed { name: Name::new(text), indicator: Arc::clone(indicator) })
                });
                (id, relation, listed, verdict.over_https)
            }
        };
        self.out.record(Record::Answer(Answer {
            origin: scene.origin(),
            tenant: scene.seen.tenant,
            client: scene.path.source.addr,
            address,
            name,
            relation,
            ttl,
            over_https,
            listed,
        }));
    }

    /// Says which outer names the configurations of a record show.
    fn ech_offers(&mut self, scene: &Scene<'_>, outer: &mut String, svcb: &Svcb<'_>) {
        for config in svcb.ech_configs().take(MAX_ECH_CONFIGS) {
            normalise_host(outer, config.public_name);
            self.out.record(Record::EchOffered(Box::new(EchOffered {
                origin: scene.origin(),
                public_name: Name::new(outer),
                config_id: config.config_id,
            })));
        }
    }

    /// Finds out which name this is, and its relation when that will be asked for. Its text is written
    /// only when somebody wants it: where every sighting is reported, or when it may be listed.
    fn read(
        &mut self,
        name: NameRef<'_>,
        related: bool,
        text: &mut String,
    ) -> Result<Known, Malformed> {
        let Emitter { hasher, verdicts, .. } = &mut *self.emitter;
        let sightings = self.out.wants_sightings();
        let mut spelling = 0;
        if !sightings {
            name.runs(|run| spelling = hasher.octets(spelling, run))?;
            if let Some(Ordinary { id, relation }) = verdicts.ordinary(spelling)
                && (relation.is_some() || !related)
            {
                return Ok(Known::Ordinary(id, relation.unwrap_or_default()));
            }
        }
        name.write(text)?;
        let id = hasher.name(text);
        if sightings {
            verdicts.prepare(id);
        } else {
            verdicts.spelled(spelling, id, text, related);
        }
        Ok(Known::Written(id))
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

impl Known {
    const fn id(&self) -> NameId {
        match self {
            Self::Ordinary(id, _) | Self::Written(id) => *id,
        }
    }

    /// Is there a text, and is it not that of the root?
    const fn is_written(&self, text: &str) -> bool {
        matches!(self, Self::Written(_)) && !text.is_empty()
    }
}

/// Servers publish one or two.
const MAX_ECH_CONFIGS: usize = 8;
