//! How far a share is with being found, hashed and registered: one line on stderr.
//!
//! Invariant: without a terminal nothing is drawn; what must be known then is said in plain lines by the command.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use peerage_wire::format_bytes;

use super::clock;

/// One line that shows a share being found, hashed and registered.
pub(crate) struct ShareLine {
    bar: ProgressBar,
}

impl ShareLine {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self { bar }
    }

    /// Whether anybody sees it.
    pub(crate) fn is_drawn(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub(crate) fn show(&self, look: &ShareLook) {
        self.bar.set_message(look.to_string());
        self.bar.tick();
    }

    /// Says something above the line.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| crate::print::say(line));
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A look at a share that is being brought into the index.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShareLook {
    pub(crate) found_files: u64,
    pub(crate) found_bytes: u64,
    pub(crate) ready_files: u64,
    pub(crate) to_hash_bytes: u64,
    pub(crate) hashed_bytes: u64,
    pub(crate) registered_files: u64,
    pub(crate) elapsed: Duration,
}

impl std::fmt::Display for ShareLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found = format_bytes(self.found_bytes);
        write!(
            f,
            "found {} files ({found}), hashed {}, registered {}",
            self.found_files, self.ready_files, self.registered_files
        )?;
        let seconds = self.elapsed.as_secs().max(1);
        let rate = self.hashed_bytes / seconds;
        if rate > 0 && self.to_hash_bytes > self.hashed_bytes {
            let left = (self.to_hash_bytes - self.hashed_bytes) / rate;
            write!(f, ", {}/s, {} left", format_bytes(rate), clock(left))?;
        }
        Ok(())
    }
}
