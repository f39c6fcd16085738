//! A query as one piece understands it: sets of terms, and from them the bits of a window.
//!
//! Each run gives names that match and those of them that match in the file's own name. A run of several terms gives
//! names that have them all and whose signatures say that they may stand side by side, to be checked, but for a glued pair
//! (`mp3`), whose names are known. Bits that are not to be
//! checked are exact, and joining runs keeps that so.
//!
//! Invariant: the names found, less those that `Query::find` refuses of the ones to be checked, are those it finds.

use std::ops::Range;

use peerage_wire::Kind;

use super::bits::{Asked, Bits, WordSet, common_file_words};
use super::dictionary::PAIR;
use super::joined::Joined;
use super::members::OfKind;
use super::neighbours::{self, Signature, Signatures};
use super::postings::Map;
use super::union::{Union, Which};
use super::{WINDOW, WINDOW_WORDS, Window};
use crate::query::{Pattern, Query, Run};

/// What a plan is made from.
pub(super) trait Words {
    /// How many names there are.
    fn names(&self) -> usize;
    /// The names of a kind.
    fn of_kind(&self, kind: Kind) -> OfKind<'_>;
    /// The names that have a term that fits, where a kind is given at least those of that kind; `None` where finding them
    /// takes longer than looking at the names.
    fn fitting(&self, pattern: &Pattern, is_alone: bool, kind: Option<Kind>) -> Option<Union<'_>>;
    /// What terms stand side by side in each name.
    fn signatures(&self) -> Signatures<'_>;
    /// The names that have a glued pair, or one that begins so.
    fn with_pair(&self, pair: &str, open_end: bool) -> Union<'_>;
}

/// A query, ready to be asked of one piece.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Plan<'a> {
    names: usize,
    kind: Option<OfKind<'a>>,
    /// About how many names have to be gone through.
    count: usize,
    /// All must match, of each any.
    clauses: Vec<Vec<RunPlan<'a>>>,
    /// The clauses' sets in place of them, where they are better joined.
    joined: Option<Joined<'a>>,
    /// None may match.
    without: Vec<RunPlan<'a>>,
    /// No name has to be checked.
    is_sure: bool,
    /// Which names match can be told without where they do.
    is_simple: bool,
    /// The bitmaps that the last window was asked of: which names have their words in the file's own name is not asked before it
    /// has to be known ([`Plan::in_file`]).
    maps: Vec<Map<'a>>,
}

/// What a plan puts together on the way; one for all plans of a thread.
#[derive(Debug)]
pub(in crate::embedded) struct Scratch {
    clause: Bits,
    run: Bits,
    set: Bits,
    /// No bit says that a name must be checked.
    is_sure: bool,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { clause: Bits::default(), run: Bits::default(), set: Bits::default(), is_sure: true }
    }
}

impl Scratch {
    /// Leaves nothing that a plan would take for its own.
    fn turn_to(&mut self, is_sure: bool) {
        if is_sure && !self.is_sure {
            [&mut self.clause, &mut self.run, &mut self.set].into_iter().for_each(|bits| bits.check.fill(0));
        }
        self.is_sure = is_sure;
    }
}

#[derive(Debug, Clone)]
struct RunPlan<'a> {
    /// A name must have a term of each.
    sets: Vec<Union<'a>>,
    /// And these bits in its signature.
    pairs: Signature,
    signatures: Signatures<'a>,
    certainty: Certainty<'a>,
}

#[derive(Debug, Clone)]
enum Certainty<'a> {
    /// Names that have the terms match.
    Sure,
    /// They may not have them side by side.
    Unsure,
    /// These have.
    SureOf(Union<'a>),
}

impl<'a> Plan<'a> {
    /// `None` where nothing can match.
    pub(super) fn new(words: &'a impl Words, query: &Query, kind: Option<Kind>) -> Option<Self> {
        let names = words.names();
        if names == 0 {
            return None;
        }
        let mut clauses = Vec::with_capacity(query.clauses().len());
        for runs in query.clauses() {
            let runs: Vec<_> = runs.iter().filter_map(|run| RunPlan::new(words, run, kind)).collect();
            if runs.is_empty() {
                return None;
            }
            clauses.push(runs);
        }
        clauses.sort_by_cached_key(count_of);
        let without = query.without().iter().filter_map(|run| RunPlan::new(words, run, kind)).collect();
        let kind = kind.map(|kind| words.of_kind(kind));
        let runs = || clauses.iter().chain([&without]).flatten();
        let is_sure = runs().all(|run| matches!(run.certainty, Certainty::Sure));
        let is_simple = clauses.iter().all(|runs| runs.len() == 1)
            && runs().all(|run| !matches!(run.certainty, Certainty::SureOf(_)));
        let count = clauses.first().map_or(names, count_of);
        let joined = join(&mut clauses, names);
        let maps = Vec::new();
        Some(Self { names, kind, count, clauses, joined, without, is_sure, is_simple, maps })
    }

    /// How many windows the piece has.
    pub(in crate::embedded) const fn windows(&self) -> usize {
        self.names.div_ceil(WINDOW)
    }

    /// About how many names the shortest of the lists has that have to be gone through.
    pub(in crate::embedded) const fn count(&self) -> usize {
        self.count
    }

    /// Whether no name has to be checked.
    pub(in crate::embedded) const fn is_sure(&self) -> bool {
        self.is_sure
    }

    /// Whether what is looked for are the names that have any of some terms, all of them and no others.
    pub(in crate::embedded) fn is_one_set(&self) -> bool {
        let is_one = match self.clauses.as_slice() {
            [runs] => runs.len() == 1 && runs.iter().all(|run| run.sets.len() == 1),
            _ => false,
        };
        is_one && self.is_sure && self.without.is_empty() && self.kind.is_none()
    }

    /// Whether what is looked for is better gathered: [`Plan::gather`] gives it all.
    pub(in crate::embedded) const fn is_gathered(&self) -> bool {
        self.joined.is_some() && self.is_sure && self.without.is_empty() && self.kind.is_none()
    }

    /// The names of some windows from this one on, as many as are read at a time, and the next window: each doubled, and one more
    /// where it matches within the file's own name, if that is asked.
    pub(in crate::embedded) fn gather(&mut self, window: usize, which: Which) -> (usize, &[u32]) {
        match &mut self.joined {
            Some(joined) => joined.gather(window, which),
            None => (window + 1, &[]),
        }
    }

    /// Starts over, so that the first window can be asked for again.
    #[cfg(test)]
    pub(in crate::embedded) fn rewind(&mut self) {
        self.clauses.iter_mut().flatten().chain(&mut self.without).for_each(RunPlan::rewind);
        self.joined.iter_mut().for_each(Joined::rewind);
    }

    /// Tells that until told again only these windows are asked for.
    pub(in crate::embedded) fn ask_within(&mut self, windows: &Range<usize>) {
        let windows = windows.start..windows.end.min(self.windows());
        let runs = self.clauses.iter_mut().flatten().chain(&mut self.without);
        runs.flat_map(RunPlan::sets).for_each(|set| set.ask_within(windows.clone()));
        self.joined.iter_mut().for_each(|joined| joined.ask_within(windows.clone()));
    }

    /// The first window from this one on that may have candidates.
    pub(in crate::embedded) fn next(&mut self, window: usize) -> Option<usize> {
        let windows = self.windows();
        let next = match &mut self.joined {
            Some(joined) => joined.next(window),
            None => furthest(&mut self.clauses, window, |runs, window| {
                runs.iter_mut().filter_map(|run| furthest(&mut run.sets, window, Union::next)).min()
            }),
        };
        next.filter(|next| *next < windows)
    }

    /// Those candidates of a word of the last window that match within the file's own name.
    pub(in crate::embedded) fn in_file(&self, word: usize, bits: &Bits) -> u64 {
        let mut all = bits.in_file[word] & bits.anywhere[word];
        if !self.maps.iter().all(|map| map.may_be_in_file(word)) {
            return 0;
        }
        for map in &self.maps {
            if all == 0 {
                break; // each bitmap has to come from memory
            }
            all &= map.in_file.get(word).copied().unwrap_or_default();
        }
        all
    }

    /// The words of the last window in which any candidate may match within the file's own name.
    pub(in crate::embedded) fn file_words(&self) -> WordSet {
        common_file_words(&self.maps)
    }

    /// Gives a window's candidates; `false` where there are none. Which of them match within the file's own name
    /// [`Plan::in_file`] tells, where that was asked for.
    pub(in crate::embedded) fn fill(
        &mut self,
        window: usize,
        which: Which,
        bits: &mut Bits,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.turn_to(self.is_sure);
        let which = if which == Which::Anywhere && !self.is_simple { Which::All } else { which };
        let asked = Asked { window, which, checks: !self.is_sure };
        self.maps.clear();
        let is_any = match &mut self.joined {
            Some(joined) => {
                bits.is_sure = self.is_sure;
                joined.fill(asked, bits)
            }
            None => self.fill_clauses(asked, bits, scratch),
        };
        // A damaged piece may say that there are more names than there are.
        let is_last = self.names <= (window + 1) * WINDOW;
        match bits.touched {
            _ if !is_any => return false,
            Some(touched) if self.without.is_empty() && !is_last => {
                return bits.note_touched(touched, self.kind, asked);
            }
            _ => bits.touched = None,
        }
        let Scratch { run, set, .. } = scratch;
        // What only leaves names out says nothing of where they match, and may leave bits of the others behind.
        let mut is_tidy = self.kind.is_none() && self.without.is_empty();
        if let Some(kind) = self.kind {
            kind.keep(window, &mut bits.anywhere);
        }
        for left_out in &mut self.without {
            if left_out.fill(self.names, Asked { which: Which::All, ..asked }, run, set) {
                bits.leave_out(run);
            }
        }
        if is_last {
            fill_all(self.names, window, &mut set.anywhere);
            bits.anywhere.iter_mut().zip(set.anywhere.iter()).for_each(|(to, known)| *to &= known);
            is_tidy = false;
        }
        bits.is_sure |= !bits.has_checks();
        if !is_tidy || !bits.is_sure {
            bits.tidy(asked);
        }
        bits.note()
    }

    /// Gives the names of a window that all clauses have, and whether there may be any.
    fn fill_clauses(&mut self, asked: Asked, bits: &mut Bits, scratch: &mut Scratch) -> bool {
        let Self { clauses, maps, is_sure, names, .. } = self;
        let Scratch { clause, run, set, .. } = scratch;
        if *is_sure && !bits.is_sure {
            bits.check.fill(0); // it was of another plan
        }
        bits.is_sure = *is_sure;
        maps.extend(clauses.iter().filter_map(|runs| as_map(runs, asked.window)));
        let in_file_only = asked.which == Which::InFile;
        if !in_file_only || maps.is_empty() {
            bits.touched = None; // any word may get bits
        }
        let is_any = match maps.as_slice() {
            [] => true,
            maps if in_file_only => bits.set_in_file(maps),
            [map] => bits.set_map(map.anywhere, asked),
            [one, other, more @ ..] => {
                bits.set_maps(one.anywhere, other.anywhere, asked)
                    && more.iter().all(|map| bits.and_anywhere(map.anywhere))
            }
        };
        if !is_any {
            return false;
        }
        let mut is_set = !maps.is_empty();
        if asked.checks {
            bits.touched = None; // so it may by the others
        }
        for runs in clauses.iter_mut().filter(|runs| as_map(runs, asked.window).is_none()) {
            let to = if is_set { &mut *clause } else { &mut *bits };
            if !fill_any(runs, *names, asked, to, [run, set]) || is_set && !bits.and(clause, asked) {
                return false;
            }
            is_set = true;
        }
        if clauses.is_empty() {
            bits.clear(asked);
            fill_all(*names, asked.window, &mut bits.anywhere);
            *bits.in_file = *bits.anywhere;
        }
        true
    }
}

/// About how many names any of some runs finds.
fn count_of(runs: &Vec<RunPlan<'_>>) -> usize {
    runs.iter().map(RunPlan::count).fold(0, usize::saturating_add)
}

/// Takes the sets of some clauses where all names of a piece that are in all of them are better found by joining them.
fn join<'a>(clauses: &mut Vec<Vec<RunPlan<'a>>>, names: usize) -> Option<Joined<'a>> {
    let may_join = |runs: &Vec<RunPlan<'a>>| match runs.as_slice() {
        [run] => !run.sets.is_empty() && !matches!(run.certainty, Certainty::SureOf(_)),
        _ => false,
    };
    let sets = clauses.iter().flatten().flat_map(|run| &run.sets);
    if !clauses.iter().all(may_join) || !Joined::is_worth_it(sets, names) {
        return None;
    }
    let runs: Vec<_> = std::mem::take(clauses).into_iter().flatten().collect();
    let is_sure = runs.iter().all(|run| matches!(run.certainty, Certainty::Sure));
    let pairs = runs.iter().filter(|run| run.pairs != 0).map(|run| (run.signatures, run.pairs)).collect();
    Some(Joined::new(runs.into_iter().flat_map(|run| run.sets).collect(), pairs, is_sure, names))
}

/// The first place from a window on where all may have something.
pub(super) fn furthest<T>(
    parts: &mut [T],
    mut window: usize,
    next: impl Fn(&mut T, usize) -> Option<usize>,
) -> Option<usize> {
    loop {
        let start = window;
        for part in parts.iter_mut() {
            window = next(part, window)?;
        }
        if window == start || parts.len() < 2 {
            return Some(window);
        }
    }
}

/// What is in a window of a clause that is one bitmap.
fn as_map<'a>(runs: &[RunPlan<'a>], window: usize) -> Option<Map<'a>> {
    match runs {
        [RunPlan { sets, certainty: Certainty::Sure, .. }] => match sets.as_slice() {
            [set] => set.as_map(window),
            _ => None,
        },
        _ => None,
    }
}

/// Names that any of the runs finds.
fn fill_any(
    runs: &mut [RunPlan<'_>],
    names: usize,
    asked: Asked,
    to: &mut Bits,
    scratch: [&mut Bits; 2],
) -> bool {
    let [other, set] = scratch;
    let Some((first, more)) = runs.split_first_mut() else { return false };
    let mut is_any = first.fill(names, asked, to, set);
    for run in more {
        if run.fill(names, asked, other, set) {
            if is_any {
                to.or(other);
            } else {
                to.swap(other);
            }
            is_any = true;
        }
    }
    is_any
}

fn fill_all(names: usize, window: usize, to: &mut Window) {
    let mut left = names.saturating_sub(window * WINDOW);
    for word in to.iter_mut() {
        *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        left = left.saturating_sub(64);
    }
}

impl<'a> RunPlan<'a> {
    fn new(words: &'a impl Words, run: &Run, kind: Option<Kind>) -> Option<Self> {
        let patterns = run.patterns();
        let mut sets = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            match words.fitting(pattern, patterns.len() == 1, kind) {
                Some(set) if set.count() == 0 => return None,
                set => sets.extend(set),
            }
        }
        sets.sort_by_key(Union::count);
        let certainty = match patterns {
            [_] => Certainty::Sure,
            [left, right] => {
                let pair = format!("{PAIR}{}{PAIR}{}", left.text, right.text);
                let sure = words.with_pair(&pair, right.open_end);
                if sure.count() == 0 { Certainty::Unsure } else { Certainty::SureOf(sure) }
            }
            _ => Certainty::Unsure,
        };
        Some(Self { sets, pairs: pairs_of(patterns), signatures: words.signatures(), certainty })
    }

    /// About how many names, at most.
    fn count(&self) -> usize {
        self.sets.first().map_or(usize::MAX, Union::count)
    }

    fn sets(&mut self) -> impl Iterator<Item = &mut Union<'a>> {
        let sure = match &mut self.certainty {
            Certainty::SureOf(sure) => Some(sure),
            Certainty::Sure | Certainty::Unsure => None,
        };
        self.sets.iter_mut().chain(sure)
    }

    #[cfg(test)]
    fn rewind(&mut self) {
        self.sets().for_each(Union::rewind);
    }

    fn fill(&mut self, names: usize, asked: Asked, to: &mut Bits, set: &mut Bits) -> bool {
        let Asked { window, which, .. } = asked;
        to.clear(asked);
        if let Some((first, more)) = self.sets.split_first_mut() {
            if !first.fill(window, which, &mut to.anywhere, &mut to.in_file) {
                return false;
            }
            // Most names that have a common term have no other beside it, so that few windows are left for the others.
            if self.pairs != 0 && !to.keep_signed(self.signatures, self.pairs, window) {
                return false;
            }
            for other in more {
                if let Some(map) = other.as_map(window) {
                    if !to.and_map(map, asked) {
                        return false;
                    }
                    continue;
                }
                set.clear(asked);
                if !other.fill(window, which, &mut set.anywhere, &mut set.in_file) || !to.and(set, asked) {
                    return false;
                }
            }
        } else {
            fill_all(names, window, &mut to.anywhere);
            *to.in_file = *to.anywhere;
        }
        match &mut self.certainty {
            Certainty::Sure => {}
            Certainty::Unsure => *to.check = *to.anywhere,
            Certainty::SureOf(sure) => {
                set.clear(asked);
                sure.fill(window, which, &mut set.anywhere, &mut set.in_file);
                for at in 0..WINDOW_WORDS {
                    let (unsure, misplaced) =
                        (to.anywhere[at] & !set.anywhere[at], to.in_file[at] & !set.in_file[at]);
                    to.check[at] = unsure | misplaced;
                }
            }
        }
        true
    }
}

/// The bits of the pairs that must stand side by side as they are written.
fn pairs_of(patterns: &[Pattern]) -> Signature {
    let is_whole = |pattern: &Pattern| !pattern.open_start && !pattern.open_end && !pattern.typo;
    let pairs = patterns
        .iter()
        .zip(patterns.iter().skip(1))
        .filter(|(left, right)| is_whole(left) && is_whole(right));
    let hash = |pattern: &Pattern| neighbours::hash(&pattern.text);
    pairs.fold(0, |bits, (left, right)| bits | neighbours::bits_of(hash(left), hash(right)))
}
