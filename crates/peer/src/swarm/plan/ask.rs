//! When the index is asked for sources, and when there is no way left.

use std::time::{Duration, Instant};

use super::source::{Source, Standing};
use super::{
    ASK_FIRST, ASK_LOW, ASK_MAX, ASK_SOON, ASKS_IN_VAIN_AFTER_PROGRESS_MAX, ASKS_IN_VAIN_MAX, Action, Fault,
    Outcome, Plan, SOURCES_LOW,
};

impl Plan {
    pub(super) fn look_for_sources(&mut self, now: Instant) {
        // Partial sources may have more in a while.
        let is_patient = self.has_proven || self.partials() > 0;
        let asks_max = if is_patient { ASKS_IN_VAIN_AFTER_PROGRESS_MAX } else { ASKS_IN_VAIN_MAX };
        let is_hopeless = self.is_hopeless();
        let is_idle = self.runs.is_empty() && !self.index.is_asked;
        if is_hopeless && is_idle && self.index.in_vain >= asks_max {
            self.give_up(self.outcome());
        } else if self.ask_at().is_some_and(|at| at <= now) {
            self.index.in_vain = self.index.in_vain.saturating_add(u32::from(is_hopeless));
            self.index.rounds = self.index.rounds.saturating_add(u32::from(!is_hopeless));
            self.index.is_asked = true;
            self.index.jitter = self.random();
            self.actions.push_back(Action::AskIndex);
        }
    }

    /// Whether nobody is known who could bring the rest: no whole source, and some piece that no partial one has.
    fn is_hopeless(&self) -> bool {
        let is_whole =
            |source: &Source| source.is_usable() && (source.news.is_none() || self.pieces.is_none());
        let is_together = self.partials() > 0 && self.free.is_ranked() && self.free.unheld() == 0;
        !is_together && !self.sources.values().any(is_whole)
    }

    /// When the index should be asked again, if things stay as they are.
    pub(super) fn ask_at(&self) -> Option<Instant> {
        if self.index.is_asked {
            return None;
        }
        let usable = self.sources.values().filter(|source| source.is_usable()).count();
        let in_vain = (ASK_FIRST * (1 << self.index.in_vain.saturating_sub(1).min(8)))
            .min(ASK_MAX)
            .mul_f64(0.5 + self.index.jitter);
        let pause = match (self.is_hopeless(), usable, self.partials()) {
            (true, 0, _) if self.index.in_vain == 0 => Duration::ZERO,
            (true, 0, _) => in_vain,
            (true, _, _) => in_vain.max(ASK_SOON),
            (false, 0..SOURCES_LOW, _) | (false, _, 1..) => self.pause_between(),
            (false, _, 0) => return None,
        };
        Some(self.index.asked_at + pause)
    }

    fn pause_between(&self) -> Duration {
        let growth = 1.5_f64.powi(i32::try_from(self.index.rounds.min(16)).unwrap_or(0));
        ASK_SOON.mul_f64(growth).min(ASK_LOW).mul_f64(0.75 + self.index.jitter / 2.0)
    }

    fn outcome(&self) -> Outcome {
        let mut answered = self.sources.values().filter(|source| source.has_proven || source.has_lied());
        let has_liar = self.sources.values().any(Source::has_lied);
        let is_refused =
            self.sources.values().any(|source| source.standing == Standing::Dropped(Fault::Refused));
        match () {
            () if self.sources.is_empty() => Outcome::NoSource,
            () if has_liar && answered.all(Source::has_lied) => Outcome::Corrupt,
            () if is_refused && !self.has_proven => Outcome::Refused,
            () => Outcome::Unreachable,
        }
    }

    pub(super) fn give_up(&mut self, outcome: Outcome) {
        self.has_ended = true;
        for (id, _) in self.runs.take_if(|_| true) {
            self.actions.push_back(Action::Cancel(id));
        }
        self.actions.push_back(Action::GiveUp(outcome));
    }
}
