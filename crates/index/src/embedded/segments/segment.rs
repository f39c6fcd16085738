//! A piece of the text index: never changed once made, but for its bounds and marks.
//!
//! Where many terms begin with the same letters, their lists are also kept united: a search for such a beginning reads
//! one list in place of thousands. Bitmaps, which are few, are left out there, since they are most of the memory.
//!
//! Invariants: list `n` belongs to term `n`; after the terms' lists come those of the ready ranges, in their order.

use std::ops::Range;

use peerage_wire::Kind;

use super::dictionary::{self, Dictionary};
use super::members::{self, Members, OfKind, SizeMarks, UseMarks};
use super::neighbours::{Neighbours, Signatures};
use super::plan::{Plan, Words};
use super::postings::Postings;
use super::triples::{self, Triples};
use super::union::Union;
use super::{Bound, Standing, WINDOW};
use crate::query::{Pattern, Query};

/// A piece of the text index.
#[derive(Debug)]
pub(in crate::embedded) struct Segment {
    pub(super) members: Members,
    pub(super) neighbours: Neighbours,
    pub(super) dictionary: Dictionary,
    pub(super) triples: Triples,
    pub(super) postings: Postings,
    pub(super) ready: Ready,
}

/// Ranges of terms whose lists are united.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// The ranges, ascending, from and up to.
    pub(super) ranges: Box<[(u32, u32)]>,
    /// The terms whose lists are in none, ascending.
    pub(super) long: Box<[u32]>,
}

impl Segment {
    /// Lists whose beginnings are read at the same time.
    const READ_AT_ONCE: usize = 64;

    /// The names in their order.
    pub(in crate::embedded) fn names(&self) -> &[u32] {
        &self.members.names
    }

    /// The names' contents.
    pub(in crate::embedded) fn contents(&self) -> &[u32] {
        &self.members.contents
    }

    /// Tells how a name stands now: its block's bound is at least that. `is_resized` where its content's size is another than
    /// was told of the name while in use. Gives whether the name is here.
    pub(in crate::embedded) fn tell(&self, name: u32, standing: Standing, is_resized: bool) -> bool {
        self.members.tell(name, standing, is_resized)
    }

    /// The marks of 64 names from a multiple of 64 on.
    pub(in crate::embedded) fn uses(&self, word: usize) -> Option<&UseMarks> {
        self.members.marks.uses(word)
    }

    /// The sizes of the same names' contents.
    pub(in crate::embedded) fn sizes(&self, word: usize) -> Option<&SizeMarks> {
        self.members.marks.sizes(word)
    }

    /// The class that no name of a window goes beyond.
    pub(in crate::embedded) fn window_class(&self, window: usize) -> u8 {
        self.members.window_class(window)
    }

    /// What no name of a block goes beyond.
    pub(in crate::embedded) fn bound(&self, block: usize) -> Bound {
        self.members.bound(block)
    }

    /// What it occupies.
    pub(in crate::embedded) fn memory_bytes(&self) -> usize {
        self.members.memory_bytes()
            + self.neighbours.memory_bytes()
            + self.dictionary.memory_bytes()
            + self.triples.memory_bytes()
            + self.postings.memory_bytes()
            + self.ready.ranges.len() * 8
            + self.ready.long.len() * 4
    }

    /// A query, ready to be asked; `None` where nothing can match.
    pub(in crate::embedded) fn plan(&self, query: &Query, kind: Option<Kind>) -> Option<Plan<'_>> {
        Plan::new(self, query, kind)
    }

    /// The names that have any of some lists' terms, but for lists that have none of a kind that is asked for.
    fn union_of(&self, lists: impl IntoIterator<Item = u32>, kind: Option<Kind>) -> Union<'_> {
        let (mut union, kind) = (Union::default(), kind.map(members::number_of));
        let lists = lists.into_iter().filter(|number| self.postings.may_have(*number, kind));
        let lists: Vec<u32> = lists.collect();
        for some in lists.chunks(Self::READ_AT_ONCE) {
            self.postings.warm(some);
            some.iter().for_each(|number| union.add(self.postings.list(*number)));
        }
        union.ready(self.members.len().div_ceil(WINDOW))
    }

    /// The names that have any of a range of terms: by the ready ranges within it, and term by term between them.
    fn union_of_range(&self, terms: Range<u32>, kind: Option<Kind>) -> Union<'_> {
        let Ready { ranges, long } = &self.ready;
        let (mut lists, mut next) = (Vec::new(), terms.start);
        let first = ranges.partition_point(|(start, _)| *start < terms.start);
        let within = ranges.iter().zip(self.dictionary.len()..).skip(first);
        for ((start, end), list) in within.take_while(|((_, end), _)| *end <= terms.end) {
            lists.extend(next..*start);
            let long = long.iter().skip(long.partition_point(|number| number < start));
            lists.extend(long.take_while(|number| *number < end));
            lists.push(list);
            next = *end;
        }
        lists.extend(next..terms.end);
        self.union_of(lists, kind)
    }

    /// Terms with a part, at least those that names of a kind have; `None` where it is too short to be looked for.
    fn having(&self, pattern: &Pattern, kind: Option<Kind>) -> Option<Vec<u32>> {
        let mut terms = self.triples.having(&pattern.text)?;
        self.keep_kind(&mut terms, kind); // before they are read
        let is_one_triple = pattern.open_end && pattern.text.chars().count() == triples::LETTERS;
        if !is_one_triple {
            self.dictionary.keep(&mut terms, |term| pattern.fits(term));
        }
        Some(terms)
    }

    /// Leaves the terms that names of a kind may have.
    fn keep_kind(&self, terms: &mut Vec<u32>, kind: Option<Kind>) {
        let kind = kind.map(members::number_of);
        terms.retain(|term| self.postings.may_have(*term, kind));
    }

    /// Adds the terms a typo away, at least those that names of a kind have; all are in order after, each once.
    fn add_typos(&self, pattern: &Pattern, kind: Option<Kind>, to: &mut Vec<u32>) {
        if self.dictionary.add_typos(&pattern.text, to).is_none() {
            let (left, right, swapped) = dictionary::halves(&pattern.text);
            match self.triples.having(right) {
                Some(having) => {
                    let others = self.dictionary.range(left).chain(self.dictionary.get(&swapped));
                    let mut others: Vec<u32> = having.into_iter().chain(others).collect();
                    self.keep_kind(&mut others, kind);
                    others.sort_unstable();
                    self.dictionary.keep(&mut others, |term| pattern.fits(term));
                    to.extend(others);
                }
                None => self.dictionary.add_typos_by_looking(&pattern.text, to),
            }
        }
        to.sort_unstable();
        to.dedup();
    }

    fn all_fitting(&self, pattern: &Pattern) -> Vec<u32> {
        let terms = (0..self.dictionary.len()).zip(self.dictionary.texts_from(0));
        terms.filter(|(_, term)| pattern.fits(term)).map(|(number, _)| number).collect()
    }
}

impl Words for Segment {
    fn names(&self) -> usize {
        self.members.len()
    }

    fn of_kind(&self, kind: Kind) -> OfKind<'_> {
        self.members.kinds.of(kind)
    }

    fn signatures(&self) -> Signatures<'_> {
        Signatures::Planes(&self.neighbours)
    }

    fn fitting(&self, pattern: &Pattern, is_alone: bool, kind: Option<Kind>) -> Option<Union<'_>> {
        let text = pattern.text.as_str();
        if !pattern.typo && !pattern.open_start {
            return Some(match pattern.open_end {
                true => self.union_of_range(self.dictionary.range(text), kind),
                false => self.union_of(self.dictionary.get(text), kind),
            });
        }
        let mut terms = match (pattern.open_start, pattern.open_end) {
            (true, _) => match self.having(pattern, kind) {
                Some(terms) => terms,
                None if is_alone => self.all_fitting(pattern),
                None => return None,
            },
            (false, true) => self.dictionary.range(text).collect(),
            (false, false) => self.dictionary.get(text).into_iter().collect(),
        };
        if pattern.typo {
            self.add_typos(pattern, kind, &mut terms);
        }
        Some(self.union_of(terms, kind))
    }

    fn with_pair(&self, pair: &str, open_end: bool) -> Union<'_> {
        if open_end {
            self.union_of(self.dictionary.range(pair), None)
        } else {
            self.union_of(self.dictionary.get(pair), None)
        }
    }
}
