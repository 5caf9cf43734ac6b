//! The only way to read octets: a cursor that cannot leave its slice.

use super::Malformed;

/// A cursor over octets. Every read names the field it is for, so that a failure says what was
/// missing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    octets: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the beginning of `octets`.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    /// The next `n` octets.
    #[inline]
    pub fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        match self.octets.split_at_checked(n) {
            Some((head, rest)) => {
                self.octets = rest;
                Ok(head)
            }
            None => Err(Malformed::Overrun { field, need: n, have: self.octets.len() }),
        }
    }

    /// The next `N` octets.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], Malformed> {
        match self.octets.split_first_chunk() {
            Some((head, rest)) => {
                self.octets = rest;
                Ok(head)
            }
            None => Err(Malformed::Overrun { field, need: N, have: self.octets.len() }),
        }
    }

    /// The next octet.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(field)?[0])
    }

    /// The next two octets, in network order.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(*self.array(field)?))
    }

    /// The next three octets, in network order.
    #[inline]
    pub fn u24(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let [a, b, c] = *self.array(field)?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// The next four octets, in network order.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(*self.array(field)?))
    }

    /// A vector behind a length of one octet.
    #[inline]
    pub fn vector8(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.u8(field)?;
        self.take(usize::from(len), field)
    }

    /// A vector behind a length of two octets.
    #[inline]
    pub fn vector16(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.u16(field)?;
        self.take(usize::from(len), field)
    }

    /// A vector behind a length of two octets, or as much of it as is there; whether it is whole.
    #[inline]
    pub fn vector16_or_rest(&mut self, field: &'static str) -> Result<(&'a [u8], bool), Malformed> {
        let len = usize::from(self.u16(field)?);
        let whole = len <= self.octets.len();
        let here = self.take(len.min(self.octets.len()), field)?;
        Ok((here, whole))
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.octets
    }

    /// How many octets have not been read yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.octets.len()
    }

    /// Is everything read?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_fails_says_what_was_missing_and_moves_nothing() {
        let mut reader = Reader::new(&[0, 3, b'a', b'b']);
        assert_eq!(
            reader.clone().vector16("name"),
            Err(Malformed::Overrun { field: "name", need: 3, have: 2 })
        );
        assert_eq!(reader.vector16_or_rest("name"), Ok((&b"ab"[..], false)));
        assert!(reader.is_empty());
        assert_eq!(
            reader.u24("length"),
            Err(Malformed::Overrun { field: "length", need: 3, have: 0 })
        );
    }
}
