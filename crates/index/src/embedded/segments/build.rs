//! Makes pieces: of the table of new names here, and what [`merge`](super::merge) needs for the same.
//!
//! Invariant: terms come in order, and each one's values ascend.

use std::sync::atomic::{AtomicBool, Ordering};

use super::dictionary::{self, Dictionary, PAIR};
use super::members::{self, Key, Kinds, Marks, Members};
use super::neighbours::Neighbours;
use super::postings::{self, Body, KindSet, Postings};
use super::segment::{Ready, Segment};
use super::triples;
use super::{Memtable, Standing};

/// Stands for the place of a name that is left out.
pub(super) const GONE: u32 = u32::MAX;
/// A beginning that more terms have is kept ready: fewer are united while searching.
const READY_TERMS: u32 = 512;
/// Letters of such a beginning: one of fewer letters is united from these, one of more has fewer terms.
const READY_LETTERS: usize = 2;

impl Segment {
    /// A piece of the names of a table, put in order by how they stand (one for each name, in the table's order). Names
    /// that stand nowhere are left out.
    pub(in crate::embedded) fn build(table: &Memtable, standings: &[Option<Standing>]) -> Self {
        let keys = (0..).zip(standings).filter_map(|(at, standing)| Some(Key::new((*standing)?, at)));
        let mut order: Vec<Key> = keys.take(table.len()).collect();
        order.sort_unstable();
        let mut places = vec![GONE; table.len()];
        let mut kinds = Kinds::new(order.len());
        let marks = Marks::new(order.len());
        let mut neighbours = Neighbours::new(order.len());
        for (place, key) in (0..).zip(&order) {
            let at = key.source as usize;
            places[at] = place;
            kinds.set(place as usize, table.kind_number(at));
            neighbours.set(place as usize, table.signature(at));
            if let Some(Some(standing)) = standings.get(at) {
                marks.set(place as usize, *standing);
            }
        }
        let mut by_name: Vec<u32> = (0..).take(order.len()).collect();
        let of = |place: u32, numbers: &[u32]| numbers[order[place as usize].source as usize];
        by_name.sort_unstable_by_key(|place| of(*place, table.names()));
        let column = |numbers: &[u32]| order.iter().map(|key| numbers[key.source as usize]).collect();
        let (classes, min_hashes) = members::bounds(&order);
        let window_classes = members::window_classes(&classes);
        let (names, contents) = (column(table.names()), column(table.contents()));
        let members = Members {
            names,
            contents,
            by_name: by_name.into(),
            kinds,
            classes,
            window_classes,
            min_hashes,
            marks,
        };
        let terms = table.sorted_terms();
        let mut writer = Writer::new(order.len(), terms.len(), 0, 0);
        let (mut came, mut values) = (Vec::new(), Vec::new());
        for term in terms {
            came.clear();
            table.add_values(term, &mut came);
            let kind_of = |value: &u32| table.kind_number((value >> 1) as usize);
            let kinds = came.iter().map(kind_of).fold(KindSet::NONE, KindSet::with);
            values.clear();
            values.extend(came.iter().filter_map(|value| moved(*value, &places)));
            values.sort_unstable();
            writer.push(table.term(term), &values, kinds);
        }
        writer.finish(members, neighbours, &AtomicBool::new(false)).unwrap_or_else(Self::empty)
    }

    /// A piece with nothing in it.
    fn empty() -> Self {
        let (postings, triples, ready) = (Postings::default(), triples::Triples::default(), Ready::default());
        let (members, neighbours) = (Members::default(), Neighbours::default());
        Self { members, neighbours, dictionary: Dictionary::default(), triples, postings, ready }
    }
}

/// A value with its name at its new place; `None` where the name is left out.
#[inline]
pub(super) fn moved(value: u32, places: &[u32]) -> Option<u32> {
    let place = places.get((value >> 1) as usize).filter(|place| **place != GONE)?;
    Some(place << 1 | value & 1)
}

/// Writes the words of a piece.
pub(super) struct Writer {
    dictionary: dictionary::Writer,
    triples: triples::Writer,
    postings: postings::Writer,
    names: usize,
}

impl Writer {
    /// For so many names and about so many terms; what the texts and lists will need is asked for at once.
    pub(super) fn new(names: usize, terms: usize, text_bytes: usize, posting_bytes: usize) -> Self {
        let dictionary = dictionary::Writer::new(terms, text_bytes);
        let postings = postings::Writer::new(names, posting_bytes);
        Self { dictionary, triples: triples::Writer::default(), postings, names }
    }

    /// Adds a term with its names, which are of these kinds at most, unless no name has it any more.
    pub(super) fn push(&mut self, term: &str, values: &[u32], kinds: KindSet) {
        if values.is_empty() {
            return;
        }
        if let Some(number) = self.dictionary.push(term) {
            self.postings.push(values, kinds);
            if !term.starts_with(PAIR) {
                self.triples.push(term, number);
            }
        }
    }

    /// `None` when stopped.
    pub(super) fn finish(
        self,
        members: Members,
        neighbours: Neighbours,
        stop: &AtomicBool,
    ) -> Option<Segment> {
        let dictionary = self.dictionary.finish();
        let triples = self.triples.finish();
        let (postings, ready) = add_ready(&dictionary, self.postings.finish(), self.names, stop)?;
        Some(Segment { members, neighbours, dictionary, triples, postings, ready })
    }
}

/// Unites, for each beginning that many terms have, the lists of those that are no bitmaps: these are quick to read beside
/// one list, and would make it long.
fn add_ready(
    dictionary: &Dictionary,
    lists: Postings,
    names: usize,
    stop: &AtomicBool,
) -> Option<(Postings, Ready)> {
    let is_long = |number: &u32| matches!(lists.list(*number).body, Body::Maps(_));
    let long: Box<[u32]> = (0..dictionary.len()).filter(is_long).collect();
    let ranges = common_beginnings(dictionary);
    let mut writer = postings::Writer::resume(lists, names);
    let mut united = Bitset::new(if ranges.is_empty() { 0 } else { names });
    let mut values = Vec::new();
    for (start, end) in &ranges {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut kinds = KindSet::NONE;
        for number in *start..*end {
            let list = writer.list(number);
            if !matches!(list.body, Body::Maps(_)) {
                kinds = kinds.or(writer.kinds(number));
                list.for_each(|value| united.set(value));
            }
        }
        united.drain(&mut values);
        writer.push_united(&values, kinds);
    }
    Some((writer.finish(), Ready { ranges: ranges.into(), long }))
}

/// The ranges of the terms with a beginning that many have.
fn common_beginnings(dictionary: &Dictionary) -> Vec<(u32, u32)> {
    let (mut ranges, mut current, mut start) = (Vec::new(), "", 0);
    let mut add = |prefix: &str, start: u32, end: u32| {
        if !prefix.is_empty() && end - start > READY_TERMS {
            ranges.push((start, end));
        }
    };
    let terms = (0..dictionary.len()).zip(dictionary.texts_from(0));
    for (number, term) in terms.filter(|(_, term)| !term.starts_with(PAIR)) {
        let length = term.char_indices().nth(READY_LETTERS - 1).map(|(at, letter)| at + letter.len_utf8());
        let prefix = length.and_then(|length| term.get(..length)).unwrap_or_default();
        if prefix != current {
            add(current, start, number);
            (current, start) = (prefix, number);
        }
    }
    add(current, start, dictionary.len());
    ranges
}

/// Values of any order, to become ascending ones.
pub(super) struct Bitset {
    words: Vec<(u64, u64)>,
}

impl Bitset {
    pub(super) fn new(names: usize) -> Self {
        Self { words: vec![(0, 0); names.div_ceil(64)] }
    }

    #[inline]
    pub(super) fn set(&mut self, value: u32) {
        let at = (value >> 1) as usize;
        if let Some((anywhere, in_file)) = self.words.get_mut(at / 64) {
            *anywhere |= 1 << (at % 64);
            *in_file |= u64::from(value & 1) << (at % 64);
        }
    }

    /// Gives the values in order instead of what was there, and is empty after.
    pub(super) fn drain(&mut self, to: &mut Vec<u32>) {
        to.clear();
        for (word, (anywhere, in_file)) in (0_u32..).zip(&mut self.words) {
            let (mut left, file) = (std::mem::take(anywhere), std::mem::take(in_file));
            while left != 0 {
                let bit = left.trailing_zeros();
                to.push((word * 64 + bit) << 1 | u32::from(file >> bit & 1 == 1));
                left &= left - 1;
            }
        }
    }
}
