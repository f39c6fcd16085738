//! Which names have a term: lists of values, a value being a name's number in the piece, doubled, and one more where the
//! term is in the file's own name.
//!
//! A short list is its differences as varints. A longer one is blocks of 128 packed differences, before them a table of
//! each block's last value, where it ends and whether any of it is in a file's own name, after them the rest as varints.
//! The list of a word that more than one in 48 names have is two bitmaps: they take more memory, but are read many times
//! as fast.
//!
//! Invariants: values of a list ascend, with each name at most once. Reading damaged bytes gives wrong values or fewer,
//! and never panics.

use std::hint::black_box;

use bitpacking::{BitPacker, BitPacker4x};

use super::{WINDOW_WORDS, Window, varint};

/// Values packed together.
pub(super) const PACKED: usize = BitPacker4x::BLOCK_LEN;
/// A word's list of more than this part of the names is two bitmaps.
const DENSE_PART: usize = 48;
/// The same of the united lists of a beginning, of which there are many.
const UNITED_DENSE_PART: usize = 16;
/// Lists that share the high half of their places.
const SHARED: usize = 256;
/// Bytes of a row of a packed list's table.
const ROW: usize = 8;
/// In a row, beside where its block ends: no value of the block is in the file's own name.
const FOLDERS_ONLY: u32 = 1 << 31;
/// Bits of a value within its window.
const WINDOW_BITS: u32 = (WINDOW_WORDS * 64 * 2).ilog2();

/// The window that a value's name is in.
pub(super) const fn window_of(value: u32) -> usize {
    (value >> WINDOW_BITS) as usize
}

/// Sets a value's bits in its window.
#[inline]
pub(super) fn scatter(value: u32, anywhere: &mut Window, in_file: &mut Window) {
    let at = (value >> 1) as usize % (WINDOW_WORDS * 64);
    anywhere[at / 64] |= 1 << (at % 64);
    in_file[at / 64] |= u64::from(value & 1) << (at % 64);
}

/// Sets the bit of a value's name alone.
#[inline]
pub(super) fn set(value: u32, anywhere: &mut Window) {
    let at = (value >> 1) as usize % (WINDOW_WORDS * 64);
    anywhere[at / 64] |= 1 << (at % 64);
}

/// Whether several of ascending values are likely to be in one word: it is then put together before it is written, since
/// each write would wait for the one before.
fn are_close(values: &[u32]) -> bool {
    /// Names for each value, on average.
    const CLOSE: usize = 16;
    let span = values.last().zip(values.first()).map_or(0, |(last, first)| last.wrapping_sub(*first) >> 1);
    span as usize <= values.len() * CLOSE
}

/// Sets the bits of the names of ascending values of one window.
#[inline]
pub(super) fn set_all(values: &[u32], anywhere: &mut Window) {
    if !are_close(values) {
        return values.iter().for_each(|value| set(*value, anywhere));
    }
    let (mut word, mut any) = (0, 0_u64);
    for value in values {
        let at = (value >> 1) as usize % (WINDOW_WORDS * 64);
        if at / 64 != word {
            anywhere[word] |= any;
            (word, any) = (at / 64, 0);
        }
        any |= 1 << (at % 64);
    }
    anywhere[word] |= any;
}

/// Sets the bits of ascending values of one window.
#[inline]
pub(super) fn scatter_all(values: &[u32], anywhere: &mut Window, in_file: &mut Window) {
    if !are_close(values) {
        return values.iter().for_each(|value| scatter(*value, anywhere, in_file));
    }
    let (mut word, mut any, mut file) = (0, 0_u64, 0_u64);
    for value in values {
        let at = (value >> 1) as usize % (WINDOW_WORDS * 64);
        if at / 64 != word {
            anywhere[word] |= any;
            in_file[word] |= file;
            (word, any, file) = (at / 64, 0, 0);
        }
        any |= 1 << (at % 64);
        file |= u64::from(value & 1) << (at % 64);
    }
    anywhere[word] |= any;
    in_file[word] |= file;
}

/// Lists by their numbers.
#[derive(Debug, Default)]
pub(super) struct Postings {
    pub(super) bytes: Box<[u8]>,
    /// Where each list starts, beyond the base it shares.
    pub(super) starts: Box<[u32]>,
    pub(super) bases: Box<[u64]>,
    /// The bitmaps, two by two.
    pub(super) maps: Box<[u64]>,
    /// Words of a bitmap.
    pub(super) map_words: usize,
    /// For each two bitmaps [`Map::file_words`].
    pub(super) file_words: Box<[u64]>,
    /// Of which kinds each list's names may be.
    pub(super) kinds: Box<[KindSet]>,
}

/// Kinds, a bit for each by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KindSet(pub(super) u8);

impl KindSet {
    pub(super) const NONE: Self = Self(0);
    /// What no list has whose kinds are known: there are fewer.
    pub(super) const ALL: Self = Self(u8::MAX);

    pub(super) const fn with(self, kind: u8) -> Self {
        Self(self.0 | 1 << (kind % 8))
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, kind: u8) -> bool {
        self.0 >> (kind % 8) & 1 == 1
    }
}

/// One list.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    /// How many values it has.
    pub(super) count: usize,
    pub(super) body: Body<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Short(&'a [u8]),
    Packed(Packed<'a>),
    Maps(Map<'a>),
}

/// The list of a common word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Map<'a> {
    /// The names that have it.
    pub(super) anywhere: &'a [u64],
    /// Those that have it in the file's own name.
    pub(super) in_file: &'a [u64],
    /// The words of `in_file` that are not zero, a bit each: often few are, and the others need not come from memory.
    pub(super) file_words: &'a [u64],
}

impl Map<'_> {
    /// Whether a name has it, as a bit.
    pub(super) fn has(&self, name: usize) -> u32 {
        bit_of(self.anywhere, name)
    }

    /// Whether a name has it in the file's own name, as a bit.
    pub(super) fn has_in_file(&self, name: usize) -> u32 {
        if self.may_be_in_file(name / 64) { bit_of(self.in_file, name) } else { 0 }
    }

    /// Whether any name of a word has it in the file's own name.
    pub(super) fn may_be_in_file(&self, word: usize) -> bool {
        self.file_words.get(word / 64).is_some_and(|words| words >> (word % 64) & 1 == 1)
    }

    /// What there is of a window.
    pub(super) fn window(self, window: usize) -> Self {
        Self {
            anywhere: part_of(self.anywhere, window, WINDOW_WORDS),
            in_file: part_of(self.in_file, window, WINDOW_WORDS),
            file_words: part_of(self.file_words, window, WINDOW_WORDS / 64),
        }
    }
}

/// The bit at a place, nought behind the end.
pub(super) fn bit_of(bits: &[u64], at: usize) -> u32 {
    let word = bits.get(at / 64).copied().unwrap_or_default();
    u32::from(word >> (at % 64) & 1 == 1)
}

/// One of the parts of so many words.
fn part_of(all: &[u64], part: usize, words: usize) -> &[u64] {
    let part = all.get(part * words..).unwrap_or_default();
    part.get(..words).unwrap_or(part)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    table: &'a [u8],
    /// The blocks, then the rest.
    data: &'a [u8],
    rest: usize,
}

/// Lists, finished or still being written.
#[derive(Debug, Clone, Copy)]
struct Lists<'a> {
    bytes: &'a [u8],
    starts: &'a [u32],
    bases: &'a [u64],
    maps: &'a [u64],
    map_words: usize,
    file_words: &'a [u64],
}

impl Postings {
    /// Tells of each two bitmaps which words in files' own names are not zero.
    pub(super) fn with_file_words(self) -> Self {
        if self.map_words == 0 {
            return self; // a damaged piece may have bitmaps of no names
        }
        let of_two = |maps: &[u64]| {
            let in_file = maps.get(self.map_words..).unwrap_or_default();
            let bits = |words: &[u64]| {
                (0..).zip(words).fold(0, |bits, (at, word)| bits | u64::from(*word != 0) << at)
            };
            in_file.chunks(64).map(bits).collect::<Vec<u64>>()
        };
        let file_words = self.maps.chunks(self.map_words * 2).flat_map(of_two).collect();
        Self { file_words, ..self }
    }

    pub(super) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// A list by its number; an empty one where there is none.
    pub(super) fn list(&self, number: u32) -> List<'_> {
        let Self { bytes, starts, bases, maps, map_words, file_words, .. } = self;
        Lists { bytes, starts, bases, maps, map_words: *map_words, file_words }.list(number)
    }

    /// Reads the beginnings of some lists: they lie all over memory, and what is read without a decision in between comes at
    /// the same time.
    pub(super) fn warm(&self, numbers: &[u32]) {
        let start = |number: &u32| {
            let base = self.bases.get(*number as usize / SHARED).copied().unwrap_or_default();
            let start = self.starts.get(*number as usize).copied().unwrap_or_default();
            usize::try_from(base).unwrap_or(usize::MAX).saturating_add(start as usize)
        };
        let first = |number: &u32| self.bytes.get(start(number)).copied().unwrap_or_default();
        black_box(numbers.iter().map(start).fold(0, |all, one| all ^ one));
        black_box(numbers.iter().map(first).fold(0, |all, one| all ^ one));
    }

    /// Of which kinds a list's names may be.
    pub(super) fn kinds(&self, number: u32) -> KindSet {
        self.kinds.get(number as usize).copied().unwrap_or(KindSet::ALL)
    }

    /// Whether a list may have names of a kind; any has such of none in particular.
    pub(super) fn may_have(&self, number: u32, kind: Option<u8>) -> bool {
        kind.is_none_or(|kind| self.kinds(number).has(kind))
    }

    /// Bytes before a list, in lists and in bitmaps.
    #[cfg(test)]
    pub(super) fn place(&self, number: u32) -> (usize, usize) {
        let lists = (0..number).take(self.len()).map(|number| self.list(number));
        let maps = lists.filter(|list| matches!(list.body, Body::Maps(_))).count();
        let base = self.bases.get(number as usize / SHARED).zip(self.starts.get(number as usize));
        let place = base.and_then(|(base, start)| usize::try_from(base + u64::from(*start)).ok());
        (place.unwrap_or(self.bytes.len()), maps * self.map_words * 16)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
            + self.starts.len() * 4
            + self.bases.len() * 8
            + (self.maps.len() + self.file_words.len()) * 8
            + self.kinds.len()
    }
}

impl<'a> Lists<'a> {
    fn list(self, number: u32) -> List<'a> {
        self.read(number as usize).unwrap_or(List { count: 0, body: Body::Short(&[]) })
    }

    fn read(self, number: usize) -> Option<List<'a>> {
        let start = self.bases.get(number / SHARED)?.checked_add(u64::from(*self.starts.get(number)?))?;
        let mut bytes = self.bytes.get(usize::try_from(start).ok()?..)?;
        let header = varint::read(&mut bytes)?;
        let count = (header >> 1) as usize;
        let body = if header & 1 == 1 {
            let number = varint::read(&mut bytes)? as usize;
            let two = |all: &'a [u64], words: usize| {
                let at = number.checked_mul(words)?;
                all.get(at..at.checked_add(words)?)
            };
            let (anywhere, in_file) = two(self.maps, self.map_words * 2)?.split_at(self.map_words);
            let file_words = two(self.file_words, self.map_words.div_ceil(64)).unwrap_or_default();
            Body::Maps(Map { anywhere, in_file, file_words })
        } else if count < PACKED {
            Body::Short(bytes)
        } else {
            let (table, data) = bytes.split_at_checked(count / PACKED * ROW)?;
            Body::Packed(Packed { table, data, rest: count % PACKED })
        };
        Some(List { count, body })
    }
}

impl<'a> List<'a> {
    /// Goes through all values in order.
    pub(super) fn for_each(self, mut visit: impl FnMut(u32)) {
        match self.body {
            Body::Short(bytes) => read_differences(bytes, self.count, None, visit),
            Body::Packed(packed) => {
                let mut block = [0; PACKED];
                for number in 0..=packed.blocks() {
                    let length = packed.decode(number, &mut block);
                    block[..length].iter().for_each(|value| visit(*value));
                }
            }
            Body::Maps(Map { anywhere, in_file, .. }) => {
                for (word, (any, file)) in (0_u32..).zip(anywhere.iter().zip(in_file)) {
                    let mut left = *any;
                    while left != 0 {
                        let bit = left.trailing_zeros();
                        visit((word * 64 + bit) << 1 | u32::from(file >> bit & 1 == 1));
                        left &= left - 1;
                    }
                }
            }
        }
    }
}

impl Packed<'_> {
    /// Full blocks; after them stands the rest, as if it were one more.
    pub(super) const fn blocks(&self) -> usize {
        self.table.len() / ROW
    }

    fn row(&self, block: usize) -> Option<(u32, u32)> {
        let row = self.table.get(block * ROW..)?.first_chunk::<ROW>()?;
        let [a, b, c, d, e, f, g, h] = *row;
        Some((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }

    /// A full block's last value, and where it ends.
    fn end(&self, block: usize) -> Option<(u32, usize)> {
        self.row(block).map(|(last, end)| (last, (end & !FOLDERS_ONLY) as usize))
    }

    /// Whether a block may have values in the file's own name.
    pub(super) fn may_be_in_file(&self, block: usize) -> bool {
        self.row(block).is_none_or(|(_, end)| end & FOLDERS_ONLY == 0)
    }

    /// The last value of a full block.
    pub(super) fn last(&self, block: usize) -> Option<u32> {
        self.row(block).map(|row| row.0)
    }

    /// Decodes a block and tells how many values it has.
    pub(super) fn decode(&self, block: usize, to: &mut [u32; PACKED]) -> usize {
        self.try_decode(block, to).unwrap_or(0)
    }

    fn try_decode(&self, block: usize, to: &mut [u32; PACKED]) -> Option<usize> {
        let (before, start) = match block.checked_sub(1) {
            Some(before) => self.end(before).map(|(last, end)| (Some(last), end))?,
            None => (None, 0),
        };
        if block == self.blocks() {
            let mut at = 0;
            read_differences(self.data.get(start..)?, self.rest, before, |value| {
                to[at % PACKED] = value;
                at += 1;
            });
            return Some(at);
        }
        let packed = self.data.get(start..self.end(block)?.1)?;
        let bits = u8::try_from(packed.len() * 8 / PACKED).ok().filter(|bits| *bits <= 32)?;
        BitPacker4x::new().decompress_strictly_sorted(before, packed, to, bits);
        Some(PACKED)
    }
}

/// Differences count from one: two values are never the same.
fn read_differences(mut bytes: &[u8], count: usize, before: Option<u32>, mut visit: impl FnMut(u32)) {
    let mut next = before.map_or(0, |before| before.wrapping_add(1));
    for _ in 0..count {
        let Some(difference) = varint::read(&mut bytes) else { return };
        let value = next.wrapping_add(difference);
        visit(value);
        next = value.wrapping_add(1);
    }
}

/// Writes lists, one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    starts: Vec<u32>,
    bases: Vec<u64>,
    maps: Vec<u64>,
    kinds: Vec<KindSet>,
    names: usize,
}

impl Writer {
    /// For a piece of so many names; the bytes are asked for at once, since growing would need twice as many.
    pub(super) fn new(names: usize, bytes: usize) -> Self {
        Self { names, bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Goes on after lists that are written.
    pub(super) fn resume(written: Postings, names: usize) -> Self {
        let Postings { bytes, starts, bases, maps, kinds, .. } = written;
        let (bytes, starts) = (bytes.into_vec(), starts.into_vec());
        let (bases, maps, kinds) = (bases.into_vec(), maps.into_vec(), kinds.into_vec());
        Self { bytes, starts, bases, maps, kinds, names }
    }

    const fn map_words(&self) -> usize {
        self.names.div_ceil(64)
    }

    /// Adds a word's list of ascending values, of names of these kinds.
    pub(super) fn push(&mut self, values: &[u32], kinds: KindSet) {
        self.push_list(values, kinds, DENSE_PART);
    }

    /// Adds the list of all words of a beginning.
    pub(super) fn push_united(&mut self, values: &[u32], kinds: KindSet) {
        self.push_list(values, kinds, UNITED_DENSE_PART);
    }

    /// The kinds of a list that is already written.
    pub(super) fn kinds(&self, number: u32) -> KindSet {
        self.kinds.get(number as usize).copied().unwrap_or(KindSet::ALL)
    }

    fn push_list(&mut self, values: &[u32], kinds: KindSet, dense_part: usize) {
        self.kinds.push(kinds);
        let place = self.bytes.len() as u64;
        if self.starts.len().is_multiple_of(SHARED) {
            self.bases.push(place);
        }
        let base = self.bases.last().copied().unwrap_or_default();
        self.starts.push(u32::try_from(place - base).unwrap_or(u32::MAX));
        let is_dense = values.len() >= PACKED && values.len() > self.names / dense_part;
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        varint::write(count << 1 | u32::from(is_dense), &mut self.bytes);
        if is_dense {
            self.push_maps(values);
        } else if values.len() < PACKED {
            self.push_differences(values, None);
        } else {
            self.push_packed(values);
        }
    }

    fn push_maps(&mut self, values: &[u32]) {
        let (start, words) = (self.maps.len(), self.map_words());
        varint::write(u32::try_from(start / (words * 2)).unwrap_or(u32::MAX), &mut self.bytes);
        self.maps.reserve_exact(words * 2);
        self.maps.resize(start + words * 2, 0);
        let (anywhere, in_file) = self.maps[start..].split_at_mut(words);
        for value in values {
            let at = (value >> 1) as usize;
            anywhere[at / 64] |= 1 << (at % 64);
            in_file[at / 64] |= u64::from(value & 1) << (at % 64);
        }
    }

    fn push_packed(&mut self, values: &[u32]) {
        let (blocks, rest) = values.as_chunks::<PACKED>();
        let table = self.bytes.len();
        self.bytes.resize(table + blocks.len() * ROW, 0);
        let data = self.bytes.len();
        let mut before = None;
        let packer = BitPacker4x::new();
        for (row, block) in blocks.iter().enumerate() {
            let bits = packer.num_bits_strictly_sorted(before, block);
            let start = self.bytes.len();
            self.bytes.resize(start + BitPacker4x::compressed_block_size(bits), 0);
            packer.compress_strictly_sorted(before, block, &mut self.bytes[start..], bits);
            let end = u32::try_from(self.bytes.len() - data).unwrap_or(u32::MAX);
            let is_folders_only = block.iter().all(|value| value & 1 == 0);
            let end = if is_folders_only { end | FOLDERS_ONLY } else { end & !FOLDERS_ONLY };
            let at = table + row * ROW;
            self.bytes[at..at + 4].copy_from_slice(&block[PACKED - 1].to_le_bytes());
            self.bytes[at + 4..at + ROW].copy_from_slice(&end.to_le_bytes());
            before = Some(block[PACKED - 1]);
        }
        self.push_differences(rest, before);
    }

    fn push_differences(&mut self, values: &[u32], before: Option<u32>) {
        let mut next = before.map_or(0, |before| before.wrapping_add(1));
        for value in values {
            varint::write(value.wrapping_sub(next), &mut self.bytes);
            next = value.wrapping_add(1);
        }
    }

    /// A list that is already written, to go through: which words of a bitmap are in files' own names is not told yet.
    pub(super) fn list(&self, number: u32) -> List<'_> {
        let Self { bytes, starts, bases, maps, .. } = self;
        Lists { bytes, starts, bases, maps, map_words: self.map_words(), file_words: &[] }.list(number)
    }

    pub(super) fn finish(self) -> Postings {
        let map_words = self.map_words();
        let Self { bytes, starts, bases, maps, kinds, .. } = self;
        let (bytes, starts) = (bytes.into_boxed_slice(), starts.into_boxed_slice());
        let (bases, maps, kinds) = (bases.into(), maps.into(), kinds.into());
        Postings { bytes, starts, bases, maps, map_words, kinds, ..Postings::default() }.with_file_words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_come_back(
            lists in prop::collection::vec(prop::collection::btree_map(0_u32..3_000, any::<bool>(), 0..600), 0..4),
            spread in prop_oneof![Just(1_u32), Just(700_000)],
        ) {
            let value = |(at, in_file): (&u32, &bool)| at * spread * 2 + u32::from(*in_file);
            let lists: Vec<Vec<u32>> = lists.iter().map(|list| list.iter().map(value).collect()).collect();
            let mut writer = Writer::new(3_000 * spread as usize, 0);
            lists.iter().for_each(|list| writer.push(list, KindSet::ALL));
            let postings = writer.finish();
            for (number, list) in (0..).zip(&lists) {
                let mut read = Vec::new();
                postings.list(number).for_each(|value| read.push(value));
                prop_assert_eq!(&read, list);
            }
            prop_assert_eq!(postings.list(9).count, 0);
        }
    }
}
