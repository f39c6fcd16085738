//! Which terms have three letters side by side: for each such triple the numbers of the terms, as differences.
//!
//! Invariants: numbers of a triple ascend. Glued pairs and terms of less than three letters are in none.

use hashbrown::HashMap;

use super::varint;

/// Letters of a triple.
pub(super) const LETTERS: usize = 3;

/// Triples in order.
#[derive(Debug, Default)]
pub(super) struct Triples {
    pub(super) keys: Box<[u64]>,
    /// Where each one's numbers end in `bytes`.
    pub(super) ends: Box<[u64]>,
    pub(super) bytes: Box<[u8]>,
}

impl Triples {
    /// The terms that may have the part, in order: they have two of its triples. `None` where it is too short to have any.
    pub(super) fn having(&self, part: &str) -> Option<Vec<u32>> {
        let mut lists = Vec::new();
        for key in keys_of(part) {
            let Some(list) = self.list(key) else { return Some(Vec::new()) };
            lists.push(list);
        }
        lists.sort_unstable_by_key(|list| list.len());
        lists.dedup();
        let (first, more) = lists.split_first()?;
        let mut numbers: Vec<u32> = Numbers::of(first).collect();
        if let Some(second) = more.first() {
            let mut second = Numbers::of(second).peekable();
            numbers.retain(|number| {
                while second.next_if(|other| other < number).is_some() {}
                second.peek() == Some(number)
            });
        }
        Some(numbers)
    }

    fn list(&self, key: u64) -> Option<&[u8]> {
        let at = self.keys.binary_search(&key).ok()?;
        let end_of = |at: usize| self.ends.get(at).and_then(|end| usize::try_from(*end).ok());
        let start = at.checked_sub(1).map_or(Some(0), end_of)?;
        self.bytes.get(start..end_of(at)?)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.keys.len() * 16 + self.bytes.len()
    }
}

/// The numbers in a list of differences.
struct Numbers<'a> {
    rest: &'a [u8],
    last: u32,
}

impl<'a> Numbers<'a> {
    const fn of(rest: &'a [u8]) -> Self {
        Self { rest, last: 0 }
    }
}

impl Iterator for Numbers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.last = self.last.wrapping_add(varint::read(&mut self.rest)?);
        Some(self.last)
    }
}

fn keys_of(text: &str) -> impl Iterator<Item = u64> {
    const LETTER_BITS: u32 = 21;
    let mut window = 0_u64;
    let letters = text.chars().enumerate().map(move |(at, letter)| {
        window = (window << LETTER_BITS | u64::from(u32::from(letter))) & ((1 << (3 * LETTER_BITS)) - 1);
        (at, window)
    });
    letters.filter(|(at, _)| at + 1 >= LETTERS).map(|(_, key)| key)
}

/// Collects the triples of terms.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Each triple's place in `seen`.
    places: HashMap<u64, u32>,
    seen: Vec<Seen>,
    /// Places of triples and numbers of terms, as they came.
    pairs: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    last: u32,
    count: usize,
}

impl Writer {
    /// Adds a term, in order of the numbers.
    pub(super) fn push(&mut self, term: &str, number: u32) {
        for key in keys_of(term) {
            let Ok(next) = u32::try_from(self.seen.len()) else { return };
            let place = *self.places.entry(key).or_insert(next);
            match self.seen.get_mut(place as usize) {
                Some(seen) if seen.last == number => continue,
                Some(seen) => *seen = Seen { last: number, count: seen.count + 1 },
                None => self.seen.push(Seen { last: number, count: 1 }),
            }
            self.pairs.push((place, number));
        }
    }

    pub(super) fn finish(self) -> Triples {
        let Self { places, seen, pairs } = self;
        let mut triples: Vec<(u64, u32)> = places.into_iter().collect();
        triples.sort_unstable();
        // The numbers of a triple together, the triples in their order.
        let (mut next, mut starts) = (0, vec![0; seen.len()]);
        for (_, place) in &triples {
            starts[*place as usize] = next;
            next += seen[*place as usize].count;
        }
        let mut numbers = vec![0; pairs.len()];
        for (place, number) in pairs {
            let at = &mut starts[place as usize];
            numbers[*at] = number;
            *at += 1;
        }
        let (mut bytes, mut ends) =
            (Vec::with_capacity(numbers.len() * 2), Vec::with_capacity(triples.len()));
        let mut rest = numbers.as_slice();
        for (_, place) in &triples {
            let (own, others) = rest.split_at(seen[*place as usize].count);
            rest = others;
            let mut last = 0;
            for number in own {
                varint::write(number - last, &mut bytes);
                last = *number;
            }
            ends.push(bytes.len() as u64);
        }
        let keys = triples.into_iter().map(|(key, _)| key).collect();
        Triples { keys, ends: ends.into(), bytes: bytes.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_term_with_the_part_is_missed(
            terms in prop::collection::vec("[abé]{0,7}", 0..60), part in "[abé]{0,5}",
        ) {
            let mut writer = Writer::default();
            (0..).zip(&terms).for_each(|(number, term)| writer.push(term, number));
            let having = writer.finish().having(&part);
            prop_assert_eq!(having.is_none(), part.chars().count() < 3);
            let Some(having) = having else { return Ok(()) };
            prop_assert!(having.is_sorted());
            for (number, term) in (0..).zip(&terms) {
                prop_assert!(having.contains(&number) || !term.contains(&part), "{} {}", term, part);
            }
        }
    }
}
