//! The layout of the maps, as octets: the structs of `bpf/verdict.h`.

use core::cmp::Ordering;

use super::Volume;
use crate::net::{Addr, Endpoint, Pair, Path, TenantId, Wish};

/// The key of a flow: `struct flow4` or `struct flow6`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FlowKey {
    V4([u8; 12]),
    V6([u8; 36]),
}

/// The key of both directions of `path`; `None` when its ends are of different families, or it is a
/// tenant's: that is in a tunnel, passes whole, and the same ends outside it are another flow's.
pub(super) fn flow(path: &Path) -> Option<FlowKey> {
    if path.tenant != TenantId::NONE {
        return None;
    }
    let (low, high) = match sender(path) {
        0 => (path.source, path.destination),
        _ => (path.destination, path.source),
    };
    match (low.addr.is_v4(), high.addr.is_v4()) {
        (true, true) => {
            let mut key = [0; 12];
            key[..4].copy_from_slice(&words(low.addr)[12..]);
            key[4..8].copy_from_slice(&words(high.addr)[12..]);
            key[8..].copy_from_slice(&ports(low, high));
            Some(FlowKey::V4(key))
        }
        (false, false) => {
            let mut key = [0; 36];
            key[..16].copy_from_slice(&words(low.addr));
            key[16..32].copy_from_slice(&words(high.addr));
            key[32..].copy_from_slice(&ports(low, high));
            Some(FlowKey::V6(key))
        }
        _ => None,
    }
}

/// Which end of its flow the source of `path` is: 0 the low one, 1 the high one.
pub(super) fn sender(path: &Path) -> usize {
    usize::from(path.source.cmp(&path.destination) == Ordering::Greater)
}

/// The size of `struct windows`: a start for each end, then a length for each.
pub(super) const WINDOWS: usize = 16;
/// `ALL_OCTETS` of `bpf/verdict.h`.
const ALL: u32 = 1 << 30;

/// The windows of a flow after a wish of the path whose source is the end `sender`; `None`: as they
/// are.
///
/// A wish is late: it is of frames that waited in the ring. What is done may be a connection whose
/// ports another has taken by now, whose windows stay.
pub(super) fn wished(windows: &[u8; WINDOWS], sender: usize, wish: Wish) -> Option<[u8; WINDOWS]> {
    let word =
        |at: usize| windows[at * 4..].first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
    let (start, length) = (word(sender), word(2 + sender));
    match wish {
        Wish::More => {
            let mut wider = *windows;
            wider[(2 + sender) * 4..][..4].copy_from_slice(&ALL.to_ne_bytes());
            Some(wider)
        }
        Wish::Done(come) => {
            // Of what is wanted to its end only what lies before it is told from it.
            let reach = if length >= ALL { 1 << 31 } else { length };
            (length == 0 || come.wrapping_sub(start) <= reach).then_some([0; WINDOWS])
        }
    }
}

fn ports(low: Endpoint, high: Endpoint) -> [u8; 4] {
    let mut out = [0; 4];
    out[..2].copy_from_slice(&low.port.to_ne_bytes());
    out[2..].copy_from_slice(&high.port.to_ne_bytes());
    out
}

/// `struct address`: four words in the machine's order, the highest first.
pub(super) fn words(addr: Addr) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.chunks_exact_mut(4).zip(addr.bits().to_be_bytes().chunks_exact(4)) {
        to.copy_from_slice(from);
        if cfg!(target_endian = "little") {
            to.reverse();
        }
    }
    out
}

/// The size of `struct bits`: a word that says whether any bit is set, and the bits.
pub(super) const BITS: usize = 4 + 8192;

/// Sets the bit of `addr` in `struct bits`, as `may_be_server` looks for it.
pub(super) fn set_bit(bits: &mut [u8; BITS], addr: Addr) {
    let mixed = fold(addr).wrapping_mul(0x9e37_79b1) >> 16;
    bits[..4].copy_from_slice(&1_u32.to_ne_bytes());
    bits[4 + ((mixed >> 3) as usize & 8191)] |= 1 << (mixed & 7);
}

/// The words of an address, exclusive-ored.
fn fold(addr: Addr) -> u32 {
    words(addr)
        .chunks_exact(4)
        .filter_map(|word| word.first_chunk())
        .fold(0, |folded, word| folded ^ u32::from_ne_bytes(*word))
}

/// The size of `struct settings`: a bit for each UDP port, and the number of the sample.
pub(super) const SETTINGS: usize = 8192 + 4;

/// Sets the bit of `port` in `struct settings`.
pub(super) fn set_port(bits: &mut [u8], port: u16) {
    if let Some(octet) = bits.get_mut(usize::from(port >> 3)) {
        *octet |= 1 << (port & 7);
    }
}

/// `struct volume`.
pub(super) fn volume(octets: &[u8]) -> Volume {
    let half = |at: usize| {
        octets
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |word| u64::from_ne_bytes(*word))
    };
    Volume { packets: half(0), octets: half(8) }
}

/// `struct conversation`.
pub(super) fn conversation(pair: Pair) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&words(pair.client));
    key[16..].copy_from_slice(&words(pair.server));
    key
}

/// `struct exchanged`: sent, then received.
pub(super) fn exchanged(value: &[u8; 32]) -> (Volume, Volume) {
    (volume(&value[..16]), volume(&value[16..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::IpProtocol;

    proptest! {
        #[test]
        fn both_directions_have_one_key(a: u32, b: u32, p: u16, q: u16) {
            let path = Path {
                tenant: TenantId::NONE,
                protocol: IpProtocol::TCP,
                source: Endpoint { addr: Addr::from_v4(a.to_be_bytes()), port: p },
                destination: Endpoint { addr: Addr::from_v4(b.to_be_bytes()), port: q },
            };
            prop_assert_eq!(flow(&path), flow(&path.reversed()));
            prop_assert!((a, p) == (b, q) || sender(&path) != sender(&path.reversed()));
            prop_assert!(matches!(flow(&path), Some(FlowKey::V4(_))));
        }
    }

    #[test]
    fn a_flow_has_one_family() {
        let path = Path {
            source: Endpoint { addr: Addr::from_v4([192, 0, 2, 1]), port: 1 },
            destination: Endpoint { addr: Addr::from_bits(1 << 120), port: 2 },
            ..Path::default()
        };
        assert_eq!(flow(&path), None);
    }

    #[test]
    fn what_is_said_of_a_tenants_flow_touches_no_other() {
        let path = Path { tenant: TenantId(1), ..Path::default() };
        assert_eq!(flow(&path), None);
        assert_ne!(flow(&Path { tenant: TenantId::NONE, ..path }), None);
    }

    #[test]
    fn a_late_word_closes_nothing_of_the_next_connection_on_the_same_ports() {
        let windows = |start: u32, length: u32| {
            let mut windows = [0; WINDOWS];
            windows[4..8].copy_from_slice(&start.to_ne_bytes());
            windows[12..].copy_from_slice(&length.to_ne_bytes());
            windows
        };
        let closed = |windows, come| wished(&windows, 1, Wish::Done(come)) == Some([0; WINDOWS]);
        for start in [1_000_u32, u32::MAX - 500] {
            let at = |ahead: u32| start.wrapping_add(ahead);
            for length in [65_536, ALL] {
                let known = windows(start, length);
                assert!(closed(known, at(0)) && closed(known, at(1_000)));
                assert!(!closed(known, start.wrapping_sub(1)), "{length}");
                assert!(!closed(known, start.wrapping_sub(1_000_000)), "{length}");
            }
            assert!(!closed(windows(start, 65_536), at(70_000)), "of one with lower numbers");
            let wider = wished(&windows(start, 65_536), 1, Wish::More).unwrap();
            assert_eq!(wider, windows(start, ALL));
            assert!(closed(wider, at(2_000_000_000)));
            // Of this end nothing is wanted, but of the other.
            let others = wished(&windows(start, 65_536), 0, Wish::Done(7));
            assert_eq!(others, Some([0; WINDOWS]));
        }
    }

    #[test]
    fn each_port_has_a_bit_of_its_own() {
        let mut bits = [0; 8192];
        for port in 0..=u16::MAX {
            set_port(&mut bits, port);
        }
        assert!(bits.iter().all(|octet| *octet == 0xff));
    }
}
