//! What the planner is told and what it says.

use std::ops::Range;
use std::time::Duration;

use peerage_wire::PeerId;

use crate::have::Have;

/// One request for a range of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(pub(super) u64);

/// How a source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or one that broke.
    Unreachable,
    /// Next to nothing came for too long.
    Stalled,
    /// It ended early or answered something that makes no sense.
    Garbled,
    /// It does not have the content, or not any more.
    Absent,
    /// Another key answers there.
    WrongKey,
    /// It does not give it to us.
    Refused,
    /// It sent something else than the content.
    Lied,
}

impl Fault {
    /// Whether trying again at once is of no use.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Absent | Self::WrongKey | Self::Refused | Self::Lied)
    }
}

/// How much of the content a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    Whole,
    /// It is downloading the content itself.
    Partial,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The index names these sources; none where it could not be asked.
    Named(Vec<(PeerId, Holding)>),
    /// A partial source says which pieces it has.
    Has(PeerId, Have),
    /// It could not be asked.
    HasFailed(PeerId, Fault),
    /// It has no time to say.
    HasBusy(PeerId, Duration),
    /// A run's connection is there and its request goes out.
    Asked(RunId),
    /// The answer to a run begins.
    Began(RunId),
    /// So many more bytes of a run have come.
    Received(RunId, u64),
    /// A run waits for our own disk.
    Held(RunId),
    /// The run's next piece was right and is written.
    Proven(RunId),
    /// The run's next piece was wrong.
    Wrong(RunId),
    /// A run ended without having brought all its pieces.
    Failed(RunId, Fault),
    /// A run was turned away for the time being.
    Busy(RunId, Duration),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask `peer` for these pieces.
    Fetch { run: RunId, peer: PeerId, pieces: Range<u64> },
    /// Stop a run; nothing more is expected of it.
    Cancel(RunId),
    /// Ask a partial source which pieces it has, and answer with [`Event::Has`] or one of the two after it.
    AskHave { peer: PeerId },
    /// A source is not asked any more.
    Drop { peer: PeerId, fault: Fault },
    /// Ask the index for sources and answer with [`Event::Named`].
    AskIndex,
    /// Every piece is there.
    Finish,
    /// There is no way to get the rest.
    GiveUp(Outcome),
}

/// Why there is no way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The index has never named a source.
    NoSource,
    /// Sources there are, but none can be reached or has it.
    Unreachable,
    /// Whoever answered refused.
    Refused,
    /// Whoever answered stayed busy.
    Busy,
    /// Whoever answered lied.
    Corrupt,
}
