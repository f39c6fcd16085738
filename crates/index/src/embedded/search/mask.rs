//! Which candidates of a window are looked at: those of blocks that can hold something better than the page's last.
//!
//! Invariant: bounds are never too low, so what is left out can't belong on the page.

use super::super::segments::{BLOCK, Bits, Bound, Memtable, Plan, Segment, WINDOW, WordSet};
use super::walk::{Of, Part};
use crate::query::Place;

/// Words that have a block's names, and as many ones.
const BLOCK_WORDS: usize = BLOCK / 64;
const ALL_OF_BLOCK: u64 = (1 << BLOCK_WORDS) - 1;

/// What a name must beat to be on the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) place: Place,
    pub(super) live: u64,
    pub(super) hash_prefix: u32,
}

/// Which candidates of a window are looked at.
pub(super) enum Mask<'a> {
    /// The same of every block.
    Same(BlockMask),
    Each([BlockMask; WINDOW / BLOCK]),
    /// As each new name's class says.
    ByName(Bar, &'a Memtable),
}

/// Which candidates of a block can be among the best.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockMask {
    in_file: bool,
    in_folders: bool,
}

impl<'a> Mask<'a> {
    pub(super) fn of(part: &Part<'a>, bar: Option<Bar>, window: usize) -> Self {
        let first = window * (WINDOW / BLOCK);
        match (bar, part.of) {
            (None, _) => Self::Same(BlockMask::ALL),
            (Some(bar), Of::Memtable(memtable)) => Self::ByName(bar, memtable),
            // Of nearly all windows behind the first this is all that is asked.
            (Some(bar), Of::Segment(segment)) if most_of(segment.window_class(window)) < bar.live => {
                Self::Same(BlockMask { in_file: bar.place == Place::Folder, in_folders: false })
            }
            (_, Of::Segment(segment)) => {
                Self::Each(std::array::from_fn(|at| BlockMask::of_block(segment, bar, first + at)))
            }
        }
    }

    fn block(&self, word: usize) -> BlockMask {
        match self {
            Self::Same(block) => *block,
            Self::Each(blocks) => blocks[word / BLOCK_WORDS],
            Self::ByName(bar, _) => BlockMask { in_file: true, in_folders: bar.place == Place::Folder },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Same(block) => block.is_empty(),
            Self::Each(blocks) => blocks.iter().all(|block| block.is_empty()),
            Self::ByName(..) => false,
        }
    }

    pub(super) fn has_folders(&self) -> bool {
        match self {
            Self::Same(block) => block.in_folders,
            Self::Each(blocks) => blocks.iter().any(|block| block.in_folders),
            Self::ByName(bar, _) => bar.place == Place::Folder,
        }
    }

    /// The words of the plan's last window in which any candidate may be looked at.
    pub(super) fn words(&self, plan: &Plan<'_>) -> WordSet {
        /// Blocks of which one number of the set tells.
        const BLOCKS: usize = 64 / BLOCK_WORDS;
        let mut words = plan.file_words();
        for (at, words) in words.iter_mut().enumerate() {
            let (mut in_file, mut in_folders) = (0, 0);
            for block in 0..BLOCKS {
                let (mask, bits) =
                    (self.block((at * BLOCKS + block) * BLOCK_WORDS), ALL_OF_BLOCK << (block * BLOCK_WORDS));
                in_file |= if mask.in_file { bits } else { 0 };
                in_folders |= if mask.in_folders { bits } else { 0 };
            }
            *words = *words & in_file | in_folders;
        }
        words
    }

    /// The candidates of a window's word that are looked at.
    pub(super) fn word(&self, part: &Part<'_>, (window, word): (usize, usize), bits: &Bits) -> u64 {
        let asked = self.block(word).of(part, word, bits);
        let Self::ByName(bar, memtable) = self else { return asked };
        let live = bar.live.try_into().unwrap_or(u32::MAX);
        let may_beat = memtable.with_sources(window * (WINDOW / 64) + word, asked, live);
        match bar.place {
            Place::File => may_beat,
            Place::Folder => may_beat | part.plan.in_file(word, bits),
        }
    }
}

impl BlockMask {
    const ALL: Self = Self { in_file: true, in_folders: true };
    pub(super) const NONE: Self = Self { in_file: false, in_folders: false };

    pub(super) fn of_block(segment: &Segment, bar: Option<Bar>, block: usize) -> Self {
        let Some(Bar { place, live, hash_prefix }) = bar else { return Self::ALL };
        if block * BLOCK >= segment.names().len() {
            return Self::NONE;
        }
        let can_pass = may_beat(segment.bound(block), live, hash_prefix);
        match place {
            Place::File => Self { in_file: can_pass, in_folders: false },
            Place::Folder => Self { in_file: true, in_folders: can_pass },
        }
    }

    pub(super) fn is_empty(self) -> bool {
        !self.in_file && !self.in_folders
    }

    /// Whether a name that matches at a place is looked at.
    pub(super) fn has(self, place: Place) -> bool {
        self.in_folders || self.in_file && place == Place::File
    }

    pub(super) fn of(self, part: &Part<'_>, word: usize, bits: &Bits) -> u64 {
        match (self.in_file, self.in_folders) {
            (_, true) => bits.anywhere[word],
            (true, false) => part.plan.in_file(word, bits),
            (false, false) => 0,
        }
    }
}

/// The most sources that a class has.
pub(super) const fn most_of(class: u8) -> u64 {
    (1 << class) - 1
}

/// Whether a block can hold a content that stands before one of so many sources and such a hash.
fn may_beat(bound: Bound, live: u64, prefix: u32) -> bool {
    let most = most_of(bound.class);
    most > live || (most == live && bound.min_hash <= prefix)
}
