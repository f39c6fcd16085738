//! What a command's downloads look like: a line a file, a line for all, and why one stands still. Pure: time is an
//! argument.
//!
//! Invariant: a stall is named once it lasts longer than [`STALL`], and once only for as long as it lasts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_peer::progress::Stage;
use peerage_peer::queue::Look;
use peerage_wire::{format_bytes, shown};
use unicode_width::UnicodeWidthStr;

use super::clock;
use crate::print::cut;

/// A file to which so little comes for longer than this stands still.
const STALL: Duration = Duration::from_secs(3);
/// 4 KiB a second over [`STALL`].
const STALL_BYTES: u64 = 12 << 10;
/// Files that have a line; the others are counted.
const LINES_MAX: usize = 8;
/// Columns of a name beside its bar, at most and at least.
const NAME_WIDTH: std::ops::RangeInclusive<usize> = 12..=32;
/// Columns of a bar.
const BAR_WIDTH: usize = 16;
/// The time over which a rate is levelled out.
const RATE_TIME: Duration = Duration::from_secs(2);

/// One file of one want.
type Key = (usize, usize);

/// All the downloads of a command.
#[derive(Default)]
pub(crate) struct Downloads {
    files: BTreeMap<Key, File>,
    /// Wants that wait for another try: since when, how long, and what to say.
    pauses: BTreeMap<usize, Pause>,
    wants: BTreeMap<usize, Want>,
    rate: Rate,
}

struct File {
    name: String,
    size: u64,
    done_bytes: u64,
    stage: Stage,
    /// When it last moved, and how many bytes it had then.
    moved: (Instant, u64),
    rate: Rate,
    stall: Option<String>,
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
        let (moved, stage, rate) = ((now, 0), Stage::Starting, Rate::default());
        self.files.insert(key, File { name, size, done_bytes: 0, stage, moved, rate, stall: None });
    }

    pub(crate) fn looked(&mut self, looks: &[Look], now: Instant) {
        for look in looks {
            if let Some(file) = self.files.get_mut(&(look.want, look.file)) {
                file.looked(look, now);
            }
        }
        self.rate.reached(self.done_bytes(), now);
    }

    pub(crate) fn done(&mut self, key: Key, size: u64) {
        self.files.remove(&key);
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
        let mut said: Vec<String> = self.files.values().filter_map(|file| file.stall.clone()).collect();
        let mut news = Vec::new();
        for file in self.files.values_mut() {
            let cause = file.cause_of_stall(now);
            if let Some(cause) = cause.as_ref().filter(|cause| !said.contains(cause)) {
                news.push(format!("{}: {cause}", file.name));
                said.push(cause.clone());
            }
            file.stall = cause;
        }
        news
    }

    /// What to draw.
    pub(crate) fn lines(&self, width: usize, now: Instant) -> Vec<String> {
        let mut lines: Vec<String> =
            self.files.values().take(LINES_MAX).map(|file| file.line(width, now)).collect();
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

impl File {
    fn looked(&mut self, look: &Look, now: Instant) {
        self.done_bytes = look.done_bytes;
        self.stage = look.stage.clone();
        self.rate.reached(self.done_bytes, now);
        let (_, bytes) = self.moved;
        if self.done_bytes >= bytes + STALL_BYTES || self.done_bytes < bytes {
            self.moved = (now, self.done_bytes);
        }
    }

    fn cause_of_stall(&self, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.moved.0) <= STALL {
            return None;
        }
        match &self.stage {
            Stage::Starting | Stage::Checking | Stage::Done => None,
            Stage::FindingSources => Some("the index does not answer".to_owned()),
            Stage::FetchingList | Stage::Fetching => Some("its sources send next to nothing".to_owned()),
            Stage::Finishing => Some(Stage::SlowDisk.to_string()),
            waiting => Some(waiting.to_string()),
        }
    }

    fn line(&self, width: usize, now: Instant) -> String {
        let what = match self.cause_of_stall(now) {
            Some(cause) => format!(", {cause}"),
            None if self.stage == Stage::Fetching => {
                self.rate.shown(self.size.saturating_sub(self.done_bytes))
            }
            None => format!(", {}", self.stage),
        };
        let amount = format!("{} of {}", format_bytes(self.done_bytes), format_bytes(self.size));
        let rest = format!(" [{}] {amount}{what}", self.bar());
        let room = width.saturating_sub(rest.width() + 1);
        let name = cut(&self.name, room.clamp(*NAME_WIDTH.start(), *NAME_WIDTH.end()));
        cut(&format!("{name}{rest}"), width.saturating_sub(1))
    }

    fn bar(&self) -> String {
        let share = self.done_bytes.min(self.size) as u128 * BAR_WIDTH as u128 / u128::from(self.size.max(1));
        let filled = usize::try_from(share).unwrap_or(BAR_WIDTH);
        let head = if filled < BAR_WIDTH { ">" } else { "" };
        format!("{:BAR_WIDTH$}", format!("{}{head}", "=".repeat(filled)))
    }
}

impl Pause {
    fn line(&self, now: Instant) -> String {
        let left = self.until.saturating_duration_since(now).as_secs() + 1;
        format!("{}: trying again in {}: {}", self.what, clock(left), self.why)
    }
}

/// Bytes a second, levelled out.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    bytes_per_sec: f64,
}

impl Rate {
    fn reached(&mut self, bytes: u64, now: Instant) {
        let Some((at, before)) = self.last.replace((now, bytes)) else { return };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds > 0.0 {
            let weight = (seconds / RATE_TIME.as_secs_f64()).min(1.0);
            let news = bytes.saturating_sub(before) as f64 / seconds;
            self.bytes_per_sec += (news - self.bytes_per_sec) * weight;
        }
    }

    /// `, 101 MiB/s, 24 s left`, or nothing while there is no rate.
    fn shown(&self, left_bytes: u64) -> String {
        if self.bytes_per_sec < 1.0 {
            return String::new();
        }
        let whole =
            Duration::try_from_secs_f64(left_bytes as f64 / self.bytes_per_sec).unwrap_or(Duration::MAX);
        let rate = Duration::try_from_secs_f64(self.bytes_per_sec).unwrap_or_default().as_secs();
        format!(", {}/s, {} left", format_bytes(rate), clock(whole.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: u64 = 1 << 20;

    fn look(file: usize, done_bytes: u64, stage: Stage) -> Look {
        Look { want: 0, file, done_bytes, stage }
    }

    /// Two files of 100 MiB, begun at `now`.
    fn two(now: Instant) -> Downloads {
        let mut downloads = Downloads::default();
        downloads.resolved(0, 2, 200 * MIB);
        downloads.began((0, 0), "Album/one.flac", 100 * MIB, now);
        downloads.began((0, 1), "Album/two.flac", 100 * MIB, now);
        downloads
    }

    #[test]
    fn a_line_a_file_and_one_for_all() {
        let now = Instant::now();
        let mut downloads = two(now);
        for step in 0..=20_u32 {
            let bytes = u64::from(step) * 5 * MIB;
            let looks = [look(0, bytes, Stage::Fetching), look(1, 0, Stage::Checking)];
            downloads.looked(&looks, now + SECOND * step / 2);
        }
        let then = now + 10 * SECOND;
        downloads.looked(&[look(1, 0, Stage::Checking)], then);
        let lines = downloads.lines(100, then);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("one.flac [================] 100 MiB of 100 MiB, "), "{lines:?}");
        assert!(lines[1].ends_with("checking what is already here"), "{lines:?}");
        assert!(
            lines[2].starts_with("0 of 2 files, 100 MiB of 200 MiB, ") && lines[2].ends_with("10 s left"),
            "{lines:?}"
        );

        downloads.done((0, 0), 100 * MIB);
        let lines = downloads.lines(100, then);
        assert!(lines.len() == 2 && lines[1].starts_with("1 of 2 files, 100 MiB of 200 MiB"), "{lines:?}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let now = Instant::now();
        let mut downloads = two(now);
        downloads.began((0, 2), &"長い名前".repeat(20), 1, now);
        downloads.paused(1, &"x".repeat(300), &"y".repeat(300), SECOND, now);
        for width in [1, 20, 40, 80, 200] {
            for line in downloads.lines(width, now) {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_stall_is_named_after_three_seconds_and_once() {
        let now = Instant::now();
        let mut downloads = two(now);
        let slot = || Stage::WaitingForSlot("studio".parse().unwrap());
        let mut said = Vec::new();
        for step in 0..40_u32 {
            let then = now + SECOND * step / 4;
            let moving = u64::from(step) * MIB;
            downloads.looked(&[look(0, moving, Stage::Fetching), look(1, 5, slot())], then);
            said.extend(downloads.new_stalls(then).into_iter().map(|line| (step, line)));
        }
        assert_eq!(said, [(13, "two.flac: waiting for a slot at studio".to_owned())]);
        let lines = downloads.lines(120, now + 10 * SECOND);
        assert!(lines[1].ends_with("waiting for a slot at studio"), "{lines:?}");

        // It moves, and stops again.
        let later = now + 20 * SECOND;
        downloads.looked(&[look(0, 90 * MIB, Stage::Fetching), look(1, MIB, Stage::Fetching)], later);
        assert!(downloads.new_stalls(later).is_empty());
        let stopped = later + 4 * SECOND;
        downloads.looked(&[look(0, 95 * MIB, Stage::Fetching), look(1, MIB, slot())], stopped);
        assert_eq!(downloads.new_stalls(stopped).len(), 1);
    }

    #[test]
    fn a_trickle_is_a_stall_and_hashing_is_none() {
        let now = Instant::now();
        let mut downloads = two(now);
        for step in 0..10_u32 {
            let looks = [look(0, u64::from(step), Stage::Fetching), look(1, 0, Stage::Checking)];
            downloads.looked(&looks, now + SECOND * step);
        }
        let said = downloads.new_stalls(now + 9 * SECOND);
        assert_eq!(said, ["one.flac: its sources send next to nothing"]);
    }

    #[test]
    fn files_that_stall_together_are_told_once() {
        let now = Instant::now();
        let mut downloads = two(now);
        downloads.looked(&[look(0, 0, Stage::NoSource), look(1, 0, Stage::NoSource)], now);
        assert_eq!(downloads.new_stalls(now + 4 * SECOND).len(), 1);
        assert!(downloads.new_stalls(now + 5 * SECOND).is_empty());
    }

    #[test]
    fn a_pause_is_counted_down_in_place_of_its_files() {
        let now = Instant::now();
        let mut downloads = two(now);
        downloads.paused(0, "studio/Album", "no source can be reached", 4 * SECOND, now);
        let lines = downloads.lines(120, now + SECOND);
        assert_eq!(lines[0], "studio/Album: trying again in 4 s: no source can be reached");
        assert_eq!(lines.len(), 2);
        downloads.began((0, 0), "Album/one.flac", MIB, now + 4 * SECOND);
        assert!(downloads.lines(120, now).iter().all(|line| !line.contains("again")));
    }
}
