//! The interfaces there are, and what makes one fit or unfit to sit on a mirror.
//!
//! Plain values; whoever asks prints them.

use core::fmt;
use core::net::IpAddr;
use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::capture::netlink::{self, Link};
use crate::capture::{ring, sys, xdp};
use crate::net::Mac;

/// An interface, as an operator wants to see it before capturing on it.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    pub state: State,
    pub mac: Option<Mac>,
    pub addresses: Vec<IpAddr>,
    pub mtu: u32,
    /// In Mbit/s, where the driver knows.
    pub speed: Option<u32>,
    /// The driver, or the kind of a virtual interface.
    pub driver: Option<String>,
    pub receive_queues: u32,
    /// The memory node that the card is attached to: workers' CPUs are best chosen there.
    pub node: Option<u32>,
    pub promiscuous: bool,
    /// The bridge, bond or router instance it belongs to.
    pub master: Option<String>,
    /// The id of an attached XDP program.
    pub xdp_program: Option<u32>,
    /// Frames lost on receive since the interface exists.
    pub receive_dropped: u64,
    /// What makes the frames differ from those on the wire.
    pub distortions: Vec<Distortion>,
    /// Why `--capture ring` does not work here.
    pub no_ring: Option<String>,
    /// Why `--capture xdp` would be refused here.
    pub no_xdp: Option<String>,
}

/// Is an interface in service?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    Up,
    /// Switched on, but nothing is plugged in.
    NoCarrier,
    Down,
}

impl State {
    /// One word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCarrier => "no-carrier",
            Self::Down => "down",
        }
    }
}

/// A setting that makes captured frames differ from those on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Distortion {
    /// The kernel joins segments of a flow before they are captured.
    GenericReceiveOffload,
    /// The card does.
    HardwareReceiveOffload,
    /// The card does, and rewrites their headers.
    LargeReceiveOffload,
    /// Mirrored frames that carry a tag or a tunnel are longer than the card may accept.
    SmallMtu(u32),
}

impl Distortion {
    /// A standard frame inside VXLAN or ERSPAN, over IPv6.
    const TUNNELLED: u32 = 1_600;
}

impl fmt::Display for Distortion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GenericReceiveOffload => f.write_str(
                "generic receive offload is on: packets are joined before they are captured, so \
                 counts of packets are too low (`ethtool -K IFACE gro off`)",
            ),
            Self::HardwareReceiveOffload => f.write_str(
                "hardware receive offload is on: the card joins packets before they are captured, \
                 so counts of packets are too low (`ethtool -K IFACE rx-gro-hw off`)",
            ),
            Self::LargeReceiveOffload => f.write_str(
                "large receive offload is on: the card joins packets and rewrites their headers \
                 (`ethtool -K IFACE lro off`)",
            ),
            Self::SmallMtu(mtu) => write!(
                f,
                "the MTU is {mtu}: the card may drop mirrored frames that carry tags or tunnels \
                 (`ip link set IFACE mtu 9000`)",
            ),
        }
    }
}

/// Every interface of this network namespace, in the kernel's order.
///
/// # Errors
/// When the kernel does not say.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let links = netlink::links()?;
    // ethtool asks through any socket.
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(links.iter().map(|link| describe(link, &links, &socket)).collect())
}

/// What would distort a mirror on `interface`.
///
/// # Errors
/// When there is no such interface, or the kernel does not say.
pub fn distortions(interface: &str) -> io::Result<Vec<Distortion>> {
    let found = interfaces()?.into_iter().find(|found| found.name == interface);
    found.map(|found| found.distortions).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn describe(link: &Link, all: &[Link], socket: &impl AsFd) -> Interface {
    /// By their names in the kernel's `net/ethtool/common.c`.
    const JOINING: [(&str, Distortion); 3] = [
        ("rx-gro", Distortion::GenericReceiveOffload),
        ("rx-gro-hw", Distortion::HardwareReceiveOffload),
        ("rx-lro", Distortion::LargeReceiveOffload),
    ];
    /// `IFF_PROMISC`: somebody switched it on by hand, without a membership.
    const BY_HAND: u32 = 0x100;
    let mut distortions = Vec::new();
    if link.flags & Link::LOOPBACK == 0 {
        let features = sys::ethtool_features(socket.as_fd(), &link.name).unwrap_or_default();
        let in_force = |name: &str| features.iter().any(|feature| feature == name);
        let joining = JOINING.into_iter().filter(|(name, _)| in_force(name));
        distortions.extend(joining.map(|(_, distortion)| distortion));
        if link.mtu < Distortion::TUNNELLED {
            distortions.push(Distortion::SmallMtu(link.mtu));
        }
    }
    let setting = |file: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{}/{file}", link.name)).ok()?;
        // Unknown is -1, or no file.
        text.trim().parse::<u32>().ok()
    };
    let master = link.master.map(|index| {
        all.iter()
            .find(|other| other.index == index)
            .map_or_else(|| index.to_string(), |other| other.name.clone())
    });
    Interface {
        name: link.name.clone(),
        state: match (link.is_up(), link.is_running()) {
            (true, true) => State::Up,
            (true, false) => State::NoCarrier,
            (false, _) => State::Down,
        },
        mac: link.mac,
        addresses: link.addresses.clone(),
        mtu: link.mtu,
        speed: setting("speed"),
        driver: sys::ethtool_driver(socket.as_fd(), &link.name)
            .ok()
            .filter(|driver| !driver.is_empty())
            .or_else(|| link.kind.clone()),
        receive_queues: link.receive_queues,
        node: setting("device/numa_node"),
        promiscuous: link.promiscuity > 0 || link.flags & BY_HAND != 0,
        master,
        xdp_program: link.xdp_program,
        receive_dropped: link.receive_dropped,
        distortions,
        no_ring: ring::link_type(link).err().map(|why| why.to_string()),
        no_xdp: xdp::admit(link, all).err().map(|why| why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_described() {
        let all = interfaces().unwrap();
        let loopback = all.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!(loopback.distortions, []);
        assert_eq!(loopback.no_ring, None);
        assert!(loopback.no_xdp.is_some());
        assert!(distortions("no such interface").is_err());
    }

    #[test]
    fn every_distortion_says_what_to_do() {
        for distortion in [
            Distortion::GenericReceiveOffload,
            Distortion::HardwareReceiveOffload,
            Distortion::LargeReceiveOffload,
            Distortion::SmallMtu(1_500),
        ] {
            assert!(distortion.to_string().contains("IFACE"), "{distortion}");
        }
    }
}
