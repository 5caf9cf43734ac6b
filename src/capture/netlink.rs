//! What the kernel says about interfaces, over a routing socket (RFC 3549, `rtnetlink`).
//!
//! Two dumps, links and addresses. Unlike `/sys/class/net` they answer for the network namespace
//! of the calling thread, and they need no privilege.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::sys;
use crate::net::Mac;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// The hardware type (`ARPHRD_`): 1 is Ethernet.
    pub hardware: u16,
    /// `IFF_` flags.
    pub flags: u32,
    pub mtu: u32,
    /// RFC 2863 operational state; 6 is up.
    pub operational: u8,
    pub mac: Option<Mac>,
    /// The index of the bridge, bond or router instance that the interface belongs to.
    pub master: Option<u32>,
    /// How many users asked for promiscuous mode.
    pub promiscuity: u32,
    /// What kind of virtual interface it is, as `veth` or `bond`.
    pub kind: Option<String>,
    /// The interface that this one is made on (or, for a veth, its other end).
    pub below: Option<u32>,
    /// The id of an attached XDP program.
    pub xdp_program: Option<u32>,
    pub receive_queues: u32,
    /// Frames lost by the interface or its driver since it exists.
    pub receive_dropped: u64,
    pub addresses: Vec<IpAddr>,
}

impl Link {
    pub const UP: u32 = 0x1;
    pub const LOOPBACK: u32 = 0x8;
    pub const RUNNING: u32 = 0x40;

    /// Is it administratively up?
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & Self::UP != 0
    }

    /// Has it a carrier?
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.flags & Self::RUNNING != 0
    }

    /// Is this socket bound, and to another interface? One keeps its socket when it loses its name.
    #[must_use]
    pub fn is_not_of(&self, socket: BorrowedFd<'_>) -> bool {
        matches!(sys::bound_interface(socket), Ok(Some(bound)) if bound != self.index)
    }
}

/// Every interface, with its addresses.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(GET_LINK, &[0; LINK_HEADER], &mut |message| links.extend(read_link(message)))?;
    dump(GET_ADDRESS, &[0; ADDRESS_HEADER], &mut |message| {
        if let Some((index, address)) = read_address(message)
            && let Some(link) = links.iter_mut().find(|link: &&mut Link| link.index == index)
        {
            link.addresses.push(address);
        }
    })?;
    Ok(links)
}

/// One interface by name, without its addresses.
pub fn link(name: &str) -> io::Result<Option<Link>> {
    let mut found = None;
    dump(GET_LINK, &[0; LINK_HEADER], &mut |message| {
        if let Some(link) = read_link(message).filter(|link| link.name == name) {
            found = Some(link);
        }
    })?;
    Ok(found)
}

const MESSAGE_HEADER: usize = 16;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// Asks for every object of a kind and hands each one's body to `each`.
fn dump(request: u16, body: &[u8], each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const FLAGS: u16 = 0x301;
    /// The kernel fits each part of a dump into what the reader offers, 32 KiB at most.
    const PART: usize = 32 * 1024;

    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // protocol 0: NETLINK_ROUTE
    )?;
    let length = u32::try_from(MESSAGE_HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(MESSAGE_HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(request.to_ne_bytes());
    message.extend(FLAGS.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: one question, one socket
    message.extend(body);
    rustix::net::send(&socket, &message, SendFlags::empty())?;

    let mut part = vec![0; PART];
    loop {
        let (read, _) = rustix::net::recv(&socket, part.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = part.get(..read).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(length) = word(rest, 0) {
            let length = length as usize;
            let kind = half(rest, 4).unwrap_or_default();
            let Some(body) = rest.get(MESSAGE_HEADER..length) else { break };
            match kind {
                DONE => return Ok(()),
                ERROR => {
                    let errno = word(body, 0).unwrap_or_default().cast_signed();
                    return Err(io::Error::from_raw_os_error(-errno));
                }
                _ => each(body),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// `RTM_NEWLINK`.
fn read_link(body: &[u8]) -> Option<Link> {
    const ADDRESS: u16 = 1;
    const NAME: u16 = 3;
    const MTU: u16 = 4;
    const BELOW: u16 = 5;
    const MASTER: u16 = 10;
    const OPERATIONAL: u16 = 16;
    const INFO: u16 = 18;
    const INFO_KIND: u16 = 1;
    const STATISTICS: u16 = 23;
    const PROMISCUITY: u16 = 30;
    const RECEIVE_QUEUES: u16 = 32;
    const XDP: u16 = 43;
    const XDP_PROGRAM: u16 = 4;

    let mut link = Link {
        hardware: half(body, 2)?,
        index: word(body, 4)?,
        flags: word(body, 8)?,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            ADDRESS => link.mac = value.try_into().ok().map(Mac),
            NAME => link.name = text(value),
            MTU => link.mtu = word(value, 0)?,
            BELOW => link.below = word(value, 0),
            MASTER => link.master = word(value, 0),
            OPERATIONAL => link.operational = *value.first()?,
            PROMISCUITY => link.promiscuity = word(value, 0)?,
            RECEIVE_QUEUES => link.receive_queues = word(value, 0)?,
            STATISTICS => link.receive_dropped = receive_dropped(value),
            INFO => link.kind = nested(value, INFO_KIND).map(text),
            XDP => {
                link.xdp_program =
                    nested(value, XDP_PROGRAM).and_then(|id| word(id, 0)).filter(|id| *id != 0);
            }
            _ => {}
        }
    }
    Some(link)
}

/// The frames that came to the interface whole and were lost there, by `struct rtnl_link_stats64`.
/// What its fields mean is said in `linux/if_link.h`, and what drivers make of that was read in
/// Linux 6.1:
///
/// * `rx_over_errors`: did not fit the host's buffers.
/// * `rx_missed_errors`: found no buffer. `be2net`, `mlx4`, `qede` and `sfc` count that in
///   `rx_fifo_errors` instead; `igb` and `igc` count there what they count as missed and, besides,
///   what single queues lose. So the larger of the two stands for both. (`cxgb3` and `hns` keep
///   them apart; theirs comes out too low.)
/// * `rx_length_errors`: refused for their length, as mirrored frames with tags or tunnels are when
///   the MTU is small. `bnxt`, `e1000e`, `igb`, `mlx5` and `tg3` count them there only.
///
/// No sum fits every driver. `bnx2` counts as missed what it counts as over, `bcmgenet` what it
/// counts as length, and `e100` and `sky2` the same overruns as over and as FIFO errors: these are
/// told twice rather than never. `i40e`, and `ice` before Linux 6.8 (commit f9f9de23dc88,
/// "incorrectly reported by HW"), take lengths from a register that `ixgb` ignores because it
/// counts sound frames of 802.3 that were padded, such as those of spanning tree.
///
/// Not `rx_errors`: a sum that has what found no room in it (`bnx2x`, `ionic`) or not (`igb`,
/// `mlx5`), and what was damaged.
/// Not `rx_crc_errors` and `rx_frame_errors`: those frames were damaged before they came.
/// Not `rx_dropped`: besides what some drivers lose it counts every frame that no protocol of this
/// host asked for, such as one with two VLAN tags, and a packet socket has seen those.
fn receive_dropped(statistics: &[u8]) -> u64 {
    const LENGTH: usize = 10;
    const OVER: usize = 11;
    const FIFO: usize = 14;
    const MISSED: usize = 15;
    let field = |place: usize| {
        let octets = statistics.get(place * 8..).and_then(|rest| rest.first_chunk::<8>());
        octets.map_or(0, |octets| u64::from_ne_bytes(*octets))
    };
    let no_room = field(OVER).saturating_add(field(FIFO).max(field(MISSED)));
    no_room.saturating_add(field(LENGTH))
}

/// `RTM_NEWADDR`: the interface and its own address.
fn read_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    const ADDRESS: u16 = 1;
    /// On a point-to-point link `ADDRESS` is the other end; this one is always ours.
    const LOCAL: u16 = 2;
    let index = word(body, 4)?;
    let rest = body.get(ADDRESS_HEADER..)?;
    let octets = nested(rest, LOCAL).or_else(|| nested(rest, ADDRESS))?;
    let address = match octets.len() {
        4 => Ipv4Addr::from(*octets.first_chunk::<4>()?).into(),
        16 => Ipv6Addr::from(*octets.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some((index, address))
}

/// Type-length-value triples, each padded to four octets.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The two upper bits of a type say "nested" and "network byte order".
    const TYPE: u16 = 0x3fff;
    core::iter::from_fn(move || {
        let length = usize::from(half(rest, 0)?);
        let kind = half(rest, 2)? & TYPE;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn nested(attribute: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(attribute).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|octet| *octet == 0).next().unwrap_or_default()).into()
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_there() {
        let links = links().unwrap();
        let loopback = links.iter().find(|link| link.flags & Link::LOOPBACK != 0).unwrap();
        assert_eq!(loopback.name, "lo");
        assert_eq!(link("lo").unwrap().map(|link| link.index), Some(loopback.index));
        assert!(loopback.mtu > 0);
        assert_eq!(link("no such interface").unwrap(), None);
    }

    #[test]
    fn losses_are_what_found_no_room_and_what_was_too_long() {
        // Each field counts as much as its place in the struct.
        let mut statistics: Vec<u8> = (0..25_u64).flat_map(u64::to_ne_bytes).collect();
        assert_eq!(receive_dropped(&statistics), 10 + 11 + 15);
        assert_eq!(receive_dropped(&statistics[..15 * 8]), 10 + 11 + 14, "cut before missed");
        assert_eq!(receive_dropped(&[]), 0);
        // As by `igb`: what was missed, and 85 that single queues lost.
        statistics[14 * 8..][..8].copy_from_slice(&100_u64.to_ne_bytes());
        assert_eq!(receive_dropped(&statistics), 10 + 11 + 100);
        statistics[10 * 8..][..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(receive_dropped(&statistics), u64::MAX, "does not wrap");
    }

    #[test]
    fn cut_messages_are_read_as_far_as_they_are_sound() {
        let whole = [8_u8, 0, 4, 0, 1, 2, 3, 4, 5, 0, 3, 0, b'x', 0, 0, 0];
        for end in 0..whole.len() {
            assert!(attributes(&whole[..end]).count() <= 2);
            let _ = read_link(&whole[..end]);
            let _ = read_address(&whole[..end]);
        }
        assert_eq!(attributes(&whole).count(), 2);
        // A length of zero must not be read for ever.
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }
}
