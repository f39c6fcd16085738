//! One file that is being fetched: how far, how fast, and whether it stands still. Pure: time is an argument.

use std::time::{Duration, Instant};

use peerage_peer::progress::Stage;
use peerage_peer::queue::Look;
use peerage_wire::format_bytes;
use unicode_width::UnicodeWidthStr;

use crate::print::cut;
use crate::progress::clock;

/// A file to which so little comes for longer than this stands still.
const STALL: Duration = Duration::from_secs(3);
/// 4 KiB a second over [`STALL`].
const STALL_BYTES: u64 = 12 << 10;
/// Columns of a name beside its bar, at most and at least.
const NAME_WIDTH: std::ops::RangeInclusive<usize> = 12..=32;
/// Columns of a bar.
const BAR_WIDTH: usize = 16;
/// The time over which a rate is levelled out.
const RATE_TIME: Duration = Duration::from_secs(2);
/// A longer time that is left is no forecast but a rate of nearly nothing.
const LEFT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A file and what was seen of it.
pub(super) struct File {
    pub(super) name: String,
    size: u64,
    pub(super) done_bytes: u64,
    /// Bytes that came now: what was here from before says nothing about a rate.
    pub(super) came_bytes: u64,
    pub(super) stage: Stage,
    /// When it last moved, and how many bytes it had then.
    moved: (Instant, u64),
    rate: Rate,
    /// Causes that were told since it last moved: one that waits goes through several, over and over.
    pub(super) stalls: Vec<String>,
}

impl File {
    pub(super) fn begin(name: String, size: u64, now: Instant) -> Self {
        let (moved, stage, rate) = ((now, 0), Stage::Starting, Rate::default());
        Self { name, size, done_bytes: 0, came_bytes: 0, stage, moved, rate, stalls: Vec::new() }
    }

    pub(super) fn looked(&mut self, look: &Look, now: Instant) {
        self.done_bytes = look.done_bytes;
        self.stage = look.stage.clone();
        self.came_bytes = look.done_bytes.saturating_sub(look.resumed_bytes);
        self.rate.reached(self.came_bytes, now);
        let (_, bytes) = self.moved;
        if self.done_bytes >= bytes + STALL_BYTES || self.done_bytes < bytes {
            self.moved = (now, self.done_bytes);
            self.stalls.clear();
        }
    }

    pub(super) fn is_moving(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved.0) <= STALL
    }

    pub(super) fn cause_of_stall(&self, now: Instant) -> Option<String> {
        if self.is_moving(now) {
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

    pub(super) fn line(&self, width: usize, name_width: usize, now: Instant) -> String {
        let left_bytes = self.size.saturating_sub(self.done_bytes);
        let what = match (self.cause_of_stall(now), &self.stage) {
            (Some(cause), _) => format!(", {cause}"),
            (None, Stage::Starting | Stage::Fetching) => self.rate.shown(left_bytes),
            // Between two requests a download connects or waits for a moment: nothing to look at while bytes come.
            (None, Stage::Connecting(_) | Stage::WaitingForSlot(_) | Stage::SlowSource(_))
                if self.done_bytes > 0 =>
            {
                self.rate.shown(left_bytes)
            }
            (None, stage) => format!(", {stage}"),
        };
        let amount = format!("{} of {}", format_bytes(self.done_bytes), format_bytes(self.size));
        let rest = format!(" [{}] {amount}{what}", self.bar());
        let room = width.saturating_sub(rest.width() + 1);
        let name_width = name_width.min(room.clamp(*NAME_WIDTH.start(), *NAME_WIDTH.end()));
        let name = cut(&self.name, name_width);
        let fill = " ".repeat(name_width.saturating_sub(name.width()));
        cut(&format!("{name}{fill}{rest}"), width.saturating_sub(1))
    }

    pub(super) fn bar(&self) -> String {
        let share = self.done_bytes.min(self.size) as u128 * BAR_WIDTH as u128 / u128::from(self.size.max(1));
        let filled = usize::try_from(share).unwrap_or(BAR_WIDTH);
        let head = if filled < BAR_WIDTH { ">" } else { "" };
        format!("{:BAR_WIDTH$}", format!("{}{head}", "=".repeat(filled)))
    }
}

/// Bytes a second, levelled out.
#[derive(Default)]
pub(super) struct Rate {
    last: Option<(Instant, u64)>,
    bytes_per_sec: f64,
}

impl Rate {
    pub(super) fn reached(&mut self, bytes: u64, now: Instant) {
        let Some((at, before)) = self.last.replace((now, bytes)) else { return };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds > 0.0 {
            let weight = (seconds / RATE_TIME.as_secs_f64()).min(1.0);
            let news = bytes.saturating_sub(before) as f64 / seconds;
            self.bytes_per_sec += (news - self.bytes_per_sec) * weight;
        }
    }

    /// `, 101 MiB/s, 24 s left`, or nothing while there is no rate.
    pub(super) fn shown(&self, left_bytes: u64) -> String {
        if self.bytes_per_sec < 1.0 {
            return String::new();
        }
        let rate = Duration::try_from_secs_f64(self.bytes_per_sec).unwrap_or_default().as_secs();
        let rate = format!(", {}/s", format_bytes(rate));
        let left =
            Duration::try_from_secs_f64(left_bytes as f64 / self.bytes_per_sec).unwrap_or(Duration::MAX);
        if left > LEFT_MAX { rate } else { format!("{rate}, {} left", clock(left.as_secs())) }
    }
}
