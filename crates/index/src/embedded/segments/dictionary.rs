//! The terms of a piece: a term's number is its place in their order, glued pairs first.
//!
//! The texts stand one after the other: a beginning is a range of numbers. Of some of them the first bytes stand together as well,
//! so that looking for a text reads few places of memory. Where texts are many, an automaton finds those a typo away; where they are
//! few, looking at them takes less time than making it.
//!
//! Invariants: texts ascend; the automaton has exactly these terms.

use std::ops::Range;

use fst::raw::{CompiledAddr, Fst, Node, Output};
use fst::{Map, MapBuilder};

use super::{Damaged, varint};
use crate::{terms, typo};

/// Stands before a glued pair and within it; no term has it.
pub(super) const PAIR: char = '\u{1}';
/// Terms from one known place in the texts to the next.
const SAMPLED: u32 = 4;
/// Such places from one head to the next.
const HEADED: usize = 16;
/// Terms of a beginning that are looked at one after the other, before their end is looked for.
const FEW: usize = 16;
/// So many terms are worth an automaton.
const AUTOMATON_TERMS: usize = 1 << 17;

pub(super) struct Dictionary {
    map: Option<Map<Vec<u8>>>,
    /// Each text after its length.
    texts: Box<[u8]>,
    /// Where every fourth text is.
    samples: Box<[u32]>,
    /// Of every sixteenth of those texts the first bytes, as [`head`] gives them.
    heads: Box<[u64]>,
    len: u32,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dictionary of {} terms", self.len)
    }
}

impl Dictionary {
    /// Of the automaton's bytes, if there is one, and of texts one after the other, each after its length.
    pub(super) fn new(map: Vec<u8>, texts: Box<[u8]>) -> Result<Self, Damaged> {
        let map =
            (!map.is_empty()).then(|| Map::new(map)).transpose().map_err(|_| Damaged("its dictionary"))?;
        if map.as_ref().is_some_and(|map| map.as_fst().verify().is_err()) {
            return Err(Damaged("its dictionary"));
        }
        let (mut rest, mut samples, mut len) = (&*texts, Vec::new(), 0_u32);
        while !rest.is_empty() {
            if len.is_multiple_of(SAMPLED) {
                samples.push(u32::try_from(texts.len() - rest.len()).map_err(|_| Damaged("its terms"))?);
            }
            take_text(&mut rest).ok_or(Damaged("its terms"))?;
            len = len.checked_add(1).ok_or(Damaged("its terms"))?;
        }
        if map.as_ref().is_some_and(|map| map.len() != len as usize) {
            return Err(Damaged("its terms"));
        }
        Ok(Self::with_heads(map, texts, samples, len))
    }

    fn with_heads(map: Option<Map<Vec<u8>>>, texts: Box<[u8]>, samples: Vec<u32>, len: u32) -> Self {
        let head_of = |at: &u32| {
            texts
                .get(*at as usize..)
                .and_then(|mut rest| take_bytes(&mut rest))
                .map_or(0, |text| head(text, 0))
        };
        let heads = samples.iter().step_by(HEADED).map(head_of).collect();
        Self { map, texts, samples: samples.into(), heads, len }
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn map_bytes(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| map.as_fst().as_bytes())
    }

    pub(super) const fn text_bytes(&self) -> &[u8] {
        &self.texts
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.map_bytes().len() + self.texts.len() + self.samples.len() * 4 + self.heads.len() * 8
    }

    pub(super) fn get(&self, term: &str) -> Option<u32> {
        let number = self.count_before(term.as_bytes());
        self.bytes_from(number).next().filter(|text| *text == term.as_bytes()).map(|_| number)
    }

    /// The texts from a number on.
    pub(super) fn texts_from(&self, number: u32) -> impl Iterator<Item = &str> {
        self.bytes_from(number).map_while(|text| str::from_utf8(text).ok())
    }

    fn bytes_from(&self, number: u32) -> impl Iterator<Item = &[u8]> {
        let start = self.samples.get((number / SAMPLED) as usize).map_or(self.texts.len(), |at| *at as usize);
        let mut rest = self.texts.get(start..).unwrap_or_default();
        for _ in 0..number % SAMPLED {
            take_bytes(&mut rest);
        }
        std::iter::from_fn(move || take_bytes(&mut rest))
    }

    /// Leaves of ascending numbers those whose text passes.
    pub(super) fn keep(&self, numbers: &mut Vec<u32>, mut passes: impl FnMut(&str) -> bool) {
        let (mut rest, mut at) = (&*self.texts, 0);
        numbers.retain(|number| {
            if *number < at || number - at >= SAMPLED {
                at = number / SAMPLED * SAMPLED;
                let start =
                    self.samples.get((number / SAMPLED) as usize).map_or(usize::MAX, |at| *at as usize);
                rest = self.texts.get(start..).unwrap_or_default();
            }
            while at < *number {
                take_bytes(&mut rest);
                at += 1;
            }
            at += 1;
            take_text(&mut rest).is_some_and(&mut passes)
        });
    }

    /// The numbers of the terms that begin so.
    pub(super) fn range(&self, prefix: &str) -> Range<u32> {
        let prefix = prefix.as_bytes();
        let start = self.count_before(prefix);
        let few = self.bytes_from(start).take(FEW).take_while(|text| text.starts_with(prefix)).count();
        if few < FEW {
            return start..start.saturating_add(u32::try_from(few).unwrap_or(0));
        }
        let heads = (head(prefix, 0), head(prefix, u8::MAX));
        let end = self.count_while(heads, |text| text < prefix || text.starts_with(prefix));
        start..end.max(start)
    }

    /// How many terms stand before a text.
    fn count_before(&self, text: &[u8]) -> u32 {
        self.count_while((head(text, 0), head(text, 0)), |other| other < text)
    }

    /// How many terms from the first on pass; none does after one that doesn't. Those whose head is below the lowest do, those whose
    /// head is above the highest don't.
    fn count_while(&self, (lowest, highest): (u64, u64), passes: impl Fn(&[u8]) -> bool) -> u32 {
        let first_passes = |at: &u32| {
            let mut rest = self.texts.get(*at as usize..).unwrap_or_default();
            take_bytes(&mut rest).is_some_and(&passes)
        };
        let below = self.heads.partition_point(|head| *head < lowest);
        let others = self.heads.get(below..).unwrap_or_default();
        let not_above = below + others.partition_point(|head| *head <= highest);
        let first = below.saturating_sub(1) * HEADED;
        let unsure = first..(not_above * HEADED).min(self.samples.len());
        let known = first + self.samples.get(unsure).unwrap_or_default().partition_point(first_passes);
        let Some(block) = known.checked_sub(1) else { return 0 };
        let start = u32::try_from(block).unwrap_or(u32::MAX).saturating_mul(SAMPLED);
        let more = self.bytes_from(start).take(SAMPLED as usize).take_while(|text| passes(text)).count();
        start.saturating_add(u32::try_from(more).unwrap_or(0))
    }

    /// Adds the numbers of the terms that are at most one typo away from one of two letters or more, some of them more than
    /// once; `None` where there is no automaton.
    pub(super) fn add_typos(&self, text: &str, to: &mut Vec<u32>) -> Option<()> {
        let fst = self.map.as_ref()?.as_fst();
        let skips_cjk = !text.chars().any(terms::is_cjk);
        let mut at = Step { node: fst.root().addr(), number: Output::zero() };
        let mut rest = text;
        loop {
            let mut chars = rest.chars();
            let first = chars.next();
            let without_first = chars.as_str();
            let mut add = |step: Option<Step>, then: &str| {
                let number = step.and_then(|step| step.walk(fst, then)).and_then(|step| step.end(fst));
                to.extend(number);
            };
            if first.is_some() {
                add(Some(at), without_first);
            }
            if let (Some(first), Some(second)) = (first, chars.next()) {
                let swapped = String::from_iter([second, first]);
                add(at.walk(fst, &swapped), chars.as_str());
            }
            let then = [Some(rest), first.map(|_| without_first)];
            at.each_char(fst, skips_cjk, &mut |step| {
                let node = fst.node(step.node);
                let found =
                    then.iter().flatten().filter_map(|then| step.walk_from(&node, fst, then)?.end(fst));
                to.extend(found);
            });
            let Some(next) = first.and_then(|first| at.walk(fst, first.encode_utf8(&mut [0; 4]))) else {
                return Some(());
            };
            (at, rest) = (next, without_first);
        }
    }

    /// Adds the same by looking at each term.
    pub(super) fn add_typos_by_looking(&self, text: &str, to: &mut Vec<u32>) {
        /// Bytes of the longest character.
        const CHAR_BYTES: usize = 4;
        let (first, last) = (text.as_bytes().first(), text.as_bytes().last());
        let is_short = text.chars().nth(2).is_none();
        let (mut rest, mut number) = (&*self.texts, 0);
        while let Some(term) = take_bytes(&mut rest) {
            // Of three letters or more one typo leaves the first as it is, or the last.
            let may_be = term.len().abs_diff(text.len()) <= CHAR_BYTES
                && (term.first() == first || term.last() == last || is_short);
            if may_be && str::from_utf8(term).is_ok_and(|term| typo::is_within_one(text, term)) {
                to.push(number);
            }
            number += 1;
        }
    }
}

/// The halves of a word, one of which stands as it is in each word a typo away, unless the two letters in the middle are
/// swapped: that word is the third.
pub(super) fn halves(text: &str) -> (&str, &str, String) {
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (left, right) = text.split_at(middle);
    let (mut before, mut after) = (left.chars(), right.chars());
    let swapped = [after.next(), before.next_back()].into_iter().flatten();
    let swapped = before.as_str().chars().chain(swapped).chain(after.as_str().chars()).collect();
    (left, right, swapped)
}

/// A place in the automaton, and the number that its way gave.
#[derive(Clone, Copy)]
struct Step {
    node: CompiledAddr,
    number: Output,
}

impl Step {
    fn walk(self, fst: &Fst<Vec<u8>>, text: &str) -> Option<Self> {
        self.walk_from(&fst.node(self.node), fst, text)
    }

    /// The same from its node, which is at hand.
    fn walk_from(mut self, node: &Node<'_>, fst: &Fst<Vec<u8>>, text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let Some(first) = bytes.next() else { return Some(self) };
        self = self.step(node, first)?;
        for byte in bytes {
            self = self.step(&fst.node(self.node), byte)?;
        }
        Some(self)
    }

    fn step(self, node: &Node<'_>, byte: u8) -> Option<Self> {
        let transition = node.transition(node.find_input(byte)?);
        Some(Self { node: transition.addr, number: self.number.cat(transition.out) })
    }

    fn end(self, fst: &Fst<Vec<u8>>) -> Option<u32> {
        let node = fst.node(self.node);
        let number = node.is_final().then(|| self.number.cat(node.final_output()).value())?;
        u32::try_from(number).ok()
    }

    /// Goes a whole character further, in every way there is, but for most Han and Hangul letters where `skips_cjk`: they
    /// are thousands, and stand in no term with others.
    fn each_char(self, fst: &Fst<Vec<u8>>, skips_cjk: bool, visit: &mut impl FnMut(Self)) {
        self.each_byte(fst, &mut |byte, step| {
            // First bytes of U+4000 to U+9FFF, and of U+B000 to U+CFFF.
            if skips_cjk && matches!(byte, 0xe4..=0xe9 | 0xeb..=0xec) {
                return;
            }
            let more = if byte < 0x80 { 0 } else { (!byte).leading_zeros() as usize };
            step.each_rest(fst, more.saturating_sub(1), visit);
        });
    }

    fn each_rest(self, fst: &Fst<Vec<u8>>, bytes: usize, visit: &mut dyn FnMut(Self)) {
        match bytes {
            0 => visit(self),
            _ => self.each_byte(fst, &mut |_, step| step.each_rest(fst, bytes - 1, visit)),
        }
    }

    fn each_byte(self, fst: &Fst<Vec<u8>>, visit: &mut dyn FnMut(u8, Self)) {
        for transition in fst.node(self.node).transitions() {
            let step = Self { node: transition.addr, number: self.number.cat(transition.out) };
            visit(transition.inp, step);
        }
    }
}

/// The first eight bytes of a text as a number, filled up where it is shorter: filled with zeros, texts of a lower one stand before it.
fn head(text: &[u8], filler: u8) -> u64 {
    let mut head = [filler; 8];
    head.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
    u64::from_be_bytes(head)
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = varint::read(from)?;
    let (text, rest) = from.split_at_checked(length as usize)?;
    *from = rest;
    Some(text)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}

/// Writes a dictionary, term by term in order.
pub(super) struct Writer {
    map: Option<MapBuilder<Vec<u8>>>,
    texts: Vec<u8>,
    samples: Vec<u32>,
    len: u32,
}

impl Writer {
    /// For about so many terms, of at most so many bytes.
    pub(super) fn new(terms: usize, text_bytes: usize) -> Self {
        let map = (terms >= AUTOMATON_TERMS).then(MapBuilder::memory);
        Self { map, texts: Vec::with_capacity(text_bytes), samples: Vec::new(), len: 0 }
    }

    /// Adds a term, which has to be greater than the last, and gives its number.
    pub(super) fn push(&mut self, term: &str) -> Option<u32> {
        let (number, place) = (self.len, u32::try_from(self.texts.len()).ok()?);
        if let Some(map) = &mut self.map {
            map.insert(term, u64::from(number)).ok()?;
        }
        if number.is_multiple_of(SAMPLED) {
            self.samples.push(place);
        }
        varint::write(u32::try_from(term.len()).unwrap_or(u32::MAX), &mut self.texts);
        self.texts.extend_from_slice(term.as_bytes());
        self.len += 1;
        Some(number)
    }

    pub(super) fn finish(self) -> Dictionary {
        let map = self.map.map(|map| {
            let grown = map.into_map();
            Map::new(grown.as_fst().to_vec()).unwrap_or(grown) // in no more memory than it needs
        });
        Dictionary::with_heads(map, self.texts.into(), self.samples, self.len)
    }
}

impl Default for Dictionary {
    fn default() -> Self {
        Writer::new(0, 0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn terms_are_found_by_all_ways(
            terms in prop::collection::btree_set("[abé]{1,5}|[東한나ガ]{1,2}|[ab]{3,12}|abababab[ab]{0,9}", 0..600),
            text in "[abé]{2,5}|[東한나]{1,2}|[ab]{2,10}|abababa[ab]{1,6}",
        ) {
            let mut writer = Writer::new(AUTOMATON_TERMS, 0);
            for term in &terms {
                writer.push(term).unwrap();
            }
            let dictionary = writer.finish();
            let numbers = |passes: &dyn Fn(&str) -> bool| {
                (0_u32..).zip(&terms).filter(|(_, term)| passes(term)).map(|(number, _)| number).collect::<Vec<_>>()
            };
            prop_assert_eq!(Vec::from_iter(dictionary.get(&text)), numbers(&|term| term == text));
            prop_assert_eq!(Vec::from_iter(dictionary.range(&text)), numbers(&|term| term.starts_with(&text)));
            let mut typos = Vec::new();
            dictionary.add_typos(&text, &mut typos).unwrap();
            typos.sort_unstable();
            typos.dedup();
            prop_assert_eq!(&typos, &numbers(&|term| typo::is_within_one(&text, term)));
            let mut looked_at = Vec::new();
            dictionary.add_typos_by_looking(&text, &mut looked_at);
            prop_assert_eq!(looked_at, typos);
            let mut kept = Vec::from_iter((0..dictionary.len()).filter(|number| number % 3 != 1));
            dictionary.keep(&mut kept, |term| term.contains(&text));
            prop_assert_eq!(kept, Vec::from_iter(numbers(&|term| term.contains(&text)).into_iter().filter(|n| n % 3 != 1)));
            for start in 0..dictionary.len() {
                prop_assert!(dictionary.texts_from(start).eq(terms.iter().skip(start as usize)));
            }
        }
    }
}
