//! A query of plain words, of ASCII, as it is asked of names that are folded but not cut into terms.
//!
//! Invariant: what is found is what [`Query::find`] finds. A term that has any letter or digit of ASCII is a run of letters or a
//! run of digits, of ASCII or not, so where a text stands in a name tells which term it is in. Marks alone can be part of either:
//! names with such are not asked here. A file's own name without terms is one as a whole, which no pattern of letters or
//! digits fits.

use std::ops::Range;

use memchr::{memmem::Finder, memrchr};

use super::Query;
use crate::pattern::{Pattern, Place, Run};
use crate::terms::{Class, ascii_class, class_of, fold_into, folds_in_place, stays_apart};

/// A name that plain queries can be asked of. Reading another into it reuses its memory.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    text: Vec<u8>,
    /// Where the file's own name begins.
    file_start: usize,
    /// Whether a place in the text is the same in the name.
    pub(super) is_in_place: bool,
}

/// A query that can be asked of folded names as they are.
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

impl Folded {
    /// Takes another path; `false` where only its terms tell what matches.
    pub(crate) fn read(&mut self, path: &[u8]) -> bool {
        if path.is_ascii() {
            self.lower(path);
            return true;
        }
        str::from_utf8(path).is_ok_and(|path| self.fold(path))
    }

    /// The same of a path that is known to be text.
    pub(super) fn read_text(&mut self, path: &str) -> bool {
        if path.is_ascii() { self.read(path.as_bytes()) } else { self.fold(path) }
    }

    fn lower(&mut self, path: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(path);
        self.text.make_ascii_lowercase();
        (self.file_start, self.is_in_place) = (file_start(path), true);
    }

    fn fold(&mut self, path: &str) -> bool {
        if path.chars().all(|c| c.is_ascii() || stays_apart(c)) {
            self.lower(path.as_bytes()); // no word of ASCII can be in the others
            return true;
        }
        self.text.clear();
        let mut text = String::from_utf8(std::mem::take(&mut self.text)).unwrap_or_default();
        let (folders, file_name) = path.split_at(file_start(path.as_bytes()));
        fold_into(folders, &mut text);
        self.file_start = text.len();
        fold_into(file_name, &mut text);
        let has_marks = text.chars().any(|c| !c.is_ascii() && class_of(c) == Class::Mark);
        self.text = text.into_bytes();
        self.is_in_place = folds_in_place(path);
        !has_marks
    }
}

fn file_start(path: &[u8]) -> usize {
    memrchr(b'/', path).map_or(0, |slash| slash + 1)
}

impl Query {
    /// The query for folded names; `None` where it has words with a typo, or such as have other letters than those of ASCII.
    pub(crate) fn plain<'a>(&'a self) -> Option<Plain<'a>> {
        let of_all = |runs: &'a [Run]| runs.iter().map(PlainRun::new).collect::<Option<Vec<_>>>();
        let clauses = self.clauses.iter().map(|clause| of_all(clause)).collect::<Option<_>>()?;
        Some(Plain { clauses, without: of_all(&self.without)? })
    }
}

impl Plain<'_> {
    /// Where a name matches, if it does.
    pub(crate) fn find(&self, name: &Folded) -> Option<Place> {
        if self.without.iter().any(|run| run.find(name).is_some()) {
            return None;
        }
        self.clauses.iter().try_fold(Place::File, |worst, clause| {
            let best = clause.iter().filter_map(|run| run.find(name)).min()?;
            Some(worst.max(best))
        })
    }

    /// The parts of the folded name that match, in no order.
    pub(super) fn spans(&self, name: &Folded) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        self.clauses.iter().flatten().for_each(|run| run.spans(&name.text, &mut spans));
        spans
    }
}

impl<'a> PlainRun<'a> {
    fn new(run: &'a Run) -> Option<Self> {
        let is_plain = |pattern: &Pattern| {
            let mut classes = pattern.text.bytes().map(ascii_class);
            let first = classes.next();
            let is_word = matches!(first, Some(Class::Letter | Class::Digit));
            !pattern.typo && is_word && classes.all(|class| Some(class) == first)
        };
        let (first, more) = run.patterns().split_first()?;
        let is_plain = run.patterns().iter().all(is_plain);
        is_plain.then(|| Self { first, finder: Finder::new(&first.text), more })
    }

    /// The file's own name is looked through first: a match in it is the best there is.
    fn find(&self, name: &Folded) -> Option<Place> {
        let Folded { text, file_start, .. } = name;
        if self.is_in(text, *file_start, text.len()) {
            Some(Place::File)
        } else {
            self.is_in(text, 0, *file_start).then_some(Place::Folder)
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

    /// Where the terms from the one on match in which the first pattern's text stands here. If not, gives the next place that
    /// may be one: the text may stand in itself, as `11` does in `111`, and yet no term is gone through more than twice.
    fn fit_at(&self, path: &[u8], start: usize) -> Result<Fit, usize> {
        let (class, len) = (class_at(path, start), self.first.text.len());
        let before = start.checked_sub(1).map_or(Class::Gap, |before| class_at(path, before));
        if !self.first.open_start && before == class {
            return Err(start + 1);
        }
        let mut end = end_of(path, start + len, class);
        let next = match (self.first.open_start, self.first.open_end) {
            (false, _) => start + 1,
            (true, false) if start + len < end => end - len, // only the term's end can match
            (true, _) => end,
        };
        if !self.first.open_end && end != start + len {
            return Err(next);
        }
        let mut fit = Fit { span: start..start + len, next: end };
        for pattern in self.more {
            let start = (end..path.len()).find(|at| class_at(path, *at) != Class::Gap).unwrap_or(path.len());
            end = end_of(path, start, class_at(path, start));
            let term = path.get(start..end).and_then(|term| str::from_utf8(term).ok());
            match term.filter(|term| pattern.fits(term)).and_then(|term| pattern.part_of(term)) {
                Some(part) => fit.span.end = start + part.end,
                None => return Err(next),
            }
        }
        Ok(fit)
    }
}

/// Where the run of a class ends that goes on here.
fn end_of(path: &[u8], start: usize, class: Class) -> usize {
    (start..path.len()).find(|at| class_at(path, *at) != class).unwrap_or(path.len())
}

/// The class of the character that a byte is part of.
fn class_at(text: &[u8], at: usize) -> Class {
    match text.get(at) {
        None => Class::Gap,
        Some(byte) if byte.is_ascii() => ascii_class(*byte),
        Some(_) => class_around(text, at),
    }
}

/// The class of a character beyond ASCII, one of whose bytes is here.
fn class_around(text: &[u8], at: usize) -> Class {
    /// Bytes of a character, at most.
    const BYTES_MAX: usize = 4;
    let goes_on = |byte: &&u8| **byte & 0xc0 == 0x80;
    let before = text[..=at].iter().rev().take(BYTES_MAX).take_while(goes_on).count();
    let start = at.saturating_sub(before);
    let bytes = &text[start..text.len().min(start + BYTES_MAX)];
    let character = bytes.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    character.map_or(Class::Gap, class_of)
}
