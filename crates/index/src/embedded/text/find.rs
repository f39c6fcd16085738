//! Finds the names that a query asks for.
//!
//! The definition is [`Query::find`]; this gives the same names, from bitmaps where it can.

use std::ops::Bound;

use roaring::{MultiOps, RoaringBitmap};

use super::spelling::Spelled;
use super::{Postings, Text};
use crate::embedded::arena::TermKey;
use crate::query::{Pattern, Place, Query, Run};

/// The names that match. `in_file` are those of them that match within the file's own name.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Found {
    pub(in crate::embedded) anywhere: RoaringBitmap,
    pub(in crate::embedded) in_file: RoaringBitmap,
}

/// The terms that fit a pattern.
struct TermSet {
    terms: Vec<TermKey>,
    /// A bit for each term's number, for asking of many names whether a term is one of many.
    bits: Vec<u64>,
}

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
        let every_name = || Found { anywhere: self.all.clone(), in_file: self.all.clone() };
        let mut found = found.unwrap_or_else(every_name);
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
            if set.terms.is_empty() {
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
        let mut candidates = self.having(sets);
        if let Some(within) = within {
            candidates &= within;
        }
        let (mut anywhere, mut in_file) = (Vec::new(), Vec::new());
        for name in &candidates {
            let place = self.spelling.get(name.into()).and_then(|spelled| spelled.place_of(sets));
            anywhere.extend(place.map(|_| name));
            in_file.extend(place.filter(|place| *place == Place::File).map(|_| name));
        }
        // Both are in order, as the candidates were, and appending is much cheaper than inserting.
        let collect = |names: Vec<u32>| RoaringBitmap::from_sorted_iter(names).unwrap_or_default();
        Found { anywhere: collect(anywhere), in_file: collect(in_file) }
    }

    /// The names that may have a term of each set: those of a set of many terms are not asked for where another set has
    /// fewer, since uniting them costs more than looking at the names that are left.
    fn having(&self, sets: &[TermSet]) -> RoaringBitmap {
        /// A union of so many is still cheaper than to look at a name in vain.
        const FEW_TERMS: usize = 64;
        let fewest = sets.iter().map(|set| set.terms.len()).min().unwrap_or(0);
        let cheap = sets.iter().filter(|set| set.terms.len() <= fewest.max(FEW_TERMS));
        cheap.map(|set| self.union_of(set, |postings| &postings.anywhere)).intersection()
    }

    fn union_of(&self, set: &TermSet, names: impl Fn(&Postings) -> &RoaringBitmap) -> RoaringBitmap {
        set.terms.iter().filter_map(|term| self.postings.get(*term)).map(names).union()
    }

    /// Words and beginnings are looked up in the ordered vocabulary; for parts and typos all of it is read, which is
    /// some ten milliseconds for half a million terms.
    fn terms_fitting(&self, pattern: &Pattern) -> TermSet {
        let text = pattern.text.as_str();
        let terms = if pattern.open_start || pattern.typo {
            let fitting = self.vocabulary.iter().filter(|(term, _)| pattern.fits(term));
            fitting.map(|(_, key)| *key).collect()
        } else if pattern.open_end {
            let from = self.vocabulary.range::<str, _>((Bound::Included(text), Bound::Unbounded));
            from.take_while(|(term, _)| term.starts_with(text)).map(|(_, key)| *key).collect()
        } else {
            self.vocabulary.get(text).copied().into_iter().collect()
        };
        TermSet::of(terms)
    }
}

impl TermSet {
    fn of(terms: Vec<TermKey>) -> Self {
        let mut bits = Vec::new();
        for (word, bit) in terms.iter().map(|term| place_of_bit(*term)) {
            if bits.len() <= word {
                bits.resize(word + 1, 0);
            }
            bits[word] |= bit;
        }
        Self { terms, bits }
    }

    fn contains(&self, term: TermKey) -> bool {
        if let [only] = self.terms.as_slice() {
            return *only == term;
        }
        let (word, bit) = place_of_bit(term);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }
}

fn place_of_bit(term: TermKey) -> (usize, u64) {
    let number = u32::from(term);
    ((number / u64::BITS) as usize, 1 << (number % u64::BITS))
}

impl Spelled<'_> {
    /// Where the sets' terms stand side by side; the last such place decides, since the file's own name is last.
    fn place_of(self, sets: &[TermSet]) -> Option<Place> {
        let fits = |terms: &[TermKey]| sets.iter().zip(terms).all(|(set, term)| set.contains(*term));
        let start = self.terms.windows(sets.len()).rposition(fits)?;
        Some(if start >= self.file_start { Place::File } else { Place::Folder })
    }
}
