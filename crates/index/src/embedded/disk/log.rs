//! The log's end: many threads add records, one writes and syncs all that came meanwhile (group commit).
//!
//! Invariants: records are numbered without gaps in the order of [`Log::append`]. [`Log::wait`] says yes to a record only
//! once it is on the disk. After a write or sync that failed nothing more is written and every later append and wait
//! fails with that error: what the file holds then is not known (a system may take a failed sync's bytes for written).
//! Nothing holds the state's lock while the disk works.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::files::Output;
use super::frame::{self, Head, RECORD_BYTES_MAX, Seal};
use super::{DiskError, DiskResult, StoreDir, StoreFile};

/// Bytes that wait to be written: above this, whoever appends waits for the disk.
const BUFFER_BYTES_MAX: usize = 64 << 20;
/// A buffer up to this size is kept for the next group.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// The log, open for more. Shared by reference; [`Log::close`] or dropping it writes what is left.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Goes on after what [`super::replay`] found, in a new file.
    pub(crate) fn open(store: StoreDir, next: u64) -> DiskResult<Self> {
        let salt = RandomState::new().hash_one(next);
        let output = begin(&store, salt, next)?;
        let logs = store.logs()?;
        let state = State::new(next, logs);
        let shared = Arc::new(Shared {
            store,
            salt,
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let committer = Committer { shared: shared.clone(), output, written: next - 1, is_marked: true };
        let named = thread::Builder::new().name("index-log".to_owned());
        let thread = named.spawn(move || committer.run());
        let thread = thread.map_err(DiskError::io("start the thread that writes", shared.store.path()))?;
        Ok(Self { shared, committer: Mutex::new(Some(thread)) })
    }

    /// Takes a record in and gives its number. It is on the disk once [`Log::wait`] said so. Waits only where more is
    /// buffered than the disk takes.
    ///
    /// # Errors
    /// What a write failed with, [`DiskError::Closed`] or [`DiskError::RecordSize`].
    pub(crate) fn append(&self, record: &[u8]) -> DiskResult<u64> {
        if record.is_empty() || record.len() > RECORD_BYTES_MAX {
            return Err(DiskError::RecordSize { bytes: record.len() });
        }
        let seal = Seal::of(record); // the long part of the work, without the lock
        let mut state = self.shared.lock();
        state.check_open()?;
        while state.buffered >= BUFFER_BYTES_MAX {
            state = self.shared.wait_done(state);
            state.check_open()?;
        }
        let number = state.next;
        let head = seal.head(self.shared.salt, number);
        state.next += 1;
        state.buffered += head.len() + record.len();
        let group = state.group(number);
        group.extend_from_slice(&head);
        group.extend_from_slice(record);
        drop(state);
        self.shared.work.notify_one();
        Ok(number)
    }

    /// Returns once a record that was appended, and all before it, are on the disk.
    ///
    /// # Errors
    /// What a write failed with: then the record may or may not be there after a restart.
    pub(crate) fn wait(&self, number: u64) -> DiskResult<()> {
        let mut state = self.shared.lock();
        while state.durable < number {
            state.check_whole()?;
            state = self.shared.wait_done(state);
        }
        Ok(())
    }

    /// The last record that is on the disk, with all before it.
    #[cfg(test)]
    pub(crate) fn durable_lsn(&self) -> u64 {
        self.shared.lock().durable
    }

    /// Begins a new file and gives its first record's number: all records before it are on the disk, in other files.
    pub(crate) fn rotate(&self) -> DiskResult<u64> {
        let mut state = self.shared.lock();
        state.check_open()?;
        let first = state.next;
        if state.newest < first {
            state.newest = first;
            state.jobs.push_back(Job::Rotate { first });
            self.shared.work.notify_one();
        }
        while state.logs.last() < Some(&first) {
            state.check_whole()?;
            state = self.shared.wait_done(state);
        }
        Ok(first)
    }

    /// Removes the files all of whose records have lower numbers. Oldest first; those left by a power cut meanwhile
    /// are passed over at the next start.
    ///
    /// # Errors
    /// What the system says; the log goes on, and the next call tries again.
    pub(crate) fn remove_before(&self, number: u64) -> DiskResult<()> {
        let old: Vec<u64> = {
            let state = self.shared.lock();
            let pairs = state.logs.windows(2).take_while(|pair| pair[1] <= number);
            pairs.map(|pair| pair[0]).collect()
        };
        for first in &old {
            self.shared.store.remove(StoreFile::Log(*first))?;
            self.shared.lock().logs.retain(|log| log != first);
        }
        if old.is_empty() { Ok(()) } else { self.shared.store.sync_names() }
    }

    /// Why nothing can be logged any more, where a write or sync failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.lock().check_whole().err().map(|error| error.to_string())
    }

    /// Writes and syncs what is left; nothing can be appended any more.
    pub(crate) fn close(&self) -> DiskResult<()> {
        self.shared.lock().is_closing = true;
        self.shared.work.notify_one();
        self.shared.done.notify_all();
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committer) = committer {
            let _ = committer.join(); // a panic there is told by the state
        }
        self.shared.lock().check_whole()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.close(); // whoever wants to know calls it before
    }
}

#[derive(Debug)]
struct Shared {
    store: StoreDir,
    salt: u64,
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// Something was written, or never will be.
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_done<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.done.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.done.notify_all();
    }
}

#[derive(Debug)]
struct State {
    /// Number of the next record.
    next: u64,
    /// Number of the last record on the disk.
    durable: u64,
    /// Bytes in `jobs` and in the committer's hands.
    buffered: usize,
    jobs: VecDeque<Job>,
    /// An empty buffer.
    spare: Vec<u8>,
    /// First records of the files there are.
    logs: Vec<u64>,
    /// First record of the newest file there is or will be.
    newest: u64,
    failed: Option<DiskError>,
    is_closing: bool,
}

#[derive(Debug)]
enum Job {
    /// Frames up to the record `last`.
    Write {
        frames: Vec<u8>,
        last: u64,
    },
    Rotate {
        first: u64,
    },
}

impl State {
    fn new(next: u64, logs: Vec<u64>) -> Self {
        Self {
            next,
            durable: next - 1,
            buffered: 0,
            jobs: VecDeque::new(),
            spare: Vec::new(),
            logs,
            newest: next,
            failed: None,
            is_closing: false,
        }
    }

    /// Where the frame of this record goes: the group that is written next but for those before it.
    fn group(&mut self, number: u64) -> &mut Vec<u8> {
        if !matches!(self.jobs.back(), Some(Job::Write { .. })) {
            let frames = std::mem::take(&mut self.spare);
            self.jobs.push_back(Job::Write { frames, last: number });
        }
        match self.jobs.back_mut() {
            Some(Job::Write { frames, last }) => {
                *last = number;
                frames
            }
            _ => &mut self.spare, // never: one was pushed
        }
    }

    fn check_whole(&self) -> DiskResult<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn check_open(&self) -> DiskResult<()> {
        self.check_whole()?;
        if self.is_closing { Err(DiskError::Closed) } else { Ok(()) }
    }
}

/// The one thread that writes.
#[derive(Debug)]
struct Committer {
    shared: Arc<Shared>,
    output: Output,
    /// The last record in the file, which is synced.
    written: u64,
    /// Whether the file says so.
    is_marked: bool,
}

impl Committer {
    fn run(mut self) {
        if let Err(error) = self.work() {
            self.shared.change(|state| state.failed = Some(error));
        }
    }

    fn work(&mut self) -> DiskResult<()> {
        loop {
            let job = self.shared.lock().jobs.pop_front();
            match job {
                Some(Job::Write { frames, last }) => self.write(frames, last)?,
                Some(Job::Rotate { first }) => self.rotate(first)?,
                None if !self.is_marked => self.mark()?, // while there is nothing else to do
                None => {
                    let state = self.shared.lock();
                    let idle = |state: &mut State| state.jobs.is_empty() && !state.is_closing;
                    let state = self.shared.work.wait_while(state, idle);
                    if state.unwrap_or_else(PoisonError::into_inner).jobs.is_empty() {
                        return self.output.sync(); // the last mark
                    }
                }
            }
        }
    }

    fn write(&mut self, mut frames: Vec<u8>, last: u64) -> DiskResult<()> {
        if !self.is_marked {
            self.mark()?;
        }
        self.output.write(&frames)?;
        self.output.sync()?;
        (self.written, self.is_marked) = (last, false);
        self.shared.change(|state| {
            state.durable = last;
            state.buffered -= frames.len();
            if frames.capacity() <= SPARE_BYTES_MAX {
                frames.clear();
                state.spare = frames;
            }
        });
        Ok(())
    }

    /// Needs no sync: it promises nothing that is not so already.
    fn mark(&mut self) -> DiskResult<()> {
        self.output.write(&frame::mark(self.shared.salt, self.written))?;
        self.is_marked = true;
        Ok(())
    }

    fn rotate(&mut self, first: u64) -> DiskResult<()> {
        if !self.is_marked {
            self.mark()?;
        }
        self.output.sync()?; // a file that is not the last is whole
        self.output = begin(&self.shared.store, self.shared.salt, first)?;
        self.shared.change(|state| state.logs.push(first));
        Ok(())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.change(|state| state.failed = Some(DiskError::Closed));
        }
    }
}

/// Begins the file of the records from `first` on. One of that name that is there already has none.
fn begin(store: &StoreDir, salt: u64, first: u64) -> DiskResult<Output> {
    let file = StoreFile::Log(first);
    let mut output = store.begin(file)?;
    output.write(&Head { salt, first }.encode())?;
    store.finish(&mut output, file)?;
    Ok(output)
}

#[cfg(test)]
mod tests;
