//! Small numbers and short texts as bytes, and back. Pure.
//!
//! Invariants: numbers are LEB128 (7 bits a byte, low ones first, at most 10 bytes). [`Reader`] never reads past its
//! slice, never panics and allocates nothing.

use super::Damaged;

/// Bytes of the longest number.
const NUMBER_BYTES_MAX: u32 = 10;

pub(crate) fn put_number(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

/// A number that may be negative, small ones of either sign in few bytes.
pub(crate) fn put_signed(value: i64, into: &mut Vec<u8>) {
    put_number((value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned(), into);
}

/// Bytes with their length before them.
pub(crate) fn put_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    put_number(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

/// Reads from the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for position in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if position == NUMBER_BYTES_MAX - 1 && bits > 1 {
                break;
            }
            value |= bits << (7 * position);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged("a number is too large"))
    }

    pub(crate) fn number_as<T: TryFrom<u64>>(&mut self) -> Result<T, Damaged> {
        T::try_from(self.number()?).map_err(|_| Damaged("a number is too large"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damaged> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.number_as()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damaged("a text is not UTF-8"))
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged("something follows its end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive_the_trip(value: u64, signed: i64, text in ".{0,200}") {
            let mut bytes = Vec::new();
            put_number(value, &mut bytes);
            put_signed(signed, &mut bytes);
            put_bytes(text.as_bytes(), &mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.text(), Ok(&*text));
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let most = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(Reader::new(&most).number(), Ok(u64::MAX));
        let more = [&[0xff; 9][..], &[2]].concat();
        assert!(Reader::new(&more).number().is_err());
        assert!(Reader::new(&[0xff; 20]).number().is_err());
        assert!(Reader::new(&[0x80]).number().is_err());
        assert!(Reader::new(&most).number_as::<u32>().is_err());
    }
}
