//! What waits to be hashed, and in which order: small files first, then large ones piece by piece.
//!
//! Invariants: a path is in the queue once, from the push until it is done; at most [`JOBS_MAX`] wait, then the
//! walk that finds them waits too; a large file's pieces are given out in order to whoever asks, so all
//! threads read it as one stream.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use peerage_wire::{PIECE_BYTES, SharePath};

use super::hash::Large;
use super::origin::Origin;
use super::root::Stamp;
use crate::catalogue::ShareId;

/// Jobs that wait, some 100 bytes each: enough that small files overtake large ones over a whole share.
const JOBS_MAX: usize = 1 << 18;

/// Small files a thread takes at once, so that threads don't queue for the queue.
const HANDFUL_MAX: usize = 32;
/// A handful is at most one part in so many of what waits, so that no thread idles at the end.
const HANDFUL_SHARE: usize = 16;

/// A file to hash.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) share: ShareId,
    pub(crate) origin: Origin,
    pub(crate) path: SharePath,
    /// The path below the folder as the disk spells it, where that differs.
    pub(crate) odd_name: Option<Box<str>>,
    /// As it was when it was found.
    pub(crate) stamp: Stamp,
    pub(crate) found: Instant,
    pub(crate) why: Why,
}

/// Why a file is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is new or has changed.
    Found,
    /// It was hashed too soon after it was written to be sure that nothing came after.
    Again,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    In,
    /// The file is in the queue already.
    Already,
    /// Another file is, which has the same name but for its spelling.
    SameName,
    /// Nothing is taken any more.
    Closed,
}

/// What a thread does next.
#[derive(Debug)]
pub(crate) enum Task {
    /// Hash some files of one piece each.
    Small(Vec<Job>),
    /// Open a large file, and [`Queue::offer`] its pieces.
    Open(Job),
    /// Hash one piece of a large file.
    Piece(Arc<Large>, u64),
}

/// Shared by those who find files and those who hash them.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    room: Condvar,
    work: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    small: VecDeque<Job>,
    /// By size, then by order of arrival.
    large: BTreeMap<(u64, u64), Job>,
    arrivals: u64,
    open: VecDeque<Pieces>,
    /// Every path in the queue, with its odd name.
    busy: HashMap<SharePath, Option<Box<str>>>,
    /// Threads that wait for work, or for room: nobody else is woken.
    idle: usize,
    blocked: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Pieces {
    large: Arc<Large>,
    next: u64,
}

impl Job {
    /// The path below the folder as the disk spells it.
    pub(crate) fn disk(&self) -> &str {
        match &self.odd_name {
            Some(name) => name,
            None => self.path.as_str().split_once('/').map_or("", |(_, rest)| rest),
        }
    }
}

impl Queue {
    /// Adds a job, waiting for room.
    pub(crate) fn push(&self, job: Job) -> Pushed {
        let mut waiting = self.lock();
        while waiting.small.len() + waiting.large.len() >= JOBS_MAX && !waiting.is_closed {
            waiting.blocked += 1;
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.blocked -= 1;
        }
        if waiting.is_closed {
            return Pushed::Closed;
        }
        match waiting.busy.entry(job.path.clone()) {
            Entry::Occupied(other) if *other.get() != job.odd_name => return Pushed::SameName,
            Entry::Occupied(_) => return Pushed::Already,
            Entry::Vacant(free) => _ = free.insert(job.odd_name.clone()),
        }
        if job.stamp.size <= PIECE_BYTES {
            waiting.small.push_back(job);
        } else {
            waiting.arrivals += 1;
            let key = (job.stamp.size, waiting.arrivals);
            waiting.large.insert(key, job);
        }
        if waiting.idle > 0 {
            self.work.notify_one();
        }
        Pushed::In
    }

    /// The next task; waits for one. `None` once the queue is closed.
    pub(crate) fn next(&self) -> Option<Task> {
        let mut waiting = self.lock();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(task) = waiting.next() {
                if waiting.blocked > 0 {
                    self.room.notify_all();
                }
                return Some(task);
            }
            waiting.idle += 1;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    /// Gives out the pieces of a large file.
    pub(crate) fn offer(&self, large: Arc<Large>) {
        self.lock().open.push_back(Pieces { large, next: 0 });
        self.work.notify_all();
    }

    /// A job has ended, one way or another; whether it was the last.
    pub(crate) fn done(&self, path: &SharePath) -> bool {
        let mut waiting = self.lock();
        waiting.busy.remove(path).is_some() && waiting.busy.is_empty()
    }

    /// Whether nothing waits or runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().busy.is_empty()
    }

    /// Ends everyone who waits, on either side.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        (waiting.small, waiting.large) = Default::default();
        drop(waiting);
        self.work.notify_all();
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Task> {
        if !self.small.is_empty() {
            let handful = (self.small.len() / HANDFUL_SHARE).clamp(1, HANDFUL_MAX);
            return Some(Task::Small(self.small.drain(..handful).collect()));
        }
        while let Some(pieces) = self.open.front_mut() {
            let index = pieces.next;
            if index < pieces.large.count() && !pieces.large.has_failed() {
                pieces.next += 1;
                return Some(Task::Piece(Arc::clone(&pieces.large), index));
            }
            self.open.pop_front();
        }
        self.large.pop_first().map(|(_, job)| Task::Open(job))
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::Root;
    use super::*;

    fn job(path: &str, size: u64) -> Job {
        let root = Arc::new(Root::open("s", std::path::Path::new("/")).unwrap());
        let (origin, path) = (root.into(), SharePath::parse(path).unwrap());
        let (stamp, found) = (Stamp { size, mtime_ns: 0, inode: 0 }, Instant::now());
        Job { share: ShareId(0), origin, path, odd_name: None, stamp, found, why: Why::Found }
    }

    fn next(queue: &Queue) -> String {
        match queue.next().unwrap() {
            Task::Small(jobs) => {
                format!("small {}", jobs.iter().map(Job::disk).collect::<Vec<_>>().join(" "))
            }
            Task::Open(job) => format!("open {}", job.disk()),
            Task::Piece(_, index) => format!("piece {index}"),
        }
    }

    #[test]
    fn small_files_come_first_and_large_ones_by_size() {
        let queue = Queue::default();
        for (path, size) in [("s/c", 9 << 20), ("s/b", 2 << 20), ("s/a", 1 << 20), ("s/e", 0)] {
            assert_eq!(queue.push(job(path, size)), Pushed::In);
        }
        assert_eq!([(); 4].map(|()| next(&queue)), ["small a", "small e", "open b", "open c"]);
    }

    #[test]
    fn a_path_is_there_once_until_it_is_done() {
        let queue = Queue::default();
        assert_eq!(
            ["s/a", "s/b", "s/a"].map(|path| queue.push(job(path, 1))),
            [Pushed::In, Pushed::In, Pushed::Already]
        );
        let other = Job { odd_name: Some("A".into()), ..job("s/a", 1) };
        assert_eq!(queue.push(other), Pushed::SameName);
        assert_eq!(next(&queue), "small a");
        let [a, b] = ["s/a", "s/b"].map(|path| SharePath::parse(path).unwrap());
        assert_eq!(queue.push(job("s/a", 1)), Pushed::Already);
        assert!(!queue.done(&a));
        assert_eq!(queue.push(job("s/a", 1)), Pushed::In);
        assert!(!queue.done(&b) && queue.done(&a) && queue.is_idle());
    }

    #[test]
    fn closing_ends_those_who_wait() {
        let queue = Arc::new(Queue::default());
        let waiter = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.next().is_none()
        });
        queue.close();
        assert!(waiter.join().unwrap());
        assert_eq!(queue.push(job("s/a", 1)), Pushed::Closed);
    }
}
