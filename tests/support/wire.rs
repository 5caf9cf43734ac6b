//! Writes packets: every layer is a function from its contents to octets.

use core::net::IpAddr;

use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::time::Timestamp;

/// Contents of a tunnel: what it carries decides how it may be carried.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    Ip(Vec<u8>),
    Ethernet(Vec<u8>),
}

impl Wire {
    /// As an Ethernet frame.
    pub(crate) fn ethernet(self) -> Vec<u8> {
        match self {
            Self::Ethernet(frame) => frame,
            Self::Ip(packet) => ethernet(ether_type(&packet), &packet),
        }
    }

    pub(crate) fn octets(self) -> Vec<u8> {
        match self {
            Self::Ethernet(octets) | Self::Ip(octets) => octets,
        }
    }
}

pub(crate) fn ether_type(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

pub(crate) const SOURCE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x51];

pub(crate) fn ethernet(kind: u16, contents: &[u8]) -> Vec<u8> {
    [&[0x02, 0, 0, 0, 0, 0xd0][..], &SOURCE_MAC, &kind.to_be_bytes(), contents].concat()
}

/// An Ethernet frame that was captured whole.
#[inline]
pub(crate) fn captured(data: &[u8], at: Timestamp, number: u64) -> Frame<'_> {
    Frame {
        data,
        wire_len: u32::try_from(data.len()).unwrap(),
        at,
        link: LinkType::ETHERNET,
        source: SourceId(0),
        number,
        vlan: None,
    }
}

/// An IP packet; both addresses are of the same family.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, contents: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + contents.len()).unwrap().to_be_bytes();
            let mut header = [0x45, 0, total[0], total[1], 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]
                .into_iter()
                .chain(source.octets())
                .chain(destination.octets())
                .collect::<Vec<u8>>();
            let sum = !sum(&header, 0);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header.extend(contents);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let len = u16::try_from(contents.len()).unwrap().to_be_bytes();
            [0x60, 0, 0, 0, len[0], len[1], protocol, 64]
                .into_iter()
                .chain(source.octets())
                .chain(destination.octets())
                .chain(contents.iter().copied())
                .collect()
        }
        _ => panic!("{source} and {destination} are of different families"),
    }
}

pub(crate) fn udp(source: u16, destination: u16, contents: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + contents.len()).unwrap();
    let fields = [source, destination, len, 0];
    fields.iter().flat_map(|field| field.to_be_bytes()).chain(contents.iter().copied()).collect()
}

/// A TCP segment with SYN and ACK clear; its checksum is right between `ends`.
pub(crate) fn tcp(ends: (IpAddr, IpAddr), ports: (u16, u16), contents: &[u8]) -> Vec<u8> {
    let mut segment: Vec<u8> =
        [ports.0, ports.1].iter().flat_map(|port| port.to_be_bytes()).collect();
    segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(contents);
    let octets = |addr| match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    let pseudo = [octets(ends.0), octets(ends.1)].concat();
    let len = u32::try_from(segment.len()).unwrap();
    let sum = !sum(&segment, u32::from(sum(&pseudo, 0)) + 6 + len);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The Internet checksum's sum (RFC 1071).
pub(crate) fn sum(octets: &[u8], from: u32) -> u16 {
    let words = octets.chunks(2).map(|word| match *word {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum::<u32>() + from;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// GRE with the given flags; the optional fields are there as the flags say.
pub(crate) fn gre(flags: u16, protocol: u16, key: u32, contents: &[u8]) -> Vec<u8> {
    let mut octets = [flags.to_be_bytes(), protocol.to_be_bytes()].concat();
    if flags & 0xc000 != 0 {
        octets.extend([0xab, 0xcd, 0, 0]);
    }
    if flags & 0x2000 != 0 {
        octets.extend(key.to_be_bytes());
    }
    if flags & 0x1000 != 0 {
        octets.extend([0, 0, 0, 1]);
    }
    if flags & 0x4000 != 0 {
        octets.extend([0x08, 0, 0, 4, 192, 0, 2, 77, 0, 0, 0, 0]);
    }
    octets.extend(contents);
    octets
}

/// PPP contents with their protocol field.
pub(crate) fn ppp(ip: &[u8]) -> Vec<u8> {
    let protocol: [u8; 2] = if ip[0] >> 4 == 4 { [0, 0x21] } else { [0, 0x57] };
    [&protocol[..], ip].concat()
}

/// An IEEE 802.11 data frame to the distribution system, with LLC and SNAP.
pub(crate) fn wlan(ip: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x08, 0x01, 0, 0];
    octets.extend([0x02, 0, 0, 0, 0, 0xb5]);
    octets.extend(SOURCE_MAC);
    octets.extend([0x02, 0, 0, 0, 0, 0xd0, 0x10, 0]);
    octets.extend(snap(ip));
    octets
}

/// LLC and SNAP (RFC 1042).
pub(crate) fn snap(ip: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &ether_type(ip).to_be_bytes(), ip].concat()
}
