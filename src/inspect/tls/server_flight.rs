//! The server's first flight: which version it chose, and in TLS 1.2 and before what follows in
//! the clear.

use super::{ServerHello, content_type};
use crate::inspect::reader::Reader;
use crate::inspect::stream::{Observation, Progress};

/// Reads a server's records until nothing in them is of interest.
#[derive(Debug, Default)]
pub struct ServerFlight;

impl ServerFlight {
    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            let mut reader = Reader::new(rest);
            let Ok([content, major, _]) = reader.array("record") else {
                return Progress::More { consumed, need: RECORD_HEADER };
            };
            let Ok(length) = reader.u16("length") else {
                return Progress::More { consumed, need: RECORD_HEADER };
            };
            let need = RECORD_HEADER + usize::from(length);
            match (*content, *major) {
                (content_type::HANDSHAKE, 3) if rest.len() < need => {
                    return Progress::More { consumed, need };
                }
                (content_type::HANDSHAKE, 3) => {
                    let Some(hello) = ServerHello::first_of(rest) else { return Progress::Done };
                    observe(Observation::ServerHello(hello));
                    if !hello.retry {
                        return Progress::Done;
                    }
                }
                // After a HelloRetryRequest (RFC 8446 §D.4).
                (content_type::CHANGE_CIPHER_SPEC, 3) => {}
                _ => return Progress::Done,
            }
            consumed += need.min(rest.len());
            if need > rest.len() {
                return Progress::More { consumed, need: need - rest.len() };
            }
        }
    }
}

const RECORD_HEADER: usize = 5;
