//! A frame: link-layer octets as a source delivered them. What [`capture`](crate::capture) hands
//! to [`decode`](crate::decode).

use crate::time::Timestamp;

/// Where a frame came from: an interface or a file, numbered in the order they were opened.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u16);

/// A link type as in capture files (the `LINKTYPE_` registry of tcpdump.org). Unknown is a value.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct LinkType(pub u32);

impl LinkType {
    pub const NULL: Self = Self(0);
    pub const ETHERNET: Self = Self(1);
    pub const TOKEN_RING: Self = Self(6);
    pub const ARCNET: Self = Self(7);
    pub const PPP: Self = Self(9);
    pub const FDDI: Self = Self(10);
    pub const PPP_HDLC: Self = Self(50);
    pub const PPP_ETHER: Self = Self(51);
    pub const ATM_RFC1483: Self = Self(100);
    pub const RAW: Self = Self(101);
    pub const C_HDLC: Self = Self(104);
    pub const IEEE802_11: Self = Self(105);
    pub const FRELAY: Self = Self(107);
    pub const LOOP: Self = Self(108);
    pub const ENC: Self = Self(109);
    pub const LINUX_SLL: Self = Self(113);
    pub const PFLOG: Self = Self(117);
    pub const PRISM: Self = Self(119);
    pub const IP_OVER_FC: Self = Self(122);
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    pub const ARCNET_LINUX: Self = Self(129);
    pub const IP_OVER_IEEE1394: Self = Self(138);
    pub const IEEE802_11_AVS: Self = Self(163);
    pub const PPI: Self = Self(192);
    pub const ERF: Self = Self(197);
    pub const PPP_WITH_DIR: Self = Self(204);
    pub const C_HDLC_WITH_DIR: Self = Self(205);
    pub const FRELAY_WITH_DIR: Self = Self(206);
    pub const MPLS: Self = Self(219);
    pub const IPV4: Self = Self(228);
    pub const IPV6: Self = Self(229);
    pub const NFLOG: Self = Self(239);
    pub const IPOIB: Self = Self(242);
    pub const PKTAP: Self = Self(258);
    pub const LINUX_SLL2: Self = Self(276);
    pub const DSA_TAG_BRCM: Self = Self(281);
    pub const DSA_TAG_BRCM_PREPEND: Self = Self(282);
    pub const DSA_TAG_DSA: Self = Self(284);
    pub const DSA_TAG_EDSA: Self = Self(285);

    /// For a frame of an interface that its file never described; no registry will assign it.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

/// One frame, borrowed from the buffer of its source.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The octets captured.
    pub data: &'a [u8],
    /// How many octets the frame had on the wire; more than `data` when it was cut.
    pub wire_len: u32,
    /// When it was captured.
    pub at: Timestamp,
    /// How `data` begins.
    pub link: LinkType,
    /// Which interface or file.
    pub source: SourceId,
    /// Its number within the source, from 1.
    pub number: u64,
    /// A VLAN tag (TCI) that the capture delivered beside the octets, as packet sockets do.
    pub vlan: Option<u16>,
}
