//! What follows once a file was read: it is registered, tried again, or left out with a note.
//!
//! Invariants: every job that was queued is settled once, and counts as done only after all that follows from
//! it has been said.

use std::io;
use std::time::Duration;

use peerage_wire::PieceList;
use rustix::io::Errno;

use super::debounce::{Look, Place};
use super::engine::Engine;
use super::notes::Trouble;
use super::origin::Origin;
use super::queue::{Job, Why};
use super::root::Stamp;
use crate::catalogue::{Hashed, Known};

/// Files that took no longer to hash may be hashed again as often as they change.
const CHEAP: Duration = Duration::from_millis(20);

/// How reading a file ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is this content.
    Hashed {
        list: PieceList,
        stamp: Stamp,
        /// Whether a later write would show in its time.
        is_certain: bool,
    },
    /// It changed in between.
    Changed,
    /// It, or what it took to read it, is not there now: the machine is short of something.
    Later,
    /// It is not there, or no regular file.
    Gone,
    /// The system won't let us.
    Unreadable(io::Error),
}

impl Outcome {
    pub(super) fn of_error(error: io::Error) -> Self {
        let is = |errno: &Errno| error.raw_os_error() == Some(errno.raw_os_error());
        if [Errno::MFILE, Errno::NFILE, Errno::NOMEM].iter().any(is) {
            return Self::Later;
        }
        if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NXIO, Errno::STALE].iter().any(is) {
            return Self::Gone;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Changed,
            io::ErrorKind::InvalidInput => Self::Gone,
            _ => Self::Unreadable(error),
        }
    }
}

impl Engine {
    /// Draws the consequences and ends the job.
    pub(super) fn settle(&self, job: &Job, outcome: Outcome, took: Duration) {
        if took > CHEAP {
            self.inbox.hashed(&place_of(job), took);
        }
        match outcome {
            Outcome::Hashed { list, stamp, is_certain } => self.register(job, list, stamp, is_certain),
            Outcome::Changed | Outcome::Later => {
                self.drop_file(job);
                self.look_again(job, Look::IfChanged);
            }
            Outcome::Gone => self.drop_file(job),
            Outcome::Unreadable(error) => {
                self.drop_file(job);
                self.notes.trouble(
                    &self.progress,
                    Trouble::Unreadable,
                    job.path.as_str(),
                    &error.to_string(),
                );
            }
        }
        if self.queue_of(&job.origin).done(&job.path) {
            self.inbox.nudge();
        }
    }

    fn register(&self, job: &Job, list: PieceList, stamp: Stamp, is_certain: bool) {
        let hash = list.hash();
        self.cache.remember(job.origin.key(job.disk()), stamp, list, is_certain);
        let Job { share, origin, path, .. } = job;
        let file = Hashed { share: *share, origin, path, disk: job.disk(), hash, stamp };
        if self.catalogue.put(&file) == Known::Taken {
            self.notes.trouble(&self.progress, Trouble::SameName, path.as_str(), job.disk());
        }
        self.progress.hashed(job);
        if !is_certain && job.why == Why::Found {
            self.look_again(job, Look::Always);
        }
    }

    fn look_again(&self, job: &Job, look: Look) {
        match &job.origin {
            Origin::Folder(_) => self.inbox.touch(place_of(job), look),
            Origin::Server(server) => server.touch(job.disk()),
        }
    }

    fn drop_file(&self, job: &Job) {
        self.progress.lost(job);
        self.catalogue.remove(&job.path, job.disk());
    }
}

fn place_of(job: &Job) -> Place {
    Place { share: job.share, relative: job.disk().into() }
}
