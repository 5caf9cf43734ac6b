//! MACsec (IEEE 802.1AE §9) where it authenticates without encrypting.

use crate::decode::NotDecoded;
use crate::decode::octets::Octets;

/// Takes the security tag; gives the EtherType inside it. The check value at the end is left
/// where it is: the lengths of IP leave it out.
pub(in crate::decode) fn macsec(octets: &mut Octets<'_>) -> Result<u16, NotDecoded> {
    const VERSION: u8 = 0x80;
    const HAS_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;
    // Lengths from here on are not written (§9.7).
    const NOT_SHORT: u8 = 48;
    let [control, short_len] = octets.array()?;
    let _packet_number = octets.u32()?;
    if control & VERSION != 0 || short_len >= NOT_SHORT {
        return Err(NotDecoded::Malformed);
    }
    if control & HAS_CHANNEL != 0 {
        octets.skip(8)?;
    }
    if control & (ENCRYPTED | CHANGED) != 0 {
        return Err(NotDecoded::Encrypted);
    }
    octets.u16()
}
