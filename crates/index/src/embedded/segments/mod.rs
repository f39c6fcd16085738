//! The words of names: a small table that grows ([`Memtable`]) and pieces that never change ([`Segment`]), both asked by
//! a [`Plan`].
//!
//! A piece numbers its names in the order in which a search wants them (live sources, most first), so that a search
//! reads from the front and ends early. It is read in windows of [`WINDOW`] names: a plan turns a query into the bits
//! of those names in a window that match.
//!
//! - `memtable`: names come in, one after the other;
//! - `segment`: a piece, over `members` (who is in it, and how well they stand), `dictionary` and `triples` (words),
//!   `postings` (which word is in which names) and `neighbours` (which words may stand side by side in it);
//! - `build` and `merge`: pieces from the table, and from pieces; `code`: a piece as bytes and back;
//! - `plan`: a query becomes sets of terms, and those (`union`, and `joined` where all of several are wanted)
//!   the `bits` of a window.
//!
//! Architecture invariants: nothing here knows peers, contents' records or files. The definition of what matches is
//! `Query::find`; bits that a plan is not sure of are marked for it. Nothing but the bounds and marks of a piece ever changes.

mod memtable;

mod segment;

mod dictionary;
mod members;
mod neighbours;
mod postings;
mod triples;

mod build;
mod code;
mod merge;

mod bits;
mod joined;
mod plan;
mod union;

mod varint;

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

pub(super) use bits::{Bits, WordSet, ones};
pub(super) use members::{Sizes, UseMarks, size_class};
pub(super) use memtable::Memtable;
pub(super) use plan::{Plan, Scratch};
pub(super) use segment::Segment;
pub(super) use union::Which;

/// Names looked at at a time.
pub(super) const WINDOW: usize = 16_384;
/// Windows that are read at a time, at most: their bits fit the second cache of a core. What a thread looks through before it
/// asks for more is as long, so that none reads what another looks through.
pub(super) const STRETCH: usize = 16;
/// Names that share a bound.
pub(super) const BLOCK: usize = 256;

const WINDOW_WORDS: usize = WINDOW / 64;
/// A window as bits.
pub(super) type Window = [u64; WINDOW_WORDS];

/// How a name stands: what its place in a segment depends on, and what is noted at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Live sources of the name's content.
    pub(super) live: u32,
    /// The first four bytes of its hash, the first the most significant.
    pub(super) hash_prefix: u32,
    /// Whether a live source uses this name.
    pub(super) is_used: bool,
    /// Whether the content goes by no other name.
    pub(super) is_sole: bool,
    /// [`size_class`] of the content's size.
    pub(super) size_class: u8,
}

/// What no name of a block goes beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// Every name has fewer live sources than 2 to this.
    pub(super) class: u8,
    /// No hash begins with less.
    pub(super) min_hash: u32,
}

/// The class of so many live sources.
pub(super) const fn class_of(live: u32) -> u8 {
    let class = u32::BITS - live.leading_zeros();
    class.to_le_bytes()[0] // at most 32
}

/// Bytes that are no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the segment is damaged: {0}")]
pub(super) struct Damaged(&'static str);
