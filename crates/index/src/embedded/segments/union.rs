//! The names that have any of several terms, a window at a time.
//!
//! Short lists are gathered at once; of long ones only the windows asked for are decoded, or some more where they are many.
//!
//! Invariant: windows are asked for in ascending order, until rewound.

use std::ops::Range;
use std::sync::Arc;

use super::postings::{Body, List, Map, PACKED, Packed, scatter, scatter_all, set, set_all, window_of};
use super::{STRETCH, WINDOW, WINDOW_WORDS, Window};

/// The window of what has nothing more.
const NEVER: usize = usize::MAX;
/// Long lists of which more are read some windows at a time: going to each of them in each window would take longer.
const MANY: usize = 8;
/// Windows that are read at a time at first.
const STRETCH_MIN: usize = 4;

/// The names that have any of some terms.
#[derive(Debug, Clone, Default)]
pub(super) struct Union<'a> {
    /// Shared with those that go through the same names beside this one.
    gathered: Arc<Vec<u32>>,
    /// Where the window last asked for begins in what is gathered.
    position: usize,
    cursors: Vec<Cursor<'a>>,
    /// For each cursor a window before which it has nothing more: most windows have names of few of many lists, and this is
    /// all that is looked at of the others.
    nexts: Vec<usize>,
    stretch: Stretch,
    /// The windows that are asked for now; others may be asked elsewhere.
    within: Range<usize>,
    maps: Vec<Map<'a>>,
    count: usize,
}

/// What many long lists have in some windows.
#[derive(Debug, Clone, Default)]
struct Stretch {
    windows: Range<usize>,
    anywhere: Vec<u64>,
    in_file: Vec<u64>,
}

impl<'a> Union<'a> {
    pub(super) fn add(&mut self, list: List<'a>) {
        self.count += list.count;
        match list.body {
            Body::Short(_) => {
                let gathered = Arc::make_mut(&mut self.gathered);
                list.for_each(|value| gathered.push(value));
            }
            Body::Packed(packed) => {
                self.cursors.push(Cursor::new(packed));
                self.nexts.push(0);
            }
            Body::Maps(map) => self.maps.push(map),
        }
    }

    /// Adds the values that are put into the list. Many at once: asking whether the list is shared takes longer than a value.
    pub(super) fn add_values(&mut self, put: impl FnOnce(&mut Vec<u32>)) {
        let gathered = Arc::make_mut(&mut self.gathered);
        let before = gathered.len();
        put(gathered);
        self.count += gathered.len() - before;
    }

    /// Has to be called when all is added, before anything is asked.
    pub(super) fn ready(mut self, windows: usize) -> Self {
        self.within = 0..windows;
        sort_by_window(Arc::make_mut(&mut self.gathered), windows);
        self
    }

    /// Tells that until told again only these windows are asked for, so that no others are read.
    pub(super) fn ask_within(&mut self, windows: Range<usize>) {
        self.within = windows;
    }

    /// About how many names, some of them counted more than once.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Starts over, so that the first window can be asked for again.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
        self.stretch = Stretch::default();
        self.cursors.iter_mut().for_each(Cursor::rewind);
        self.nexts.fill(0);
    }

    /// Adds a window's names to the bits, all or those that have the term in the file's own name, and tells whether there are
    /// any. Where places are not asked for, `in_file` stays as it is.
    pub(super) fn fill(
        &mut self,
        window: usize,
        which: Which,
        anywhere: &mut Window,
        in_file: &mut Window,
    ) -> bool {
        self.seek(window);
        let values = self.gathered.get(self.position..).unwrap_or_default();
        let values = values.iter().take_while(|value| window_of(**value) == window);
        let mut is_any = false;
        for value in values {
            self.position += 1;
            match which {
                Which::Anywhere => set(*value, anywhere),
                _ if which.has(*value) => scatter(*value, anywhere, in_file),
                _ => continue,
            }
            is_any = true;
        }
        is_any |= self.fill_long(window, which, anywhere, in_file);
        for map in &self.maps {
            let map = map.window(window);
            is_any |= add_words((map.anywhere, map.in_file), which, anywhere, in_file);
        }
        is_any
    }

    /// Adds what the long lists have.
    fn fill_long(
        &mut self,
        window: usize,
        which: Which,
        anywhere: &mut Window,
        in_file: &mut Window,
    ) -> bool {
        if self.cursors.len() > MANY && which != Which::InFile && !self.stretch.windows.contains(&window) {
            self.read_stretch(window);
        }
        if self.stretch.windows.contains(&window) {
            return add_words(self.stretch.words(window), which, anywhere, in_file);
        }
        let (mut is_any, windows) = (false, window..window + 1);
        for (cursor, next) in self.cursors.iter_mut().zip(&mut self.nexts) {
            if *next <= window {
                let found = match which {
                    Which::Anywhere => cursor.fill(&windows, |values| set_all(values, anywhere)),
                    Which::All => cursor.fill(&windows, |values| scatter_all(values, anywhere, in_file)),
                    Which::InFile => cursor.fill_in_file(&windows, |values| {
                        let values = values.iter().filter(|value| which.has(**value));
                        values.for_each(|value| scatter(*value, anywhere, in_file));
                    }),
                };
                is_any |= found.is_any;
                *next = found.next;
            }
        }
        is_any
    }

    /// Gives what lists have in some windows, at least those in the file's own name where only they are asked for.
    pub(super) fn read(&mut self, windows: &Range<usize>, which: Which, mut take: impl FnMut(&[u32])) {
        self.seek(windows.start);
        let values = self.gathered.get(self.position..).unwrap_or_default();
        let end = values.partition_point(|value| window_of(*value) < windows.end);
        take(&values[..end]);
        self.position += end;
        for (cursor, next) in self.cursors.iter_mut().zip(&mut self.nexts) {
            if *next < windows.end {
                let found = match which {
                    Which::InFile => cursor.fill_in_file(windows, &mut take),
                    _ => cursor.fill(windows, &mut take),
                };
                *next = found.next;
            }
        }
    }

    /// Adds those of some values whose names bitmaps have, in the file's own name where both are if that is asked; each once,
    /// however many bitmaps have it.
    pub(super) fn read_maps(&self, values: &[u32], which: Which, found: &mut Vec<u32>) {
        let start = found.len();
        match (self.maps.as_slice(), which) {
            ([], _) => {}
            ([map], Which::InFile) => return keep(values, found, |value| map.has_in_file(place_of(value))),
            ([map], _) => keep(values, found, |value| map.has(place_of(value))),
            (_, Which::InFile) => return keep(values, found, |value| self.any_map(value, Map::has_in_file)),
            _ => keep(values, found, |value| self.any_map(value, Map::has)),
        }
        if which == Which::All {
            for value in found.get_mut(start..).unwrap_or_default() {
                *value &= !1 | self.any_map(*value, Map::has_in_file);
            }
        }
    }

    /// What any bitmap tells of a value's name.
    fn any_map(&self, value: u32, bit: impl Fn(&Map<'a>, usize) -> u32) -> u32 {
        self.maps.iter().fold(0, |any, map| any | bit(map, place_of(value)))
    }

    /// Whether there is any list that is no bitmap.
    pub(super) fn has_lists(&self) -> bool {
        !self.gathered.is_empty() || !self.cursors.is_empty()
    }

    pub(super) const fn has_maps(&self) -> bool {
        !self.maps.is_empty()
    }

    /// Reads what the long lists have from a window on: where that is the next, of twice as many windows as the time before.
    fn read_stretch(&mut self, window: usize) {
        let Stretch { windows, anywhere, in_file } = &mut self.stretch;
        let goes_on = window == windows.end || window == self.within.start;
        let len = if goes_on { (windows.len() * 2).clamp(STRETCH_MIN, STRETCH) } else { STRETCH_MIN };
        *windows = window..(window + len).min(self.within.end.max(window + 1));
        let len = windows.len();
        for bits in [&mut *anywhere, in_file] {
            bits.clear();
            bits.resize(len * WINDOW_WORDS, 0);
        }
        for (cursor, next) in self.cursors.iter_mut().zip(&mut self.nexts) {
            if *next < windows.end {
                let first = windows.start * WINDOW;
                let found = cursor.fill(windows, |values| {
                    for value in values {
                        let at = ((value >> 1) as usize).wrapping_sub(first); // a damaged list may not ascend
                        if let (Some(any), Some(file)) = (anywhere.get_mut(at / 64), in_file.get_mut(at / 64))
                        {
                            *any |= 1 << (at % 64);
                            *file |= u64::from(value & 1) << (at % 64);
                        }
                    }
                });
                *next = found.next;
            }
        }
    }

    /// A window of the bitmaps, where there are no lists beside them.
    pub(super) fn as_map(&self, window: usize) -> Option<Map<'a>> {
        let [map] = self.maps.as_slice() else { return None };
        (!self.has_lists()).then(|| map.window(window))
    }

    /// The first window from this one on that may have names.
    pub(super) fn next(&mut self, window: usize) -> Option<usize> {
        /// Seeking in each of more would take longer than looking at a window in vain.
        const ASKED_MAX: usize = 16;
        if !self.maps.is_empty() {
            return Some(window);
        }
        if self.stretch.windows.contains(&window) {
            return Some(window);
        }
        self.seek(window);
        let mut first = self.gathered.get(self.position).map_or(NEVER, |value| window_of(*value));
        let are_few = self.cursors.len() <= ASKED_MAX;
        for (cursor, next) in self.cursors.iter_mut().zip(&mut self.nexts) {
            if *next < window {
                *next = if are_few { cursor.seek(window).unwrap_or(NEVER) } else { window };
            }
            first = first.min(*next);
        }
        (first != NEVER).then_some(first)
    }

    fn seek(&mut self, window: usize) {
        let rest = self.gathered.get(self.position..).unwrap_or_default();
        if rest.first().is_some_and(|value| window_of(*value) < window) {
            self.position += rest.partition_point(|value| window_of(*value) < window);
        }
    }
}

impl Stretch {
    /// The words of one of its windows.
    fn words(&self, window: usize) -> (&[u64], &[u64]) {
        let start = (window - self.windows.start) * WINDOW_WORDS;
        let words = start..start + WINDOW_WORDS;
        (self.anywhere.get(words.clone()).unwrap_or_default(), self.in_file.get(words).unwrap_or_default())
    }
}

/// Adds words that begin with a window's, of names with a term and of those with it in the file's own name, and tells whether
/// there are any.
fn add_words(
    (any, file): (&[u64], &[u64]),
    which: Which,
    anywhere: &mut Window,
    in_file: &mut Window,
) -> bool {
    let any = if which == Which::InFile { file } else { any };
    let all = anywhere.iter_mut().zip(any).fold(0, |all, (to, word)| {
        *to |= word;
        all | word
    });
    if which != Which::Anywhere {
        in_file.iter_mut().zip(file).for_each(|(to, word)| *to |= word);
    }
    all != 0
}

/// Adds those of some values for which a bit is given. Nothing is decided here on the way: what is read for one value comes while
/// the next are looked at, wherever in memory it is.
pub(super) fn keep(values: &[u32], to: &mut Vec<u32>, bit: impl Fn(u32) -> u32) {
    const ROOM: usize = 64;
    for values in values.chunks(ROOM) {
        let (mut kept, mut count) = ([0; ROOM], 0);
        for value in values {
            kept[count % ROOM] = *value;
            count += bit(*value) as usize;
        }
        to.extend_from_slice(kept.get(..count).unwrap_or_default());
    }
}

/// A value's name.
const fn place_of(value: u32) -> usize {
    (value >> 1) as usize
}

/// Puts values in the order of their windows. Within a window no order is needed, so that many are only counted.
fn sort_by_window(values: &mut Vec<u32>, windows: usize) {
    const FEW: usize = 128;
    if values.is_sorted() {
        return;
    }
    if values.len() <= FEW.max(windows / 4) {
        values.sort_unstable();
        return;
    }
    let mut ends = vec![0_usize; windows + 1];
    let slot = |value: u32| window_of(value).min(windows);
    values.iter().for_each(|value| ends[slot(*value)] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += std::mem::replace(end, sum);
    }
    let mut sorted = vec![0; values.len()];
    for value in values.drain(..) {
        let at = &mut ends[slot(value)];
        sorted[*at] = value;
        *at += 1;
    }
    *values = sorted;
}

/// A place in a packed list: of an unpacked block the first value that was not given yet.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    list: Packed<'a>,
    block: usize,
    decoded: Option<usize>,
    /// The next value of the block, and how many it has.
    at: usize,
    length: usize,
    values: [u32; PACKED],
}

impl<'a> Cursor<'a> {
    const fn new(list: Packed<'a>) -> Self {
        Self { list, block: 0, decoded: None, at: 0, length: 0, values: [0; PACKED] }
    }

    const fn rewind(&mut self) {
        (self.block, self.decoded) = (0, None);
    }

    /// The values of the block from the next on.
    fn values(&mut self) -> &[u32] {
        if self.decoded != Some(self.block) {
            self.length = self.list.decode(self.block, &mut self.values);
            self.decoded = Some(self.block);
            self.at = 0;
        }
        self.values.get(self.at..self.length).unwrap_or_default()
    }

    /// Goes to a window's first value or, if it has none, the first after it, and gives that one's window.
    fn seek(&mut self, window: usize) -> Option<usize> {
        if self.decoded != Some(self.block) {
            self.skip(window);
        }
        loop {
            let values = self.values();
            match values.first().zip(values.last()) {
                Some((first, _)) if window_of(*first) >= window => return Some(window_of(*first)),
                Some((_, last)) if window_of(*last) >= window => {
                    // A damaged block may not ascend, and is passed over all the same.
                    self.at += values.partition_point(|value| window_of(*value) < window).max(1);
                }
                _ => {
                    if self.block >= self.list.blocks() {
                        return None;
                    }
                    self.block += 1;
                    self.skip(window);
                }
            }
        }
    }

    /// Passes over blocks that end before a window, in growing steps and then by halving.
    fn skip(&mut self, window: usize) {
        let blocks = self.list.blocks();
        let is_before = |block: usize| self.list.last(block).is_some_and(|last| window_of(last) < window);
        let (mut low, mut step) = (self.block, 1);
        while low < blocks && is_before(low) {
            let mut high = (low + step).min(blocks);
            if high < blocks && is_before(high) {
                (low, step) = (high + 1, step * 2);
                continue;
            }
            low += 1;
            while low < high {
                let middle = low.midpoint(high);
                if is_before(middle) { low = middle + 1 } else { high = middle }
            }
            break;
        }
        self.block = low.min(blocks);
    }

    /// Gives what there is in some windows.
    fn fill(&mut self, windows: &Range<usize>, mut take: impl FnMut(&[u32])) -> Filled {
        if self.seek(windows.start).is_none() {
            return Filled { is_any: false, next: NEVER };
        }
        let mut is_any = false;
        loop {
            let values = self.values();
            let end = end_of(windows.end, values);
            take(&values[..end]);
            is_any |= end > 0;
            let next = values.get(end).map(|value| window_of(*value));
            self.at += end;
            if let Some(next) = next {
                return Filled { is_any, next };
            }
            if self.block >= self.list.blocks() {
                return Filled { is_any, next: NEVER };
            }
            self.block += 1;
        }
    }

    /// The same for names that have the term in the file's own name, and others beside them: blocks that have none are not decoded.
    /// Tells of those alone whether there are any.
    fn fill_in_file(&mut self, windows: &Range<usize>, mut take: impl FnMut(&[u32])) -> Filled {
        let window = windows.start;
        self.skip(window);
        let mut is_any = false;
        loop {
            let last = self.list.last(self.block);
            if let Some(last) = last.filter(|_| !self.list.may_be_in_file(self.block)) {
                if window_of(last) >= windows.end {
                    return Filled { is_any, next: windows.end };
                }
            } else {
                let values = self.values();
                let is_behind = values.first().is_some_and(|first| window_of(*first) < window);
                let from =
                    if is_behind { values.partition_point(|value| window_of(*value) < window) } else { 0 };
                let values = &values[from..];
                let end = end_of(windows.end, values);
                take(&values[..end]);
                is_any |= values[..end].iter().any(|value| Which::InFile.has(*value));
                let next = values.get(end).map(|value| window_of(*value));
                self.at += from + end;
                if let Some(next) = next {
                    return Filled { is_any, next };
                }
            }
            if self.block >= self.list.blocks() {
                return Filled { is_any, next: NEVER };
            }
            self.block += 1;
        }
    }
}

/// How many of ascending values are before a window: mostly few of many lists, or all.
fn end_of(window: usize, values: &[u32]) -> usize {
    const FEW: usize = 8;
    if values.last().is_some_and(|last| window_of(*last) < window) {
        return values.len();
    }
    let is_within = |value: &u32| window_of(*value) < window;
    let few = values.iter().take(FEW).take_while(|value| is_within(value)).count();
    if few < FEW { few } else { few + values[few..].partition_point(is_within) }
}

/// Which names of a window are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Which {
    /// Those that match, wherever; where is not asked.
    Anywhere,
    /// Those that match, wherever.
    All,
    /// Those that may match within the file's own name; those that match elsewhere may be told or not.
    InFile,
}

impl Which {
    pub(super) const fn has(self, value: u32) -> bool {
        !matches!(self, Self::InFile) || value & 1 == 1
    }
}

/// What a cursor had in a window.
struct Filled {
    is_any: bool,
    /// A window before which it has nothing more.
    next: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::postings::{KindSet, Writer};
    use super::*;

    const NAMES: usize = 1_600_000;

    /// The names of a list: how many, how far apart, and from where on every third is in a file's own name, so that many
    /// blocks have none.
    type Names = (usize, usize, usize);

    fn values((count, step, in_file_from): Names) -> Vec<u32> {
        let value = |at: usize| u32::from(at > in_file_from && at.is_multiple_of(3));
        let names = (0..count).zip((0..NAMES).step_by(step));
        names.map(|(at, name)| u32::try_from(name).unwrap() << 1 | value(at)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_window_has_the_names_of_every_list_however_it_is_come_to(
            lists in prop::collection::vec((0..4_000_usize, 1..400_usize, 0..2_000_usize), 1..3 * MANY),
            asked in prop::collection::vec((0..3_usize, any::<bool>(), 0..3_usize, 0..20_usize), 1..100),
        ) {
            let windows = NAMES.div_ceil(WINDOW);
            let none = || vec![[0; WINDOW_WORDS]; windows];
            let (mut anywhere, mut in_file, mut writer) = (none(), none(), Writer::new(NAMES, 0));
            for list in &lists {
                let values = values(*list);
                let windows = values.iter().map(|value| (window_of(*value), *value));
                windows.for_each(|(at, value)| scatter(value, &mut anywhere[at], &mut in_file[at]));
                writer.push(&values, KindSet::ALL);
            }
            let (postings, mut union, mut window) = (writer.finish(), Union::default(), 0);
            (0..).take(lists.len()).for_each(|number| union.add(postings.list(number)));
            let mut union = union.ready(windows);
            for (gap, asks_next, which, within) in asked {
                window += gap;
                if within > 0 {
                    union.ask_within(window..window + within);
                }
                if asks_next {
                    let next = union.next(window).unwrap_or(windows);
                    prop_assert!((window..next.min(windows)).all(|at| anywhere[at] == [0; WINDOW_WORDS]));
                    window = next;
                }
                if window >= windows {
                    break;
                }
                let which = [Which::All, Which::Anywhere, Which::InFile][which];
                let (mut any, mut file) = ([0; WINDOW_WORDS], [0; WINDOW_WORDS]);
                let is_any = union.fill(window, which, &mut any, &mut file);
                let wanted = if which == Which::InFile { &in_file[window] } else { &anywhere[window] };
                prop_assert!(which == Which::InFile || any == *wanted);
                prop_assert!(which == Which::Anywhere || file == in_file[window]);
                prop_assert!(any.iter().zip(wanted).all(|(any, wanted)| wanted & !any == 0));
                prop_assert!(any.iter().zip(&anywhere[window]).all(|(any, all)| any & !all == 0));
                prop_assert!(is_any || *wanted == [0; WINDOW_WORDS]);
                window += 1;
            }
        }
    }
}
