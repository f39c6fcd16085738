//! The planner's numbers, each with its unit and its reason.

use std::time::Duration;

/// Runs at the same time to one source: one alone leaves a fast link idle between requests, more add nothing.
pub(crate) const SOURCE_LANES_MAX: usize = super::super::pool::PEER_CONNECTIONS_MAX;
/// Runs at the same time in all: each has a piece arriving and one being written, so that at most 16 MiB are
/// fetched again after a crash.
pub(crate) const LANES_MAX: usize = 8;
/// Runs at the same time to one partial source: it sends to others as well, and must still say what it has.
pub(crate) const PARTIAL_LANES_MAX: usize = 2;
/// Partial sources known at a time: each is asked again and again what it has.
pub(crate) const PARTIALS_MET_MAX: usize = 32;
/// The pause before a partial source that had something new is asked again; doubled each time that it has not.
pub(crate) const HAVE_ASK_FIRST: Duration = Duration::from_millis(500);
/// It is at least so long for each partial source: sixteen questions a second cost nobody anything.
pub(crate) const HAVE_ASK_EACH: Duration = Duration::from_micros(62_500);
/// The longest such pause: less than an idle connection is kept.
pub(crate) const HAVE_ASK_MAX: Duration = Duration::from_secs(6);
/// So many pieces make it a second longer: their bitmap has 32 KiB.
pub(crate) const HAVE_SECOND_PIECES: u64 = 1 << 18;
/// Times in a row that a partial source may lack what it said it has.
pub(crate) const STALE_MAX: u32 = 3;
/// Failures in a row after which a source is dropped.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// The pause after the first failure, doubled after each; half of it is jitter.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest that a busy source is believed when it says to come back later.
pub(crate) const BUSY_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long nothing but busy sources is borne.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_secs(600);
/// A run that got less than [`STALL_BYTES`] for so long is taken back where others could do it.
pub(crate) const STALL: Duration = Duration::from_secs(3);
/// The same where nobody else could: after it the connection is given up.
pub(crate) const STALL_ALONE: Duration = Duration::from_secs(15);
/// 4 KiB a second over [`STALL`].
pub(crate) const STALL_BYTES: u64 = 12 << 10;
/// How long an answer may take to begin: a door's queue answers within 5 s, one way or the other.
pub(crate) const BEGIN: Duration = Duration::from_secs(7);
/// The same where nobody else could do it.
pub(crate) const BEGIN_ALONE: Duration = Duration::from_secs(20);
/// Pieces of a source's first run: one is enough to measure it by, and others who begin now need not wait for more.
pub(crate) const RUN_FIRST: u64 = 1;
/// Pieces of the longest run: what a fast source sends in a fraction of a second.
pub(crate) const RUN_MAX: u64 = 32;
/// How long a run should take, by the source's own rate.
pub(crate) const RUN_TIME: Duration = Duration::from_secs(1);
/// Runs that were over sooner and brought less say nothing about a source's rate.
pub(crate) const MEASURE_BYTES_MIN: u64 = 256 << 10;
/// Runs that one piece may be in at a time.
pub(crate) const COPIES_MAX: usize = 3;
/// How old a run must be before another source is asked for its last pieces too.
pub(crate) const HEDGE_AFTER: Duration = Duration::from_millis(500);
/// A connection on which bytes came within this moves.
pub(crate) const MOVES: Duration = Duration::from_secs(1);
/// How often a run's progress is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// Fewer usable sources than this, and the index is asked for more now and then.
pub(crate) const SOURCES_LOW: usize = 2;
/// The pause before the index is asked again where there are few sources or partial ones, half as long again each
/// time: those who download the same find each other by it.
pub(crate) const ASK_SOON: Duration = Duration::from_secs(2);
/// The longest such pause.
pub(crate) const ASK_LOW: Duration = Duration::from_secs(30);
/// The pause before the index is asked a second time in vain, doubled after each.
pub(crate) const ASK_FIRST: Duration = Duration::from_millis(500);
/// The longest such pause.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(8);
/// How often the index is asked in vain before a download ends that never got anything.
pub(crate) const ASKS_IN_VAIN_MAX: u32 = 3;
/// The same for a download that did: about half a minute, in which a source may restart.
pub(crate) const ASKS_IN_VAIN_AFTER_PROGRESS_MAX: u32 = 7;
