//! What follows from how things stand: who gets which pieces.

use std::ops::Range;
use std::time::{Duration, Instant};

use peerage_wire::{PIECE_BYTES, PeerId};

use super::runs::Run;
use super::{
    Action, BUSY_PATIENCE, COPIES_MAX, HEDGE_AFTER, LANES_MAX, Outcome, PARTIAL_LANES_MAX, Plan, RUN_FIRST,
    RUN_MAX, RUN_TIME, SOURCE_LANES_MAX, Source,
};

impl Plan {
    pub(super) fn decide(&mut self, now: Instant) {
        if self.has_ended {
            return;
        }
        if self.wanted.is_empty() {
            self.has_ended = true;
            self.actions.push_back(Action::Finish);
            return;
        }
        while self.runs.len() < LANES_MAX && self.assign(now) {}
        self.ask_for_news(now);
        self.look_for_sources(now);
        if self.runs.is_empty() && now >= self.proven_at + BUSY_PATIENCE && !self.has_ended {
            self.give_up(Outcome::Busy);
        }
    }

    /// Gives one source one more run; `false` where there is no such source, or nothing to be done.
    fn assign(&mut self, now: Instant) -> bool {
        let Some((peer, pieces)) = self.next_free(now).or_else(|| self.next_hedge(now)) else { return false };
        let run = self.runs.add(Run::new(peer, pieces.clone(), now));
        self.actions.push_back(Action::Fetch { run, peer, pieces });
        true
    }

    fn next_free(&mut self, now: Instant) -> Option<(PeerId, Range<u64>)> {
        if self.free.is_empty() {
            return None;
        }
        let peer = self.best_source(now, |_, source| self.is_useful(source))?;
        let max = self.run_len(peer, now);
        Some((peer, self.pick(peer, max)?))
    }

    /// The last pieces of the run that will take longest, for a source that will be faster.
    fn next_hedge(&self, now: Instant) -> Option<(PeerId, Range<u64>)> {
        let can_free = |source: &Source| source.is_usable() && self.is_useful(source);
        if !self.free.is_empty() && self.sources.values().any(can_free) {
            return None; // what is not asked of anybody goes first
        }
        let mut slow: Vec<(Duration, &Run)> = self
            .runs
            .iter()
            .filter(|run| now.saturating_duration_since(run.asked_at) >= HEDGE_AFTER)
            .map(|run| (run.time_left(now).unwrap_or(Duration::MAX), run))
            .collect();
        slow.sort_by_key(|(time_left, _)| std::cmp::Reverse(*time_left));
        slow.into_iter().find_map(|(time_left, run)| {
            let is_fit = |peer: &PeerId, source: &Source| {
                *peer != run.peer && run.pieces.clone().any(|piece| self.has_piece(source, piece))
            };
            let peer = self.best_source(now, is_fit)?;
            let is_worth_it = time_left > self.piece_time(peer, now) * 2 + HEDGE_AFTER / 2;
            let is_open = |piece: &u64| self.may_double(*piece, peer, now);
            let end = run.pieces.clone().rev().find(is_open)? + 1;
            let max = (end - run.pieces.start).div_ceil(2).min(self.run_len(peer, now));
            let start = (end - max..end).rev().take_while(is_open).last()?;
            is_worth_it.then_some((peer, start..end))
        })
    }

    /// Whether a piece that others have been asked for may be asked of `peer` too: it is with one other, or
    /// with two that are both much slower.
    fn may_double(&self, piece: u64, peer: PeerId, now: Instant) -> bool {
        let own = self.piece_time(peer, now);
        let covering: Vec<&Run> = self.runs.iter().filter(|run| run.pieces.contains(&piece)).collect();
        let is_slower = |run: &&Run| run.piece_time(now).is_none_or(|theirs| theirs > own * 2);
        let has_it = self.sources.get(&peer).is_some_and(|source| self.has_piece(source, piece));
        has_it
            && self.wanted.contains(piece)
            && covering.iter().all(|run| run.peer != peer)
            && (covering.len() == 1 || covering.len() < COPIES_MAX && covering.iter().all(is_slower))
    }

    /// The source that is likely to be done first with one more run; before all others a whole one that sends
    /// nothing yet while there are pieces that no partial source has, for only by those a swarm gets on.
    fn best_source(&self, now: Instant, is_fit: impl Fn(&PeerId, &Source) -> bool) -> Option<PeerId> {
        let whole_lanes = self.whole_lanes();
        let known = self.sources.values().filter_map(Source::rate).fold(0.0, f64::max);
        // Of a source that was not tried yet the best is hoped.
        let hoped = if known > 0.0 { known } else { 1.0 };
        let score = |peer: &PeerId, source: &Source| {
            let running = self.runs.of(peer);
            let lane = u32::try_from(running + 1).unwrap_or(u32::MAX);
            let lanes = if source.news.is_none() { whole_lanes } else { PARTIAL_LANES_MAX };
            if running >= lanes || source.lanes_free(running, now) == 0 || !is_fit(peer, source) {
                return None;
            }
            let is_first = running == 0 && source.news.is_none() && self.free.unheld() > 0;
            let rate = self.rate(*peer, now).unwrap_or(hoped) / f64::from(lane);
            Some((if is_first { f64::INFINITY } else { rate }, source.tie_break))
        };
        let scored = self.sources.iter().filter_map(|(peer, source)| Some((score(peer, source)?, *peer)));
        let order = |((a, x), _): &((f64, u64), PeerId), ((b, y), _): &((f64, u64), PeerId)| {
            a.total_cmp(b).then(x.cmp(y))
        };
        scored.max_by(order).map(|(_, peer)| peer)
    }

    /// Runs that a whole source may have: where others download the same, who share its slots, fewer. What waits there
    /// for its turn is asked for by somebody else meanwhile.
    fn whole_lanes(&self) -> usize {
        let partials = if self.free.is_ranked() { self.partials() } else { 0 };
        let wholes =
            self.sources.values().filter(|source| source.is_usable()).count().saturating_sub(partials);
        (SOURCE_LANES_MAX * wholes.max(1) / (partials + 1)).clamp(1, SOURCE_LANES_MAX)
    }

    /// As many pieces as the source sends in a moment, and few enough that all end at about the same time.
    fn run_len(&self, peer: PeerId, now: Instant) -> u64 {
        let sources = self.sources.values().filter(|source| source.is_usable()).count();
        let lanes = (sources * SOURCE_LANES_MAX).clamp(1, LANES_MAX) as u64;
        let fair = self.free.len().div_ceil(2 * lanes).max(1);
        let piece_nanos = self.piece_time(peer, now).as_nanos().max(1);
        let by_rate = match self.rate(peer, now) {
            Some(_) => u64::try_from(RUN_TIME.as_nanos() / piece_nanos).unwrap_or(RUN_MAX),
            None => RUN_FIRST,
        };
        by_rate.clamp(1, RUN_MAX).min(fair)
    }

    /// How long a source takes for a piece; a second where nobody knows.
    fn piece_time(&self, peer: PeerId, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a piece is 2^20 bytes")]
        let secs = |rate: f64| PIECE_BYTES as f64 / rate.max(1.0);
        Duration::from_secs_f64(self.rate(peer, now).map_or(1.0, secs))
    }

    /// Bytes a second of one run: as measured, or else as its first runs look by now.
    fn rate(&self, peer: PeerId, now: Instant) -> Option<f64> {
        let of_run = |run: &Run| {
            let age = now.saturating_duration_since(run.asked_at);
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
            (run.peer == peer && age >= HEDGE_AFTER).then(|| run.bytes as f64 / age.as_secs_f64())
        };
        let known = self.sources.get(&peer).and_then(Source::rate);
        known.or_else(|| self.runs.iter().filter_map(of_run).reduce(f64::max))
    }
}
