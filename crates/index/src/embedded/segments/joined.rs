//! The names that all of several sets have, some windows at a time.
//!
//! Reading each set's part of each window as bits, to cut those, takes most of its time for windows in which no name has
//! all. Where the smallest set is small, its values are marked instead in bits of several windows, the next set's are looked
//! for there, and so on: only what is left becomes bits of a window.
//!
//! Invariant: windows are asked for in ascending order, until rewound.

use std::ops::Range;

use super::bits::{Asked, Bits};
use super::neighbours::{Signature, Signatures};
use super::plan::furthest;
use super::postings::{bit_of, window_of};
use super::union::{Union, Which, keep};
use super::{STRETCH, WINDOW, WINDOW_WORDS};

/// A smallest set of more than this part of the names, and more than a few, is read as bits.
const SMALL_PART: usize = 32;
const FEW: usize = 256;

/// The names that all of several sets have.
#[derive(Debug, Clone)]
pub(super) struct Joined<'a> {
    /// The smallest first, which has no bitmaps.
    sets: Vec<Union<'a>>,
    /// What they must have in their signatures.
    pairs: Vec<(Signatures<'a>, Signature)>,
    /// No name has to be checked for being in all of them.
    is_sure: bool,
    /// The windows that are asked for now.
    within: Range<usize>,
    /// Those whose values are here.
    windows: Range<usize>,
    /// What was asked of them: with [`Which::InFile`] only those in the file's own name are here, with [`Which::Anywhere`] the
    /// values do not tell where.
    which: Which,
    /// What all sets have in those windows, in order of the windows.
    values: Vec<u32>,
    /// Where the window last asked for begins in the values.
    position: usize,
    marked: Marked,
    found: Vec<u32>,
}

/// Some values as bits of some windows.
#[derive(Debug, Clone, Default)]
struct Marked {
    /// The first name.
    first: usize,
    /// Names: apart from the next, so that they fit the first cache of a core.
    anywhere: Vec<u64>,
    /// Those in the file's own name, where that is asked.
    in_file: Vec<u64>,
}

impl<'a> Joined<'a> {
    /// Of some sets of so many names.
    pub(super) fn new(
        mut sets: Vec<Union<'a>>,
        pairs: Vec<(Signatures<'a>, Signature)>,
        is_sure: bool,
        names: usize,
    ) -> Self {
        sets.sort_by_key(Union::count);
        Self {
            sets,
            pairs,
            is_sure,
            within: 0..names.div_ceil(WINDOW),
            windows: 0..0,
            which: Which::All,
            values: Vec::new(),
            position: 0,
            marked: Marked::default(),
            found: Vec::new(),
        }
    }

    /// Whether joining some sets is less work than reading them as bits.
    pub(super) fn is_worth_it<'b>(sets: impl Iterator<Item = &'b Union<'a>> + Clone, names: usize) -> bool
    where
        'a: 'b,
    {
        let smallest = sets.clone().min_by_key(|set| set.count());
        sets.count() > 1
            && smallest.is_some_and(|set| !set.has_maps() && set.count() <= (names / SMALL_PART).max(FEW))
    }

    /// Tells that until told again only these windows are asked for.
    pub(super) fn ask_within(&mut self, windows: Range<usize>) {
        self.within = windows;
    }

    #[cfg(test)]
    pub(super) fn rewind(&mut self) {
        self.windows = 0..0;
        self.sets.iter_mut().for_each(Union::rewind);
    }

    /// The first window from this one on that may have names.
    pub(super) fn next(&mut self, mut window: usize) -> Option<usize> {
        if self.windows.contains(&window) {
            if self.which == Which::InFile {
                return Some(window);
            }
            self.seek(window);
            match self.values.get(self.position) {
                Some(value) => return Some(window_of(*value)),
                None => window = self.windows.end,
            }
        }
        furthest(&mut self.sets, window, Union::next)
    }

    /// Sets the bits of a window's names and no others, and tells whether there are any.
    pub(super) fn fill(&mut self, asked: Asked, bits: &mut Bits) -> bool {
        let Asked { window, which, .. } = asked;
        // What is known of some windows then does for all that is asked of them later.
        self.be_at(window, if which == Which::Anywhere { Which::All } else { which });
        bits.clear_touched();
        let values = self.values.get(self.position..).unwrap_or_default();
        let values = values.iter().take_while(|value| window_of(**value) == window);
        let before = self.position;
        let asked = Asked { checks: !self.is_sure, ..asked };
        for value in values {
            bits.put(*value, asked);
            self.position += 1;
        }
        self.position > before
    }

    /// Gives the names of some windows from this one on, in order and each once, and the next window. Where a name matches its
    /// value tells only where that was asked.
    pub(super) fn gather(&mut self, window: usize, which: Which) -> (usize, &[u32]) {
        self.be_at(window, which);
        let values = self.values.get(self.position..).unwrap_or_default();
        let end = values.partition_point(|value| window_of(*value) < self.windows.end); // a damaged list may have others
        (self.windows.end, values.get(..end).unwrap_or_default())
    }

    /// Has a window's names in the values, at the position.
    fn be_at(&mut self, window: usize, which: Which) {
        let is_known = self.windows.contains(&window);
        if !is_known || self.which != Which::All && which != self.which {
            if is_known {
                self.sets.iter_mut().for_each(Union::rewind);
            }
            self.join(window, which);
        }
        self.seek(window);
    }

    /// Joins some windows from this one on.
    fn join(&mut self, window: usize, which: Which) {
        let Self { sets, pairs, within, windows, values, marked, found, .. } = self;
        *windows = window..(window + STRETCH).min(within.end).max(window + 1);
        self.which = which;
        self.position = 0;
        values.clear();
        let Some((smallest, others)) = sets.split_first_mut() else { return };
        smallest.read(windows, which, |some| values.extend_from_slice(some));
        leave(values, which);
        for other in others {
            let Some(windows) = windows_of(values, windows) else { return values.clear() };
            other.read_maps(values, which, found);
            if other.has_lists() {
                marked.mark(values, &windows, which);
                other.read(&windows, which, |some| marked.find(some, which, found));
                marked.clear(values);
            }
            leave(found, which);
            std::mem::swap(values, found);
            found.clear();
        }
        for (signatures, pair) in pairs.iter() {
            values.retain(|value| signatures.may_have(*pair, (value >> 1) as usize));
        }
        if !values.is_sorted() {
            values.sort_unstable();
        }
        // Several lists of a set may have a name.
        values.dedup_by(|next, kept| {
            let is_same = *next >> 1 == *kept >> 1;
            *kept |= if is_same { *next & 1 } else { 0 };
            is_same
        });
    }

    fn seek(&mut self, window: usize) {
        let rest = self.values.get(self.position..).unwrap_or_default();
        self.position += rest.iter().take_while(|value| window_of(**value) < window).count();
    }
}

/// Leaves those of some values that are asked for.
fn leave(values: &mut Vec<u32>, which: Which) {
    if which == Which::InFile {
        values.retain(|value| which.has(*value));
    }
}

/// Of some windows those from that of the first value to that of the last, where there are few values; a damaged list may have
/// others.
fn windows_of(values: &[u32], windows: &Range<usize>) -> Option<Range<usize>> {
    /// More have hardly a window before or behind them.
    const MANY: usize = 64;
    if values.len() > MANY {
        return Some(windows.clone());
    }
    let (first, last) = (values.iter().min()?, values.iter().max()?);
    let these = window_of(*first).max(windows.start)..(window_of(*last) + 1).min(windows.end);
    (!these.is_empty()).then_some(these)
}

impl Marked {
    fn mark(&mut self, values: &[u32], windows: &Range<usize>, which: Which) {
        self.first = windows.start * WINDOW;
        let words = self.anywhere.len().max(windows.len() * WINDOW_WORDS);
        [&mut self.anywhere, &mut self.in_file].into_iter().for_each(|bits| bits.resize(words, 0));
        if which == Which::Anywhere {
            for value in values {
                let at = self.place(*value);
                if let Some(any) = self.anywhere.get_mut(at / 64) {
                    *any |= 1 << (at % 64);
                }
            }
            return;
        }
        for value in values {
            let at = self.place(*value);
            if let (Some(any), Some(file)) = (self.anywhere.get_mut(at / 64), self.in_file.get_mut(at / 64)) {
                *any |= 1 << (at % 64);
                *file |= u64::from(value & 1) << (at % 64);
            }
        }
    }

    /// Leaves no bit, after these values were marked.
    fn clear(&mut self, values: &[u32]) {
        /// Words in a row that are written in the time of one by itself.
        const IN_A_ROW: usize = 8;
        if values.len() > self.anywhere.len() / IN_A_ROW {
            return [&mut self.anywhere, &mut self.in_file].into_iter().for_each(|bits| bits.fill(0));
        }
        for value in values {
            let at = self.place(*value);
            if let (Some(any), Some(file)) = (self.anywhere.get_mut(at / 64), self.in_file.get_mut(at / 64)) {
                (*any, *file) = (0, 0);
            }
        }
    }

    /// Adds those of some values whose names are marked, in the file's own name where both are if that is asked.
    fn find(&self, values: &[u32], which: Which, found: &mut Vec<u32>) {
        let start = found.len();
        keep(values, found, |value| bit_of(&self.anywhere, self.place(value)));
        if which == Which::Anywhere {
            return;
        }
        for value in found.get_mut(start..).unwrap_or_default() {
            *value &= !1 | bit_of(&self.in_file, self.place(*value));
        }
    }

    /// Of a value's name; a damaged list may not ascend.
    const fn place(&self, value: u32) -> usize {
        ((value >> 1) as usize).wrapping_sub(self.first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::ones;
    use super::super::postings::{KindSet, Writer};
    use super::*;

    const NAMES: usize = 700_000;

    /// The names of a list: from which on, how many, how far apart, and from the how manieth on every other is in its file's own
    /// name.
    type Names = (usize, usize, usize, usize);

    fn values((from, count, step, in_file_from): Names) -> BTreeMap<u32, bool> {
        let is_in_file = |at: usize| at > in_file_from && at.is_multiple_of(2);
        let names = (from..NAMES).step_by(step).take(count).enumerate();
        names.map(|(at, name)| (u32::try_from(name).unwrap(), is_in_file(at))).collect()
    }

    /// What is in any of some lists.
    fn any_of(lists: &[Names]) -> BTreeMap<u32, bool> {
        let mut all = BTreeMap::new();
        for (name, is_in_file) in lists.iter().flat_map(|list| values(*list)) {
            *all.entry(name).or_default() |= is_in_file;
        }
        all
    }

    /// What is in all of some sets, in a window: the names, and those in their file's own.
    fn all_in(sets: &[BTreeMap<u32, bool>], window: usize) -> (Vec<u32>, Vec<u32>) {
        let names = u32::try_from(window * WINDOW).unwrap()..u32::try_from((window + 1) * WINDOW).unwrap();
        let in_all = |name: &u32| sets.iter().all(|set| set.contains_key(name));
        let found: Vec<u32> = sets[0].range(names).map(|(name, _)| *name).filter(in_all).collect();
        let in_file = found.iter().copied().filter(|name| sets.iter().all(|set| set[name])).collect();
        (found, in_file)
    }

    fn names_of(bits: &[u64], window: usize) -> Vec<u32> {
        let name = |(word, bit)| u32::try_from(window * WINDOW + word * 64 + bit).unwrap();
        bits.iter()
            .enumerate()
            .flat_map(|(at, word)| ones(*word).map(move |bit| (at, bit)))
            .map(name)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_window_has_the_names_of_all_sets_however_it_is_come_to(
            sets in prop::collection::vec(
                prop::collection::vec((0..3_000_usize, 0..30_000_usize, 1..80_usize, 0..20_000_usize), 1..4),
                2..4,
            ),
            asked in prop::collection::vec((0..3_usize, any::<bool>(), 0..3_usize, 0..20_usize, any::<bool>()), 1..60),
        ) {
            let mut writer = Writer::new(NAMES, 0);
            sets.iter().flatten().for_each(|list| {
                let values = values(*list).into_iter().map(|(name, is_in_file)| name << 1 | u32::from(is_in_file));
                writer.push(&values.collect::<Vec<_>>(), KindSet::ALL);
            });
            let (postings, windows, mut number) = (writer.finish(), NAMES.div_ceil(WINDOW), 0..);
            let unions = sets.iter().map(|lists| {
                let mut union = Union::default();
                number.by_ref().take(lists.len()).for_each(|number| union.add(postings.list(number)));
                union.ready(windows)
            });
            let unions: Vec<_> = unions.collect();
            prop_assume!(unions.iter().min_by_key(|set| set.count()).is_some_and(|set| !set.has_maps()));
            let sets: Vec<_> = sets.iter().map(|lists| any_of(lists)).collect();
            let (mut joined, mut window) = (Joined::new(unions, Vec::new(), true, NAMES), 0);
            let mut gathering = joined.clone();
            let mut bits = Bits::default();
            for (gap, asks_next, which, within, are_used) in asked {
                window += gap;
                if within > 0 {
                    joined.ask_within(window..window + within);
                    gathering.ask_within(window..window + within);
                }
                if asks_next {
                    let next = joined.next(window).unwrap_or(windows).min(windows);
                    prop_assert!((window..next).all(|at| all_in(&sets, at).0.is_empty()));
                    window = next;
                }
                if window >= windows {
                    break;
                }
                let which = [Which::All, Which::Anywhere, Which::InFile][which];
                let (end, gathered) = gathering.gather(window, which);
                for at in window..end {
                    let (all, in_file) = all_in(&sets, at);
                    let here = || gathered.iter().filter(|value| window_of(**value) == at);
                    let names: Vec<u32> = here().map(|value| value >> 1).collect();
                    let names_in_file: Vec<u32> = here().filter(|value| *value & 1 == 1).map(|value| value >> 1).collect();
                    prop_assert!(which == Which::InFile || names == all);
                    prop_assert!(which == Which::Anywhere || names_in_file == in_file);
                }
                if are_used {
                    bits.anywhere.fill(u64::MAX);
                    bits.in_file.fill(u64::MAX);
                    bits.check.fill(u64::MAX);
                    bits.touched = None; // as after a window that was not joined
                }
                let is_any = joined.fill(Asked { window, which, checks: false }, &mut bits);
                let (all, in_file) = all_in(&sets, window);
                let (found, found_in_file) = (names_of(&*bits.anywhere, window), names_of(&*bits.in_file, window));
                if which == Which::InFile {
                    prop_assert!(found.iter().all(|name| all.contains(name)));
                    prop_assert!(in_file.iter().all(|name| found.contains(name)));
                } else {
                    prop_assert_eq!(&found, &all);
                }
                prop_assert!(which == Which::Anywhere || found_in_file == in_file);
                prop_assert!(is_any || found.is_empty());
                prop_assert!(bits.check.iter().all(|word| *word == 0));
                window += 1;
            }
        }
    }

    /// A name that many bitmaps have is looked for once, not once for each of them and each of those of the next set.
    #[test]
    fn what_is_joined_grows_no_larger_than_the_smallest_set() {
        const SETS: usize = 15;
        let every = |step: usize| (0..u32::try_from(NAMES).unwrap()).step_by(step).map(|name| name << 1 | 1);
        let mut writer = Writer::new(NAMES, 0);
        writer.push(&every(1_000).collect::<Vec<_>>(), KindSet::ALL);
        (0..4).for_each(|_| writer.push(&every(10).collect::<Vec<_>>(), KindSet::ALL));
        let (postings, windows) = (writer.finish(), NAMES.div_ceil(WINDOW));
        let of = |lists: Range<u32>| {
            let mut union = Union::default();
            lists.for_each(|list| union.add(postings.list(list)));
            union.ready(windows)
        };
        let sets = std::iter::once(of(0..1)).chain((0..SETS).map(|_| of(1..5)));
        let (mut joined, mut bits) = (Joined::new(sets.collect(), Vec::new(), true, NAMES), Bits::default());
        let mut found = 0;
        for window in 0..windows {
            joined.fill(Asked { window, which: Which::All, checks: false }, &mut bits);
            found += names_of(&*bits.in_file, window).len();
            assert!(joined.values.len() <= NAMES / 1_000);
        }
        assert_eq!(found, NAMES / 1_000);
    }
}
