//! Which downloads the index should know of, and when to tell it.
//!
//! Invariants: an index knows of none when an epoch begins, and is told only of what differs from what it was told last;
//! what changes is told [`GATHER`] later, so that a folder of small files is one message and not a thousand.

use std::time::Duration;

use peerage_wire::api::PartialSet;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::partials::Partials;

/// How long changes gather: a download of less is over before anybody could ask for it.
const GATHER: Duration = Duration::from_secs(1);

/// What one index was told in one epoch.
pub(super) struct Offer {
    partials: Partials,
    changed: watch::Receiver<u64>,
    known: PartialSet,
    due_at: Option<Instant>,
}

impl Offer {
    /// It knows of none yet, and what there is already is due.
    pub(super) fn new(partials: &Partials) -> Self {
        let changed = partials.changed();
        Self {
            partials: partials.clone(),
            changed,
            known: PartialSet::default(),
            due_at: Some(Instant::now()),
        }
    }

    /// Waits until it may have to be told something. Nothing is lost where this is not waited for to the end.
    pub(super) async fn due(&mut self) {
        if self.due_at.is_none() {
            if self.changed.changed().await.is_err() {
                std::future::pending::<()>().await; // the downloads are gone, and with them the peer
            }
            self.due_at = Some(Instant::now() + GATHER);
        }
        if let Some(at) = self.due_at {
            tokio::time::sleep_until(at).await;
        }
    }

    /// What to tell it, if it does not know it.
    pub(super) fn news(&mut self) -> Option<PartialSet> {
        self.due_at = None;
        let set = PartialSet { hashes: self.partials.offered() };
        (set != self.known).then_some(set)
    }

    /// The index may have been started again, and knows of none then.
    pub(super) fn forgotten(&mut self) {
        self.known = PartialSet::default();
        self.due_at = Some(Instant::now());
    }

    /// It was told.
    pub(super) fn told(&mut self, set: PartialSet) {
        self.known = set;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_index_is_told_at_the_start_and_then_of_changes_only() {
        let mut offer = Offer::new(&Partials::new());
        offer.due().await;
        assert_eq!(offer.news(), None, "it knows of none, and there is none");
        tokio::select! {
            () = offer.due() => panic!("nothing has changed"),
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
        }
    }
}
