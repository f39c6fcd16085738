//! What a command's downloads look like: a line a file, a line for all, and why one stands still. Pure: time is an
//! argument.
//!
//! Invariant: a stall is named once it lasts longer than `file::STALL`, and once only for as long as it lasts.

mod file;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_peer::progress::Stage;
use peerage_peer::queue::Look;
use peerage_wire::{format_bytes, shown};
use unicode_width::UnicodeWidthStr;

use super::clock;
use crate::print::cut;

use file::{File, Rate};

/// Files that have a line; the others are counted.
const LINES_MAX: usize = 8;

/// One file of one want.
type Key = (usize, usize);

/// All the downloads of a command.
#[derive(Default)]
pub(crate) struct Downloads {
    files: BTreeMap<Key, File>,
    /// Wants that wait for another try: since when, how long, and what to say.
    pauses: BTreeMap<usize, Pause>,
    wants: BTreeMap<usize, Want>,
    /// Bytes that came for files that are there.
    came_bytes: u64,
    rate: Rate,
}

struct Pause {
    until: Instant,
    what: String,
    why: String,
}

/// Files and bytes of a want: what there are, and what is over.
#[derive(Default)]
struct Want {
    files: u64,
    bytes: u64,
    ended_files: u64,
    ended_bytes: u64,
}

impl Downloads {
    /// It is known how much a want is; what was known of it before is forgotten.
    pub(crate) fn resolved(&mut self, want: usize, files: u64, bytes: u64) {
        self.wants.insert(want, Want { files, bytes, ..Want::default() });
    }

    pub(crate) fn began(&mut self, key: Key, name: &str, size: u64, now: Instant) {
        self.pauses.remove(&key.0);
        let name = shown(name.rsplit('/').next().unwrap_or(name)).to_string();
        self.files.insert(key, File::begin(name, size, now));
    }

    pub(crate) fn looked(&mut self, looks: &[Look], now: Instant) {
        for look in looks {
            if let Some(file) = self.files.get_mut(&(look.want, look.file)) {
                file.looked(look, now);
            }
        }
        let came_bytes = self.came_bytes + self.files.values().map(|file| file.came_bytes).sum::<u64>();
        self.rate.reached(came_bytes, now);
    }

    /// A file of so many bytes is there, of which so many came now.
    pub(crate) fn done(&mut self, key: Key, size: u64, came_bytes: u64) {
        self.files.remove(&key);
        self.came_bytes += came_bytes;
        let want = self.wants.entry(key.0).or_default();
        want.ended_files += 1;
        want.ended_bytes += size;
    }

    /// A file stopped; it may begin again.
    pub(crate) fn stopped(&mut self, key: Key) {
        self.files.remove(&key);
    }

    /// A want pauses before it is tried again.
    pub(crate) fn paused(&mut self, want: usize, what: &str, why: &str, pause: Duration, now: Instant) {
        self.files.retain(|(of, _), _| *of != want);
        let pause = Pause { until: now + pause, what: shown(what).to_string(), why: shown(why).to_string() };
        self.pauses.insert(want, pause);
    }

    pub(crate) fn over(&mut self, want: usize) {
        self.files.retain(|(of, _), _| *of != want);
        self.pauses.remove(&want);
    }

    /// All that was going on goes on elsewhere, from its beginning.
    pub(crate) fn moved(&mut self) {
        self.files.clear();
        self.pauses.clear();
    }

    /// Why files stand still, for those of which it was not said yet.
    pub(crate) fn new_stalls(&mut self, now: Instant) -> Vec<String> {
        let mut said: Vec<String> = self.files.values().flat_map(|file| file.stalls.clone()).collect();
        let mut news = Vec::new();
        let has_turns = self.is_moving(now);
        for file in self.files.values_mut() {
            // While others move, one that connects only waits for its turn at a peer that they keep busy.
            let is_turn = has_turns && matches!(file.stage, Stage::Connecting(_));
            let Some(cause) = file.cause_of_stall(now).filter(|_| !is_turn) else { continue };
            if !said.contains(&cause) {
                news.push(format!("{}: {cause}", file.name));
                said.push(cause.clone());
            }
            if !file.stalls.contains(&cause) {
                file.stalls.push(cause);
            }
        }
        news
    }

    /// What to draw.
    pub(crate) fn lines(&self, width: usize, now: Instant) -> Vec<String> {
        let shown = || self.files.values().take(LINES_MAX);
        let name_width = shown().map(|file| file.name.width()).max().unwrap_or_default();
        let mut lines: Vec<String> = shown().map(|file| file.line(width, name_width, now)).collect();
        if let Some(more) = self.files.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        let pauses = self.pauses.values().take(LINES_MAX);
        lines.extend(pauses.map(|pause| cut(&pause.line(now), width.saturating_sub(1))));
        let files: u64 = self.wants.values().map(|want| want.files).sum();
        if files > 1 || lines.is_empty() {
            lines.push(cut(&self.total(), width.saturating_sub(1)));
        }
        lines
    }

    fn is_moving(&self, now: Instant) -> bool {
        self.files.values().any(|file| file.is_moving(now))
    }

    fn total(&self) -> String {
        let sum = |of: fn(&Want) -> u64| self.wants.values().map(of).sum::<u64>();
        let (files, bytes) = (sum(|want| want.files), sum(|want| want.bytes));
        if files == 0 {
            return "asking the index".to_owned();
        }
        let (ended, done) = (sum(|want| want.ended_files), self.done_bytes());
        let amount = format!("{} of {}", format_bytes(done), format_bytes(bytes));
        format!("{ended} of {files} files, {amount}{}", self.rate.shown(bytes.saturating_sub(done)))
    }

    fn done_bytes(&self) -> u64 {
        let ended: u64 = self.wants.values().map(|want| want.ended_bytes).sum();
        ended + self.files.values().map(|file| file.done_bytes).sum::<u64>()
    }
}

impl Pause {
    fn line(&self, now: Instant) -> String {
        let left = self.until.saturating_duration_since(now).as_secs() + 1;
        format!("{}: trying again in {}: {}", self.what, clock(left), self.why)
    }
}

#[cfg(test)]
mod tests;
