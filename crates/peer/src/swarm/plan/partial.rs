//! How the planner deals with partial sources: what they have, when they are asked, when they are believed no more.
//!
//! Invariants: nothing is asked of a partial source but pieces it has said it has; the number of free pieces that each
//! has is exact, so that whoever has none costs no search.

use std::ops::Range;
use std::time::{Duration, Instant};

use peerage_wire::PeerId;

use super::news::News;
use super::source::Source;
use super::{Action, BUSY_WAIT_MAX, Fault, Holding, PARTIALS_MET_MAX, Plan, STALE_MAX};
use crate::have::Have;

impl Plan {
    /// The index names a source.
    pub(super) fn meet(&mut self, peer: PeerId, holding: Holding, now: Instant) {
        let tie_break = self.random_bits();
        if !self.sources.contains_key(&peer) {
            if holding == Holding::Whole || self.partials() < PARTIALS_MET_MAX {
                let news = (holding == Holding::Partial).then(|| News::none(now));
                self.sources.insert(peer, Source::new(news, tie_break));
            }
            return;
        }
        if holding == Holding::Whole {
            self.forget(peer);
        }
        let Some(source) = self.sources.get_mut(&peer) else { return };
        match holding {
            Holding::Whole => source.news = None,
            // Who had all and gave it up may be downloading it anew.
            Holding::Partial if !source.is_usable() => {
                source.news.get_or_insert_with(|| News::none(now)).stale = 0;
            }
            Holding::Partial => {}
        }
        source.revive();
    }

    /// Partial sources that may be asked.
    pub(super) fn partials(&self) -> usize {
        self.sources.values().filter(|source| source.is_usable() && source.news.is_some()).count()
    }

    /// Whether a source can give one of the free pieces.
    pub(super) fn is_useful(&self, source: &Source) -> bool {
        self.pieces.is_none() || source.news.as_ref().is_none_or(|news| news.useful > 0)
    }

    /// Whether a source has a piece, for all that is known.
    pub(super) fn has_piece(&self, source: &Source, piece: u64) -> bool {
        self.pieces.is_none() || source.news.as_ref().is_none_or(|news| news.has(piece))
    }

    /// A run for one source out of the free pieces.
    pub(super) fn pick(&mut self, peer: PeerId, max: u64) -> Option<Range<u64>> {
        let random = if self.free.is_ranked() { self.random_bits() } else { 0 };
        let news = self.sources.get(&peer)?.news.as_ref().filter(|_| self.pieces.is_some());
        let have = news.map(|news| news.have.as_ref());
        let have = match have {
            Some(None) => return None,
            Some(have) => have,
            None => None,
        };
        let taken = self.free.take(have, max, random)?;
        taken.clone().for_each(|piece| self.count_useful(piece, false));
        Some(taken)
    }

    /// A piece is in no run any more.
    pub(super) fn set_free(&mut self, piece: u64) {
        if self.free.insert(piece) {
            self.count_useful(piece, true);
        }
    }

    /// A piece need not be handed out any more.
    pub(super) fn unset_free(&mut self, piece: u64) {
        if self.free.remove(piece) {
            self.count_useful(piece, false);
        }
    }

    fn count_useful(&mut self, piece: u64, is_more: bool) {
        for news in self.sources.values_mut().filter_map(|source| source.news.as_mut()) {
            if news.has(piece) {
                news.useful = if is_more { news.useful + 1 } else { news.useful.saturating_sub(1) };
            }
        }
    }

    /// A partial source says which pieces it has.
    pub(super) fn has(&mut self, peer: PeerId, have: Have, now: Instant) {
        let Some(pieces) = self.pieces.filter(|pieces| *pieces == have.pieces()) else {
            return self.has_failed(peer, Fault::Garbled, now);
        };
        let (jitter, partials) = (self.random(), self.partials());
        let Some(source) = self.sources.get_mut(&peer) else { return };
        let is_usable = source.is_usable();
        let Some(news) = &mut source.news else { return };
        news.is_asked = false;
        if !is_usable {
            return;
        }
        if !have.is_empty() {
            self.free.rank(pieces);
        }
        let before = news.have.take().unwrap_or_else(|| Have::none(pieces));
        for piece in before.differing(&have) {
            let is_more = have.contains(piece);
            if self.free.held(piece, is_more) {
                news.useful = if is_more { news.useful + 1 } else { news.useful.saturating_sub(1) };
            }
        }
        news.have = Some(before);
        news.heard(have, partials, jitter, now);
    }

    /// A partial source could not be asked.
    pub(super) fn has_failed(&mut self, peer: PeerId, fault: Fault, now: Instant) {
        let jitter = self.random();
        let Some(news) = self.news_of(peer) else { return };
        news.missed(jitter, now);
        self.blame(peer, fault, now);
    }

    /// A partial source has no time to say what it has.
    pub(super) fn has_busy(&mut self, peer: PeerId, retry_after: Duration, now: Instant) {
        if let Some(news) = self.news_of(peer) {
            news.later(retry_after.min(BUSY_WAIT_MAX), now);
        }
    }

    /// A partial source does not have what it was asked for, so what is known of it is old. `false` where the
    /// source is no partial one.
    pub(super) fn is_stale(&mut self, peer: PeerId, now: Instant) -> bool {
        let jitter = self.random();
        let is_by_piece = self.pieces.is_some();
        let Some(news) = self.news_of(peer).filter(|_| is_by_piece) else { return false };
        if news.have.is_none() {
            return true; // runs that fail together count once
        }
        news.stale += 1;
        let is_enough = news.stale >= STALE_MAX;
        if !news.is_asked {
            news.missed(jitter, now);
        }
        self.forget(peer);
        if is_enough {
            self.blame(peer, Fault::Absent, now);
        }
        true
    }

    /// What a partial source has is not known any more.
    pub(super) fn forget(&mut self, peer: PeerId) {
        let Some(news) = self.sources.get_mut(&peer).and_then(|source| source.news.as_mut()) else { return };
        news.useful = 0;
        let Some(have) = news.have.take() else { return };
        for piece in Have::none(have.pieces()).differing(&have) {
            self.free.held(piece, false);
        }
    }

    /// Asks those partial sources whose news are old.
    pub(super) fn ask_for_news(&mut self, now: Instant) {
        if self.pieces.is_none() {
            return;
        }
        for (peer, source) in &mut self.sources {
            if source.news_due().is_some_and(|at| at <= now)
                && let Some(news) = &mut source.news
            {
                news.is_asked = true;
                self.actions.push_back(Action::AskHave { peer: *peer });
            }
        }
    }

    fn news_of(&mut self, peer: PeerId) -> Option<&mut News> {
        self.sources.get_mut(&peer)?.news.as_mut()
    }
}
