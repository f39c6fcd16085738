//! A piece of the text index: never changed once made, but for its bounds.
//!
//! Beginnings of up to three letters that many terms have are kept ready as lists of their own, after those of the terms.
//!
//! Invariants: list `n` belongs to term `n`; after the terms' lists come those of the ready beginnings, in their order.

use peerage_wire::Kind;

use super::dictionary::Dictionary;
use super::members::{KIND_BITS, Members};
use super::plan::{Plan, Words};
use super::postings::Postings;
use super::triples::Triples;
use super::union::Union;
use super::{Bound, WINDOW};
use crate::query::{Pattern, Query};

/// A piece of the text index.
#[derive(Debug)]
pub(in crate::embedded) struct Segment {
    pub(super) members: Members,
    pub(super) dictionary: Dictionary,
    pub(super) triples: Triples,
    pub(super) postings: Postings,
    pub(super) ready: Box<[Box<str>]>,
}

impl Segment {
    /// The names in their order.
    pub(in crate::embedded) fn names(&self) -> &[u32] {
        &self.members.names
    }

    /// The names' contents.
    pub(in crate::embedded) fn contents(&self) -> &[u32] {
        &self.members.contents
    }

    /// Tells that a name's content has so many live sources now, and whether the name is here.
    pub(in crate::embedded) fn raise(&self, name: u32, live: u32) -> bool {
        self.members.raise(name, live)
    }

    /// What no name of a block goes beyond.
    pub(in crate::embedded) fn bound(&self, block: usize) -> Bound {
        self.members.bound(block)
    }

    /// What it occupies.
    pub(in crate::embedded) fn memory_bytes(&self) -> usize {
        self.members.memory_bytes()
            + self.dictionary.memory_bytes()
            + self.triples.memory_bytes()
            + self.postings.memory_bytes()
            + self.ready.iter().map(|prefix| prefix.len() + size_of::<Box<str>>()).sum::<usize>()
    }

    /// A query, ready to be asked; `None` where nothing can match.
    pub(in crate::embedded) fn plan(&self, query: &Query, kind: Option<Kind>) -> Option<Plan<'_>> {
        Plan::new(self, query, kind)
    }

    fn union_of(&self, lists: impl IntoIterator<Item = u32>) -> Union<'_> {
        let mut union = Union::default();
        lists.into_iter().for_each(|number| union.add(self.postings.list(number)));
        union.ready(self.members.len().div_ceil(WINDOW))
    }

    fn beginning_with(&self, prefix: &str) -> Union<'_> {
        match self.ready.binary_search_by_key(&prefix, |ready| ready) {
            Ok(at) => self.union_of(u32::try_from(at).ok().map(|at| self.dictionary.len() + at)),
            Err(_) => self.union_of(self.dictionary.range(prefix)),
        }
    }

    /// Terms with a part; `None` where it is too short to be looked for.
    fn having(&self, pattern: &Pattern) -> Option<Vec<u32>> {
        let mut terms = self.triples.having(&pattern.text)?;
        self.dictionary.keep(&mut terms, |term| pattern.fits(term));
        Some(terms)
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

    fn kinds(&self) -> [&[u64]; KIND_BITS] {
        self.members.kinds.planes()
    }

    fn fitting(&self, pattern: &Pattern, is_alone: bool) -> Option<Union<'_>> {
        let text = pattern.text.as_str();
        if !pattern.typo && !pattern.open_start {
            return Some(match pattern.open_end {
                true => self.beginning_with(text),
                false => self.union_of(self.dictionary.get(text)),
            });
        }
        let mut terms = match (pattern.open_start, pattern.open_end) {
            (true, _) => match self.having(pattern) {
                Some(terms) => terms,
                None if is_alone => self.all_fitting(pattern),
                None => return None,
            },
            (false, true) => self.dictionary.range(text).collect(),
            (false, false) => self.dictionary.get(text).into_iter().collect(),
        };
        if pattern.typo {
            self.dictionary.add_typos(text, &mut terms);
            terms.sort_unstable();
            terms.dedup();
        }
        Some(self.union_of(terms))
    }

    fn with_pair(&self, pair: &str, open_end: bool) -> Union<'_> {
        if open_end {
            self.union_of(self.dictionary.range(pair))
        } else {
            self.union_of(self.dictionary.get(pair))
        }
    }
}
