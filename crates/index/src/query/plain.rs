//! A query as it is asked of paths of plain ASCII, which most are: without cutting them into terms first.
//!
//! Invariant: what is found is what [`Query::find`] finds. In ASCII a term is a run of letters or a run of digits, so
//! where a text stands in a path tells which term it is in. A file's own name without terms is one as a whole, which no
//! pattern of letters or digits fits.

use memchr::{memmem::Finder, memrchr};

use super::Query;
use crate::pattern::{Pattern, Place, Run};

/// A query that can be asked of paths of plain ASCII as they are.
pub(crate) struct Plain<'a> {
    clauses: Vec<Vec<PlainRun<'a>>>,
    without: Vec<PlainRun<'a>>,
}

struct PlainRun<'a> {
    first: &'a Pattern,
    finder: Finder<'a>,
    more: &'a [Pattern],
}

impl Query {
    /// The query for paths of plain ASCII; `None` where it has words with a typo, or such as no path of ASCII has.
    pub(crate) fn plain<'a>(&'a self) -> Option<Plain<'a>> {
        let of_all = |runs: &'a [Run]| runs.iter().map(PlainRun::new).collect::<Option<Vec<_>>>();
        let clauses = self.clauses.iter().map(|clause| of_all(clause)).collect::<Option<_>>()?;
        Some(Plain { clauses, without: of_all(&self.without)? })
    }
}

impl Plain<'_> {
    /// Where a path matches, if it does; it is of ASCII and lower-cased.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Place> {
        let file_start = memrchr(b'/', path).map_or(0, |slash| slash + 1);
        if self.without.iter().any(|run| run.find(path, file_start).is_some()) {
            return None;
        }
        self.clauses.iter().try_fold(Place::File, |worst, clause| {
            let best = clause.iter().filter_map(|run| run.find(path, file_start)).min()?;
            Some(worst.max(best))
        })
    }
}

impl<'a> PlainRun<'a> {
    fn new(run: &'a Run) -> Option<Self> {
        let is_plain = |pattern: &Pattern| {
            let mut classes = pattern.text.bytes().map(class_of);
            let first = classes.next();
            !pattern.typo
                && first.is_some_and(|first| first != Class::Gap && classes.all(|class| class == first))
        };
        let (first, more) = run.patterns().split_first()?;
        let is_plain = run.patterns().iter().all(is_plain);
        is_plain.then(|| Self { first, finder: Finder::new(&first.text), more })
    }

    /// The file's own name is looked through first: a match in it is the best there is.
    fn find(&self, path: &[u8], file_start: usize) -> Option<Place> {
        if self.is_in(path, file_start, path.len()) {
            Some(Place::File)
        } else {
            self.is_in(path, 0, file_start).then_some(Place::Folder)
        }
    }

    /// Whether the terms match that begin in a part of the path. The text may stand in itself, as `11` does in `111`.
    fn is_in(&self, path: &[u8], mut from: usize, up_to: usize) -> bool {
        while let Some(at) = path.get(from..).and_then(|rest| self.finder.find(rest)) {
            let start = from + at;
            if start >= up_to {
                return false;
            }
            if self.fits_at(path, start) {
                return true;
            }
            from = start + 1;
        }
        false
    }

    /// Whether the terms from the one on match in which the first pattern's text stands here.
    fn fits_at(&self, path: &[u8], start: usize) -> bool {
        let class = class_at(path, start);
        if !self.first.open_start
            && start.checked_sub(1).is_some_and(|before| class_at(path, before) == class)
        {
            return false;
        }
        let text_end = start + self.first.text.len();
        let mut end = end_of(path, text_end, class);
        if !self.first.open_end && end != text_end {
            return false;
        }
        self.more.iter().all(|pattern| {
            let next = (end..path.len()).find(|at| class_at(path, *at) != Class::Gap).unwrap_or(path.len());
            end = end_of(path, next, class_at(path, next));
            path.get(next..end)
                .and_then(|term| str::from_utf8(term).ok())
                .is_some_and(|term| pattern.fits(term))
        })
    }
}

/// Where the run of a class ends that goes on here.
fn end_of(path: &[u8], start: usize, class: Class) -> usize {
    (start..path.len()).find(|at| class_at(path, *at) != class).unwrap_or(path.len())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Gap,
}

fn class_at(path: &[u8], at: usize) -> Class {
    path.get(at).map_or(Class::Gap, |byte| class_of(*byte))
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Gap,
    }
}
