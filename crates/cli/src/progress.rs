//! How far a command is, for the person at a terminal: bars on stderr, redrawn a few times a second.
//!
//! Invariant: without a terminal nothing is drawn; what must be known then is said in plain lines by the command.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use peerage_peer::progress::Progress;
use peerage_wire::{SharePath, format_bytes, shown};

/// How often a bar is redrawn: smooth to the eye, nothing to the processor.
const REDRAW: Duration = Duration::from_millis(150);
/// Columns of a file name beside a bar.
const NAME_CHARS: usize = 32;

/// One bar over all the downloads of a command.
pub(crate) struct Gauge {
    inner: Arc<Inner>,
    redraw: tokio::task::JoinHandle<()>,
}

struct Inner {
    bar: ProgressBar,
    files_total: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    active: Vec<(String, Arc<Progress>)>,
    ended_files: usize,
    ended_bytes: u64,
}

impl Gauge {
    /// Draws for so many files of so many bytes in all.
    pub(crate) fn start(files_total: usize, bytes_total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes_total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{msg} [{bar:24}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let inner = Arc::new(Inner { bar, files_total, state: Mutex::default() });
        let drawn = Arc::clone(&inner);
        let redraw = tokio::spawn(async move {
            let mut tick = tokio::time::interval(REDRAW);
            loop {
                tick.tick().await;
                drawn.draw();
            }
        });
        Self { inner, redraw }
    }

    /// A download begins.
    pub(crate) fn begin(&self, path: &SharePath) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        let name: String = shown(path.file_name()).to_string().chars().take(NAME_CHARS).collect();
        self.inner.lock().active.push((name, Arc::clone(&progress)));
        progress
    }

    /// A download ended, well or not.
    pub(crate) fn end(&self, progress: &Arc<Progress>) {
        let mut state = self.inner.lock();
        state.active.retain(|(_, active)| !Arc::ptr_eq(active, progress));
        state.ended_files += 1;
        state.ended_bytes += progress.snapshot().done_bytes;
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.inner.bar.finish_and_clear();
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.redraw.abort();
        self.inner.bar.finish_and_clear();
    }
}

impl Inner {
    fn draw(&self) {
        let state = self.lock();
        let active: u64 = state.active.iter().map(|(_, progress)| progress.snapshot().done_bytes).sum();
        self.bar.set_position(state.ended_bytes + active);
        let Some((name, progress)) = state.active.first() else { return };
        let stage = progress.snapshot().stage;
        self.bar.set_message(match self.files_total {
            1 => format!("{name}: {stage}"),
            total => format!("{} of {total} files: {name}", state.ended_files),
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
