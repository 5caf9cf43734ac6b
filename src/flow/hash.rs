//! The seeded hash of a conversation, equal for both directions.
//!
//! Of two steps: the pair of addresses, then the ports; who counts by pair has that hash for
//! nothing. Two multiplications for IPv4, four for IPv6. The seed keeps a sender from choosing where its
//! flows land. Neither tenant nor protocol is mixed in: the hash finds candidates, keys decide.

use crate::name::NameId;
use crate::net::{Addr, Path};

/// A seed, expanded.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    keys: [u64; 4],
}

impl FlowHasher {
    /// From a seed that nobody outside the process knows.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // SplitMix64, whose constants these are.
        let mut keys = [0; 4];
        let mut state = seed;
        let mut i = 0;
        while i < keys.len() {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            keys[i] = z ^ z >> 31;
            i += 1;
        }
        Self { keys }
    }

    /// The hash of two IPv4 addresses, in either order.
    #[inline]
    #[must_use]
    pub fn pair_v4(&self, a: u32, b: u32) -> u64 {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        fold(u64::from(low) ^ self.keys[0], u64::from(high) ^ self.keys[1])
    }

    /// The hash of two IPv6 addresses, in either order.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    pub fn pair_v6(&self, a: u128, b: u128) -> u64 {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let half = |n: u128| fold((n >> 64) as u64 ^ self.keys[2], n as u64 ^ self.keys[3]);
        fold(half(low) ^ self.keys[0], half(high) ^ self.keys[1])
    }

    /// The hash of two addresses, in either order.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the IPv4 address")]
    pub fn pair(&self, a: Addr, b: Addr) -> u64 {
        if a.is_v4() && b.is_v4() {
            self.pair_v4(a.bits() as u32, b.bits() as u32)
        } else {
            self.pair_v6(a.bits(), b.bits())
        }
    }

    /// The hash of a conversation between the two ports of a pair that hashes to `pair`.
    #[inline]
    #[must_use]
    pub fn flow(&self, pair: u64, a: u16, b: u16) -> u64 {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        fold(pair ^ u64::from(low) << 16 ^ u64::from(high), self.keys[2])
    }

    /// The hash of a packet's conversation.
    #[must_use]
    pub fn path(&self, path: &Path) -> u64 {
        let pair = self.pair(path.source.addr, path.destination.addr);
        self.flow(pair, path.source.port, path.destination.port)
    }

    /// A hash of octets on top of `start`: for identities of events.
    #[inline]
    #[must_use]
    pub fn octets(&self, start: u64, octets: &[u8]) -> u64 {
        let mut state = start ^ self.keys[2];
        let mut rest = octets;
        while let Some((chunk, more)) = rest.split_first_chunk::<16>()
            && !more.is_empty()
        {
            let (low, high) = halves(chunk);
            state = fold(low ^ self.keys[0], high ^ state);
            rest = more;
        }
        // The last sixteen, some of them again, or all there are: of as many octets as these were,
        // no others give the same words, and how many they were counts at the end.
        let (low, high) = if let Some(last) = octets.last_chunk() {
            halves(last)
        } else if let (Some(first), Some(last)) = (octets.first_chunk::<8>(), octets.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (octets.first_chunk::<4>(), octets.last_chunk()) {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            (octets.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)), 0)
        };
        let length = octets.len() as u64;
        fold(fold(low ^ self.keys[1], high ^ state) ^ self.keys[3], self.keys[0] ^ length)
    }

    /// What a name is known by.
    #[must_use]
    pub fn name(&self, name: &str) -> NameId {
        NameId(self.octets(self.keys[3], name.as_bytes()))
    }

    /// A hash of a number on top of `start`.
    #[must_use]
    pub const fn word(&self, start: u64, word: u64) -> u64 {
        fold(fold(start ^ self.keys[1], self.keys[3]) ^ word, self.keys[2])
    }
}

const fn halves(octets: &[u8; 16]) -> (u64, u64) {
    let word = u128::from_le_bytes(*octets);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    (word as u64, (word >> 64) as u64)
}

/// Both halves of the product, together.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Endpoint, IpProtocol, TenantId};

    fn path(a: Addr, b: Addr) -> Path {
        Path {
            tenant: TenantId::NONE,
            protocol: IpProtocol::TCP,
            source: Endpoint { addr: a, port: 40_000 },
            destination: Endpoint { addr: b, port: 443 },
        }
    }

    #[test]
    fn both_directions_hash_alike_and_words_agree_with_paths() {
        let hasher = FlowHasher::new(7);
        let (a, b) = ([192, 0, 2, 1], [198, 51, 100, 2]);
        let v4 = path(Addr::from_v4(a), Addr::from_v4(b));
        assert_eq!(hasher.path(&v4), hasher.path(&v4.reversed()));
        let pair = hasher.pair_v4(u32::from_be_bytes(a), u32::from_be_bytes(b));
        assert_eq!(hasher.path(&v4), hasher.flow(pair, 40_000, 443));
        let v6 = path(Addr::from_v6([0x20; 16]), Addr::from_v6([0x21; 16]));
        assert_eq!(hasher.path(&v6), hasher.path(&v6.reversed()));
        assert_ne!(hasher.path(&v4), FlowHasher::new(8).path(&v4));
    }

    #[test]
    fn every_octet_and_every_length_counts() {
        let hasher = FlowHasher::new(7);
        let mut seen = std::collections::HashSet::new();
        for len in 0..70 {
            let mut octets = vec![0; len];
            assert!(seen.insert(hasher.octets(0, &octets)), "{len}");
            for at in 0..len {
                octets[at] = 1;
                assert!(seen.insert(hasher.octets(0, &octets)), "{at} of {len}");
                octets[at] = 0;
            }
        }
    }

    #[test]
    fn ports_that_follow_each_other_spread() {
        let hasher = FlowHasher::new(1);
        let mut buckets = [0u32; 64];
        for port in 0..6_400 {
            let hash = hasher.flow(hasher.pair_v4(0x0a00_0001, 0x0a00_0002), port, 443);
            buckets[usize::try_from(hash >> 58).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|&n| (50..=160).contains(&n)), "{buckets:?}");
    }
}
