//! How simulated sources behave.

use proptest::prelude::*;

use crate::have::Have;

/// How a simulated source behaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Nature {
    /// Sends what it is asked for, at so many KiB a second.
    Honest { kib_per_sec: u64 },
    /// Sends a wrong piece now and then.
    Lying { one_in: u64 },
    /// Begins and then sends nothing more.
    Stalling { after_pieces: u64 },
    /// Never begins.
    Silent,
    /// A few bytes a second.
    Dribbling,
    /// Cuts each connection after so many pieces, 0 for at once.
    Cutting { after_pieces: u64 },
    /// Is gone after so many seconds.
    Vanishing { at_secs: u64 },
    /// Turns everybody away, until so many seconds have passed.
    Busy { until_secs: u64 },
    /// Does not have it.
    Empty,
    /// Is downloading it itself.
    Partial(Partial),
}

/// A source that has some of the pieces, and more as time goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Partial {
    pub(super) kib_per_sec: u64,
    /// Pieces of a hundred that it has at the start.
    pub(super) percent: u64,
    /// Pieces of a hundred that come in ten seconds.
    pub(super) percent_more: u64,
    /// Which pieces these are.
    pub(super) order: u64,
    pub(super) manner: Manner,
}

/// What is wrong with a partial source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Manner {
    Honest,
    /// Says that it has all.
    Boasting,
    /// Sends wrong pieces.
    Lying,
    /// Does not say what it has, or nothing that makes sense.
    Mute,
    /// Never says what it has for lack of time.
    Busy,
    /// Loses everything after five seconds.
    Losing,
    /// Begins and then sends nothing more.
    Stalling,
}

impl Nature {
    pub(super) const fn is_partial(&self) -> bool {
        matches!(self, Self::Partial(_))
    }
}

impl Partial {
    /// What it really has by then.
    pub(super) fn have(&self, pieces: u64, secs: u64) -> Have {
        let mut have = Have::none(pieces);
        if self.manner == Manner::Losing && secs >= 5 {
            return have;
        }
        let percent = (self.percent + self.percent_more * secs / 10).min(100);
        (0..pieces).filter(|piece| self.rank(*piece) < percent).for_each(|piece| {
            have.insert(piece);
        });
        have
    }

    /// From 0 to 99: when a piece comes.
    const fn rank(&self, piece: u64) -> u64 {
        let mixed = (piece + 1).wrapping_mul(self.order | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) % 100
    }
}

pub(super) fn whole() -> impl Strategy<Value = Nature> {
    prop_oneof![
        3 => (500_u64..50_000).prop_map(|kib_per_sec| Nature::Honest { kib_per_sec }),
        1 => (1_u64..200).prop_map(|one_in| Nature::Lying { one_in }),
        1 => (0_u64..5).prop_map(|after_pieces| Nature::Stalling { after_pieces }),
        1 => Just(Nature::Silent),
        1 => Just(Nature::Dribbling),
        1 => (0_u64..3).prop_map(|after_pieces| Nature::Cutting { after_pieces }),
        1 => (0_u64..20).prop_map(|at_secs| Nature::Vanishing { at_secs }),
        1 => (0_u64..30).prop_map(|until_secs| Nature::Busy { until_secs }),
        1 => Just(Nature::Empty),
    ]
}

pub(super) fn partial() -> impl Strategy<Value = Nature> {
    let manner = prop_oneof![
        6 => Just(Manner::Honest),
        1 => Just(Manner::Boasting),
        1 => Just(Manner::Lying),
        1 => Just(Manner::Mute),
        1 => Just(Manner::Busy),
        1 => Just(Manner::Losing),
        1 => Just(Manner::Stalling),
    ];
    let numbers = (500_u64..50_000, 0_u64..110, 0_u64..40, any::<u64>());
    (numbers, manner).prop_map(|((kib_per_sec, percent, percent_more, order), manner)| {
        Nature::Partial(Partial { kib_per_sec, percent, percent_more, order, manner })
    })
}

/// Any kind of source.
pub(super) fn any_nature() -> impl Strategy<Value = Nature> {
    prop_oneof![3 => whole(), 2 => partial()]
}
