//! The terms of every name in their order, one name after the other in one piece of memory: a phrase looks at hundreds of
//! thousands of names, and following a pointer to each would cost more than the look.
//!
//! Invariant: `holes` counts the terms in `terms` that belong to no name; they are closed when they are most of it.

use std::ops::Range;

use crate::embedded::arena::{NameKey, TermKey};

/// Terms that may lie unused before the rest is moved together: a megabyte's worth is never worth the move.
const HOLES_MIN: usize = 1 << 18;

/// A name as the numbers of its terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelled<'a> {
    /// Every term, the folders' first.
    pub(super) terms: &'a [TermKey],
    /// Where the file's own name begins.
    pub(super) file_start: usize,
}

/// How every name is spelled.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    terms: Vec<TermKey>,
    names: Vec<Slot>,
    holes: usize,
}

/// Where a name's terms are; empty where there is no such name.
#[derive(Debug, Default, Clone)]
struct Slot {
    range: Range<usize>,
    file_start: usize,
}

impl Spelling {
    pub(super) fn get(&self, name: NameKey) -> Option<Spelled<'_>> {
        let slot = self.names.get(u32::from(name) as usize)?;
        Some(Spelled { terms: self.terms.get(slot.range.clone())?, file_start: slot.file_start })
    }

    /// Takes a name in that is not there.
    pub(super) fn insert(&mut self, name: NameKey, terms: &[TermKey], file_start: usize) {
        let at = u32::from(name) as usize;
        if self.names.len() <= at {
            self.names.resize(at + 1, Slot::default());
        }
        let start = self.terms.len();
        self.terms.extend_from_slice(terms);
        self.names[at] = Slot { range: start..self.terms.len(), file_start };
    }

    /// Takes a name out and gives its terms.
    pub(super) fn remove(&mut self, name: NameKey) -> Vec<TermKey> {
        let Some(slot) = self.names.get_mut(u32::from(name) as usize) else { return Vec::new() };
        let terms = self.terms.get(std::mem::take(slot).range).map(<[TermKey]>::to_vec).unwrap_or_default();
        self.holes += terms.len();
        if self.holes > HOLES_MIN && self.holes > self.terms.len() / 2 {
            self.close_holes();
        }
        terms
    }

    fn close_holes(&mut self) {
        let mut closed = Vec::with_capacity(self.terms.len() - self.holes);
        for slot in &mut self.names {
            let start = closed.len();
            closed.extend_from_slice(self.terms.get(slot.range.clone()).unwrap_or_default());
            slot.range = start..closed.len();
        }
        (self.terms, self.holes) = (closed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_terms_while_holes_are_closed() {
        let mut spelling = Spelling::default();
        let terms = |name: u32| [name, name + 1, 7].map(TermKey::from);
        let names = u32::try_from(HOLES_MIN).unwrap();
        (0..names).for_each(|name| spelling.insert(NameKey::from(name), &terms(name), 1));
        let is_kept = |name: &u32| name.is_multiple_of(5);
        for name in (0..names).filter(|name| !is_kept(name)) {
            assert_eq!(spelling.remove(NameKey::from(name)), terms(name));
        }
        assert!(spelling.terms.len() < HOLES_MIN * 3 / 2, "the holes were closed");
        assert_eq!(spelling.remove(NameKey::from(1)), []);
        for name in 0..names {
            let expected: &[TermKey] = if is_kept(&name) { &terms(name) } else { &[] };
            assert_eq!(spelling.get(NameKey::from(name)).map(|spelled| spelled.terms), Some(expected));
        }
    }
}
