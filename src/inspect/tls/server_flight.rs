//! The server's first flight: which version it chose, and in TLS 1.2 and before the certificate
//! that follows in the clear.

use tls_parser::{TlsMessageHandshake, parse_tls_handshake_msg_certificate};

use super::{ServerHello, content_type, handshake_type};
use crate::inspect::reader::Reader;
use crate::inspect::stream::{Observation, Progress};

/// Reads a server's records until nothing in them is of interest.
#[derive(Debug, Default)]
pub struct ServerFlight {
    /// Handshake messages of records that are consumed, up to the first that is not whole.
    gathered: Vec<u8>,
    /// A version was chosen that sends its certificate in the clear.
    chosen: bool,
}

impl ServerFlight {
    /// The longest flight that is gathered. Chains are some 5 KiB, and up to 32 KiB have been
    /// seen.
    pub const LIMIT: usize = 64 * 1024;

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            let mut reader = Reader::new(rest);
            let (Ok([content, major, _]), Ok(length)) =
                (reader.array("record"), reader.u16("length"))
            else {
                return Progress::More { consumed, need: RECORD_HEADER };
            };
            let need = RECORD_HEADER + usize::from(length);
            let skip = matches!(*content, content_type::CHANGE_CIPHER_SPEC | content_type::ALERT);
            // After a HelloRetryRequest comes a ChangeCipherSpec (RFC 8446 §D.4); after the choice
            // of an earlier version it means that a session is resumed, without a certificate. An
            // alert may warn that the name is not known here (RFC 6066 §3).
            let expected = *content == content_type::HANDSHAKE || skip && !self.chosen;
            if !expected || *major != 3 {
                return Progress::Done;
            }
            let Some(fragment) = rest.get(RECORD_HEADER..need) else {
                return Progress::More { consumed, need };
            };
            // What follows a choice of TLS 1.3 is encrypted: read in place, nothing gathered.
            if self.gathered.is_empty()
                && let Some(hello) = ServerHello::first_of(rest)
                && hello.version.is_tls13()
                && !hello.retry
            {
                observe(Observation::ServerHello(hello));
                return Progress::Done;
            }
            if !skip {
                if self.gathered.len() + fragment.len() > Self::LIMIT {
                    return Progress::Done;
                }
                self.gathered.extend_from_slice(fragment);
                if self.messages(observe).is_none() {
                    return Progress::Done;
                }
            }
            consumed += need;
        }
    }

    /// Octets kept on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.gathered.capacity()
    }

    /// Takes the whole messages out of what is gathered; `None` when nothing more is of interest.
    fn messages(&mut self, observe: &mut impl FnMut(Observation<'_>)) -> Option<()> {
        let mut at = 0;
        while let Some(&[kind, a, b, c]) = self.gathered.get(at..).and_then(<[u8]>::first_chunk) {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let start = at + MESSAGE_HEADER;
            let Some(body) = self.gathered.get(start..start + length) else {
                if length > Self::LIMIT {
                    return None;
                }
                break;
            };
            match kind {
                handshake_type::SERVER_HELLO if !self.chosen => {
                    let hello = ServerHello::read(body)?;
                    observe(Observation::ServerHello(hello));
                    if !hello.retry {
                        self.chosen = !hello.version.is_tls13();
                        self.chosen.then_some(())?;
                    }
                }
                handshake_type::CERTIFICATE if self.chosen => {
                    if let Some(certificate) = first_certificate(body) {
                        observe(Observation::Certificate(certificate));
                    }
                    return None;
                }
                // Stapled responses may come before; a request or the end means there is none.
                handshake_type::CERTIFICATE_STATUS if self.chosen => {}
                _ => return None,
            }
            at = start + length;
        }
        self.gathered.drain(..at);
        Some(())
    }
}

/// `certificate_list` (RFC 5246 §7.4.2): the sender's own comes first.
fn first_certificate(body: &[u8]) -> Option<&[u8]> {
    match parse_tls_handshake_msg_certificate(body) {
        Ok((_, TlsMessageHandshake::Certificate(list))) => Some(list.cert_chain.first()?.data),
        _ => None,
    }
}

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    fn server_hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([1; 32]);
        body.extend([0, 0xc0, 0x2f, 0, 0, 0]);
        message(2, &body)
    }

    fn certificate(der: &[u8]) -> Vec<u8> {
        let entry = [&u32::try_from(der.len()).unwrap().to_be_bytes()[1..], der].concat();
        let list = [&u32::try_from(entry.len()).unwrap().to_be_bytes()[1..], &entry].concat();
        message(11, &list)
    }

    fn records(messages: &[u8], size: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        for fragment in messages.chunks(size) {
            stream.extend([22, 3, 3]);
            stream.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
            stream.extend(fragment);
        }
        stream
    }

    /// What certificates are seen in a stream that comes in steps.
    fn run(stream: &[u8], step: usize) -> Vec<Vec<u8>> {
        let mut flight = ServerFlight::default();
        let mut seen = Vec::new();
        let (mut start, mut end, mut wanted) = (0, 0, 0);
        while end < stream.len() {
            end = (end + step).min(stream.len());
            if end - start < wanted {
                continue;
            }
            let progress = flight.push(&stream[start..end], &mut |observation| {
                if let Observation::Certificate(der) = observation {
                    seen.push(der.to_vec());
                }
            });
            let Progress::More { consumed, need } = progress else { break };
            start += consumed;
            wanted = need;
        }
        seen
    }

    #[test]
    fn the_certificate_is_found_in_records_of_every_size() {
        let der = vec![0x30; 3_000];
        let messages = [server_hello(), certificate(&der), message(14, b"")].concat();
        for size in [1, 7, 100, 16_000] {
            let mut stream = vec![21, 3, 3, 0, 2, 1, 112];
            stream.extend(records(&messages, size));
            for step in [1, 5, 1_460, stream.len()] {
                assert!(run(&stream, step) == [&der[..]], "records of {size} by {step}");
            }
        }
    }

    #[test]
    fn a_resumed_session_and_an_endless_flight_show_none() {
        let mut resumed = records(&server_hello(), 1_000);
        resumed.extend([20, 3, 3, 0, 1, 1]);
        resumed.extend(records(&certificate(&[0x30; 10]), 1_000));
        assert_eq!(run(&resumed, resumed.len()), [[0; 0]; 0]);
        let endless = certificate(&vec![0x30; 2 * ServerFlight::LIMIT]);
        let stream = records(&[server_hello(), endless].concat(), 16_000);
        assert_eq!(run(&stream, 1_460), [[0; 0]; 0]);
    }
}
