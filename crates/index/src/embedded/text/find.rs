//! Finds the names that a query asks for.
//!
//! The definition is [`Query::find`]; this gives the same names, from bitmaps where it can.

use std::ops::Bound;

use roaring::{MultiOps, RoaringBitmap};

use super::{Postings, Spelled, Text};
use crate::embedded::arena::{NameKey, TermKey};
use crate::query::{Pattern, Place, Query, Run};

/// The names that match. `in_file` are those of them that match within the file's own name.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Found {
    pub(in crate::embedded) anywhere: RoaringBitmap,
    pub(in crate::embedded) in_file: RoaringBitmap,
}

/// The terms that fit a pattern, in the order of their numbers.
struct TermSet(Vec<TermKey>);

impl Text {
    /// The names that a query asks for.
    pub(in crate::embedded) fn find(&self, query: &Query) -> Found {
        let mut clauses: Vec<&Vec<Run>> = query.clauses().iter().collect();
        // Phrases last: they look at each name that is left.
        clauses.sort_by_key(|clause| clause.iter().map(|run| run.patterns().len()).max());
        let mut found: Option<Found> = None;
        for clause in clauses {
            let mut next = self.find_any(clause, found.as_ref().map(|found| &found.anywhere));
            if let Some(found) = &found {
                next.in_file &= &found.in_file;
            }
            if next.anywhere.is_empty() {
                return Found::default();
            }
            found = Some(next);
        }
        let mut found = found.unwrap_or_default();
        for run in query.without() {
            let left_out = self.find_run(run, Some(&found.anywhere)).anywhere;
            found.anywhere -= &left_out;
            found.in_file -= &left_out;
        }
        found
    }

    /// Those among `within` (everything where it is not given) that any of the runs matches.
    fn find_any(&self, runs: &[Run], within: Option<&RoaringBitmap>) -> Found {
        let mut found = Found::default();
        for run in runs {
            let more = self.find_run(run, within);
            found.anywhere |= more.anywhere;
            found.in_file |= more.in_file;
        }
        found
    }

    fn find_run(&self, run: &Run, within: Option<&RoaringBitmap>) -> Found {
        let mut sets = Vec::with_capacity(run.patterns().len());
        for pattern in run.patterns() {
            let set = self.terms_fitting(pattern);
            if set.0.is_empty() {
                return Found::default(); // before the next pattern costs anything
            }
            sets.push(set);
        }
        match sets.as_slice() {
            [set] => self.find_word(set, within),
            sets => self.find_side_by_side(sets, within),
        }
    }

    fn find_word(&self, set: &TermSet, within: Option<&RoaringBitmap>) -> Found {
        let mut found = Found {
            anywhere: self.union_of(set, |postings| &postings.anywhere),
            in_file: self.union_of(set, |postings| &postings.in_file),
        };
        if let Some(within) = within {
            found.anywhere &= within;
            found.in_file &= within;
        }
        found
    }

    fn find_side_by_side(&self, sets: &[TermSet], within: Option<&RoaringBitmap>) -> Found {
        let having = sets.iter().map(|set| self.union_of(set, |postings| &postings.anywhere));
        let mut candidates = having.intersection();
        if let Some(within) = within {
            candidates &= within;
        }
        let mut found = Found::default();
        for name in &candidates {
            let place = self.spelled(name.into()).and_then(|spelled| spelled.place_of(sets));
            if place.is_some() {
                found.anywhere.insert(name);
            }
            if place == Some(Place::File) {
                found.in_file.insert(name);
            }
        }
        found
    }

    fn spelled(&self, name: NameKey) -> Option<&Spelled> {
        self.spelled.get(u32::from(name) as usize)
    }

    fn union_of(&self, set: &TermSet, names: impl Fn(&Postings) -> &RoaringBitmap) -> RoaringBitmap {
        set.0.iter().filter_map(|term| self.postings.get(*term)).map(names).union()
    }

    /// Words and beginnings are looked up in the ordered vocabulary; for parts and typos all of it is read, which is
    /// some ten milliseconds for half a million terms.
    fn terms_fitting(&self, pattern: &Pattern) -> TermSet {
        let text = pattern.text.as_str();
        let mut terms: Vec<TermKey> = if pattern.open_start || pattern.typo {
            let fitting = self.vocabulary.iter().filter(|(term, _)| pattern.fits(term));
            fitting.map(|(_, key)| *key).collect()
        } else if pattern.open_end {
            let from = self.vocabulary.range::<str, _>((Bound::Included(text), Bound::Unbounded));
            from.take_while(|(term, _)| term.starts_with(text)).map(|(_, key)| *key).collect()
        } else {
            self.vocabulary.get(text).copied().into_iter().collect()
        };
        terms.sort_unstable();
        TermSet(terms)
    }
}

impl TermSet {
    fn contains(&self, term: TermKey) -> bool {
        match self.0.as_slice() {
            [only] => *only == term,
            terms => terms.binary_search(&term).is_ok(),
        }
    }
}

impl Spelled {
    /// Where the sets' terms stand side by side; the last such place decides, since the file's own name is last.
    fn place_of(&self, sets: &[TermSet]) -> Option<Place> {
        let fits = |terms: &[TermKey]| sets.iter().zip(terms).all(|(set, term)| set.contains(*term));
        let start = self.terms.windows(sets.len()).rposition(fits)?;
        Some(if start >= self.file_start { Place::File } else { Place::Folder })
    }
}
