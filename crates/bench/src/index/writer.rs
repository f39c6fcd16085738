//! A steady stream of registrations beside what is measured: peers come at an even pace with mostly known contents, stay for a
//! while, and leave.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use peerage_index::Index;

use super::Setting;
use super::newcomers::{Guest, PEER_FILES};
use crate::latency::rate;

/// Of the files of each peer that comes, so many were never seen: as in a corpus of seven registrations a content.
pub(crate) const NEW_FILES: u64 = PEER_FILES / 8;
/// The others, which somebody has already.
pub(crate) const KNOWN_FILES: u64 = PEER_FILES - NEW_FILES;
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

/// Whom peers come to and leave: our index, or a rival.
pub(crate) trait Host: Send {
    /// A peer that is ready to come.
    type Guest;

    /// Makes one that was not here yet.
    fn guest(&mut self) -> Self::Guest;
    /// Takes it in, and tells how many files it has.
    ///
    /// # Errors
    /// When it is refused.
    fn come(&mut self, guest: &mut Self::Guest) -> Result<u64>;
    /// Lets it go.
    ///
    /// # Errors
    /// When that is refused.
    fn leave(&mut self, guest: Self::Guest) -> Result<()>;
}

/// Our own.
struct Ours<'a> {
    setting: &'a Setting<'a>,
    index: &'a Index,
}

impl Host for Ours<'_> {
    type Guest = Guest;

    fn guest(&mut self) -> Guest {
        self.setting.newcomers.guest(self.setting.corpus, KNOWN_FILES, NEW_FILES)
    }

    fn come(&mut self, guest: &mut Guest) -> Result<u64> {
        guest.come(self.index)?;
        Ok(guest.files)
    }

    fn leave(&mut self, guest: Guest) -> Result<()> {
        Ok(self.index.quit(guest.id)?)
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
    beside_at(Ours { setting, index }, setting.writing, act)
}

/// Does something while files are registered at some host, so many a second as far as it keeps up.
///
/// # Errors
/// When either fails.
pub(crate) fn beside_at<T>(
    host: impl Host,
    writing: u64,
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Written)> {
    if writing == 0 {
        return Ok((act()?, Written::default()));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| write(host, writing, &stop));
        let outcome = {
            let _stop = Stop(&stop);
            act()
        };
        let written = joined(thread)?;
        Ok((outcome?, written))
    })
}

/// Stops the writer when it goes, also where what it writes beside panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn joined(writing: ScopedJoinHandle<'_, Result<Written>>) -> Result<Written> {
    match writing.join() {
        Ok(written) => written,
        Err(_) => bail!("the writer panicked"),
    }
}

fn write<H: Host>(mut host: H, writing: u64, stop: &AtomicBool) -> Result<Written> {
    let started = Instant::now();
    let (mut files, mut staying) = (0, VecDeque::new());
    while !stop.load(Ordering::Relaxed) {
        let mut guest = host.guest();
        // What is late is made up for, so that a slow moment does not lower the load.
        let due = Duration::from_secs_f64(files as f64 / writing as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        files += host.come(&mut guest)?;
        staying.push_back(guest);
        if staying.len() > STAYING
            && let Some(first) = staying.pop_front()
        {
            host.leave(first)?;
        }
    }
    let time = started.elapsed();
    staying.into_iter().try_for_each(|guest| host.leave(guest))?;
    Ok(Written { files, time })
}
