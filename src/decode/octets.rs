//! The octets of a layer, with how many of them the capture left out.

use super::NotDecoded;

/// What is left of a layer: the octets captured, and how many there were on the wire.
///
/// Invariant: `data.len() <= wire`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets<'a> {
    data: &'a [u8],
    wire: usize,
}

impl<'a> Octets<'a> {
    /// `data` of `wire` octets; never fewer than `data` has.
    pub(super) fn new(data: &'a [u8], wire: usize) -> Self {
        Self { data, wire: wire.max(data.len()) }
    }

    /// Takes the next `N` octets.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], NotDecoded> {
        let (head, rest) = self.data.split_first_chunk().ok_or_else(|| self.lacks(N))?;
        self.data = rest;
        self.wire -= N;
        Ok(*head)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, NotDecoded> {
        self.array().map(|[octet]| octet)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, NotDecoded> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, NotDecoded> {
        self.array().map(u32::from_be_bytes)
    }

    /// Passes over the next `count` octets, all of which must have been captured.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) -> Result<(), NotDecoded> {
        self.data = self.data.get(count..).ok_or_else(|| self.lacks(count))?;
        self.wire -= count;
        Ok(())
    }

    /// Passes over the next `count` octets, captured or not.
    pub(super) fn skip_cut(&mut self, count: usize) -> Result<(), NotDecoded> {
        self.wire = self.wire.checked_sub(count).ok_or(NotDecoded::Malformed)?;
        self.data = self.data.get(count..).unwrap_or_default();
        Ok(())
    }

    /// The next `N` octets, without taking them; `None` when they were not captured.
    #[inline]
    pub(super) fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.data.first_chunk().copied()
    }

    /// The octets after the next `count`, as far as they were captured.
    pub(super) fn after(mut self, count: usize) -> Option<Self> {
        self.skip(count).ok().map(|()| self)
    }

    /// The layer's header says that its contents have `count` octets. That is believed even when
    /// the layer around it holds fewer: mirrors cut frames and shorten only the outer lengths.
    #[inline]
    pub(super) fn limit(self, count: usize) -> Self {
        let data = self.data.get(..count).unwrap_or(self.data);
        Self { data, wire: count }
    }

    /// The layer's header says that its contents have `count` octets, which the layer around it
    /// bounds.
    #[inline]
    pub(super) fn limit_within(self, count: usize) -> Self {
        self.limit(count.min(self.wire))
    }

    /// The octets captured.
    #[inline]
    pub(super) const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// How many octets there were on the wire.
    #[inline]
    pub(super) const fn wire(&self) -> usize {
        self.wire
    }

    /// The same as a field of a packet; IP lengths fit.
    pub(super) fn wire_len(&self) -> u32 {
        u32::try_from(self.wire).unwrap_or(u32::MAX)
    }

    /// Why `count` octets are not there: cut off, or never sent.
    #[cold]
    pub(super) const fn lacks(&self, count: usize) -> NotDecoded {
        if count <= self.wire { NotDecoded::Truncated } else { NotDecoded::Malformed }
    }
}
