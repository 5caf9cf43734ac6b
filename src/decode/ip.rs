//! IPv4 and IPv6 with its extension headers.

use etherparse::{IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice};

use super::octets::Octets;
use super::peel::{Peel, Peeled};
use super::{Carrier, Decoded, Fragment, NotDecoded, tunnel};
use crate::net::{Addr, IpProtocol};

/// What the layers inside an IP packet need to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) source: Addr,
    pub(super) destination: Addr,
    /// Octets of the packet on the wire.
    pub(super) len: u32,
}

/// How many extension headers one packet may have. Real ones have at most three; RFC 8504 §5.3
/// lets a host set a limit.
const MAX_EXTENSIONS: usize = 16;

const HOP_BY_HOP: IpProtocol = IpProtocol(0);
const ROUTING: IpProtocol = IpProtocol(43);
const FRAGMENT: IpProtocol = IpProtocol(44);
const DESTINATION_OPTIONS: IpProtocol = IpProtocol(60);
const MOBILITY: IpProtocol = IpProtocol(135);
const HOST_IDENTITY: IpProtocol = IpProtocol(139);
const SHIM6: IpProtocol = IpProtocol(140);

impl Peel<'_> {
    pub(super) fn ipv4(mut self, octets: Octets<'_>) -> Peeled<'_> {
        if core::mem::take(&mut self.announced) {
            let peeled = self.ipv4(octets);
            return unless_it_looks_wrong(peeled, || tunnel::plausible_ipv4(octets));
        }
        let header = Ipv4HeaderSlice::from_slice(octets.data()).map_err(|error| match error {
            etherparse::err::ipv4::HeaderSliceError::Len(error) => octets.lacks(error.required_len),
            etherparse::err::ipv4::HeaderSliceError::Content(_) => NotDecoded::Malformed,
        })?;
        let header_len = header.slice().len();
        // A packet that a network card will cut up may be captured before, with no length yet.
        let octets = match usize::from(header.total_len()) {
            0 => octets,
            total if total < header_len => return Err(NotDecoded::Malformed),
            total => octets.limit(total),
        };
        let ends = Ends {
            source: Addr::from_v4(header.source()),
            destination: Addr::from_v4(header.destination()),
            len: octets.wire_len(),
        };
        let protocol = IpProtocol(header.protocol().0);
        let mut payload = octets;
        payload.skip(header_len)?;
        if header.is_fragmenting_payload() {
            return Ok(Decoded::Fragment(Fragment {
                seen: self.seen,
                source: ends.source,
                destination: ends.destination,
                carrier: Carrier::Ip,
                protocol,
                id: u32::from(header.identification()),
                offset: u32::from(header.fragments_offset().value()) * 8,
                more: header.more_fragments(),
                payload: payload.data(),
                payload_wire_len: payload.wire_len(),
            }));
        }
        self.ip_payload(ends, protocol, payload)
    }

    pub(super) fn ipv6(mut self, octets: Octets<'_>) -> Peeled<'_> {
        const HEADER_LEN: usize = 40;
        if core::mem::take(&mut self.announced) {
            let peeled = self.ipv6(octets);
            return unless_it_looks_wrong(peeled, || tunnel::plausible_ipv6(octets));
        }
        let header = Ipv6HeaderSlice::from_slice(octets.data()).map_err(|error| match error {
            etherparse::err::ipv6::HeaderSliceError::Len(error) => octets.lacks(error.required_len),
            etherparse::err::ipv6::HeaderSliceError::Content(_) => NotDecoded::Malformed,
        })?;
        // Zero: a jumbogram (RFC 2675), or a packet that a network card will cut up.
        let octets = match usize::from(header.payload_length()) {
            0 => octets,
            payload => octets.limit(HEADER_LEN + payload),
        };
        let mut ends = Ends {
            source: Addr::from_v6(header.source()),
            destination: Addr::from_v6(header.destination()),
            len: octets.wire_len(),
        };
        let mut protocol = IpProtocol(header.next_header().0);
        let mut payload = octets;
        payload.skip(HEADER_LEN)?;
        for _ in 0..MAX_EXTENSIONS {
            match protocol {
                HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING | MOBILITY | HOST_IDENTITY | SHIM6 => {
                    let extension = payload;
                    let [next, words] = payload.array()?;
                    if protocol == ROUTING {
                        ends.destination = final_destination(extension).unwrap_or(ends.destination);
                    }
                    // In words of eight octets, the first not counted (RFC 8200 §4.2).
                    payload.skip(6 + 8 * usize::from(words))?;
                    protocol = IpProtocol(next);
                }
                FRAGMENT => {
                    let header = Ipv6FragmentHeaderSlice::from_slice(payload.data())
                        .map_err(|error| payload.lacks(error.required_len))?;
                    payload.skip(header.slice().len())?;
                    protocol = IpProtocol(header.next_header().0);
                    // An "atomic" fragment is whole (RFC 6946).
                    if header.is_fragmenting_payload() {
                        return Ok(Decoded::Fragment(Fragment {
                            seen: self.seen,
                            source: ends.source,
                            destination: ends.destination,
                            carrier: Carrier::Ip,
                            protocol,
                            id: header.identification(),
                            offset: u32::from(header.fragment_offset().value()) * 8,
                            more: header.more_fragments(),
                            payload: payload.data(),
                            payload_wire_len: payload.wire_len(),
                        }));
                    }
                }
                protocol => return self.ip_payload(ends, protocol, payload),
            }
        }
        Err(NotDecoded::Malformed)
    }

    /// What an IP packet, or the datagram put together from its fragments, holds.
    pub(super) fn ip_payload(
        mut self,
        ends: Ends,
        mut protocol: IpProtocol,
        mut octets: Octets<'_>,
    ) -> Peeled<'_> {
        for _ in 0..MAX_EXTENSIONS {
            match protocol {
                IpProtocol::TCP => return self.tcp(ends, octets),
                IpProtocol::UDP => return self.udp(ends, octets),
                IpProtocol::IPV4 | IpProtocol::IPV6 | IpProtocol::IPIP => {
                    self.enter(Some(ends.source))?;
                    return match protocol {
                        IpProtocol::IPV6 => self.ipv6(octets),
                        _ => self.ipv4(octets),
                    };
                }
                IpProtocol::GRE => return self.gre(ends, octets),
                IpProtocol::ESP => return self.esp(ends, octets),
                // RFC 4302: without encryption, so that only its header is passed over. In a
                // fragment's datagram extensions may follow too.
                IpProtocol::AH => {
                    let header =
                        IpAuthHeaderSlice::from_slice(octets.data()).map_err(
                            |error| match error {
                                etherparse::err::ip_auth::HeaderSliceError::Len(error) => {
                                    octets.lacks(error.required_len)
                                }
                                etherparse::err::ip_auth::HeaderSliceError::Content(_) => {
                                    NotDecoded::Malformed
                                }
                            },
                        )?;
                    octets.skip(header.slice().len())?;
                    protocol = IpProtocol(header.next_header().0);
                }
                DESTINATION_OPTIONS => {
                    let [next, words] = octets.array()?;
                    octets.skip(6 + 8 * usize::from(words))?;
                    protocol = IpProtocol(next);
                }
                IpProtocol::ETHERIP => {
                    // RFC 3378: version 3, the rest reserved.
                    return match octets.u16()? {
                        0x3000 => {
                            self.seen.mirror = self.seen.mirror.or(Some(ends.source));
                            self.inner_ethernet(octets, 0)
                        }
                        _ => Err(NotDecoded::Malformed),
                    };
                }
                IpProtocol::ETHERNET => {
                    // RFC 8986 §4.9.
                    self.seen.mirror = self.seen.mirror.or(Some(ends.source));
                    return self.inner_ethernet(octets, 0);
                }
                IpProtocol::MPLS => return self.mpls(octets, Some(ends.source)),
                IpProtocol::L2TP => return self.l2tp_over_ip(ends, octets),
                _ => return Err(NotDecoded::OtherTransport),
            }
        }
        Err(NotDecoded::Malformed)
    }
}

/// What a header holds that only a port announces: a packet has headers that confirm it, of anything
/// else this header must look right.
fn unless_it_looks_wrong(peeled: Peeled<'_>, looks_right: impl Fn() -> bool) -> Peeled<'_> {
    match peeled {
        Ok(Decoded::Fragment(_)) | Err(NotDecoded::OtherTransport | NotDecoded::Encrypted)
            if !looks_right() =>
        {
            Err(NotDecoded::Malformed)
        }
        peeled => peeled,
    }
}

/// Where a packet with a routing header goes in the end: the flow's other side, whichever router
/// it is on its way to.
fn final_destination(mut header: Octets<'_>) -> Option<Addr> {
    const SOURCE_ROUTE: u8 = 0;
    const HOME_ADDRESS: u8 = 2;
    const SEGMENT_ROUTE: u8 = 4;
    let [_next, words, kind, left] = header.array().ok()?;
    if left == 0 {
        return None;
    }
    header.skip(4).ok()?;
    match kind {
        // The list is in order (RFC 2460 §4.4) or holds one address (RFC 6275 §6.4).
        SOURCE_ROUTE | HOME_ADDRESS => {
            header.skip(usize::from(words / 2).checked_sub(1)? * 16).ok()?;
        }
        // The list is in reverse (RFC 8754 §2).
        SEGMENT_ROUTE => {}
        _ => return None,
    }
    header.array().ok().map(Addr::from_v6)
}
