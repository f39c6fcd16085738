//! A disk that fails at its N-th call, and a power cut that takes what was not synced.
//!
//! Invariants: what was synced stays: a file's bytes since its own sync, a name since its directory's. Of the rest a
//! power cut leaves what [`Loss`] says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::embedded::disk::files::{Files, RealFiles};

/// What a failing call does to those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Fault {
    /// They work: a full disk that was given room.
    Once,
    /// They fail as well: a disk that is gone, a process that was killed.
    FromThenOn,
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Loss {
    /// All of it: only the process was killed.
    Nothing,
    /// The names, but no bytes.
    Bytes,
    /// Neither names nor bytes.
    All,
    /// No names, and of a file's bytes the later ones; the first are zeros.
    Holes,
}

#[derive(Debug)]
pub(in crate::embedded) struct FaultyFiles {
    dir: PathBuf,
    fail_at: usize,
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    calls: usize,
    /// Of every file that was ever made, the bytes at its last sync.
    synced: Vec<Vec<u8>>,
    /// The names as programs see them, and the files they stand for.
    names: BTreeMap<OsString, usize>,
    /// The names as they were when the directory was last synced.
    synced_names: BTreeMap<OsString, usize>,
}

impl FaultyFiles {
    /// An empty directory. Calls count from 1.
    pub(in crate::embedded) fn new(dir: &Path, fail_at: usize, fault: Fault) -> Self {
        Self { dir: dir.to_owned(), fail_at, fault, state: Mutex::default() }
    }

    /// For a process after the one that used this, on a copy of its directory: nothing was synced meanwhile.
    pub(in crate::embedded) fn restarted(&self, dir: &Path, fail_at: usize, fault: Fault) -> Self {
        let state = State { calls: 0, ..self.lock().clone() };
        Self { dir: dir.to_owned(), fail_at, fault, state: Mutex::new(state) }
    }

    /// The same disk, working again. Quicker than a real one, for nothing waits for it.
    pub(in crate::embedded) fn mended(&self) -> Arc<Self> {
        Arc::new(self.restarted(&self.dir, usize::MAX, Fault::Once))
    }

    /// Whether the failing call came.
    pub(in crate::embedded) fn has_failed(&self) -> bool {
        self.lock().calls >= self.fail_at
    }

    /// Makes the directory what it is after a power cut. The program must have ended.
    pub(in crate::embedded) fn cut_power(&self, loss: Loss) {
        let mut state = self.lock();
        if loss == Loss::Nothing {
            return;
        }
        let survivors = if loss == Loss::Bytes { &state.names } else { &state.synced_names }.clone();
        let read = |name| fs::read(self.dir.join(name)).unwrap();
        let seen: BTreeMap<usize, Vec<u8>> =
            state.names.iter().map(|(name, file)| (*file, read(name))).collect();
        state.names.keys().for_each(|name| fs::remove_file(self.dir.join(name)).unwrap());
        for (name, file) in &survivors {
            let mut bytes = state.synced[*file].clone();
            if let (Loss::Holes, Some(seen)) = (loss, seen.get(file)) {
                let tail = seen.get(bytes.len()..).unwrap_or_default();
                let (lost, kept) = tail.split_at(tail.len() / 4);
                bytes.resize(bytes.len() + lost.len(), 0);
                bytes.extend_from_slice(kept);
            }
            fs::write(self.dir.join(name), bytes).unwrap();
        }
        state.names = survivors;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.calls += 1;
        let fails = match self.fault {
            Fault::Once => state.calls == self.fail_at,
            Fault::FromThenOn => state.calls >= self.fail_at,
        };
        if fails { Err(ErrorKind::StorageFull.into()) } else { Ok(state) }
    }
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut state = self.call()?;
        let number = state.synced.len();
        state.synced.push(Vec::new());
        state.names.insert(name_of(path), number);
        RealFiles.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let _state = self.call()?;
        RealFiles.open(path)
    }

    /// One that fails writes the first half.
    fn write(&self, path: &Path, file: &File, bytes: &[u8]) -> io::Result<()> {
        let state = self.call();
        let taken = if state.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        RealFiles.write(path, file, taken)?;
        state.map(drop)
    }

    fn sync(&self, path: &Path, _file: &File) -> io::Result<()> {
        let mut state = self.call()?;
        let number = state.names[&name_of(path)];
        state.synced[number] = fs::read(path)?;
        Ok(())
    }

    fn truncate(&self, path: &Path, file: &File, length: u64) -> io::Result<()> {
        let _state = self.call()?;
        RealFiles.truncate(path, file, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        RealFiles.rename(from, to)?;
        let number = state.names.remove(&name_of(from)).unwrap();
        state.names.insert(name_of(to), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        RealFiles.remove(path)?;
        state.names.remove(&name_of(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if path == self.dir {
            state.synced_names = state.names.clone();
        }
        Ok(())
    }
}

fn name_of(path: &Path) -> OsString {
    path.file_name().unwrap().to_owned()
}
