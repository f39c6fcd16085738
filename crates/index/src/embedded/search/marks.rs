//! Counting by the marks of segments: most names that match need not be looked at to be counted.
//!
//! Invariant: what is counted is what looking at every candidate would count.

use std::hint::black_box;

use super::super::arena::NameKey;
use super::super::segments::{BLOCK, Bits, Segment, UseMarks, WINDOW, Which, Window, ones};
use super::mask::{BlockMask, Mask};
use super::walk::Part;
use super::{READ_ELSE, READ_MAX, READ_PLAIN, Sort, Tally, limits};

/// Words of a window's bits.
const WORDS: usize = WINDOW / 64;

/// Contents that are made room for when there is no more.
const SEEN_MORE: usize = 3_000;
/// Words with names of contents of several that wait to be counted, at most, and what comes with a window. They are soon gone through,
/// so many wait.
const WORDS_WAITING: usize = 4_096;
/// The same where each name waits by itself.
pub(super) const NAMES_WAITING: usize = 20_000;
/// Such names that are counted together.
const COUNTED_TOGETHER: usize = 4_096;

/// What marks tell of a window's candidates, of those words that have any: of the others what they told before.
pub(super) struct Told {
    /// They match, and were counted if counting goes on.
    sure: Window,
    /// Their contents are of a size that is asked for, where one is.
    of_size: Window,
}

impl Default for Told {
    fn default() -> Self {
        Self { sure: [0; WORDS], of_size: [0; WORDS] }
    }
}

impl<'a> Tally<'a> {
    /// Whether what is counted can be told by a segment's marks alone.
    pub(super) fn counts_by_marks(&self) -> bool {
        // While a segment takes the place of others a name may be in two.
        let is_settled = !self.search.state.text.is_replacing;
        self.search.sort == Sort::Rank && self.search.filter.asks_marks_only() && is_settled
    }

    /// Counts by the marks of a segment, and looks only at those names that may be among the best or must be looked at to
    /// be counted.
    pub(super) fn look_by_marks(
        &mut self,
        part: &Part<'a>,
        segment: &Segment,
        asked: (usize, Which, bool),
        mask: &Mask<'_>,
        bits: &mut Bits,
    ) {
        let mut told = self.told.take().unwrap_or_default();
        self.look_as_told(part, segment, asked, mask, (bits, &mut told));
        self.told = Some(told);
    }

    fn look_as_told(
        &mut self,
        part: &Part<'a>,
        segment: &Segment,
        (window, which, counts): (usize, Which, bool),
        mask: &Mask<'_>,
        (bits, told): (&mut Bits, &mut Told),
    ) {
        let asks_for_size = self.search.filter.sizes().is_some();
        if !counts {
            bits.keep_words(mask.words(&part.plan));
        }
        self.tell_by_marks(part, segment, (window, counts), bits, told);
        if counts && !bits.is_sure {
            self.warm_unsure(part, window, told, bits);
        }
        let block_of = |word: usize| window * (WINDOW / BLOCK) + word / (BLOCK / 64);
        // Where places were not asked for, nothing is among the best.
        let is_out = which == Which::Anywhere;
        if is_out && bits.is_sure && !asks_for_size {
            return; // all of them are counted
        }
        if counts && bits.is_sure && !asks_for_size {
            bits.keep_words(mask.words(&part.plan)); // the others are counted
        }
        // A block of words at a time: the worst of the page gets better, so that more and more can be left out.
        let (mut of_block, mut warm) = (None, 0);
        for word in bits.words() {
            let block = block_of(word);
            if !is_out && word >= warm {
                let bar = self.bar();
                let of_word = |word| BlockMask::of_block(segment, bar, block_of(word)).of(part, word, bits);
                warm = self.warm(part, (window, word), bits, of_word);
            }
            let mask = match of_block {
                Some((at, mask)) if at == block => mask,
                _ if is_out => BlockMask::NONE,
                _ => BlockMask::of_block(segment, self.bar(), block),
            };
            of_block = Some((block, mask));
            let looked_at = mask.of(part, word, bits) & bits.anywhere[word];
            let uncounted = if counts { bits.anywhere[word] & !told.sure[word] & !looked_at } else { 0 };
            let by_name = if asks_for_size { uncounted & told.of_size[word] } else { uncounted };
            // Where places were not asked for these are told wrongly, which is nothing to what can't be on the page anyhow.
            let looked_at = looked_at | uncounted & !by_name;
            if looked_at | by_name == 0 {
                continue;
            }
            if !self.may_go_on() {
                return;
            }
            if looked_at != 0 {
                self.look_at_word(part, (window, word), looked_at, told.sure[word], bits);
            }
            if by_name != 0 {
                self.count_by_name(part, segment, (window, word), by_name);
            }
        }
    }

    /// Leaves what the marks of a segment let through, and counts what they are sure of where `counts`.
    fn tell_by_marks(
        &mut self,
        part: &Part<'a>,
        segment: &Segment,
        (window, counts): (usize, bool),
        bits: &mut Bits,
        told: &mut Told,
    ) {
        let sizes = self.search.filter.sizes();
        if counts && bits.is_sure && sizes.is_none() {
            return self.count_used(part, segment, window, bits, told);
        }
        // All at once, so that they come at the same time.
        let marks = bits.words().filter_map(|word| segment.uses(window * WORDS + word));
        black_box(marks.fold(0, |all, marks| all ^ marks.used()));
        if sizes.is_some() {
            let marks = bits.words().filter_map(|word| segment.sizes(window * WORDS + word));
            black_box(marks.fold(0, |all, marks| all ^ marks.any()));
        }
        for word in bits.words() {
            let at = window * WORDS + word;
            (told.sure[word], told.of_size[word]) = (0, 0);
            let Some(marks) = segment.uses(at) else { continue };
            let mut sure = marks.used();
            bits.anywhere[word] &= sure;
            if bits.anywhere[word] == 0 {
                continue;
            }
            if let (Some(sizes), Some(marks)) = (&sizes, segment.sizes(at)) {
                let (possible, is_sure) = marks.of(sizes);
                bits.anywhere[word] &= possible;
                told.of_size[word] = is_sure;
                sure &= is_sure;
            }
            told.sure[word] = bits.anywhere[word] & sure & !bits.check[word];
            if counts && told.sure[word] != 0 {
                self.count(part, (window, word), told.sure[word], marks.sole());
            }
        }
        // Where names have to be read, to have counted enough soon is worth more.
        if !bits.is_sure {
            self.count_waiting();
        }
        self.count_much(WORDS_WAITING);
    }

    /// As [`Tally::tell_by_marks`], where only whether names are used has to be told of them, to count them.
    fn count_used(
        &mut self,
        part: &Part<'a>,
        segment: &Segment,
        window: usize,
        bits: &mut Bits,
        told: &mut Told,
    ) {
        let contents = part.contents.get(window * WINDOW..).unwrap_or_default();
        let mut total = 0;
        for word in bits.words() {
            let (used, sole) =
                segment.uses(window * WORDS + word).map_or((0, 0), |marks| (marks.used(), marks.sole()));
            let names = bits.anywhere[word] & used;
            (bits.anywhere[word], told.sure[word]) = (names, names);
            total += (names & sole).count_ones();
            if names & !sole != 0 {
                self.waiting.push((contents.get(word * 64..).unwrap_or_default(), names & !sole));
            }
        }
        self.total += u64::from(total);
        self.count_much(WORDS_WAITING);
    }

    /// Counts what waits for it where that is more than so much.
    pub(super) fn count_much(&mut self, most: usize) {
        if self.waiting.len() > most {
            self.count_waiting();
        }
    }

    /// Reads the names of those that must be read to be counted, the first of them where they are many, so that they come at the
    /// same time.
    fn warm_unsure(&self, part: &Part<'a>, window: usize, told: &Told, bits: &Bits) {
        let unsure =
            bits.words().map(|word| (word, bits.anywhere[word] & bits.check[word] & !told.sure[word]));
        let at =
            unsure.flat_map(|(word, unsure)| ones(unsure).map(move |bit| window * WINDOW + word * 64 + bit));
        let names = at.filter_map(|at| part.names.get(at)).map(|name| NameKey::from(*name));
        let cost = if self.asks_for_neighbours { READ_PLAIN } else { READ_ELSE };
        let budget = self.read_max().saturating_sub(self.spent.read).min(READ_MAX);
        let names = names.take(budget / cost);
        self.search.state.warm_names(&names.collect::<Vec<_>>());
    }

    /// Counts names of a word that match for sure: the contents that go by no other name. The others wait for
    /// [`Tally::count_waiting`]: mostly enough is counted without them, and each has to be looked for among those that were.
    pub(super) fn count(&mut self, part: &Part<'a>, (window, word): (usize, usize), sure: u64, sole: u64) {
        self.total += u64::from((sure & sole).count_ones());
        if sure & !sole != 0 {
            let contents = part.contents.get(window * WINDOW + word * 64..).unwrap_or_default();
            self.waiting.push((contents, sure & !sole));
        }
    }

    /// Counts the contents that wait for it, once each, until there are enough.
    pub(super) fn count_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for (contents, names) in waiting.drain(..) {
            self.of_several.extend(ones(names).filter_map(|bit| contents.get(bit)));
            if self.of_several.len() > COUNTED_TOGETHER {
                self.count_of_several();
                if self.total > limits::TOTAL_EXACT_MAX {
                    break;
                }
            }
        }
        self.count_of_several();
        self.waiting = waiting; // empty, with its memory
    }

    fn count_of_several(&mut self) {
        let Self { of_several, seen, total, .. } = self;
        of_several.dedup(); // the names of a content mostly stand side by side
        // No more of them are counted.
        let wanted =
            usize::try_from((limits::TOTAL_EXACT_MAX + 1).saturating_sub(*total)).unwrap_or(usize::MAX);
        let most = of_several.len().min(wanted);
        if seen.capacity() - seen.len() < most {
            seen.reserve(SEEN_MORE.max(most)); // in few and large steps: each puts all in other places
        }
        for content in of_several.drain(..) {
            if *total > limits::TOTAL_EXACT_MAX {
                break;
            }
            *total += u64::from(seen.insert(content.into()));
        }
    }

    /// Counts those of some names that match, of which all else is known.
    fn count_by_name(
        &mut self,
        part: &Part<'a>,
        segment: &Segment,
        (window, word): (usize, usize),
        names: u64,
    ) {
        let first = window * WINDOW + word * 64;
        let mut matching = 0;
        for bit in ones(names) {
            let place = part.names.get(first + bit).and_then(|name| self.place_of(NameKey::from(*name)));
            matching |= u64::from(place.is_some()) << bit;
        }
        let sole = segment.uses(window * WORDS + word).map_or(0, UseMarks::sole);
        self.count(part, (window, word), matching, sole);
        self.count_waiting();
    }
}
