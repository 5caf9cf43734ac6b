//! What access points send: several packets in one frame, and frames cut to fit their path.

use proptest::prelude::*;
use vendorwatch::frame::{Frame, LinkType};
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::PacketOutcome;

use crate::support::talk::{ACK, Ends, SYN, Tap, client_hello, dns};
use crate::support::wire;

/// The IP packet in an Ethernet frame.
fn ip(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

/// A frame of QoS data that holds these packets (IEEE 802.11 §9.3.2.2), of which all but the last
/// are filled up to a word.
fn amsdu(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = wire::wlan(&packets[0])[..24].to_vec();
    frame[0] = 0x88;
    frame.extend([0x80, 0]);
    for (number, packet) in (1..).zip(packets) {
        let contents = wire::snap(packet);
        let start = frame.len();
        frame.extend([2, 0, 0, 0, 0, 0xd0]);
        frame.extend(wire::SOURCE_MAC);
        frame.extend(u16::try_from(contents.len()).unwrap().to_be_bytes());
        frame.extend(contents);
        if number < packets.len() {
            frame.resize(start + (frame.len() - start).next_multiple_of(4), 0);
        }
    }
    frame
}

/// From an access point to its controller.
fn to_controller(payload: &[u8]) -> Vec<u8> {
    let (point, controller) = ([10, 0, 0, 5].into(), [10, 0, 0, 1].into());
    let packet = wire::ip(point, controller, 17, &wire::udp(5_247, 5_247, payload));
    wire::ethernet(0x0800, &packet)
}

/// The fragments of a frame of IEEE 802.11, cut at these multiples of eight octets
/// (RFC 5415 §4.3).
fn capwap(id: u8, frame: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut bounds: Vec<_> =
        cuts.iter().map(|cut| (cut * 8).min(frame.len() - 1) / 8 * 8).collect();
    bounds.extend([0, frame.len()]);
    bounds.sort_unstable();
    bounds.dedup();
    let piece = |part: &[usize]| {
        let last = if part[1] == frame.len() { 0xc0 } else { 0x80 };
        let offset = u16::try_from(part[0]).unwrap().to_be_bytes();
        let header = [0, 0x10, 0x03, last, 0, id, offset[0], offset[1]];
        to_controller(&[&header[..], &frame[part[0]..part[1]]].concat())
    };
    bounds.windows(2).map(piece).collect()
}

fn outcome(tap: &Tap, outcome: PacketOutcome) -> u64 {
    tap.ledger.packets[outcome as usize].value()
}

#[test]
fn every_packet_of_an_aggregate_is_read_and_its_frame_counted_once() {
    let names = ["a.example", "b.example", "www.c.example"];
    let mut packets: Vec<Vec<u8>> = names
        .iter()
        .zip(50_000..)
        .map(|(name, port)| ip(&Ends::v4(port, 53).udp(&dns(7, false, name, &[]))).to_vec())
        .collect();
    packets.insert(1, ip(&Ends::v6(40_000, 443).tcp(1, 0, SYN, &[])).to_vec());
    let hello = client_hello(Some("d.example"), 7, 0, 1 << 14);
    packets.push(ip(&Ends::v6(40_000, 443).tcp(2, 1, ACK, &hello)).to_vec());
    let frame = amsdu(&packets);
    let mut expected: Vec<_> = names.iter().map(|name| (Signal::DnsQuery, *name)).collect();
    expected.push((Signal::TlsSni, "d.example"));

    let mut tap = Tap::new(Settings::default());
    tap.frame(&to_controller(&[&[0, 0x10, 0x03, 0, 0, 0, 0, 0][..], &frame].concat()));
    assert_eq!(tap.names(), expected);
    assert_eq!((outcome(&tap, PacketOutcome::Decoded), tap.ledger.frames.value()), (1, 1));
    tap.assert_conserved();

    // By a radio; cut short in any place, what is there is read.
    for captured in 0..=frame.len() {
        let mut tap = Tap::new(Settings::default());
        let whole = wire::captured(&frame, tap.now, 1);
        let radio = Frame { data: &frame[..captured], link: LinkType::IEEE802_11, ..whole };
        tap.pipeline.frame(&radio, &mut tap.heard);
        let seen = tap.names();
        assert!(expected.iter().zip(&seen).all(|(expected, seen)| expected == seen));
        assert!(captured < frame.len() || seen == expected);
        tap.assert_conserved();
    }
}

/// A query in three fragments.
fn fragments(name: &str) -> Vec<Vec<u8>> {
    let query = ip(&Ends::v4(50_000, 53).udp(&dns(7, false, name, &[]))).to_vec();
    let pieces: Vec<_> = query[20..].chunks(24).collect();
    let piece = |(number, contents): (u8, &&[u8])| {
        let mut packet = [&query[..20], contents].concat();
        let more = usize::from(number) + 1 < pieces.len();
        packet[3] = u8::try_from(packet.len()).unwrap();
        (packet[6], packet[7]) = (u8::from(more) << 5, 3 * number);
        packet
    };
    (0..).zip(&pieces).map(piece).collect()
}

#[test]
fn a_fragment_in_an_aggregate_is_not_lost_beside_packets() {
    let other = ip(&Ends::v4(40_000, 443).tcp(1, 0, SYN, &[])).to_vec();
    let name = "fragmented.a-long-name.example";
    let pieces = fragments(name);
    assert_eq!(pieces.len(), 3);
    let beside = |piece: &Vec<u8>| amsdu(&[other.clone(), piece.clone(), other.clone()]);
    let together = amsdu(&[std::slice::from_ref(&other), &pieces].concat());
    for (frames, lost) in [
        (vec![together], 0),
        (pieces.iter().map(beside).collect::<Vec<_>>(), 0),
        (pieces[..2].iter().map(beside).collect(), 2),
        (pieces[1..].iter().map(beside).collect(), 2),
    ] {
        let mut tap = Tap::new(Settings::default());
        for frame in &frames {
            let whole = wire::captured(frame, tap.now, 1);
            let radio = Frame { link: LinkType::IEEE802_11, ..whole };
            tap.pipeline.frame(&radio, &mut tap.heard);
            tap.assert_conserved();
        }
        tap.finish();
        tap.assert_conserved();
        assert_eq!(outcome(&tap, PacketOutcome::FragmentLost), lost);
        assert_eq!(tap.names().len(), usize::from(lost == 0));
    }
    // And where the aggregate is itself in fragments.
    let frame =
        amsdu(&[other.clone(), ip(&Ends::v4(50_000, 53).udp(&dns(7, false, name, &[]))).to_vec()]);
    let mut tap = Tap::new(Settings::default());
    for piece in capwap(9, &frame, &[9]) {
        tap.frame(&piece);
    }
    assert_eq!(tap.names(), [(Signal::DnsQuery, name)]);
    tap.assert_conserved();
}

#[test]
fn what_cannot_be_read_of_an_aggregate_is_said() {
    let query = ip(&Ends::v4(50_000, 53).udp(&dns(7, false, "a.example", &[]))).to_vec();
    let mut encrypted = query.clone();
    encrypted[9] = 50;
    let frame = amsdu(&[query.clone(), encrypted]);
    let cut = amsdu(&[query.clone(), query]);
    for (frame, captured, why) in [
        (&frame, frame.len(), PacketOutcome::Encrypted),
        (&cut, cut.len() * 5 / 8, PacketOutcome::Truncated),
    ] {
        let mut tap = Tap::new(Settings::default());
        let whole = wire::captured(frame, tap.now, 1);
        let radio = Frame { data: &frame[..captured], link: LinkType::IEEE802_11, ..whole };
        tap.pipeline.frame(&radio, &mut tap.heard);
        assert_eq!(tap.names(), [(Signal::DnsQuery, "a.example")]);
        assert_eq!((outcome(&tap, why), outcome(&tap, PacketOutcome::Decoded)), (1, 0));
        tap.assert_conserved();
    }
}

/// As many as fit into the longest, of the shortest that name something.
#[test]
fn no_packet_of_the_longest_aggregate_is_left_out() {
    let letters = || (b'a'..=b'z').map(char::from);
    let names: Vec<_> =
        letters().flat_map(|a| letters().map(move |b| format!("{a}.{b}"))).collect();
    let packets = |most: usize| -> Vec<Vec<u8>> {
        let queries = names.iter().take(most).map(|name| dns(7, false, name, &[]));
        queries.map(|query| ip(&Ends::v4(50_000, 53).udp(&query)).to_vec()).collect()
    };
    // IEEE 802.11 §9.2.4.7.1, with the checksum.
    let is_more = |most: &usize| amsdu(&packets(most + 1)).len() + 4 > 11_454;
    let most = (1..names.len()).find(is_more).unwrap();
    let frame = amsdu(&packets(most));
    let mut tap = Tap::new(Settings::default());
    let whole = wire::captured(&frame, tap.now, 1);
    tap.pipeline.frame(&Frame { link: LinkType::IEEE802_11, ..whole }, &mut tap.heard);
    let seen: Vec<_> = tap.names().into_iter().map(|(_, name)| name).collect();
    assert_eq!(seen, names[..most]);
    tap.assert_conserved();
}

/// What one of its packets carries, be it another aggregate, takes nothing from its other ones.
#[test]
fn a_tunnel_in_an_aggregate_hides_none_of_its_packets() {
    let query = |name| ip(&Ends::v4(50_000, 53).udp(&dns(7, false, name, &[]))).to_vec();
    let names = ["a.example", "b.example", "c.example"];
    let [first, second, third] = names.map(query);
    let mut beacon = wire::wlan(&first);
    beacon[0] = 0x80;
    let aggregate = amsdu(&[query("inner.example"), query("other.example")]);
    let inner = Some("inner.example");
    for (carried, named) in
        [(wire::wlan(&query("inner.example")), inner), (aggregate, inner), (beacon, None)]
    {
        // TZSP with a frame of IEEE 802.11.
        let tunnel = [&[1, 0, 0, 18, 1][..], &carried].concat();
        let tunnel = ip(&Ends::v4(4_444, 37_008).udp(&tunnel)).to_vec();
        for place in 0..=names.len() {
            let mut packets = vec![first.clone(), second.clone(), third.clone()];
            packets.insert(place, tunnel.clone());
            let mut expected = names.to_vec();
            if let Some(named) = named {
                expected.insert(place, named);
            }
            let frame = amsdu(&packets);
            let mut tap = Tap::new(Settings::default());
            let whole = wire::captured(&frame, tap.now, 1);
            let radio = Frame { link: LinkType::IEEE802_11, ..whole };
            tap.pipeline.frame(&radio, &mut tap.heard);
            let seen: Vec<_> = tap.names().into_iter().map(|(_, name)| name).collect();
            assert_eq!(seen, expected);
            tap.assert_conserved();
        }
    }
}

proptest! {
    /// However an access point cuts a frame, in whatever order the pieces come and however often:
    /// one packet, one name; and without one of them, as much as there is.
    #[test]
    fn a_frame_in_capwap_fragments_is_put_together(
        filler in 0usize..1_300,
        cuts in prop::collection::vec(1usize..170, 1..4),
        order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(),
        twice: bool,
        lost in prop::option::of(0usize..5),
    ) {
        let hello = client_hello(Some("www.example.com"), 7, filler, 1 << 14);
        let ends = Ends::v4(40_000, 443);
        let packet = ip(&ends.tcp(2, 1, ACK, &hello)).to_vec();
        let pieces = capwap(9, &wire::wlan(&packet), &cuts);
        let lost = lost.map(|lost| lost % pieces.len());
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(1, 0, SYN, &[]));
        let mut sent = 0;
        for index in order.into_iter().filter(|index| *index < pieces.len()) {
            if Some(index) != lost {
                for _ in 0..=u8::from(twice) {
                    tap.frame(&pieces[index]);
                    sent += 1;
                    tap.assert_conserved();
                }
            }
        }
        if lost.is_none() {
            prop_assert_eq!(tap.names(), [(Signal::TlsSni, "www.example.com")]);
            prop_assert_eq!(outcome(&tap, PacketOutcome::Decoded), 2);
            prop_assert_eq!(outcome(&tap, PacketOutcome::Fragment), sent - 1);
        }
        tap.finish();
        tap.assert_conserved();
        if lost.is_some() {
            prop_assert_eq!(outcome(&tap, PacketOutcome::FragmentLost), sent);
        }
        prop_assert!(tap.names().len() <= 1);
    }
}
