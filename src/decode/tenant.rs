//! The ids by which an operator declared address spaces (`[[tenant]]`).

use crate::net::TenantId;

/// What an id on the wire is an id of.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum IdSpace {
    /// A VLAN id (IEEE 802.1Q), of any tag of a frame.
    Vlan,
    /// A network identifier of VXLAN, GENEVE or NVGRE, or a LISP instance.
    Vni,
    /// A tunnel endpoint identifier of GTP-U.
    Teid,
    /// A key of GRE (RFC 2890).
    GreKey,
    /// A session of ERSPAN.
    ErspanSession,
    /// The label at the bottom of an MPLS stack.
    MplsLabel,
    /// A session of L2TP.
    L2tpSession,
}

/// The declared ids. A value: decoding asks it and never changes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tenants {
    /// Sorted by space and id.
    ids: Vec<(IdSpace, u32, TenantId)>,
}

impl Tenants {
    /// The address spaces of `ids`; of an id declared twice the first counts.
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = (IdSpace, u32, TenantId)>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_by_key(|&(space, id, _)| (space, id));
        ids.dedup_by_key(|&mut (space, id, _)| (space, id));
        Self { ids }
    }

    /// Is no id declared?
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The address space that `id` was declared to be.
    #[inline]
    #[must_use]
    pub fn find(&self, space: IdSpace, id: u32) -> Option<TenantId> {
        if self.ids.is_empty() {
            return None;
        }
        let at = self.ids.binary_search_by_key(&(space, id), |&(space, id, _)| (space, id));
        at.ok().map(|at| self.ids[at].2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_in_its_own_space_only() {
        let tenants = Tenants::new([
            (IdSpace::Vni, 7, TenantId(2)),
            (IdSpace::Vlan, 7, TenantId(1)),
            (IdSpace::Vlan, 7, TenantId(3)),
        ]);
        assert_eq!(tenants.find(IdSpace::Vlan, 7), Some(TenantId(1)));
        assert_eq!(tenants.find(IdSpace::Vni, 7), Some(TenantId(2)));
        assert_eq!(tenants.find(IdSpace::Teid, 7), None);
        assert!(Tenants::default().is_empty());
    }
}
