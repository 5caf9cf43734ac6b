//! What is known of a frame while its layers are peeled.

use core::cell::Cell;

use super::tenant::{IdSpace, Tenants};
use super::{Decoded, MAX_DEPTH, NotDecoded, Seen};
use crate::net::{Addr, Mac};

/// The layers peeled so far. Each layer is a method that takes its octets, notes what the layer
/// tells, and ends in the method of the layer inside it.
///
/// The nesting of calls is bounded: whatever may contain itself either counts as a tunnel (see
/// [`Peel::enter`]) or is peeled in a loop with a limit of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peel<'t> {
    pub(super) seen: Seen,
    /// A VLAN tag of the present Ethernet header was seen: further ones are inside it.
    pub(super) tagged: bool,
    /// IEEE 802.2 was seen since the last Ethernet header: it is not inside itself.
    pub(super) llc: bool,
    /// Which of the packets of a frame that holds several is wanted, and whether another one
    /// follows it.
    pub(super) part: u8,
    pub(super) more: &'t Cell<bool>,
    /// That one was chosen: of an aggregate inside it the first is read, and nothing is said of
    /// what follows.
    pub(super) chosen: bool,
    /// Only a UDP port announces what follows, and no IP header was met since.
    pub(super) announced: bool,
    tenants: &'t Tenants,
}

/// What a layer holds, or why it cannot be said. [`Decoded::Not`] is made at the front door.
pub(super) type Peeled<'a> = Result<Decoded<'a>, NotDecoded>;

impl<'t> Peel<'t> {
    pub(super) const fn new(
        seen: Seen,
        tenants: &'t Tenants,
        part: u8,
        more: &'t Cell<bool>,
    ) -> Self {
        Self {
            seen,
            tagged: false,
            llc: false,
            part,
            more,
            chosen: false,
            announced: false,
            tenants,
        }
    }

    /// A tunnel begins, sent by `outer` where an IP packet carries it.
    pub(super) fn enter(&mut self, outer: Option<Addr>) -> Result<(), NotDecoded> {
        if self.seen.depth == MAX_DEPTH {
            return Err(NotDecoded::TooDeep);
        }
        self.seen.depth += 1;
        self.seen.mirror = self.seen.mirror.or(outer);
        Ok(())
    }

    /// A tunnel has this id. The innermost stays; a declared one decides the address space.
    pub(super) fn identify(&mut self, space: IdSpace, id: u32) {
        self.seen.tunnel_id = Some(id);
        self.declare(space, id);
    }

    /// A VLAN tag. The outermost of the innermost Ethernet header stays.
    pub(super) fn vlan(&mut self, tci: u16) {
        let id = tci & 0x0fff;
        // VLAN 0 is no VLAN but a priority (IEEE 802.1Q §9.6).
        if id != 0 {
            if !self.tagged {
                self.seen.vlan = Some(id);
            }
            self.tagged = true;
            self.declare(IdSpace::Vlan, u32::from(id));
        }
    }

    /// An id that may be declared: the innermost declared one decides.
    pub(super) fn declare(&mut self, space: IdSpace, id: u32) {
        if let Some(tenant) = self.tenants.find(space, id) {
            self.seen.tenant = tenant;
        }
    }

    pub(super) fn mac(&mut self, octets: [u8; 6]) {
        self.seen.mac = Some(Mac(octets));
    }
}

/// Did octets that were taken for a tunnel's contents make sense as such? Where only a port or a
/// guess says that there is a tunnel, they must, or the packet is read as what it is without it.
pub(super) const fn makes_sense(peeled: &Peeled<'_>) -> bool {
    !matches!(
        peeled,
        Err(NotDecoded::Malformed | NotDecoded::UnknownEthertype | NotDecoded::UnknownLinkType)
    )
}
