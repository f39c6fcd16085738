//! A set of piece numbers, kept as ranges.
//!
//! Invariant: the ranges are not empty, do not overlap and do not touch.

use std::collections::BTreeMap;
use std::ops::Range;

/// Piece numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl Ranges {
    /// How many numbers it holds.
    pub(crate) const fn len(&self) -> u64 {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// Puts one number in; `false` where it is in already.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = self.ranges.range(..number).next_back().map(|(start, end)| (*start, *end));
        let start = before.filter(|(_, end)| *end == number).map_or(number, |(start, _)| start);
        let end = self.ranges.remove(&(number + 1)).unwrap_or(number + 1);
        self.ranges.insert(start, end);
        self.count += 1;
        true
    }

    /// Takes one number out; `false` where it is not in.
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        let found = self.ranges.range(..=number).next_back().map(|(start, end)| (*start, *end));
        let Some((start, end)) = found.filter(|(_, end)| number < *end) else { return false };
        self.ranges.remove(&start);
        if start < number {
            self.ranges.insert(start, number);
        }
        if number + 1 < end {
            self.ranges.insert(number + 1, end);
        }
        self.count -= 1;
        true
    }

    /// The ranges, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }

    /// Takes the first numbers out at or after `from` that stand together, at most `max` of them; beginning anew
    /// behind the last.
    pub(crate) fn take_at(&mut self, from: u64, max: u64) -> Option<Range<u64>> {
        let around = self.ranges.range(..=from).next_back().filter(|(_, end)| from < **end);
        let found = around.or_else(|| self.ranges.range(from..).next()).or_else(|| self.ranges.iter().next());
        let (start, end) = found.map(|(start, end)| (*start, *end))?;
        let taken = start.max(if (start..end).contains(&from) { from } else { start });
        let taken = taken..end.min(taken.saturating_add(max));
        self.ranges.remove(&start);
        if start < taken.start {
            self.ranges.insert(start, taken.start);
        }
        if taken.end < end {
            self.ranges.insert(taken.end, end);
        }
        self.count -= taken.end - taken.start;
        Some(taken)
    }
}

impl From<Range<u64>> for Ranges {
    fn from(range: Range<u64>) -> Self {
        let count = range.end.saturating_sub(range.start);
        let ranges = if count > 0 { BTreeMap::from([(range.start, range.end)]) } else { BTreeMap::new() };
        Self { ranges, count }
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        numbers.into_iter().for_each(|number| {
            ranges.insert(number);
        });
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((0_u8..3, 0_u64..40), 0..200)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (what, number) in steps {
                match what {
                    0 => prop_assert_eq!(ranges.insert(number), model.insert(number)),
                    1 => prop_assert_eq!(ranges.remove(number), model.remove(&number)),
                    _ => {
                        let taken = ranges.take_at(number, number % 5 + 1);
                        let first = model.range(number..).next().or(model.first()).copied();
                        prop_assert_eq!(taken.as_ref().map(|range| range.start), first);
                        for number in taken.into_iter().flatten() {
                            prop_assert!(model.remove(&number));
                        }
                    }
                }
                prop_assert_eq!(ranges.len(), model.len() as u64);
                prop_assert!((0..41).all(|number| ranges.contains(number) == model.contains(&number)));
                let bounds: Vec<u64> = ranges.ranges.iter().flat_map(|(start, end)| [*start, *end]).collect();
                prop_assert!(bounds.is_sorted_by(|a, b| a < b), "{:?}", bounds);
            }
        }
    }
}
