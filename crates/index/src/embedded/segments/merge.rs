//! Several pieces become one, in the order of today.
//!
//! Invariant: at no time is more held than the pieces, what is made of them, and some bytes a name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Standing;
use super::build::{Bitset, GONE, Writer, moved};
use super::members::{self, Key, Kinds, Marks, Members};
use super::neighbours::{Neighbours, PLANES};
use super::postings::KindSet;
use super::segment::Segment;

/// Names or terms after which it is asked whether to stop.
const STOP_EVERY: usize = 4_096;

impl Segment {
    /// One piece of several, put in order by how their names stand now (one for each name, in each piece's order). Names
    /// that stand nowhere are left out. `None` when stopped.
    pub(in crate::embedded) fn merge(
        pieces: &[Arc<Self>],
        standings: Vec<Vec<Option<Standing>>>,
        stop: &AtomicBool,
    ) -> Option<Self> {
        let order = order(pieces, &standings, stop)?;
        let (members, places) = members(pieces, &standings, &order, stop)?;
        drop((order, standings)); // as much as a third of what is made
        let neighbours = neighbours(pieces, &places, members.len(), stop)?;
        let texts = pieces.iter().map(|piece| piece.dictionary.text_bytes().len()).sum();
        // Pages that are asked for and never written to take no memory.
        let lists = pieces.iter().map(|piece| piece.postings.bytes.len()).sum::<usize>();
        // Of four pieces' terms about half are the same.
        let terms = pieces.iter().map(|piece| piece.dictionary.len() as usize).sum::<usize>();
        let mut writer = Writer::new(members.len(), terms / 2, texts, lists + lists / 4);
        merge_terms(pieces, &places, members.len(), &mut writer, stop)?;
        writer.finish(members, neighbours, stop)
    }
}

fn go_on(stop: &AtomicBool) -> Option<()> {
    (!stop.load(Ordering::Relaxed)).then_some(())
}

/// Where each piece's names begin, all pieces' names being counted one after the other.
fn bases(pieces: &[Arc<Segment>]) -> impl Iterator<Item = (usize, &Segment)> {
    pieces.iter().scan(0, |sum, piece| {
        let base = *sum;
        *sum += piece.members.len();
        Some((base, &**piece))
    })
}

fn order(
    pieces: &[Arc<Segment>],
    standings: &[Vec<Option<Standing>>],
    stop: &AtomicBool,
) -> Option<Vec<Key>> {
    /// So many are sorted in some ten milliseconds.
    const SORTED: usize = 1 << 17;
    let kept = standings.iter().flatten().flatten().count();
    let mut order = Vec::with_capacity(kept);
    for ((base, piece), standings) in bases(pieces).zip(standings) {
        for (at, standing) in standings.iter().take(piece.members.len()).enumerate() {
            let source = u32::try_from(base + at).ok()?;
            order.extend(standing.map(|standing| Key::new(standing, source)));
        }
    }
    for some in order.chunks_mut(SORTED) {
        go_on(stop)?;
        some.sort_unstable();
    }
    order.sort(); // quick where parts are in order
    Some(order)
}

/// The members in their new order, and where each name went.
fn members(
    pieces: &[Arc<Segment>],
    standings: &[Vec<Option<Standing>>],
    order: &[Key],
    stop: &AtomicBool,
) -> Option<(Members, Vec<u32>)> {
    let mut places = vec![GONE; pieces.iter().map(|piece| piece.members.len()).sum()];
    for (place, key) in (0..).zip(order) {
        places[key.source as usize] = place;
    }
    go_on(stop)?;
    let (mut names, mut contents) = (vec![0; order.len()], vec![0; order.len()]);
    let mut kinds = Kinds::new(order.len());
    let marks = Marks::new(order.len());
    for ((base, piece), standings) in bases(pieces).zip(standings) {
        let members = &piece.members;
        for (at, (name, content)) in members.names.iter().zip(&members.contents).enumerate() {
            let place = places[base + at] as usize;
            if let (Some(to_name), Some(to_content)) = (names.get_mut(place), contents.get_mut(place)) {
                (*to_name, *to_content) = (*name, *content);
                kinds.set(place, members.kinds.get(at));
                if let Some(Some(standing)) = standings.get(at) {
                    marks.set(place, *standing);
                }
            }
        }
        go_on(stop)?;
    }
    let by_name = by_name(pieces, &places, order.len());
    let (classes, min_hashes) = members::bounds(order);
    let window_classes = members::window_classes(&classes);
    let (names, contents) = (names.into(), contents.into());
    Some((Members { names, contents, by_name, kinds, classes, window_classes, min_hashes, marks }, places))
}

/// The signatures at their new places, a plane at a time: one is a bit a name, so that what is written to stays near.
fn neighbours(
    pieces: &[Arc<Segment>],
    places: &[u32],
    names: usize,
    stop: &AtomicBool,
) -> Option<Neighbours> {
    let mut neighbours = Neighbours::new(names);
    for plane in 0..PLANES {
        go_on(stop)?;
        for (base, piece) in bases(pieces) {
            neighbours.take(plane, &piece.neighbours, places.get(base..base + piece.members.len())?);
        }
    }
    Some(neighbours)
}

/// The new places in order of the names' numbers: each piece has its own in that order.
fn by_name(pieces: &[Arc<Segment>], places: &[u32], names: usize) -> Box<[u32]> {
    let mut all = Vec::with_capacity(names);
    for (base, piece) in bases(pieces) {
        let members = &piece.members;
        all.extend(members.by_name.iter().filter_map(|at| {
            let place = *places.get(base + *at as usize)?;
            Some((*members.names.get(*at as usize)?, place)).filter(|_| place != GONE)
        }));
    }
    all.sort(); // quick where parts are in order
    all.into_iter().map(|(_, place)| place).collect()
}

/// The kinds of a list's names; those of pieces that don't tell are looked at.
fn kinds_of(piece: &Segment, number: u32) -> KindSet {
    let mut kinds = piece.postings.kinds(number);
    if kinds == KindSet::ALL {
        kinds = KindSet::NONE;
        let kind = |value: u32| piece.members.kinds.get((value >> 1) as usize);
        piece.postings.list(number).for_each(|value| kinds = kinds.with(kind(value)));
    }
    kinds
}

fn merge_terms(
    pieces: &[Arc<Segment>],
    places: &[u32],
    names: usize,
    writer: &mut Writer,
    stop: &AtomicBool,
) -> Option<()> {
    /// A list of more than this part of the names is put in order by bits rather than by sorting.
    const BITS_PART: usize = 32;
    let mut bits = Bitset::new(names);
    let mut values = Vec::new();
    let mut texts: Vec<_> =
        pieces.iter().map(|piece| piece.dictionary.texts_from(0).zip(0_u32..).peekable()).collect();
    let mut work = 0;
    while let Some(term) = texts.iter_mut().filter_map(|text| text.peek().map(|(term, _)| *term)).min() {
        values.clear();
        let mut lists = Vec::with_capacity(pieces.len());
        let mut kinds = KindSet::NONE;
        for ((base, piece), text) in bases(pieces).zip(&mut texts) {
            let number = text.next_if(|(other, _)| *other == term);
            let places = places.get(base..base + piece.members.len())?;
            if let Some((_, number)) = number {
                lists.push((piece.postings.list(number), places));
                kinds = kinds.or(kinds_of(piece, number));
            }
        }
        let count: usize = lists.iter().map(|(list, _)| list.count).sum();
        let is_common = count > names / BITS_PART;
        for (list, places) in lists {
            if is_common {
                list.for_each(|value| moved(value, places).into_iter().for_each(|value| bits.set(value)));
            } else {
                list.for_each(|value| values.extend(moved(value, places)));
            }
        }
        if is_common {
            bits.drain(&mut values);
        } else {
            values.sort();
        }
        writer.push(term, &values, kinds);
        work += count + 1;
        if work > STOP_EVERY {
            work = 0;
            go_on(stop)?;
        }
    }
    Some(())
}
