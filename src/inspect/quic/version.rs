//! Versions: what a version number says about keys, types and frames.

use core::fmt;

/// A QUIC version number (RFC 9000 §15, IANA "QUIC Versions"). Unknown is a value.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Version(pub u32);

/// What must be known of a version to read its client's Initials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scheme {
    /// The salt of its Initial secret.
    pub salt: Salt,
    /// The numbers of its long header packet types.
    pub types: Types,
    /// The frames inside.
    pub dialect: Dialect,
}

/// Initial salts (RFC 9001 §5.2, RFC 9369 §3.3.1 and the drafts before them).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Salt {
    Draft22,
    Draft23,
    Draft29,
    V1,
    V2Draft,
    V2,
    GoogleQ050,
    GoogleT050,
    GoogleT051,
}

/// How the two type bits of a long header are numbered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Types {
    /// RFC 9000 §17.2: Initial is 0b00.
    V1,
    /// RFC 9369 §3.2: Initial is 0b01.
    V2,
}

/// The frame types of an Initial packet, and the handshake in its CRYPTO frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// RFC 9000 §19, with TLS inside.
    Ietf,
    /// Google's frame types, with TLS inside (T050, T051).
    GoogleTls,
    /// Google's frame types, with QUIC crypto's tagged messages inside (Q050).
    GoogleTags,
}

impl Version {
    /// Version negotiation is not a version (RFC 8999 §6).
    pub const NEGOTIATION: Self = Self(0);
    pub const V1: Self = Self(1);
    pub const V2: Self = Self(0x6b33_43cf);

    /// How to read its Initials; `None` for a version not known here.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "a registry, in the order of its families")]
    pub const fn scheme(self) -> Option<Scheme> {
        let (salt, types, dialect) = match self.0 {
            1 => (Salt::V1, Types::V1, Dialect::Ietf),
            0x6b33_43cf => (Salt::V2, Types::V2, Dialect::Ietf),
            // draft-ietf-quic-v2-01 to -09, before the final number and salt.
            0x709a_50c4 => (Salt::V2Draft, Types::V2, Dialect::Ietf),
            0xff00_0016 => (Salt::Draft22, Types::V1, Dialect::Ietf),
            0xff00_0017..=0xff00_001c => (Salt::Draft23, Types::V1, Dialect::Ietf),
            0xff00_001d..=0xff00_0020 => (Salt::Draft29, Types::V1, Dialect::Ietf),
            0xff00_0021 | 0xff00_0022 => (Salt::V1, Types::V1, Dialect::Ietf),
            // mvfst, which Meta's clients speak: numbers of its own for drafts and for version 1.
            0xface_b001 => (Salt::Draft22, Types::V1, Dialect::Ietf),
            0xface_b002 | 0xface_b00e..=0xface_b015 => (Salt::Draft23, Types::V1, Dialect::Ietf),
            0xface_b003 | 0xface_b004 => (Salt::V1, Types::V1, Dialect::Ietf),
            0x5130_3530 => (Salt::GoogleQ050, Types::V1, Dialect::GoogleTags),
            0x5430_3530 => (Salt::GoogleT050, Types::V1, Dialect::GoogleTls),
            0x5430_3531 => (Salt::GoogleT051, Types::V1, Dialect::GoogleTls),
            _ => return None,
        };
        Some(Scheme { salt, types, dialect })
    }

    /// Is this number reserved to provoke version negotiation (RFC 9000 §15)?
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a
    }

    /// Could this be a version at all? Other protocols set the first bit of a datagram too.
    ///
    /// Numbers in use are below 2^16 (standards track), drafts of the IETF, Google's and Meta's
    /// printable or prefixed ones, and those reserved for negotiation.
    #[must_use]
    pub const fn is_plausible(self) -> bool {
        self.scheme().is_some()
            || self.is_reserved()
            || matches!(self.0 >> 8, 0x00ff_0000 | 0x00fa_ceb0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl Salt {
    /// Every salt, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Draft22,
        Self::Draft23,
        Self::Draft29,
        Self::V1,
        Self::V2Draft,
        Self::V2,
        Self::GoogleQ050,
        Self::GoogleT050,
        Self::GoogleT051,
    ];

    /// The twenty octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 20] {
        match self {
            Self::Draft22 => hex(b"7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a"),
            Self::Draft23 => hex(b"c3eef712c72ebb5a11a7d2432bb46365bef9f502"),
            Self::Draft29 => hex(b"afbfec289993d24c9e9786f19c6111e04390a899"),
            Self::V1 => hex(b"38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
            Self::V2Draft => hex(b"a707c203a59b47184a1d62ca570406ea7ae3e5d3"),
            Self::V2 => hex(b"0dede3def700a6db819381be6e269dcbf9bd2ed9"),
            Self::GoogleQ050 => hex(b"504574efd066fe2f9d945cfcdbd3a7f0d3b56b45"),
            Self::GoogleT050 => hex(b"7ff579e5acd072915580304c43a2367c60488310"),
            Self::GoogleT051 => hex(b"7a4edef4e7ccee5fa4506c19124fc8ccda6e033d"),
        }
    }

    /// Do its keys have the labels of version 2 (RFC 9369 §3.3.2)?
    #[must_use]
    pub const fn has_v2_labels(self) -> bool {
        matches!(self, Self::V2 | Self::V2Draft)
    }
}

/// Twenty octets from forty hexadecimal digits, at compile time.
const fn hex(digits: &[u8; 40]) -> [u8; 20] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => panic!("not a digit"),
        }
    }
    let mut octets = [0; 20];
    let mut at = 0;
    while at < octets.len() {
        octets[at] = digit(digits[2 * at]) << 4 | digit(digits[2 * at + 1]);
        at += 1;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_are_numbered_in_their_order() {
        for (number, salt) in Salt::ALL.into_iter().enumerate() {
            assert_eq!(salt as usize, number);
        }
    }

    #[test]
    fn versions_outside_the_table_have_no_scheme() {
        for version in [0, 2, 0xff00_0015, 0xff00_0023, 0x5130_3436, 0xbaba_baba] {
            assert_eq!(Version(version).scheme(), None, "{version:#x}");
        }
        assert!(Version(0xbaba_baba).is_reserved());
        assert!(!Version(0x8000_1234).is_plausible());
    }
}
