//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the top bit where more follow.
//!
//! Invariant: reading stops at the end of the bytes, whatever they are.

/// Writes a number.
pub(super) fn write(mut number: u32, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push((number & 0x7f) as u8);
}

/// Takes a number from the front of the bytes; `None` at their end.
pub(super) fn read(from: &mut &[u8]) -> Option<u32> {
    let (first, rest) = from.split_first()?;
    *from = rest;
    if *first < 0x80 {
        return Some(u32::from(*first)); // most are small
    }
    let mut number = u32::from(*first & 0x7f);
    let mut shift = 7;
    loop {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u32::from(*byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<u32>, shift in 0_u32..32) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|number| write(number >> shift, &mut bytes));
            let mut rest = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(read(&mut rest), Some(number >> shift));
            }
            prop_assert_eq!(read(&mut rest), None);
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while read(&mut rest).is_some() {}
        }
    }
}
