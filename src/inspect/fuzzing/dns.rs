//! DNS: what lies before a cut is read as if there were none.

use super::stream::{drive, however_cut};
use crate::inspect::dns::{Framing, Message, NameRef, RecordType, Svcb};
use crate::inspect::stream::Observation;

/// A message, and what is read of it when it is cut anywhere: the same, up to the cut. Names are
/// in their printed form, and records no more than the limit.
pub fn dns(octets: &[u8]) {
    let whole = names(octets);
    for len in (0..octets.len()).step_by(1 + octets.len() / 64) {
        let cut = names(&octets[..len]);
        assert!(whole.starts_with(&cut), "cut at {len}: {cut:?} is not the beginning of {whole:?}");
        let exact = Message::read(&octets[..len]).is_ok_and(|message| message.is_exact());
        assert!(!exact || whole == cut, "exact at {len}, and then there was more");
    }
}

/// Every name of a message, in the order of the wire.
fn names(octets: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(message) = Message::read(octets) else { return found };
    let mut text = String::new();
    let mut print = |name: NameRef<'_>| {
        let written = name.write(&mut text);
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic() && !octet.is_ascii_uppercase()));
        // Every octet may be printed in four.
        assert!(text.len() <= 4 * NameRef::LIMIT);
        if written.is_ok() {
            found.push(text.clone());
        }
    };
    message.questions().flatten().for_each(|question| print(question.name));
    let mut count = 0;
    for record in message.answers().into_iter().flatten().flatten() {
        count += 1;
        print(record.name);
        match record.record_type {
            RecordType::CNAME => {
                if let Ok(name) = record.data_name(0) {
                    print(name);
                }
            }
            RecordType::SVCB | RecordType::HTTPS => {
                let Ok(svcb) = Svcb::read(&record) else { continue };
                print(svcb.target);
                for config in svcb.ech_configs() {
                    assert!(config.public_name.len() <= record.data.len());
                }
            }
            _ => {}
        }
    }
    assert!(count <= Message::MAX_RECORDS);
    found
}

/// Messages in a stream: the same ones however it is cut, and they are what was consumed.
pub fn dns_stream(octets: &[u8]) {
    let (_, messages) = however_cut(octets.len(), |step| {
        let mut messages = Vec::new();
        let mut observe = |seen: Observation<'_>| match seen {
            Observation::Dns(message) => messages.push(message.to_vec()),
            other => panic!("{other:?}"),
        };
        let ended = drive(octets, step, |rest| Framing.push(rest, &mut observe));
        (ended, messages)
    });
    let sum: usize = messages.iter().map(|message| 2 + message.len()).sum();
    assert!(sum <= octets.len());
}
