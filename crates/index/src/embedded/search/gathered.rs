//! Names that have several words, of which few of a window's have all: they are gathered of some windows at a time, then counted and
//! looked at one by one. Going through each window's bits would take longer than all of them.
//!
//! Invariant: what is found and counted is what going through the bits of the windows would find and count, but where a budget ends.

use std::hint::black_box;
use std::ops::Range;

use super::super::arena::{ContentKey, NameKey};
use super::super::segments::{BLOCK, STRETCH, Segment, WINDOW, Which};
use super::marks::NAMES_WAITING;
use super::mask::{BlockMask, Mask};
use super::walk::{Of, Part};
use super::{Place, Tally};

/// Names looked at together: so many keep memory busy, and the worst of the page gets better between them.
const TOGETHER: usize = 128;

impl<'a> Tally<'a> {
    /// The segment, where a part's names are better gathered: all else that is asked of them its marks tell.
    pub(super) fn gathers(&self, part: &Part<'a>) -> Option<&'a Segment> {
        match part.of {
            Of::Segment(segment) if part.plan.is_gathered() => {
                Some(segment).filter(|_| self.counts_by_marks() && self.search.filter.sizes().is_none())
            }
            _ => None,
        }
    }

    /// Looks at the names of some windows from the first on, as many as are gathered at once. Gives the next window, and whether
    /// there were any.
    pub(super) fn look_at_gathered(
        &mut self,
        part: &mut Part<'a>,
        segment: &'a Segment,
        windows: Range<usize>,
    ) -> (usize, bool) {
        let windows = windows.start..windows.end.min(windows.start + STRETCH); // no more are gathered at once
        let counts = self.is_counting();
        let (asked, has_folders) = self.asked_of(part, windows.clone());
        let which = match (counts, asked) {
            (false, 0) => return (windows.end, false),
            (true, 0) => Which::Anywhere,
            (false, _) if !has_folders => Which::InFile,
            _ => Which::All,
        };
        let is_asked = |window: usize| counts || asked >> (window - windows.start) & 1 == 1;
        let Part { plan, names, .. } = part;
        let (end, values) = plan.gather(windows.start, which);
        // A damaged segment may tell of names that there are not.
        let is_here = |value: &u32| ordinal_of(*value) < names.len() && is_asked(window_of(*value));
        let mut values: Vec<u32> = values.iter().copied().filter(is_here).collect();
        let mut before = None;
        for values in values.chunks_mut(TOGETHER) {
            if !self.may_go_on() {
                break;
            }
            for value in values.iter() {
                self.spent.windows +=
                    usize::from(before.replace(window_of(*value)) != Some(window_of(*value)));
            }
            self.look_together(part, segment, values, (which, counts));
        }
        (end, before.is_some())
    }

    /// Which of some windows may have something before the page's last, a bit each from the first on, and whether any may where it
    /// matches in folders' names.
    fn asked_of(&self, part: &Part<'a>, windows: Range<usize>) -> (u64, bool) {
        let bar = self.bar();
        let (mut asked, mut has_folders) = (0, false);
        for (bit, window) in windows.enumerate() {
            let mask = Mask::of(part, bar, window);
            asked |= u64::from(!mask.is_empty()) << bit;
            has_folders |= mask.has_folders();
        }
        (asked, has_folders)
    }

    /// Counts some names, and looks at those that may be among the best.
    fn look_together(
        &mut self,
        part: &Part<'a>,
        segment: &'a Segment,
        values: &mut [u32],
        (which, counts): (Which, bool),
    ) {
        let marks = |value: u32| segment.uses(ordinal_of(value) / 64);
        // All at once, so that they come at the same time.
        black_box(values.iter().filter_map(|value| marks(*value)).fold(0, |all, marks| all ^ marks.used()));
        let bar = self.bar();
        let mut block = (usize::MAX, BlockMask::NONE);
        self.near.clear();
        let mut kept = 0;
        for at in 0..values.len() {
            let value = values[at];
            let (ordinal, bit) = (ordinal_of(value), 1 << (ordinal_of(value) % 64));
            let Some(marks) = marks(value).filter(|marks| marks.used() & bit != 0) else { continue };
            if counts {
                self.count(part, (ordinal / WINDOW, ordinal % WINDOW / 64), bit, marks.sole());
            }
            if which == Which::Anywhere {
                continue; // nothing of this is among the best
            }
            if block.0 != ordinal / BLOCK {
                block = (ordinal / BLOCK, BlockMask::of_block(segment, bar, ordinal / BLOCK));
            }
            if block.1.has(place_of(value)) {
                self.near.push(ordinal);
                values[kept] = value;
                kept += 1;
            }
        }
        self.count_much(NAMES_WAITING);
        self.warm_near(part);
        for value in &values[..kept] {
            let (ordinal, place) = (ordinal_of(*value), place_of(*value));
            // The worst of the page may be better by now.
            if BlockMask::of_block(segment, self.bar(), ordinal / BLOCK).has(place) {
                self.look_at_one(part, ordinal, (place, false, true));
            }
        }
    }

    /// Looks at a part's name, where somebody has its content.
    pub(super) fn look_at_one(&mut self, part: &Part<'a>, ordinal: usize, how: (Place, bool, bool)) {
        let (Some(content_key), Some(name)) = (part.contents.get(ordinal), part.names.get(ordinal)) else {
            return;
        };
        let content_key = ContentKey::from(*content_key);
        let content = self.search.state.contents.get(content_key).filter(|content| content.live() > 0);
        if let Some(content) = content {
            self.look_at(NameKey::from(*name), (content_key, content), how);
        }
    }
}

/// A value's name by its place in the part.
const fn ordinal_of(value: u32) -> usize {
    (value >> 1) as usize
}

const fn window_of(value: u32) -> usize {
    ordinal_of(value) / WINDOW
}

/// Where it matches, where that was asked for.
const fn place_of(value: u32) -> Place {
    if value & 1 == 1 { Place::File } else { Place::Folder }
}
