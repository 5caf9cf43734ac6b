//! ESP (RFC 4303), which is readable where it does not encrypt (RFC 2410).

use super::{checksum, plausible_ip};
use crate::decode::NotDecoded;
use crate::decode::ip::Ends;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::net::IpProtocol;

/// Lengths of the check values in use, the usual first (RFC 4835, RFC 8221).
const CHECK_VALUES: [usize; 6] = [12, 16, 24, 32, 8, 0];

impl Peel<'_> {
    /// Nothing in a packet says that it is not encrypted. It is taken to be plain when the
    /// trailer is as §2.4 wants it *and* what it announces checks out by its own length or
    /// checksum, for one of the usual lengths of the check value (RFC 5879 does the same).
    pub(in crate::decode) fn esp(mut self, ends: Ends, mut octets: Octets<'_>) -> Peeled<'_> {
        let cut = octets.data().len() < octets.wire();
        octets.skip(8)?;
        if cut {
            // The trailer was not captured.
            return Err(NotDecoded::Encrypted);
        }
        for check in CHECK_VALUES {
            let Some((protocol, len)) = trailer(octets.data(), check) else { continue };
            let inside = octets.limit_within(len);
            if !checks_out(ends, protocol, inside) {
                continue;
            }
            if !matches!(protocol, IpProtocol::IPV4 | IpProtocol::IPV6) {
                self.enter(None)?;
            }
            return self.ip_payload(ends, protocol, inside);
        }
        Err(NotDecoded::Encrypted)
    }
}

/// The next header, and how many octets are before the padding, if there is a trailer before a
/// check value of `check` octets.
fn trailer(octets: &[u8], check: usize) -> Option<(IpProtocol, usize)> {
    let rest = octets.get(..octets.len().checked_sub(check)?)?;
    let [rest @ .., padding, next] = rest else { return None };
    let len = rest.len().checked_sub(usize::from(*padding))?;
    // Padding counts from one (§2.4).
    let counts = rest[len..].iter().zip(1_u8..).all(|(octet, count)| *octet == count);
    counts.then_some((IpProtocol(*next), len))
}

fn checks_out(ends: Ends, protocol: IpProtocol, inside: Octets<'_>) -> bool {
    let len = inside.wire();
    match protocol {
        IpProtocol::IPV4 => {
            let total = inside.peek().map(|[_, _, high, low]| u16::from_be_bytes([high, low]));
            total.map(usize::from) == Some(len) && plausible_ip(inside)
        }
        IpProtocol::IPV6 => {
            let payload =
                inside.peek().map(|[_, _, _, _, high, low]| u16::from_be_bytes([high, low]));
            payload.map(|payload| usize::from(payload) + 40) == Some(len) && plausible_ip(inside)
        }
        IpProtocol::UDP => {
            let total = inside.peek().map(|[_, _, _, _, high, low]| [high, low]);
            total.map(|field| usize::from(u16::from_be_bytes(field))) == Some(len)
        }
        IpProtocol::TCP => {
            // RFC 9293 §3.1. The prefix of an IPv4 address in its mapped form adds 0xffff, which
            // is zero in this arithmetic.
            let addresses = [ends.source, ends.destination]
                .iter()
                .map(|addr| u64::from(checksum(&addr.bits().to_be_bytes(), 0)))
                .sum::<u64>();
            let pseudo = addresses + u64::from(protocol.0) + len as u64;
            len >= 20 && checksum(inside.data(), pseudo) == 0xffff
        }
        _ => false,
    }
}
