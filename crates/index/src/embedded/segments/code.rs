//! A piece as bytes and back: a mark, then parts, each after its length, all numbers little endian.
//!
//! Invariants: reading asks for little more memory than there are bytes. What is read back can be searched without a panic,
//! whatever the bytes were; whether they are the ones written, a checksum around them has to tell.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use super::dictionary::Dictionary;
use super::members::{self, KIND_BITS, Kinds, Marks, Members};
use super::neighbours::Neighbours;
use super::postings::{KindSet, Postings};
use super::segment::{Ready, Segment};
use super::triples::Triples;
use super::{BLOCK, Damaged};

/// Begins a piece; the version of what follows comes after it, as a digit.
const MARK: &[u8; 7] = b"PRGTEXT";
/// What is written.
const VERSION: u8 = 4;
/// From this one on it is told which terms stand side by side.
const WITH_NEIGHBOURS: u8 = 2;
/// From this one on it is told of which kinds the names of a list are.
const WITH_KINDS: u8 = 3;

impl Segment {
    /// Writes the piece.
    ///
    /// # Errors
    /// Those of the writer.
    pub(in crate::embedded) fn encode(&self, to: &mut impl Write) -> io::Result<()> {
        let Self { members, neighbours, dictionary, triples, postings, ready } = self;
        to.write_all(MARK)?;
        to.write_all(&[b'0' + VERSION])?;
        write_numbers(to, &members.names, u32::to_le_bytes)?;
        write_numbers(to, &members.contents, u32::to_le_bytes)?;
        write_numbers(to, &members.by_name, u32::to_le_bytes)?;
        for bit in 0..KIND_BITS {
            write_numbers(to, &members.kinds.bit(bit), u64::to_le_bytes)?;
        }
        let classes: Vec<u8> = members.classes.iter().map(|class| class.load(Ordering::Relaxed)).collect();
        write_bytes(to, &classes)?;
        write_numbers(to, &members.min_hashes, u32::to_le_bytes)?;
        write_numbers(to, neighbours.planes(), u64::to_le_bytes)?;
        write_bytes(to, dictionary.map_bytes())?;
        write_bytes(to, dictionary.text_bytes())?;
        write_numbers(to, &triples.keys, u64::to_le_bytes)?;
        write_numbers(to, &triples.ends, u64::to_le_bytes)?;
        write_bytes(to, &triples.bytes)?;
        write_bytes(to, &postings.bytes)?;
        write_numbers(to, &postings.starts, u32::to_le_bytes)?;
        write_numbers(to, &postings.bases, u64::to_le_bytes)?;
        write_numbers(to, &postings.maps, u64::to_le_bytes)?;
        write_numbers(to, &ready.ranges, |(start, end)| {
            (u64::from(start) << 32 | u64::from(end)).to_le_bytes()
        })?;
        write_numbers(to, &ready.long, u32::to_le_bytes)?;
        write_numbers(to, &postings.kinds, |kinds| [kinds.0])
    }

    /// Reads a piece back.
    ///
    /// # Errors
    /// [`Damaged`] with the part that is not as it should be.
    pub(in crate::embedded) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, rest) = bytes
            .strip_prefix(MARK)
            .and_then(<[u8]>::split_first)
            .map(|(digit, rest)| (digit.wrapping_sub(b'0'), rest))
            .filter(|(version, _)| (1..=VERSION).contains(version))
            .ok_or(Damaged("its mark"))?;
        let mut parts = Parts { rest };
        let members = read_members(&mut parts)?;
        let has_neighbours = version >= WITH_NEIGHBOURS;
        let planes = if has_neighbours { parts.numbers(u64::from_le_bytes)? } else { Box::default() };
        let neighbours = Neighbours::of(planes, members.len()).ok_or(Damaged("its neighbours"))?;
        let dictionary = Dictionary::new(parts.bytes()?.to_vec(), parts.bytes()?.into())?;
        let (keys, ends) = (parts.numbers(u64::from_le_bytes)?, parts.numbers(u64::from_le_bytes)?);
        let triples = Triples { keys, ends, bytes: parts.bytes()?.into() };
        let (bytes, starts) = (parts.bytes()?.into(), parts.numbers(u32::from_le_bytes)?);
        let (bases, maps) = (parts.numbers(u64::from_le_bytes)?, parts.numbers(u64::from_le_bytes)?);
        let map_words = members.len().div_ceil(64);
        let range = |bytes| {
            let [a, b, c, d, e, f, g, h] = bytes;
            (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]))
        };
        let ready = Ready { ranges: parts.numbers(range)?, long: parts.numbers(u32::from_le_bytes)? };
        let kinds = match version {
            WITH_KINDS.. => parts.numbers(|[kinds]| KindSet(kinds))?,
            _ => vec![KindSet::ALL; starts.len()].into(),
        };
        let postings = Postings { bytes, starts, bases, maps, map_words, kinds, ..Postings::default() };
        let postings = postings.with_file_words();
        if triples.keys.len() != triples.ends.len() || !triples.keys.is_sorted() {
            return Err(Damaged("its triples"));
        }
        if postings.len() != dictionary.len() as usize + ready.ranges.len()
            || postings.kinds.len() != postings.len()
            || !are_apart(&ready.ranges)
        {
            return Err(Damaged("its lists"));
        }
        if !parts.rest.is_empty() {
            return Err(Damaged("its length"));
        }
        Ok(Self { members, neighbours, dictionary, triples, postings, ready })
    }
}

/// Whether ranges are ascending, with something in each; that they are below the number of terms matters nowhere.
fn are_apart(ranges: &[(u32, u32)]) -> bool {
    ranges.iter().all(|(start, end)| start < end) && ranges.is_sorted_by(|(_, end), (start, _)| end <= start)
}

fn read_members(parts: &mut Parts<'_>) -> Result<Members, Damaged> {
    let names = parts.numbers(u32::from_le_bytes)?;
    let contents = parts.numbers(u32::from_le_bytes)?;
    let by_name = parts.numbers(u32::from_le_bytes)?;
    let mut kind_bits: [Box<[u64]>; KIND_BITS] = Default::default();
    for plane in &mut kind_bits {
        *plane = parts.numbers(u64::from_le_bytes)?;
    }
    let classes: Box<[AtomicU8]> = parts.bytes()?.iter().map(|class| AtomicU8::new(*class)).collect();
    let min_hashes = parts.numbers(u32::from_le_bytes)?;
    let is_whole = contents.len() == names.len()
        && classes.iter().all(|class| u32::from(class.load(Ordering::Relaxed)) <= u32::BITS)
        && by_name.len() == names.len()
        && by_name.iter().all(|place| (*place as usize) < names.len())
        && kind_bits.iter().all(|plane| plane.len() == names.len().div_ceil(64))
        && classes.len() == names.len().div_ceil(BLOCK)
        && min_hashes.len() == classes.len();
    if !is_whole {
        return Err(Damaged("its names"));
    }
    let kinds = Kinds::of_bits(&kind_bits);
    let window_classes = members::window_classes(&classes);
    // Marks are not kept: nobody is here when a piece is read.
    let marks = Marks::new(names.len());
    Ok(Members { names, contents, by_name, kinds, classes, window_classes, min_hashes, marks })
}

fn write_bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

fn write_numbers<T: Copy, const N: usize>(
    to: &mut impl Write,
    numbers: &[T],
    encode: fn(T) -> [u8; N],
) -> io::Result<()> {
    /// Numbers turned into bytes at a time.
    const AT_A_TIME: usize = 4_096;
    to.write_all(&((numbers.len() * N) as u64).to_le_bytes())?;
    let mut buffer = Vec::with_capacity(AT_A_TIME * N);
    for some in numbers.chunks(AT_A_TIME) {
        buffer.clear();
        some.iter().for_each(|number| buffer.extend_from_slice(&encode(*number)));
        to.write_all(&buffer)?;
    }
    Ok(())
}

/// Takes part after part.
struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let (length, rest) = self.rest.split_first_chunk().ok_or(Damaged("its length"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| Damaged("its length"))?;
        let (part, rest) = rest.split_at_checked(length).ok_or(Damaged("its length"))?;
        self.rest = rest;
        Ok(part)
    }

    fn numbers<T, const N: usize>(&mut self, decode: fn([u8; N]) -> T) -> Result<Box<[T]>, Damaged> {
        let (numbers, rest) = self.bytes()?.as_chunks();
        if rest.is_empty() {
            Ok(numbers.iter().map(|bytes| decode(*bytes)).collect())
        } else {
            Err(Damaged("its length"))
        }
    }
}
