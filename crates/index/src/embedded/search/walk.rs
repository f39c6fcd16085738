//! The way through the text index: some windows of a part at a time, those with the most shared contents first.
//!
//! A search that has much before it is helped by a second thread, where there is a core that no search uses ([`Cores`](super::Cores)):
//! both take some windows at a time from the same list, and what they found is put together.
//!
//! Invariant: what two find is what one would find, but where a budget ends. Each keeps the best of what it looked at, but for
//! what stands behind the other's whole page, and the best of all are among them; a content that both met has the same standing
//! with either, and is counted once.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::super::segments::{Bits, Memtable, Plan, STRETCH, Segment, Which};
use super::cores::Helper;
use super::mask::{Bar, Mask, most_of};
use super::{Place, Spent, Standing, Tally, WINDOW, WINDOWS_MAX, limits};

/// The first windows of the largest part are a step each, since they have most of the page; other steps have [`STRETCH`].
const FIRST_STEPS: usize = 4;
/// Windows that one thread has about looked into by the time that another is awake, and the steps that have them.
const SOON_WINDOWS: usize = 16;
const STEPS_ALONE: usize = FIRST_STEPS + 1;
/// Windows that may be left after that, once enough is counted: of most of them only what matches in files' own names is of
/// interest, so that they take about as long as waking another thread may.
const LEFT_ALONE: usize = 128;
/// Help is worth its start where at least this part of a full memtable's names have to be gone through, a thousand.
const WORTH_PART: usize = 32;

/// A part of the text index as one query sees it.
#[derive(Clone)]
pub(super) struct Part<'a> {
    pub(super) names: &'a [u32],
    pub(super) contents: &'a [u32],
    pub(super) of: Of<'a>,
    pub(super) plan: Plan<'a>,
}

/// What a part is.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    Segment(&'a Segment),
    Memtable(&'a Memtable),
}

impl Part<'_> {
    /// The class that no name of some windows goes beyond.
    fn class(&self, windows: &Range<usize>) -> u8 {
        match self.of {
            Of::Segment(segment) => {
                windows.clone().map(|window| segment.window_class(window)).max().unwrap_or(0)
            }
            Of::Memtable(_) => u8::MAX,
        }
    }

    /// The first of some windows that may have something before the page's last, or their end; all may where names in a file's own
    /// name stand before it however few have them.
    fn next_above(&self, bar: Option<Bar>, windows: Range<usize>) -> usize {
        match (bar, self.of) {
            (Some(bar), Of::Segment(segment)) if bar.place == Place::File => {
                let is_below = |window: &usize| most_of(segment.window_class(*window)) < bar.live;
                windows.start + windows.take_while(is_below).count()
            }
            _ => windows.start,
        }
    }
}

/// Windows of parts by their places, to be taken some at a time.
struct Steps {
    all: Vec<(usize, Range<usize>)>,
    next: AtomicUsize,
}

/// What two know together: each adds to it after each window, and goes on by what it says.
#[derive(Default)]
struct Known {
    /// What is counted at least.
    total: u64,
    spent: Spent,
    /// What stands behind this can't be on the page, since one of them has a full one before it.
    worst: Option<Standing>,
}

type Shared = Mutex<Known>;

impl Steps {
    /// Those with the most shared contents first, and in a part from the front on: what came to be shared more since the part was
    /// made waits for what stands before it.
    fn of(parts: &[Part<'_>]) -> Self {
        let steps = |(at, part): (usize, &Part<'_>)| {
            let windows = part.plan.windows();
            let firsts = if at == 0 { FIRST_STEPS.min(windows) } else { 0 };
            let others = (firsts..windows).step_by(STRETCH);
            let others = others.map(move |window| window..(window + STRETCH).min(windows));
            let steps = (0..firsts).map(|window| window..window + 1).chain(others);
            let mut least = u8::MAX;
            let ranked = steps.map(|windows| {
                least = least.min(part.class(&windows));
                (Reverse(least), (at, windows))
            });
            ranked.collect::<Vec<_>>()
        };
        let mut ranked: Vec<_> = parts.iter().enumerate().flat_map(steps).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let all = ranked.into_iter().map(|(_, step)| step).collect();
        Self { all, next: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<(usize, Range<usize>)> {
        self.all.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    /// The steps that nobody has taken yet.
    fn left(&self) -> &[(usize, Range<usize>)] {
        self.all.get(self.next.load(Ordering::Relaxed)..).unwrap_or_default()
    }
}

impl<'a> Tally<'a> {
    pub(super) fn look_through_the_text(&mut self) {
        let mut pieces = self.pieces();
        let (steps, mut bits) = (Steps::of(&pieces), Bits::default());
        if self.ends_soon(&pieces) {
            for (at, windows) in std::iter::from_fn(|| steps.take()).take(STEPS_ALONE) {
                self.look_through(&mut pieces[at], windows, &mut bits, None);
            }
            self.is_short = self.is_nearly_over(&pieces, &steps);
        }
        let may_help = !self.is_short && self.is_long(&pieces, &steps);
        let helper = may_help.then(|| self.search.state.cores.try_enter()).flatten();
        match helper {
            Some(helper) => self.look_beside(&helper, &mut pieces, &steps),
            None => self.look_alone(&mut pieces, &steps, &mut bits),
        }
    }

    /// Whether few windows are left that may have anything that matters.
    fn is_nearly_over(&mut self, pieces: &[Part<'a>], steps: &Steps) -> bool {
        if self.is_counting() {
            self.count_waiting();
        }
        if self.is_counting() {
            return steps.left().is_empty();
        }
        // Steps are in the order of their classes.
        let may_find = |(at, windows): &&(usize, Range<usize>)| {
            pieces[*at].next_above(self.bar(), windows.clone()) < windows.end
        };
        let left: usize = steps.left().iter().take_while(may_find).map(|(_, windows)| windows.len()).sum();
        left <= LEFT_ALONE
    }

    fn look_alone(&mut self, pieces: &mut [Part<'a>], steps: &Steps, bits: &mut Bits) {
        let mut news = self.news();
        // New names come first where the search is likely to be cut short, so that it has them.
        let windows: usize = pieces.iter().chain(&news).map(|part| part.plan.windows()).sum();
        let is_quick = self.counts_by_marks()
            && pieces.iter().chain(&news).all(|part| part.plan.is_sure())
            && windows < WINDOWS_MAX;
        if !is_quick {
            self.look_through_all(&mut news, bits);
        }
        self.take_steps(pieces, steps, bits, None);
        if is_quick {
            // They are found in any case: a budget that ended was for the others.
            self.spent = Spent::default();
            self.look_through_all(&mut news, bits);
        }
    }

    /// Takes steps in this thread and in another. That looks through the new names first; where it comes late, this one does in
    /// the end.
    fn look_beside(&mut self, helper: &Helper<'_>, pieces: &mut [Part<'a>], steps: &Steps) {
        let (shared, has_news, mut theirs) = (Shared::default(), AtomicBool::new(true), pieces.to_vec());
        let mut beside = Self::new(self.search, self.query, self.rest);
        let own = || {
            let mut bits = Bits::default();
            self.share(&shared, 0, Spent::default());
            self.take_steps(pieces, steps, &mut bits, Some(&shared));
            if has_news.swap(false, Ordering::Relaxed) {
                self.spent = Spent::default(); // they are found in any case
                self.look_through_all(&mut self.news(), &mut bits);
            }
        };
        let help = || {
            let mut bits = Bits::default();
            if has_news.swap(false, Ordering::Relaxed) {
                let mut news = beside.news();
                beside.look_through_all(&mut news, &mut bits);
                if news.iter().chain(&theirs).all(|part| part.plan.is_sure()) {
                    beside.spent = Spent::default();
                }
            }
            beside.share(&shared, 0, Spent::default());
            beside.take_steps(&mut theirs, steps, &mut bits, Some(&shared));
        };
        helper.work_beside(own, help);
        self.add(beside);
    }

    /// The segments, the largest first: so they are gone through where their contents are shared alike.
    fn pieces(&self) -> Vec<Part<'a>> {
        let (text, kind) = (&self.search.state.text, self.search.filter.one_kind());
        let segments = text.segments.iter().map(|held| held.segment.as_ref()).filter_map(|segment| {
            let plan = segment.plan(self.query, kind)?;
            let (names, contents) = (segment.names(), segment.contents());
            Some(Part { names, contents, of: Of::Segment(segment), plan })
        });
        let mut pieces: Vec<_> = segments.collect();
        pieces.sort_by_key(|part| Reverse(part.names.len()));
        pieces
    }

    /// New names.
    fn news(&self) -> Vec<Part<'a>> {
        let (text, kind) = (&self.search.state.text, self.search.filter.one_kind());
        let memtables = text.memtables().filter_map(|memtable| {
            let plan = memtable.plan(self.query, kind)?;
            let (names, contents) = (memtable.names(), memtable.contents());
            Some(Part { names, contents, of: Of::Memtable(memtable), plan })
        });
        memtables.collect()
    }

    /// Whether help is worth it, and changes no answer: where every match is looked at, two could spend what there is to spend
    /// before they know of each other that enough is counted.
    fn is_long(&self, pieces: &[Part<'a>], steps: &Steps) -> bool {
        let names = pieces.iter().map(|part| part.plan.count()).fold(0, usize::saturating_add);
        let is_sure = self.asks_for_neighbours || pieces.iter().all(|part| part.plan.is_sure());
        let is_large = names > self.search.state.memtable_names / WORTH_PART;
        steps.all.len() > FIRST_STEPS + 1 && is_large && is_sure && self.counts_by_marks()
    }

    /// Whether so many names match that the first windows are likely to have as many as are counted: help would come when the
    /// search is over, unless those are all in folders' names.
    fn ends_soon(&self, pieces: &[Part<'a>]) -> bool {
        let matching = pieces.iter().map(|part| part.plan.count()).fold(0, usize::saturating_add);
        let all: usize = pieces.iter().map(|part| part.names.len()).sum();
        let wanted = all.saturating_mul(usize::try_from(limits::TOTAL_EXACT_MAX).unwrap_or(usize::MAX));
        self.counts_by_marks()
            && self.search.filter.sizes().is_none()
            && pieces.iter().all(|part| part.plan.is_one_set())
            && matching.saturating_mul(SOON_WINDOWS * WINDOW) > wanted
    }

    fn take_steps(
        &mut self,
        pieces: &mut [Part<'a>],
        steps: &Steps,
        bits: &mut Bits,
        shared: Option<&Shared>,
    ) {
        while let Some((at, windows)) = steps.take() {
            self.look_through(&mut pieces[at], windows, bits, shared);
        }
        if self.is_counting() {
            self.count_waiting();
        }
    }

    fn look_through_all(&mut self, parts: &mut [Part<'a>], bits: &mut Bits) {
        parts.iter_mut().for_each(|part| self.look_through(part, 0..usize::MAX, bits, None));
    }

    /// Contents that nobody else can have counted: those of one name.
    fn total_alone(&self) -> u64 {
        self.total - self.seen.len() as u64
    }

    fn look_through(
        &mut self,
        part: &mut Part<'a>,
        windows: Range<usize>,
        bits: &mut Bits,
        shared: Option<&Shared>,
    ) {
        part.plan.ask_within(&windows);
        let gathers = self.gathers(part);
        let mut window = windows.start;
        loop {
            if !self.is_counting() {
                // Most windows are passed over here, before their lists are read.
                window = part.next_above(self.bar(), window..windows.end);
            }
            let next = part.plan.next(window).filter(|next| *next < windows.end);
            let Some(next) = next.filter(|_| self.may_go_on()) else { return };
            let (total, spent) = (self.total_alone(), self.spent);
            let is_any;
            (window, is_any) = match gathers {
                Some(segment) => self.look_at_gathered(part, segment, next..windows.end),
                None => (next + 1, self.look_into(part, next, bits)),
            };
            if let Some(shared) = shared.filter(|_| is_any) {
                self.share(shared, total, spent);
            }
        }
    }

    /// Tells what was found and spent since there was so much of it, and hears what the other knows.
    fn share(&mut self, shared: &Shared, total: u64, spent: Spent) {
        let mut known = shared.lock();
        known.total += self.total_alone() - total;
        known.spent.add(self.spent, spent);
        if let Some(worst) =
            self.worst().filter(|worst| known.worst.as_ref().is_none_or(|other| *worst < other))
        {
            known.worst = Some(worst.clone());
        }
        (self.total_of_all, self.spent) = (known.total, known.spent);
        self.worst_of_all.clone_from(&known.worst);
    }

    /// Looks into one window, and tells whether anything in it matches.
    fn look_into(&mut self, part: &mut Part<'a>, window: usize, bits: &mut Bits) -> bool {
        // What is counted is looked for everywhere.
        let (mask, counts) = (Mask::of(part, self.bar(), window), self.is_counting());
        let by_marks = match part.of {
            Of::Segment(segment) => Some(segment).filter(|_| self.counts_by_marks()),
            Of::Memtable(_) => None,
        };
        let which = match (counts, by_marks) {
            (true, Some(_)) if mask.is_empty() => Which::Anywhere,
            (false, _) if mask.is_empty() => return false,
            (false, _) if !mask.has_folders() => Which::InFile,
            _ => Which::All,
        };
        if !part.plan.fill(window, which, bits, self.scratch.get_or_insert_default()) {
            return false;
        }
        self.spent.windows += 1;
        match by_marks {
            Some(segment) => self.look_by_marks(part, segment, (window, which, counts), &mask, bits),
            None => self.look_at_all(part, (window, Some(&mask).filter(|_| !counts)), bits),
        }
        true
    }

    /// Adds what was found beside this one.
    fn add(&mut self, beside: Self) {
        self.worst_of_all = None; // what stands there is one of those that come now
        self.total += beside.total_alone();
        if self.total <= limits::TOTAL_EXACT_MAX {
            self.seen.reserve(beside.seen.len());
            for content in beside.seen {
                self.total += u64::from(self.seen.insert(content));
            }
        }
        self.is_exact &= beside.is_exact;
        beside.best.into_iter().for_each(|(standing, content)| self.enter(standing, content));
    }
}
