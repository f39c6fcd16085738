//! A query as it is asked of paths of plain ASCII, which most are: without cutting them into terms first.
//!
//! Invariant: what is found is what [`Query::find`] finds. In ASCII a term is a run of letters or a run of digits, so
//! where a text stands in a path tells which term it is in. A file's own name without terms is one as a whole, which no
//! pattern of letters or digits fits.

use std::ops::Range;

use memchr::{memmem::Finder, memrchr};

use super::Query;
use crate::pattern::{Pattern, Place, Run};

/// A query that can be asked of paths of plain ASCII as they are.
pub(crate) struct Plain<'a> {
    clauses: Vec<Vec<PlainRun<'a>>>,
    without: Vec<PlainRun<'a>>,
}

/// Where a run fits.
struct Fit {
    /// What was written.
    span: Range<usize>,
    /// The end of the first term.
    next: usize,
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
    /// Where a path surely matches that has other letters as well; `None` where only its terms tell. Its ASCII letters are
    /// lower-cased. What stands between two characters of ASCII is folded by itself, and so is what it is a border of.
    pub(crate) fn find_surely(&self, path: &[u8]) -> Option<Place> {
        let file_start = memrchr(b'/', path).map_or(0, |slash| slash + 1);
        let place = self.find(path).filter(|_| self.without.is_empty())?;
        // Other letters may become some of the words'.
        let is_told = place == Place::File || path.get(file_start..).is_some_and(<[u8]>::is_ascii);
        is_told.then_some(place)
    }

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

    /// The parts of a path that match, in no order; it is of ASCII and lower-cased.
    pub(super) fn spans(&self, path: &[u8]) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        self.clauses.iter().flatten().for_each(|run| run.spans(path, &mut spans));
        spans
    }
}

impl<'a> PlainRun<'a> {
    fn new(run: &'a Run) -> Option<Self> {
        let is_plain = |pattern: &Pattern| {
            let mut classes = pattern.text.bytes().map(class_of);
            let first = classes.next();
            let is_word = matches!(first, Some(Class::Letter | Class::Digit));
            !pattern.typo && is_word && classes.all(|class| Some(class) == first)
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

    /// Whether the terms match that begin in a part of the path.
    fn is_in(&self, path: &[u8], mut from: usize, up_to: usize) -> bool {
        while let Some(at) = path.get(from..).and_then(|rest| self.finder.find(rest)) {
            if from + at >= up_to {
                return false;
            }
            match self.fit_at(path, from + at) {
                Ok(_) => return true,
                Err(next) => from = next,
            }
        }
        false
    }

    /// Every part of the path that matches.
    fn spans(&self, path: &[u8], into: &mut Vec<Range<usize>>) {
        let mut from = 0;
        while let Some(at) = path.get(from..).and_then(|rest| self.finder.find(rest)) {
            from = match self.fit_at(path, from + at) {
                Ok(Fit { span, next }) => {
                    into.push(span);
                    next
                }
                Err(next) => next,
            };
        }
    }

    /// Where the terms from the one on match in which the first pattern's text stands here, none of them beside a
    /// character beyond ASCII. If not, gives the next place that may be one: the text may stand in itself, as `11` does
    /// in `111`, and yet no term is gone through more than twice.
    fn fit_at(&self, path: &[u8], start: usize) -> Result<Fit, usize> {
        let (class, len) = (class_at(path, start), self.first.text.len());
        let before = start.checked_sub(1).map_or(Class::Gap, |before| class_at(path, before));
        if before == Class::Other || !self.first.open_start && before == class {
            return Err(start + 1);
        }
        let mut end = end_of(path, start + len, class);
        let next = match (self.first.open_start, self.first.open_end) {
            (false, _) => start + 1,
            (true, false) if start + len < end => end - len, // only the term's end can match
            (true, _) => end,
        };
        if class_at(path, end) == Class::Other || !self.first.open_end && end != start + len {
            return Err(next);
        }
        let mut fit = Fit { span: start..start + len, next: end };
        for pattern in self.more {
            let start = (end..path.len()).find(|at| class_at(path, *at) != Class::Gap).unwrap_or(path.len());
            end = end_of(path, start, class_at(path, start));
            let is_apart = class_at(path, end) != Class::Other;
            let term = path.get(start..end).filter(|_| is_apart).and_then(|term| str::from_utf8(term).ok());
            match term.filter(|term| pattern.fits(term)).and_then(|term| pattern.part_of(term)) {
                Some(part) => fit.span.end = start + part.end,
                None => return Err(next),
            }
        }
        Ok(fit)
    }
}

/// A path as [`Plain`] is asked of it, in place of what `lower` had.
pub(crate) fn lower_into(path: &[u8], lower: &mut Vec<u8>) {
    lower.clear();
    lower.extend_from_slice(path);
    lower.make_ascii_lowercase();
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
    /// Part of a character beyond ASCII, of which nothing is known here.
    Other,
}

fn class_at(path: &[u8], at: usize) -> Class {
    path.get(at).map_or(Class::Gap, |byte| class_of(*byte))
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        0x80.. => Class::Other,
        _ => Class::Gap,
    }
}
