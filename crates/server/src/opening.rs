//! An index that may still be opened when the door is: how far it is, for whoever waits.
//!
//! Invariant: [`Standing::Ready`] is told once, after everything is read, and never taken back.

use std::fmt;

use peerage_index::{Error, Index, Phase};
use tokio::sync::watch;

/// Opens an index and tells how far it is; may take minutes, and runs on a blocking thread.
type Open = Box<dyn FnOnce(&dyn Fn(Phase)) -> Result<Index, Error> + Send>;

/// An index, or how to get one.
pub struct Opening {
    pub(crate) source: Source,
    pub(crate) standing: watch::Sender<Standing>,
}

/// Where the index comes from.
pub(crate) enum Source {
    Ready(Index),
    Later(Open),
}

/// How far an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its store is being looked for.
    Opening,
    /// Its store is being read.
    Reading(Phase),
    /// It answers.
    Ready,
}

impl Opening {
    /// An index that `open` makes while the door answers already.
    pub fn new(open: impl FnOnce(&dyn Fn(Phase)) -> Result<Index, Error> + Send + 'static) -> Self {
        Self { source: Source::Later(Box::new(open)), standing: watch::Sender::new(Standing::Opening) }
    }

    /// Tells how far it is; the sender is gone when the index is closed or could not be opened.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }
}

impl From<Index> for Opening {
    fn from(index: Index) -> Self {
        Self { source: Source::Ready(index), standing: watch::Sender::new(Standing::Opening) }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("standing", &*self.standing.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Opening => f.write_str("opening the store"),
            Self::Reading(Phase::Reading { done_bytes, total_bytes }) => {
                write!(f, "reading the snapshot, {} %", percent(done_bytes, total_bytes))
            }
            Self::Reading(Phase::Replaying { done_bytes, total_bytes }) => {
                write!(f, "replaying the log, {} %", percent(done_bytes, total_bytes))
            }
            Self::Ready => f.write_str("ready"),
        }
    }
}

/// Of nothing, all is done.
fn percent(done: u64, total: u64) -> u64 {
    done.min(total).saturating_mul(100).checked_div(total).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_far_it_is() {
        let reading = |done_bytes, total_bytes| {
            Standing::Reading(Phase::Reading { done_bytes, total_bytes }).to_string()
        };
        assert_eq!(reading(0, 7), "reading the snapshot, 0 %");
        assert_eq!(reading(3_400_000_000, 7_800_000_000), "reading the snapshot, 43 %");
        assert_eq!(reading(8, 7), "reading the snapshot, 100 %");
        assert_eq!(reading(0, 0), "reading the snapshot, 100 %");
        let replaying = Phase::Replaying { done_bytes: 12, total_bytes: 100 };
        assert_eq!(Standing::Reading(replaying).to_string(), "replaying the log, 12 %");
    }
}
