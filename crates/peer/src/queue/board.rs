//! What one request's downloads are doing now, and the way its news take.
//!
//! Invariant: a file is on the board exactly as long as its [`Place`] lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::lock;
use super::news::{Look, News};
use crate::progress::Progress;

/// How often the files are looked at: smooth to the eye, nothing to the processor.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The files that are being fetched for one request.
pub(super) struct Board {
    files: Mutex<BTreeMap<(usize, usize), Arc<Progress>>>,
    news: mpsc::Sender<News>,
}

impl Board {
    pub(super) fn new(news: mpsc::Sender<News>) -> Self {
        Self { files: Mutex::default(), news }
    }

    /// Tells something that must not be lost. Where nobody listens any more there is nobody to tell.
    pub(super) async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }

    /// A file begins.
    pub(super) fn begin(&self, want: usize, file: usize) -> Place<'_> {
        let progress = Arc::new(Progress::default());
        lock(&self.files).insert((want, file), Arc::clone(&progress));
        Place { board: self, key: (want, file), progress }
    }

    /// Tells how the files stand for as long as it is polled. A look that finds no room is left out: the next one
    /// knows better.
    pub(super) async fn look_on(&self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let _ = self.news.try_send(News::Looks { files: self.looks() });
        }
    }

    fn looks(&self) -> Vec<Look> {
        let files = lock(&self.files);
        let looks = files.iter().map(|((want, file), progress)| {
            let snapshot = progress.snapshot();
            Look {
                want: *want,
                file: *file,
                done_bytes: snapshot.done_bytes,
                resumed_bytes: snapshot.resumed_bytes,
                stage: snapshot.stage,
            }
        });
        looks.collect()
    }
}

/// A file's place on the board.
pub(super) struct Place<'a> {
    board: &'a Board,
    key: (usize, usize),
    pub(super) progress: Arc<Progress>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.board.files).remove(&self.key);
    }
}
