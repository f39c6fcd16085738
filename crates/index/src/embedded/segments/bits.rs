//! The names of a window as bits: which match, which of them in the file's own name, and which have to be checked.
//!
//! Most windows have names of few words. Which those are is noted, so that nobody else is looked at; and where few were set
//! at all, only they are put out again.
//!
//! Invariant: where a window was noted, no other words have names that are looked at.

use super::members::OfKind;
use super::neighbours::{Signature, Signatures};
use super::postings::Map;
use super::union::Which;
use super::{WINDOW, WINDOW_WORDS, Window};

/// The names of a window that may match.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Bits {
    /// Those that match, wherever.
    pub(in crate::embedded) anywhere: Box<Window>,
    /// Which of them may match within the file's own name, and perhaps others: `Plan::in_file` tells which do.
    pub(super) in_file: Box<Window>,
    /// Those that may not match, or elsewhere than these bits say: `Query::find` has to be asked.
    pub(in crate::embedded) check: Box<Window>,
    /// None of them need be checked: no bit of `check` is set.
    pub(in crate::embedded) is_sure: bool,
    /// The words that have any names, a bit each.
    words: WordSet,
    /// The words that have any bits, where that is known of all.
    pub(super) touched: Option<WordSet>,
}

/// Words of a window, a bit each.
pub(in crate::embedded) type WordSet = [u64; WINDOW_WORDS / 64];

impl Default for Bits {
    fn default() -> Self {
        let none = || Box::new([0; WINDOW_WORDS]);
        Self { anywhere: none(), in_file: none(), check: none(), is_sure: true, words: [0; _], touched: None }
    }
}

/// What is asked of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) window: usize,
    pub(super) which: Which,
    /// Whether any name may have to be checked.
    pub(super) checks: bool,
}

impl Asked {
    /// Whether it matters where names match.
    pub(super) fn places(self) -> bool {
        self.which != Which::Anywhere
    }
}

impl Bits {
    /// The words of 64 names that have any: the names of most windows are few.
    pub(in crate::embedded) fn words(&self) -> impl Iterator<Item = usize> + use<> {
        words_of(self.words)
    }

    /// Leaves only some words, as far as [`Bits::words`] tells them.
    pub(in crate::embedded) fn keep_words(&mut self, kept: WordSet) {
        self.words.iter_mut().zip(kept).for_each(|(to, words)| *to &= words);
    }

    /// The names that a bitmap has, for sure and in the file's own name, and whether there are any.
    pub(super) fn set_map(&mut self, map: &[u64], asked: Asked) -> bool {
        let mut left = 0;
        for (to, word) in self.anywhere.iter_mut().zip(map) {
            *to = *word;
            left |= *word;
        }
        self.anywhere.iter_mut().skip(map.len()).for_each(|word| *word = 0);
        self.set_places(asked);
        left != 0
    }

    /// The names that all of some bitmaps have in the file's own name, for sure, and whether there are any. Of words in which one
    /// of them has none, none is read.
    pub(super) fn set_in_file(&mut self, maps: &[Map<'_>]) -> bool {
        let words = common_file_words(maps);
        if words == [0; _] {
            return false;
        }
        self.clear_touched();
        let mut left = 0;
        for at in words_of(words) {
            let of_map = |map: &Map<'_>| map.in_file.get(at).copied().unwrap_or_default();
            let names = maps.iter().fold(u64::MAX, |all, map| all & of_map(map));
            (self.anywhere[at], self.in_file[at]) = (names, names);
            left |= names;
        }
        self.touched = Some(words);
        left != 0
    }

    /// The names that two bitmaps have, as [`Bits::set_map`] does of one.
    pub(super) fn set_maps(&mut self, one: &[u64], other: &[u64], asked: Asked) -> bool {
        let mut left = 0;
        for ((to, one), other) in self.anywhere.iter_mut().zip(one).zip(other) {
            *to = one & other;
            left |= *to;
        }
        self.anywhere.iter_mut().skip(one.len().min(other.len())).for_each(|word| *word = 0);
        self.set_places(asked);
        left != 0
    }

    /// As where all are sure, and may be in the file's own name.
    fn set_places(&mut self, asked: Asked) {
        if asked.places() {
            self.in_file.fill(u64::MAX);
        }
        if asked.checks {
            self.check.fill(0);
        }
    }

    pub(super) fn clear(&mut self, asked: Asked) {
        self.anywhere.fill(0);
        if asked.places() {
            self.in_file.fill(0);
        }
        if asked.checks {
            self.check.fill(0);
        }
    }

    /// Gives the names for the other's.
    pub(super) const fn swap(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.anywhere, &mut other.anywhere);
        std::mem::swap(&mut self.in_file, &mut other.in_file);
        std::mem::swap(&mut self.check, &mut other.check);
    }

    /// Leaves what has some bits in its signature, and tells whether anything is left.
    pub(super) fn keep_signed(&mut self, signatures: Signatures<'_>, bits: Signature, window: usize) -> bool {
        signatures.keep(bits, window, &mut self.anywhere);
        let mut left = 0;
        for (in_file, any) in self.in_file.iter_mut().zip(self.anywhere.iter()) {
            *in_file &= any;
            left |= any;
        }
        left != 0
    }

    /// Leaves what the other has as well, and tells whether anything is left.
    pub(super) fn and(&mut self, other: &Self, asked: Asked) -> bool {
        let keep = |to: &mut Window, other: &Window| {
            to.iter_mut().zip(other).fold(0, |left, (to, word)| {
                *to &= word;
                left | *to
            })
        };
        let left = keep(&mut self.anywhere, &other.anywhere);
        if left != 0 && asked.places() {
            keep(&mut self.in_file, &other.in_file);
        }
        if left != 0 && asked.checks {
            self.check.iter_mut().zip(other.check.iter()).for_each(|(to, word)| *to |= word);
        }
        left != 0
    }

    /// Leaves what bitmaps have as well: of names with a word, and of those with it in the file's own name.
    pub(super) fn and_map(&mut self, map: Map<'_>, asked: Asked) -> bool {
        let is_any = self.and_anywhere(if asked.which == Which::InFile { map.in_file } else { map.anywhere });
        if asked.places() {
            self.keep_in_file(map.in_file);
        }
        is_any
    }

    /// Leaves what a bitmap has as well, wherever, and tells whether anything is left.
    pub(super) fn and_anywhere(&mut self, map: &[u64]) -> bool {
        let mut left = 0;
        for (to, word) in self.anywhere.iter_mut().zip(map) {
            *to &= word;
            left |= *to;
        }
        self.anywhere.iter_mut().skip(map.len()).for_each(|word| *word = 0);
        left != 0
    }

    /// Leaves in the files' own names what a bitmap has, reading of it only where there are names.
    pub(super) fn keep_in_file(&mut self, map: &[u64]) {
        for (at, (to, any)) in self.in_file.iter_mut().zip(self.anywhere.iter()).enumerate() {
            *to &= if *any == 0 { 0 } else { any & map.get(at).copied().unwrap_or_default() };
        }
    }

    /// Adds what the other has. What is sure to be in the file's own name needs no check by the other; nor what is sure
    /// to be elsewhere, where the other can't be in the file's own name.
    pub(super) fn or(&mut self, other: &Self) {
        for at in 0..WINDOW_WORDS {
            let sure_in_file = (self.in_file[at] & !self.check[at]) | (other.in_file[at] & !other.check[at]);
            let sure = (self.anywhere[at] & !self.check[at]) | (other.anywhere[at] & !other.check[at]);
            self.anywhere[at] |= other.anywhere[at];
            self.in_file[at] |= other.in_file[at];
            let unsure = (self.check[at] | other.check[at]) & !sure_in_file;
            self.check[at] = unsure & !(sure & !self.in_file[at]);
        }
    }

    /// Takes out what the other has and is sure of, and marks what it isn't sure of.
    pub(super) fn leave_out(&mut self, other: &Self) {
        for at in 0..WINDOW_WORDS {
            self.anywhere[at] &= !(other.anywhere[at] & !other.check[at]);
            self.check[at] |= other.check[at];
        }
    }

    pub(super) fn has_checks(&self) -> bool {
        self.check.iter().fold(0, |all, word| all | word) != 0
    }

    /// Leaves bits of those names only that are there.
    pub(super) fn tidy(&mut self, asked: Asked) {
        let keep = |to: &mut Window, any: &Window| to.iter_mut().zip(any).for_each(|(to, any)| *to &= any);
        if asked.places() {
            keep(&mut self.in_file, &self.anywhere);
        }
        if asked.checks {
            keep(&mut self.check, &self.anywhere);
        }
    }

    /// Leaves no bit, of which [`Bits::put`] will set some.
    pub(super) fn clear_touched(&mut self) {
        match self.touched {
            Some(touched) => {
                for at in words_of(touched) {
                    (self.anywhere[at], self.in_file[at], self.check[at]) = (0, 0, 0);
                }
            }
            None => [&mut self.anywhere, &mut self.in_file, &mut self.check]
                .into_iter()
                .for_each(|bits| bits.fill(0)),
        }
        self.touched = Some([0; _]);
    }

    /// Sets the bits of a value's name.
    pub(super) fn put(&mut self, value: u32, asked: Asked) {
        let at = (value >> 1) as usize % WINDOW;
        let bit = 1 << (at % 64);
        self.anywhere[at / 64] |= bit;
        if asked.places() && value & 1 == 1 {
            self.in_file[at / 64] |= bit;
        }
        if asked.checks {
            self.check[at / 64] |= bit;
        }
        if let Some(touched) = &mut self.touched {
            touched[at / 64 / 64] |= 1 << (at / 64 % 64);
        }
    }

    /// As [`Bits::note`], and leaves those of a kind, where no words have bits but some.
    pub(super) fn note_touched(&mut self, touched: WordSet, kind: Option<OfKind<'_>>, asked: Asked) -> bool {
        let (mut words, mut checks) = ([0; _], 0);
        for at in words_of(touched) {
            let word = self.anywhere[at];
            let any = kind.map_or(word, |kind| kind.of_word(asked.window * WINDOW_WORDS + at, word));
            self.anywhere[at] = any;
            self.in_file[at] &= any;
            self.check[at] &= any;
            checks |= self.check[at];
            words[at / 64] |= u64::from(any != 0) << (at % 64);
        }
        self.is_sure |= checks == 0;
        self.words = words;
        words != [0; _]
    }

    /// Notes where names are, and tells whether there are any.
    pub(super) fn note(&mut self) -> bool {
        let (of_words, _) = self.anywhere.as_chunks::<8>();
        for (words, of_words) in self.words.iter_mut().zip(of_words.chunks(8)) {
            let byte = |names: &[u64; 8]| {
                // Each byte's lowest bit to its place in the uppermost byte.
                let any = names.map(|names| u8::from(names != 0));
                u64::from_le_bytes(any).wrapping_mul(0x0102_0408_1020_4080) >> 56
            };
            *words = (0..).zip(of_words).fold(0, |words, (at, names)| words | byte(names) << (at * 8));
        }
        self.words.iter().any(|words| *words != 0)
    }
}

/// The words in which all of some bitmaps may have a name in the file's own name.
pub(super) fn common_file_words(maps: &[Map<'_>]) -> WordSet {
    let mut words = [u64::MAX; _];
    for map in maps {
        let of_map = map.file_words.iter().copied().chain(std::iter::repeat(0));
        words.iter_mut().zip(of_map).for_each(|(to, words)| *to &= words);
    }
    words
}

fn words_of(words: WordSet) -> impl Iterator<Item = usize> {
    (0..).zip(words).flat_map(|(at, word)| ones(word).map(move |bit| at * 64 + bit))
}

/// The places of the ones of a word.
pub(in crate::embedded) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}
