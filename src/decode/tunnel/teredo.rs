//! Teredo (RFC 4380): IPv6 over UDP through address translators.

use super::plausible_ipv6;
use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};

/// Two peers talk on ports of their own choice: a whole IPv6 packet of exactly the payload's
/// length, one of whose addresses is in the Teredo prefix (§2.6).
#[inline]
pub(super) fn looks_like(payload: &[u8]) -> bool {
    const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
    match payload {
        [0x60..=0x6f, _, _, _, high, low, rest @ ..] if rest.len() >= 34 => {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            len + 34 == rest.len()
                && (rest[2..].starts_with(&PREFIX) || rest[18..].starts_with(&PREFIX))
        }
        _ => false,
    }
}

impl Peel<'_> {
    pub(super) fn teredo(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        // §5.1.1: authentication, with identifiers, a nonce and a confirmation; then origin.
        if octets.peek() == Some([0, 1]) {
            octets.skip(2)?;
            let [client, authentication] = octets.array()?;
            octets.skip(usize::from(client) + usize::from(authentication) + 9)?;
        }
        if octets.peek() == Some([0, 0]) {
            octets.skip(8)?;
        }
        if !matches!(octets.peek(), Some([0x60..=0x6f])) || !plausible_ipv6(octets) {
            return Err(NotDecoded::Malformed);
        }
        self.enter(None)?;
        self.ipv6(octets)
    }
}
