//! Data packets of LISP (RFC 9300 §5).

use super::plausible_ip;
use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::decode::tenant::IdSpace;

impl Peel<'_> {
    pub(super) fn lisp(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const HAS_INSTANCE: u8 = 0x08;
        let [flags, ..] = octets.array::<4>()?;
        let instance = octets.u32()? >> 8;
        if !plausible_ip(octets) {
            return Err(NotDecoded::Malformed);
        }
        if flags & HAS_INSTANCE != 0 {
            self.identify(IdSpace::Vni, instance);
        }
        self.enter(None)?;
        self.ip(octets)
    }
}
