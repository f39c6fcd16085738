//! The runs that are under way: what each still has to bring, and how it is coming on.
//!
//! Invariant: a run's pieces come in order, so what it still has to bring is one range.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use peerage_wire::{PIECE_BYTES, PeerId};

use super::{BEGIN, BEGIN_ALONE, MOVES, RunId, STALL, STALL_ALONE, STALL_BYTES};

/// One request under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) peer: PeerId,
    /// Still to come.
    pub(super) pieces: Range<u64>,
    /// When it was handed out, then when its request went out.
    pub(super) asked_at: Instant,
    is_asked: bool,
    pub(super) began_at: Option<Instant>,
    pub(super) bytes: u64,
    /// The last time that enough had come since the time before.
    marked_at: Instant,
    marked_bytes: u64,
}

impl Run {
    pub(super) const fn new(peer: PeerId, pieces: Range<u64>, now: Instant) -> Self {
        Self {
            peer,
            pieces,
            asked_at: now,
            is_asked: false,
            began_at: None,
            bytes: 0,
            marked_at: now,
            marked_bytes: 0,
        }
    }

    pub(super) const fn asked(&mut self, now: Instant) {
        self.asked_at = now;
        self.is_asked = true;
    }

    pub(super) const fn began(&mut self, now: Instant) {
        self.began_at = Some(now);
        self.marked_at = now;
    }

    pub(super) const fn received(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if self.bytes - self.marked_bytes >= STALL_BYTES {
            self.mark(now);
        }
    }

    /// Something was done that says it is no stall of the source.
    pub(super) const fn mark(&mut self, now: Instant) {
        self.marked_at = now;
        self.marked_bytes = self.bytes;
    }

    /// Whether it has kept us waiting for too long; for less where others could do its work. A run that waits
    /// for its turn at our own connections is nobody's fault.
    pub(super) fn is_overdue(&self, has_others: bool, now: Instant) -> bool {
        let (since, patience) = match (self.is_asked, self.began_at, has_others) {
            (false, _, _) => return false,
            (true, None, true) => (self.asked_at, BEGIN),
            (true, None, false) => (self.asked_at, BEGIN_ALONE),
            (true, Some(_), true) => (self.marked_at, STALL),
            (true, Some(_), false) => (self.marked_at, STALL_ALONE),
        };
        now.saturating_duration_since(since) >= patience
    }

    /// How long it takes for a piece.
    pub(super) fn piece_time(&self, now: Instant) -> Option<Duration> {
        let left = u32::try_from(self.pieces.end - self.pieces.start).unwrap_or(u32::MAX);
        self.time_left(now).map(|time| time / left.max(1))
    }

    /// How long it will take at the pace it had so far; `None` where nothing has come.
    pub(super) fn time_left(&self, now: Instant) -> Option<Duration> {
        let took = now.saturating_duration_since(self.began_at?);
        let left_bytes = (self.pieces.end - self.pieces.start) * PIECE_BYTES;
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
        let share = left_bytes as f64 / self.bytes as f64;
        Duration::try_from_secs_f64(took.as_secs_f64() * share).ok()
    }
}

/// All of them, in the order they were handed out.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: BTreeMap<RunId, Run>,
    next: u64,
}

impl Runs {
    pub(super) fn add(&mut self, run: Run) -> RunId {
        let id = RunId(self.next);
        self.next += 1;
        self.runs.insert(id, run);
        id
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many are with one source.
    pub(super) fn of(&self, peer: &PeerId) -> usize {
        self.runs.values().filter(|run| run.peer == *peer).count()
    }

    pub(super) fn ids(&self) -> Vec<RunId> {
        self.runs.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    pub(super) fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    pub(super) fn with(&mut self, id: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.get_mut(&id) {
            change(run);
        }
    }

    pub(super) fn take(&mut self, id: RunId) -> Option<Run> {
        self.runs.remove(&id)
    }

    pub(super) fn take_if(&mut self, is_taken: impl Fn(&Run) -> bool) -> Vec<(RunId, Run)> {
        let ids: Vec<RunId> = self.runs.iter().filter(|(_, run)| is_taken(run)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| Some((id, self.runs.remove(&id)?))).collect()
    }

    /// A run's next piece is there; whose it was and which.
    pub(super) fn advance(&mut self, id: RunId, now: Instant) -> Option<(PeerId, u64)> {
        let run = self.runs.get_mut(&id)?;
        let piece = run.pieces.next()?;
        run.mark(now);
        Some((run.peer, piece))
    }

    /// How many runs a piece is in.
    pub(super) fn covering(&self, piece: u64) -> usize {
        self.runs.values().filter(|run| run.pieces.contains(&piece)).count()
    }

    /// Whether bytes have come on another connection a moment ago.
    pub(super) fn any_other_moves(&self, id: RunId, now: Instant) -> bool {
        let moves = |run: &Run| run.bytes > 0 && now.saturating_duration_since(run.marked_at) < MOVES;
        self.runs.iter().any(|(other, run)| *other != id && moves(run))
    }
}
