//! How frames of each link type begin.

use vendorwatch::decode::{self, Decoded, NotDecoded, Tenants};
use vendorwatch::frame::LinkType;

use super::{Inner, frame};
use crate::support::wire::{self, Wire};

/// The sample packet, of both families, as frames of every link type that can carry it.
pub(super) fn frames(ip: &[u8]) -> Vec<(LinkType, Vec<u8>)> {
    let v4 = ip[0] >> 4 == 4;
    let kind = wire::ether_type(ip).to_be_bytes();
    let ethernet = Wire::Ip(ip.to_vec()).ethernet();
    let before = |header: &[u8]| [header, ip].concat();
    let ppp = wire::ppp(ip);
    let hdlc = [&[0xff, 3][..], &ppp].concat();
    let cisco = [&[0x0f, 0, kind[0], kind[1]][..], ip].concat();
    let wlan = wire::wlan(ip);
    let snap = wire::snap(ip);
    let pppoe_len = u16::try_from(ppp.len()).unwrap().to_be_bytes();
    let mut all = vec![
        (LinkType::ETHERNET, ethernet.clone()),
        (LinkType::RAW, ip.to_vec()),
        (LinkType(12), ip.to_vec()),
        (LinkType(14), ip.to_vec()),
        (if v4 { LinkType::IPV4 } else { LinkType::IPV6 }, ip.to_vec()),
        (
            LinkType::LINUX_SLL,
            before(&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 0x51, 0, 0, kind[0], kind[1]]),
        ),
        (
            LinkType::LINUX_SLL2,
            before(&[kind[0], kind[1], 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 0x51, 0, 0]),
        ),
        // A GRE device gives its protocol type.
        (
            LinkType::LINUX_SLL,
            before(&[0, 4, 3, 10, 0, 4, 10, 0, 0, 1, 0, 0, 0, 0, kind[0], kind[1]]),
        ),
        (LinkType::PPP, ppp.clone()),
        (LinkType::PPP, hdlc.clone()),
        (LinkType::PPP, ppp[1..].to_vec()),
        (LinkType::PPP_HDLC, hdlc.clone()),
        (LinkType::PPP_HDLC, cisco.clone()),
        (LinkType::PPP_WITH_DIR, [&[1][..], &hdlc].concat()),
        (LinkType::PPP_ETHER, [&[0x11, 0, 0, 1, pppoe_len[0], pppoe_len[1]][..], &ppp].concat()),
        (LinkType::C_HDLC, cisco.clone()),
        (LinkType::C_HDLC_WITH_DIR, [&[0][..], &cisco].concat()),
        (LinkType::FRELAY, [&[0x18, 0x41, 3, if v4 { 0xcc } else { 0x8e }][..], ip].concat()),
        (LinkType::FRELAY, [&[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, kind[0], kind[1]][..], ip].concat()),
        (LinkType::FRELAY, [&[0x18, 0x41, kind[0], kind[1]][..], ip].concat()),
        (LinkType::FRELAY_WITH_DIR, [&[1, 0x18, 0x40, 0x41, kind[0], kind[1]][..], ip].concat()),
        (LinkType::ATM_RFC1483, snap.clone()),
        (LinkType::TOKEN_RING, [&[0x10, 0x40][..], &[2; 12], &snap].concat()),
        (
            // With a route of two hops.
            LinkType::TOKEN_RING,
            [&[0x10, 0x40][..], &[2; 6], &[0x82; 6], &[6, 0x30, 0, 1, 0, 2], &snap].concat(),
        ),
        (LinkType::FDDI, [&[0x57][..], &[2; 12], &snap].concat()),
        (LinkType::ARCNET, before(&[1, 2, if v4 { 212 } else { 196 }, 0, 0, 9])),
        (
            LinkType::ARCNET,
            before(&[1, 2, if v4 { 212 } else { 196 }, 255, 255, 255, 212, 0, 0, 9]),
        ),
        (LinkType::ARCNET_LINUX, before(&[1, 2, 0, 0, if v4 { 212 } else { 196 }, 0, 0, 9])),
        (LinkType::IP_OVER_FC, [&[0x10; 16][..], &snap].concat()),
        (LinkType::IP_OVER_IEEE1394, [&[7; 16][..], &kind, ip].concat()),
        (LinkType::IPOIB, [&[7; 40][..], &kind, &[0, 0], ip].concat()),
        (LinkType::IEEE802_11, wlan.clone()),
        (
            LinkType::IEEE802_11_RADIOTAP,
            [&[0, 0, 17, 0, 3, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0][..], &wlan].concat(),
        ),
        (
            // With a second word of fields.
            LinkType::IEEE802_11_RADIOTAP,
            [&[0, 0, 13, 0, 2, 0, 0, 0x80, 0, 0, 0, 0, 0][..], &wlan].concat(),
        ),
        (LinkType::PRISM, [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &wlan].concat()),
        (
            LinkType::IEEE802_11_AVS,
            [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56], &wlan].concat(),
        ),
        (LinkType::ERF, [&[7; 8][..], &[2, 4, 0, 0, 0, 0, 0, 0, 0, 0], &ethernet].concat()),
        (
            // With two headers more.
            LinkType::ERF,
            [
                &[7; 8][..],
                &[0x8b, 4, 0, 0, 0, 0, 0, 0, 0x83, 1, 1, 1, 1, 1, 1, 1],
                &[4; 10],
                &ethernet,
            ]
            .concat(),
        ),
        (LinkType::ERF, [&[7; 8][..], &[1, 4, 0, 0, 0, 0, 0, 0], &cisco].concat()),
        (LinkType::ERF, [&[7; 8][..], &[10, 4, 0, 0, 0, 0, 0, 0], &hdlc].concat()),
        (
            LinkType::ERF,
            [&[7; 8][..], &[if v4 { 22 } else { 23 }, 4, 0, 0, 0, 0, 0, 0], ip].concat(),
        ),
        (LinkType::PPI, [&[0, 0, 20, 0, 105, 0, 0, 0][..], &[7; 12], &wlan].concat()),
        (LinkType::PPI, [&[0, 0, 8, 0, 1, 0, 0, 0][..], &ethernet].concat()),
        (LinkType::PFLOG, [&[61, 2, 0, 0][..], &[0; 60], ip].concat()),
        (LinkType::ENC, [&[2, 0, 0, 0][..], &[0; 8], ip].concat()),
        (LinkType::MPLS, [&[0, 1, 0x01, 0xff][..], ip].concat()),
        (LinkType::DSA_TAG_BRCM_PREPEND, [&[0, 0, 0, 1][..], &ethernet].concat()),
        (LinkType::DSA_TAG_BRCM, [&ethernet[..12], &[0, 0, 0, 1], &ethernet[12..]].concat()),
        (LinkType::DSA_TAG_DSA, [&ethernet[..12], &[0xc0, 8, 0, 0], &ethernet[12..]].concat()),
        (
            LinkType::DSA_TAG_EDSA,
            [&ethernet[..12], &[0xda, 0xda, 0, 0, 0xc0, 8, 0, 0], &ethernet[12..]].concat(),
        ),
    ];
    if v4 {
        // Without fragmentation, as RFC 1051 has it.
        all.push((LinkType::ARCNET, before(&[1, 2, 240])));
    }
    for family in if v4 { &[2_u32][..] } else { &[10, 23, 24, 28, 30] } {
        all.push((LinkType::NULL, before(&family.to_le_bytes())));
        all.push((LinkType::NULL, before(&family.to_be_bytes())));
        all.push((LinkType::LOOP, before(&family.to_be_bytes())));
    }
    let attribute = |len: usize| u16::try_from(len + 4).unwrap();
    for big in [false, true] {
        let number = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut log = vec![if v4 { 2 } else { 10 }, 0, 0, 1];
        log.extend([number(attribute(4)), number(1), [0x86, 0xdd], [1, 0]].concat());
        log.extend([number(attribute(1)), number(10), [0, 0], [0, 0]].concat());
        log.extend([number(attribute(ip.len())), number(9)].concat());
        log.extend(ip);
        all.push((LinkType::NFLOG, log));
    }
    let mut tap = [108_u32, 1, 1].iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<_>>();
    tap.resize(108, 0);
    tap.extend(&ethernet);
    all.push((LinkType::PKTAP, tap.clone()));
    all.push((LinkType(149), tap));
    all
}

fn both() -> [Inner; 2] {
    let v6 = |last: u128| (0x2001_0db8_u128 << 96 | last).to_be_bytes().into();
    [Inner::sample(), Inner { ends: (v6(1), v6(2)), ..Inner::sample() }]
}

#[test]
fn every_link_type_gives_the_same_packet() {
    let tenants = Tenants::default();
    for inner in both() {
        for (link, data) in frames(&inner.ip()) {
            let decoded = decode::frame(&frame(&data, link), &tenants);
            assert!(matches!(decoded, Decoded::Packet(_)), "{link:?}: {decoded:?} {data:02x?}");
            inner.assert_is(&decoded);
        }
    }
}

#[test]
fn every_cut_of_every_link_type_is_survived() {
    let tenants = Tenants::default();
    for (link, data) in frames(&Inner::sample().ip()) {
        let whole = frame(&data, link).wire_len;
        for cut in 0..data.len() - 5 {
            let mut frame = frame(&data[..cut], link);
            frame.wire_len = whole;
            match decode::frame(&frame, &tenants) {
                Decoded::Packet(packet) => assert!(packet.is_cut()),
                Decoded::Not(reason) => assert_eq!(reason, NotDecoded::Truncated, "{link:?} {cut}"),
                Decoded::Fragment(_) => panic!("{link:?} {cut}"),
            }
        }
    }
}

#[test]
fn what_carries_no_ip_is_told_from_what_is_unknown() {
    let tenants = Tenants::default();
    let stp = wire::ethernet(38, &[&[0x42, 0x42, 3][..], &[0; 35]].concat());
    for (link, data, reason) in [
        (LinkType::ETHERNET, wire::ethernet(0x0806, &[0; 28]), NotDecoded::NotIp),
        (LinkType::ETHERNET, wire::ethernet(0x88cc, &[0; 28]), NotDecoded::NotIp),
        (LinkType::ETHERNET, stp, NotDecoded::NotIp),
        (LinkType::ETHERNET, wire::ethernet(0x4242, &[0; 46]), NotDecoded::UnknownEthertype),
        (LinkType::IEEE802_11, vec![0x80; 60], NotDecoded::NotIp),
        (LinkType::TOKEN_RING, vec![0; 60], NotDecoded::NotIp),
        (LinkType::FDDI, vec![0x41; 60], NotDecoded::NotIp),
        (LinkType::ARCNET, [&[1, 2, 213][..], &[0; 30]].concat(), NotDecoded::NotIp),
        (LinkType::ARCNET, [&[1, 2, 212, 2][..], &[0; 30]].concat(), NotDecoded::Truncated),
        (LinkType(220), vec![0; 60], NotDecoded::UnknownLinkType),
        (LinkType::UNKNOWN, vec![0; 60], NotDecoded::UnknownLinkType),
        (LinkType::RAW, vec![0x55; 60], NotDecoded::Malformed),
        (LinkType::PPP, vec![0xc0, 0x21, 1, 1], NotDecoded::NotIp),
    ] {
        match decode::frame(&frame(&data, link), &tenants) {
            Decoded::Not(is) => assert_eq!(is, reason, "{link:?} {data:02x?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// IEEE 802.2 inside itself, as often as a frame has room for.
#[test]
fn endless_nesting_ends() {
    let tenants = Tenants::default();
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 1, 1, 0];
    let label = [0, 1, 0, 0];
    for (link, header, again) in [
        (LinkType::ETHERNET, wire::ethernet(1_400, &[]), &snap[..]),
        (LinkType::ETHERNET, wire::ethernet(0x8847, &[]), &label),
        (LinkType::ETHERNET, wire::ethernet(0x8100, &[]), &[0, 1, 0x81, 0]),
        (LinkType::PPI, Vec::new(), &[0, 0, 8, 0, 192, 0, 0, 0]),
        (LinkType::PPP, Vec::new(), &[0, 0x3d, 0xc0, 0, 0, 0]),
        (
            LinkType::RAW,
            [&[0x60, 0, 0, 0, 0xff, 0, 60, 1][..], &[7; 32]].concat(),
            &[60, 0, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        let data = [header, again.repeat(20_000)].concat();
        let decoded = decode::frame(&frame(&data, link), &tenants);
        assert!(matches!(decoded, Decoded::Not(_)), "{link:?}: {decoded:?}");
    }
}
