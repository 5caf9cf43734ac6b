//! Frames that the live tests send.

use etherparse::PacketBuilder;

/// One side of a conversation.
#[derive(Clone, Copy)]
pub(super) struct End(pub(super) [u8; 4], pub(super) u16);

pub(super) const SERVER: End = End([198, 51, 100, 7], 443);

/// A UDP packet.
pub(super) fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from.0, to.0, 64)
        .udp(from.1, to.1);
    let mut frame = Vec::new();
    packet.write(&mut frame, payload).unwrap();
    frame
}

/// The TCP flags that the tests use.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Flag {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
}

/// A TCP segment.
pub(super) fn tcp(from: End, to: End, flag: Flag, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from.0, to.0, 64)
        .tcp(from.1, to.1, seq, 1_000);
    let packet = match flag {
        Flag::Syn => packet.syn(),
        Flag::SynAck => packet.syn().ack(ack),
        Flag::Ack => packet.ack(ack),
        Flag::Fin => packet.fin().ack(ack),
        Flag::Rst => packet.rst(),
    };
    let mut frame = Vec::new();
    packet.write(&mut frame, payload).unwrap();
    frame
}

/// The same over IPv6, with the addresses embedded.
pub(super) fn tcp6(from: End, to: End, flag: Flag, seq: u32, payload: &[u8]) -> Vec<u8> {
    let wide = |end: End| {
        let mut octets = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets[12..].copy_from_slice(&end.0);
        octets
    };
    let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv6(wide(from), wide(to), 64)
        .tcp(from.1, to.1, seq, 1_000);
    let packet = if flag == Flag::Syn { packet.syn() } else { packet.ack(1) };
    let mut frame = Vec::new();
    packet.write(&mut frame, payload).unwrap();
    frame
}

/// The frame with 802.1Q tags, the outermost first.
pub(super) fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for (tpid, tci) in tags {
        out.extend(tpid.to_be_bytes());
        out.extend(tci.to_be_bytes());
    }
    out.extend(&frame[12..]);
    out
}

const OUTER: (End, End) = (End([203, 0, 113, 1], 50_000), End([203, 0, 113, 2], 4789));

/// The frame in VXLAN (RFC 7348 §5), sent by one end or the other of the tunnel.
pub(super) fn vxlan(frame: &[u8], back: bool, entropy: u16) -> Vec<u8> {
    let mut payload = vec![8, 0, 0, 0, 0, 0, 42, 0];
    payload.extend(frame);
    let (near, far) = OUTER;
    let (from, to) = if back { (far, near) } else { (near, far) };
    udp(End(from.0, entropy), End(to.0, 4789), &payload)
}

/// The frame in Geneve (RFC 8926 §3.4), with one option.
pub(super) fn geneve(frame: &[u8], back: bool, entropy: u16) -> Vec<u8> {
    let mut payload = vec![1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 0];
    payload.extend(frame);
    let (near, far) = OUTER;
    let (from, to) = if back { (far, near) } else { (near, far) };
    udp(End(from.0, entropy), End(to.0, 6081), &payload)
}

/// The frame's IP packet in GTP-U (3GPP TS 29.281 §5.1), with a PDU session container.
pub(super) fn gtp(frame: &[u8], back: bool, teid: u16) -> Vec<u8> {
    let packet = &frame[14..];
    // Of all that follows the first eight octets.
    let length = u16::try_from(8 + packet.len()).unwrap();
    let mut payload = vec![0x34, 255];
    payload.extend(length.to_be_bytes());
    payload.extend([0, 0]);
    payload.extend(teid.to_be_bytes());
    payload.extend([0, 0, 0, 0x85, 1, 0, 9, 0]);
    payload.extend(packet);
    let (near, far) = OUTER;
    let (from, to) = if back { (far, near) } else { (near, far) };
    udp(End(from.0, 2152), End(to.0, 2152), &payload)
}

/// The frame in ERSPAN type II (GRE protocol 0x88be), as a switch mirrors it: always from the
/// switch to the collector.
pub(super) fn erspan(frame: &[u8], sequence: u16) -> Vec<u8> {
    let mut payload = vec![0x10, 0, 0x88, 0xbe, 0, 0];
    payload.extend(sequence.to_be_bytes());
    payload.extend([0x10, 5, 0, 1, 0, 0, 0, 0]);
    payload.extend(frame);
    gre_packet(&payload)
}

fn gre_packet(payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(OUTER.0.0, OUTER.1.0, 64);
    let mut frame = Vec::new();
    packet.write(&mut frame, etherparse::IpNumber::GRE, payload).unwrap();
    frame
}

/// The beginning of a ClientHello that claims `length` octets, cut into what one segment holds.
pub(super) fn hello(length: u16) -> Vec<u8> {
    let mut octets = vec![0x16, 3, 1];
    octets.extend((length + 4).to_be_bytes());
    octets.extend([1, 0]);
    octets.extend(length.to_be_bytes());
    octets.resize(usize::from(length) + 9, 0x55);
    octets
}
