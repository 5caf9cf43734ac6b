//! TCP and UDP headers.

use super::ip::Ends;
use super::octets::Octets;
use super::peel::{Peel, Peeled};
use super::{Decoded, NotDecoded, Packet, Tcp, TcpFlags};
use crate::net::{Endpoint, IpProtocol, Path};

impl Peel<'_> {
    /// RFC 9293 §3.1. Of a header that is cut within its options, the rest is used.
    pub(super) fn tcp(self, ends: Ends, octets: Octets<'_>) -> Peeled<'_> {
        const FIXED: usize = 20;
        let mut header = octets;
        let ports = [header.u16()?, header.u16()?];
        let (sequence, acknowledgment) = (header.u32()?, header.u32()?);
        let [offset, flags] = header.array()?;
        header.skip(6)?;
        let len = usize::from(offset >> 4) * 4;
        if len < FIXED {
            return Err(NotDecoded::Malformed);
        }
        let mut payload = octets;
        payload.skip_cut(len)?;
        let tcp = Tcp { sequence, acknowledgment, flags: TcpFlags(flags) };
        Ok(self.packet(ends, IpProtocol::TCP, ports, tcp, payload))
    }

    /// RFC 768, and the tunnels that run over it.
    pub(super) fn udp(self, ends: Ends, mut octets: Octets<'_>) -> Peeled<'_> {
        const HEADER_LEN: usize = 8;
        let ports = [octets.u16()?, octets.u16()?];
        let len = usize::from(octets.u16()?);
        let _checksum = octets.u16()?;
        let payload = match len {
            // A jumbogram (RFC 2675 §4), or a packet that a network card will cut up.
            0 => octets,
            1..HEADER_LEN => return Err(NotDecoded::Malformed),
            len => octets.limit_within(len - HEADER_LEN),
        };
        let packet = self.packet(ends, IpProtocol::UDP, ports, Tcp::default(), payload);
        self.udp_tunnel(ends, ports, payload).unwrap_or(Ok(packet))
    }

    fn packet(
        self,
        ends: Ends,
        protocol: IpProtocol,
        [source, destination]: [u16; 2],
        tcp: Tcp,
        payload: Octets<'_>,
    ) -> Decoded<'_> {
        Decoded::Packet(Packet {
            seen: self.seen,
            path: Path {
                tenant: self.seen.tenant,
                protocol,
                source: Endpoint { addr: ends.source, port: source },
                destination: Endpoint { addr: ends.destination, port: destination },
            },
            tcp,
            payload: payload.data(),
            payload_wire_len: payload.wire_len(),
            ip_len: ends.len,
        })
    }
}
