//! DNS in a stream: messages behind two octets of length (RFC 1035 §4.2.2, RFC 7766 §8).

use super::Header;
use crate::inspect::stream::{Observation, Probe, Progress};

/// Cuts one direction of a stream into messages. Keeps nothing: the stream's owner holds the
/// octets of an unfinished message.
#[derive(Debug, Default)]
pub struct Framing;

impl Framing {
    /// Could a stream that begins with `octets` be DNS?
    #[must_use]
    pub fn probe(octets: &[u8]) -> Probe {
        let Some((&[high, low], message)) = octets.split_first_chunk() else {
            return Probe::Unsure;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < Header::LEN {
            return Probe::NotOurs;
        }
        match Header::read(message) {
            Err(_) => Probe::Unsure,
            Ok(header) if header.is_plausible() => Probe::Certain,
            Ok(_) => Probe::NotOurs,
        }
    }

    /// Hands on every whole message.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            let Some((&length, rest)) = rest.split_first_chunk::<PREFIX>() else {
                return Progress::More { consumed, need: PREFIX };
            };
            let length = usize::from(u16::from_be_bytes(length));
            let Some(message) = rest.get(..length) else {
                return Progress::More { consumed, need: PREFIX + length };
            };
            consumed += PREFIX + length;
            // RFC 7766 §8 forbids no empty message; it says nothing.
            if !message.is_empty() {
                observe(Observation::Dns(message));
            }
        }
    }

    /// Hands on what is there of a message that never became whole.
    pub fn end(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) {
        if !octets.is_empty() {
            observe(Observation::DnsCut(octets.get(PREFIX..).unwrap_or_default()));
        }
    }
}

const PREFIX: usize = 2;
