//! The in-kernel filter in the driver: when it may be attached.
//!
//! An XDP program that drops what the sensor does not want would cut off whatever else the
//! interface serves. So it is attached only when asked for, and only to an interface that
//! evidently serves nothing else. The program itself is in `bpf/xdp.bpf.c`; what passes goes up
//! the stack as ever, where the packet ring takes it.
//!
//! # Why not `AF_XDP`
//!
//! Measured on a veth pair beside this path (kernel and process time per packet on the wire, 7 %
//! passing): the program with a packet ring behind it took 210 ns, with an `AF_XDP` socket in
//! copy mode 250 ns, and everything through `AF_XDP` 707 ns, as much as a plain packet ring.
//! (Since then 11 % pass: flows are sampled, and what may come late is waited for.) With nine of ten
//! packets gone before either, what carries the tenth hardly matters;
//! and `AF_XDP` would bring one socket a hardware queue, no timestamps, no VLAN tags that the
//! card took out, and `CAP_NET_ADMIN` for good. Zero-copy mode on a card was not measured.

use crate::capture::netlink::Link;

/// Why the filter is not attached in the driver of an interface.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error("it is not an Ethernet interface")]
    NotEthernet,
    #[error(
        "it has the address {0}, so it serves more than a mirror (`ip address flush dev {1}`, `ip link set dev {1} addrgenmode none`)"
    )]
    HasAddress(core::net::IpAddr, String),
    #[error("it belongs to interface {0} (a bridge, bond or router instance)")]
    HasMaster(u32),
    #[error("interface {0} is made on top of it")]
    Carries(String),
    #[error("another XDP program (id {0}) is attached")]
    Occupied(u32),
}

/// May the filter be attached to `link`? `all` are the interfaces beside it.
///
/// # Errors
/// The first rule that forbids it.
pub fn admit(link: &Link, all: &[Link]) -> Result<(), Refused> {
    const ETHERNET: u16 = 1;
    if link.hardware != ETHERNET || link.flags & Link::LOOPBACK != 0 {
        return Err(Refused::NotEthernet);
    }
    if let Some(address) = link.addresses.first() {
        return Err(Refused::HasAddress(*address, link.name.clone()));
    }
    if let Some(master) = link.master {
        return Err(Refused::HasMaster(master));
    }
    if let Some(program) = link.xdp_program {
        return Err(Refused::Occupied(program));
    }
    // The other end of a veth pair names this one too, but is not made on it.
    let carried = all.iter().find(|other| {
        other.below == Some(link.index)
            && other.index != link.index
            && other.kind.as_deref() != Some("veth")
    });
    match carried {
        Some(other) => Err(Refused::Carries(other.name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Link {
        Link { index: 4, name: "span0".into(), hardware: 1, ..Link::default() }
    }

    #[test]
    fn an_interface_that_serves_nothing_else_is_admitted() {
        let peer = Link { index: 5, below: Some(4), kind: Some("veth".into()), ..span() };
        assert_eq!(admit(&span(), &[span(), peer]), Ok(()));
    }

    #[test]
    fn every_other_use_is_a_reason_to_refuse() {
        let address: core::net::IpAddr = "192.0.2.1".parse().unwrap();
        let vlan = Link {
            index: 6,
            name: "span0.5".into(),
            below: Some(4),
            kind: Some("vlan".into()),
            ..span()
        };
        let cases = [
            (Link { addresses: vec![address], ..span() }, "192.0.2.1"),
            (Link { master: Some(9), ..span() }, "interface 9"),
            (Link { xdp_program: Some(77), ..span() }, "77"),
            (Link { hardware: 772, ..span() }, "Ethernet"),
            (Link { flags: Link::LOOPBACK, ..span() }, "Ethernet"),
        ];
        for (link, why) in cases {
            let refused = admit(&link, &[]).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(admit(&span(), &[vlan]), Err(Refused::Carries("span0.5".into())));
    }
}
