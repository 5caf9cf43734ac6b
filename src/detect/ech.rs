//! Encrypted Client Hello, or only its look-alike?
//!
//! The two are made to be indistinguishable to an observer of the hello alone (RFC 9849 §6.2).
//! What gives them away is what the client asked before: real ECH needs a configuration from an
//! HTTPS record and shows that configuration's public name; GREASE shows the name the client
//! means, which it resolved like any other.

use core::time::Duration;

use super::recent::Recent;
use super::{EchHello, EchOffered};
use crate::name::Name;
use crate::time::Timestamp;

/// What an `encrypted_client_hello` extension is taken for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Ech {
    /// Made with a configuration that was offered: the name shown is not the name meant.
    Real,
    /// Random octets to keep the extension usual (RFC 9849 §6.2): the name shown is the name
    /// meant.
    Grease,
    /// Present; not enough was seen to say which.
    Unknown,
}

impl Ech {
    /// Every verdict, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Real, Self::Grease, Self::Unknown];

    /// The label in metrics and events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Grease => "grease",
            Self::Unknown => "unknown",
        }
    }
}

/// By which rule a verdict was reached. Ordered: the first that applies decides.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum EchRule {
    /// An HTTPS record offered this configuration id under this outer name: real.
    Offered,
    /// The client itself resolved the outer name to the server's address, as nobody does for a
    /// public name: GREASE.
    Resolved,
    /// The outer name is the public name of configurations that were offered, with other ids
    /// (keys are rotated): real.
    PublicName,
    /// The payload is too short for any inner hello: GREASE.
    Short,
    /// The payload has a length to which no inner hello is padded (RFC 9849 §6.1.3): GREASE.
    Unpadded,
    /// No rule applies: unknown. Lengths that fit prove nothing, because libraries draw GREASE
    /// from them or pad a hello of their own.
    None,
}

impl EchRule {
    /// Every rule, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Offered, Self::Resolved, Self::PublicName, Self::Short, Self::Unpadded, Self::None];

    /// The label in metrics and events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Resolved => "resolved",
            Self::PublicName => "public_name",
            Self::Short => "short",
            Self::Unpadded => "unpadded",
            Self::None => "none",
        }
    }

    /// What a hello is to which this rule applies.
    #[must_use]
    pub const fn verdict(self) -> Ech {
        match self {
            Self::Offered | Self::PublicName => Ech::Real,
            Self::Resolved | Self::Short | Self::Unpadded => Ech::Grease,
            Self::None => Ech::Unknown,
        }
    }
}

/// The configurations that HTTPS records offered, by public name. Public names are few: one for
/// each operator of client-facing servers.
#[derive(Debug)]
pub(super) struct Offers {
    by_public_name: Recent<Name, Vec<Offer>>,
}

#[derive(Clone, Copy, Debug)]
struct Offer {
    config_id: u8,
    at: Timestamp,
}

impl Offers {
    pub(super) fn new(limit: usize) -> Self {
        Self { by_public_name: Recent::new(limit) }
    }

    /// Remembers an offer.
    pub(super) fn hear(&mut self, offered: &EchOffered) {
        let offer = Offer { config_id: offered.config_id, at: offered.origin.at };
        let offers = self.by_public_name.enter(offered.public_name.clone(), Vec::new).value;
        offers.retain(|held| held.config_id != offer.config_id);
        if offers.len() >= MAX_IDS {
            offers.remove(0);
        }
        offers.push(offer);
    }

    /// Which rule applies to a hello. `resolved`: its client knew the server's address by the
    /// outer name.
    pub(super) fn judge(&self, hello: &EchHello, resolved: bool, at: Timestamp) -> EchRule {
        let offers: &[Offer] = match self.by_public_name.get(&hello.outer_name) {
            Some(offers) if !hello.outer_name.is_empty() => offers,
            _ => &[],
        };
        let mut fresh = offers.iter().filter(|offer| at.since(offer.at) <= OFFERED_FOR).peekable();
        let public = fresh.peek().is_some();
        if fresh.any(|offer| offer.config_id == hello.config_id) {
            EchRule::Offered
        } else if resolved {
            EchRule::Resolved
        } else if public {
            EchRule::PublicName
        } else if hello.payload_len < SHORTEST_PAYLOAD {
            EchRule::Short
        } else if !(hello.payload_len - AEAD_TAG).is_multiple_of(PADDING) {
            EchRule::Unpadded
        } else {
            EchRule::None
        }
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        let offers = MAX_IDS * size_of::<Offer>() * self.by_public_name.len();
        (
            self.by_public_name.len(),
            self.by_public_name.allocated() + offers,
            self.by_public_name.evicted(),
        )
    }
}

/// Ids remembered for one public name: today's and yesterday's keys are a few.
const MAX_IDS: usize = 16;

/// Keys are rotated within hours to days; a configuration fetched longer ago is not used any more.
const OFFERED_FOR: Duration = Duration::from_secs(48 * 3_600);

/// All AEADs registered for HPKE have tags of this length (RFC 9180 §7.3).
const AEAD_TAG: u16 = 16;

/// An inner hello is padded to a multiple of this (RFC 9849 §6.1.3).
const PADDING: u16 = 32;

/// The shortest EncodedClientHelloInner with an SNI, a `supported_versions`, a reference to the
/// outer key share and the inner marker takes 77 octets, padded to 96 (RFC 9849 §5.1); the tag
/// follows.
const SHORTEST_PAYLOAD: u16 = 96 + AEAD_TAG;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Origin;
    use crate::name::NameId;

    fn hello(outer_name: &str, config_id: u8, payload_len: u16) -> EchHello {
        EchHello {
            outer_name: outer_name.into(),
            outer_id: NameId::default(),
            config_id,
            payload_len,
        }
    }

    fn offered(public_name: &str, config_id: u8, seconds: u64) -> EchOffered {
        EchOffered {
            origin: Origin { at: Timestamp::from_parts(seconds, 0), ..Origin::default() },
            public_name: public_name.into(),
            config_id,
        }
    }

    #[test]
    fn each_rule_decides_what_it_can() {
        let mut offers = Offers::new(4);
        offers.hear(&offered("outer.example", 7, 0));
        let at = Timestamp::from_parts(60, 0);
        for (outer_name, config_id, payload_len, resolved, rule) in [
            ("outer.example", 7, 208, false, EchRule::Offered),
            ("outer.example", 7, 208, true, EchRule::Offered),
            ("outer.example", 8, 208, true, EchRule::Resolved),
            ("outer.example", 8, 208, false, EchRule::PublicName),
            ("www.example", 7, 208, true, EchRule::Resolved),
            ("www.example", 7, SHORTEST_PAYLOAD - 1, false, EchRule::Short),
            ("www.example", 7, SHORTEST_PAYLOAD, false, EchRule::None),
            ("www.example", 7, SHORTEST_PAYLOAD + 1, false, EchRule::Unpadded),
            ("www.example", 7, 120, false, EchRule::Unpadded),
            ("www.example", 7, 208, false, EchRule::None),
            ("", 7, 0, false, EchRule::Short),
        ] {
            let hello = hello(outer_name, config_id, payload_len);
            assert_eq!(offers.judge(&hello, resolved, at), rule, "{hello:?} {resolved}");
        }
    }

    #[test]
    fn offers_are_forgotten_after_two_days_and_ids_beyond_the_most() {
        let mut offers = Offers::new(4);
        for id in 0..=u8::try_from(MAX_IDS).unwrap() {
            offers.hear(&offered("outer.example", id, u64::from(id)));
        }
        let late = Timestamp::from_parts(48 * 3_600 + 16, 0);
        let judge = |id, at| offers.judge(&hello("outer.example", id, 208), false, at);
        assert_eq!(judge(16, late), EchRule::Offered);
        assert_eq!(judge(0, late), EchRule::PublicName, "the oldest id made room");
        assert_eq!(judge(16, late.plus(Duration::from_secs(1))), EchRule::None);
    }
}
