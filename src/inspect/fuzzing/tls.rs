//! TLS: records and segments are cut anywhere, and the hello is the same.

use super::stream::{Ended, drive, however_cut};
use crate::inspect::stream::{Observation, Progress};
use crate::inspect::tls::{
    ClientHello, Dialect, Hello, HelloStep, ServerFlight, certificate as x509,
};

/// A ClientHello's body behind two octets, which say how long its records and segments are: the
/// same hello as in one piece. Cut anywhere it gives the same name, or none yet.
pub fn client_hello(octets: &[u8]) {
    let [record, step, body @ ..] = octets else { return };
    let body = &body[..body.len().min(4_096)];
    for dialect in [Dialect::Tls, Dialect::Dtls] {
        let whole = ClientHello::read(body, true, dialect);
        let name = whole.as_ref().ok().and_then(|hello| hello.server_name);
        for len in (0..body.len()).step_by(1 + body.len() / 64) {
            let Ok(cut) = ClientHello::read(&body[..len], false, dialect) else { continue };
            assert!(cut.server_name.is_none() || cut.server_name == name, "cut at {len}");
        }
    }
    let whole = ClientHello::read(body, true, Dialect::Tls).ok();
    let message =
        [&[1][..], &u32::try_from(body.len()).unwrap_or_default().to_be_bytes()[1..], body];
    let mut records = Vec::new();
    for fragment in message.concat().chunks(usize::from(*record) + 1) {
        records.extend_from_slice(&[22, 3, 1]);
        records.extend_from_slice(&u16::try_from(fragment.len()).unwrap_or_default().to_be_bytes());
        records.extend_from_slice(fragment);
    }
    let mut hello = Hello::default();
    let mut name = None;
    let ended = drive(&records, usize::from(*step) + 1, |rest| match hello.push(rest) {
        HelloStep::More { consumed, need } => Progress::More { consumed, need },
        HelloStep::Read(read) => {
            assert!(!read.cut);
            name = read.server_name.map(<[u8]>::to_vec);
            Progress::Done
        }
        HelloStep::Not(_) => {
            assert!(whole.is_none(), "what is read in one piece is no hello in several");
            Progress::Done
        }
    });
    assert_eq!(ended, Ended::Done, "a whole hello is read at once");
    assert_eq!(name.as_deref(), whole.and_then(|hello| hello.server_name));
}

/// A server's records: the same certificate however they are cut, at most one, and no more kept
/// than the limit.
pub fn server_flight(octets: &[u8]) {
    however_cut(octets.len(), |step| {
        let (mut flight, mut certificates, mut hellos) = (ServerFlight::default(), Vec::new(), 0);
        drive(octets, step, |rest| {
            let progress = flight.push(rest, &mut |seen| match seen {
                Observation::Certificate(der) => certificates.push(der.to_vec()),
                Observation::ServerHello(_) => hellos += 1,
                other => panic!("{other:?}"),
            });
            // The buffer grows by doubling.
            assert!(flight.heap() <= 2 * ServerFlight::LIMIT);
            progress
        });
        assert!(certificates.len() <= 1 && (certificates.is_empty() || hellos > 0));
        (certificates, hellos)
    });
}

/// A certificate: its names are no longer than it is, even all together.
pub fn certificate(octets: &[u8]) {
    let mut len = 0;
    x509::names(octets, |name| {
        assert!(!name.is_empty());
        len += name.len();
    });
    assert!(len <= octets.len());
}
