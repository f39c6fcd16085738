//! A steady stream of registrations beside what is measured: peers come at an even pace with mostly known contents, stay for a
//! while, and leave.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use peerage_index::Index;
use peerage_wire::PeerId;

use super::Setting;
use super::newcomers::PEER_FILES;
use crate::latency::rate;

/// Of the files of each peer that comes, so many were never seen: as in a corpus of seven registrations a content.
const NEW_FILES: u64 = PEER_FILES / 8;
/// Peers that have come and not left yet; the first then leaves for each that comes.
const STAYING: usize = 400;

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Files registered.
    pub(crate) files: u64,
    /// In that time.
    pub(crate) time: Duration,
}

impl Written {
    /// In words.
    pub(crate) fn told(&self) -> String {
        if self.files == 0 { "none".to_owned() } else { format!("{} a second", rate(self.files, self.time)) }
    }
}

/// Does something while files are registered.
///
/// # Errors
/// When either fails.
pub(crate) fn beside<T>(
    setting: &Setting<'_>,
    index: &Index,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Written)> {
    if setting.writing == 0 {
        return Ok((act()?, Written::default()));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(setting, index, &stop));
        let outcome = act();
        stop.store(true, Ordering::Relaxed);
        let written = joined(writing)?;
        Ok((outcome?, written))
    })
}

fn joined(writing: ScopedJoinHandle<'_, Result<Written>>) -> Result<Written> {
    match writing.join() {
        Ok(written) => written,
        Err(_) => bail!("the writer panicked"),
    }
}

fn write(setting: &Setting<'_>, index: &Index, stop: &AtomicBool) -> Result<Written> {
    let started = Instant::now();
    let (mut files, mut staying) = (0, VecDeque::<PeerId>::new());
    while !stop.load(Ordering::Relaxed) {
        let mut guest = setting.newcomers.guest(setting.corpus, PEER_FILES - NEW_FILES, NEW_FILES);
        // What is late is made up for, so that a slow moment does not lower the load.
        let due = Duration::from_secs_f64(files as f64 / setting.writing as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        guest.come(index)?;
        files += guest.files;
        staying.push_back(guest.id);
        if staying.len() > STAYING
            && let Some(first) = staying.pop_front()
        {
            index.quit(first)?;
        }
    }
    let time = started.elapsed();
    staying.into_iter().try_for_each(|peer| index.quit(peer))?;
    Ok(Written { files, time })
}
