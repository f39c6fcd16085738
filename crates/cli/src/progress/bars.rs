//! A few lines at the bottom of a terminal that are drawn over and over.
//!
//! Invariant: without a terminal on stderr nothing is drawn, and what is said is plain lines.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The lines.
pub(crate) struct Bars {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Bars {
    pub(crate) fn new() -> Self {
        Self { all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), lines: Vec::new() }
    }

    /// Whether anybody sees them.
    pub(crate) fn is_drawn(&self) -> bool {
        !self.all.is_hidden()
    }

    /// Columns there are.
    pub(crate) fn width() -> usize {
        /// What a terminal has that does not tell.
        const USUAL: usize = 80;
        crate::print::width_of(&std::io::stderr()).unwrap_or(USUAL)
    }

    /// Draws these lines in place of those before.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.all.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            let line = self.all.add(ProgressBar::no_length());
            line.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            self.lines.push(line);
        }
        for (line, text) in self.lines.iter().zip(lines) {
            line.set_message(text.clone());
        }
    }

    /// Takes the lines away. Where that is not done, as on Ctrl-C, they stay as they were last.
    pub(crate) fn clear(mut self) {
        self.draw(&[]);
        let _ = self.all.clear();
    }

    /// Writes something else above the lines.
    pub(crate) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.all.suspend(write)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if self.is_drawn() && !self.lines.is_empty() {
            // The terminal has written `^C` behind the last line, so they can't be found any more to be cleared.
            self.all.set_draw_target(ProgressDrawTarget::hidden());
            crate::print::say("");
        }
    }
}
