//! The queue on the disk: one small file a want in the home's `queue` folder, named after the ask.
//!
//! Invariants: a file is whole or not there (written anew, synced, renamed), readable by its owner alone; only the
//! process that holds the home's lock writes. What a file holds is what was asked for, not what it came to: a folder
//! of half a million files is looked up again on resuming, and files that are there already cost a hash each; only
//! for a single file its content is kept as well, since its words may fit another one tomorrow. A damaged file is
//! named and set aside.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::ask::{Ask, AskId};
use super::trouble::Trouble;
use crate::home::Home;

/// Wants that may wait in one home.
const ENTRIES_MAX: usize = super::WANTS_MAX;
/// Bytes of one file: the parts of an ask at their longest, escaped.
const ENTRY_BYTES_MAX: u64 = 256 << 10;
/// The ending of a want's file, of one that is being written, and of one that is damaged.
const ENDING: &str = "json";
const NEW_ENDING: &str = "new";
const DAMAGED_ENDING: &str = "damaged";

/// A want that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was asked for.
    pub ask: Ask,
    /// When, in milliseconds since 1970: only orders the list.
    pub asked_at: u64,
    /// Whether it was ever found.
    pub found: bool,
    /// A link to the content that was meant, where it was a single file.
    pub pinned: Option<String>,
}

impl Entry {
    /// Asked for now, after `before` others of the same command.
    pub(super) fn new(ask: Ask, before: u64) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let asked_at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add(before);
        Self { ask, asked_at, found: false, pinned: None }
    }
}

/// The wants of a home.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Where a home keeps them; made with the first.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self { folder: home.state_file("queue") }
    }

    /// Everything that waits, oldest first, and what can't be read, in words.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> io::Result<(Vec<Entry>, Vec<String>)> {
        let (mut entries, mut notes) = (Vec::new(), Vec::new());
        for path in self.files(ENDING)? {
            match read(&path) {
                Ok(entry) => entries.push(entry),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // it was fetched meanwhile
                Err(error) => notes.push(format!("can't read `{}` in the queue: {error}", path.display())),
            }
        }
        entries
            .sort_by(|left, right| (left.asked_at, &left.ask.what).cmp(&(right.asked_at, &right.ask.what)));
        Ok((entries, notes))
    }

    /// Forgets the wants with these words, or all when there are none; how many there were.
    ///
    /// # Errors
    /// When the folder can't be read or a file can't be removed.
    pub fn forget(&self, words: &[String]) -> io::Result<usize> {
        let mut forgotten = 0;
        for path in self.files(ENDING)? {
            let is_meant = words.is_empty() || read(&path).is_ok_and(|entry| words.contains(&entry.ask.what));
            if is_meant {
                remove(&path)?;
                forgotten += 1;
            }
        }
        if words.is_empty() {
            self.files(DAMAGED_ENDING)?.iter().try_for_each(|path| remove(path))?;
        }
        Ok(forgotten)
    }

    pub(super) fn get(&self, id: AskId) -> Option<Entry> {
        read(&self.file_of(id)).ok()
    }

    /// Keeps these: all are on the disk when it returns.
    pub(super) fn put(&self, entries: &[Entry]) -> Result<(), Trouble> {
        let kept = self.try_put(entries).map_err(|error| {
            Trouble::failed(format!("can't keep the queue in `{}`: {error}", self.folder.display()))
                .hint("make room, or name another home with `--home`")
        })?;
        kept.then_some(()).ok_or_else(|| {
            Trouble::failed(format!("the queue is full: {ENTRIES_MAX} wants wait"))
                .hint("fetch them with `peerage get --resume`, or forget them with `peerage get --forget`")
        })
    }

    /// Forgets one. Should it come back after a power cut, it is found to be there already.
    pub(super) fn remove(&self, id: AskId) {
        if let Err(error) = remove(&self.file_of(id)) {
            tracing::warn!(%error, "a want that is over can't be taken out of the queue");
        }
    }

    /// Gives the files that can't be read another name, so that nobody stumbles over them again.
    pub(super) fn set_damaged_aside(&self) {
        for path in self.files(ENDING).unwrap_or_default() {
            let is_damaged = read(&path).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData);
            if is_damaged && let Err(error) = fs::rename(&path, path.with_extension(DAMAGED_ENDING)) {
                tracing::warn!(%error, path = %path.display(), "a damaged want can't be set aside");
            }
        }
    }

    fn try_put(&self, entries: &[Entry]) -> io::Result<bool> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let new = entries.iter().filter(|entry| !self.file_of(entry.ask.id()).exists()).count();
        if new > 0 && self.files(ENDING)?.len() + new > ENTRIES_MAX {
            return Ok(false);
        }
        for entry in entries {
            let path = self.file_of(entry.ask.id());
            let fresh = path.with_extension(NEW_ENDING);
            let mut options = File::options();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec(entry)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
        }
        File::open(&self.folder)?.sync_all()?;
        Ok(true)
    }

    fn file_of(&self, id: AskId) -> PathBuf {
        self.folder.join(format!("{id}.{ENDING}"))
    }

    fn files(&self, ending: &str) -> io::Result<Vec<PathBuf>> {
        let found = match fs::read_dir(&self.folder) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let paths = found.map(|entry| entry.map(|entry| entry.path()));
        paths
            .filter(|path| path.as_ref().map_or(true, |path| path.extension() == Some(ending.as_ref())))
            .collect()
    }
}

fn read(path: &Path) -> io::Result<Entry> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ENTRY_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let damaged = |why: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("it is damaged ({why})"))
    };
    if bytes.len() as u64 > ENTRY_BYTES_MAX {
        return Err(damaged(&"too long"));
    }
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
    entry.ask.check().map_err(|trouble| damaged(&trouble))?;
    Ok(entry)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Cause;

    fn ask(what: &str) -> Ask {
        let (output, index) = ("/out".into(), "http://127.0.0.1:1".to_owned());
        Ask { what: what.to_owned(), output, overwrite: false, index }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(&Home::open(folder.path()).unwrap());
        (folder, store)
    }

    #[test]
    fn what_is_put_is_there_once_until_it_is_removed() {
        let (_folder, store) = store();
        assert_eq!(store.list().unwrap(), (Vec::new(), Vec::new()));
        let found = Entry { found: true, pinned: Some("peerage:x".into()), ..Entry::new(ask("a"), 0) };
        store.put(&[Entry::new(ask("a"), 0), Entry { asked_at: 0, ..Entry::new(ask("b"), 0) }]).unwrap();
        store.put(std::slice::from_ref(&found)).unwrap();
        let (entries, _) = store.list().unwrap();
        assert_eq!(entries.iter().map(|entry| entry.ask.what.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(store.get(ask("a").id()), Some(found));
        store.remove(ask("a").id());
        store.remove(ask("a").id());
        assert_eq!(store.list().unwrap().0.len(), 1);
        assert_eq!(store.forget(&["c".into()]).unwrap(), 0);
        assert_eq!(store.forget(&["b".into()]).unwrap(), 1);
    }

    #[test]
    fn asks_that_differ_in_anything_are_kept_apart() {
        let other = [
            Ask { output: "/else".into(), ..ask("a") },
            Ask { overwrite: true, ..ask("a") },
            Ask { index: "http://127.0.0.1:2".into(), ..ask("a") },
            ask("a/"),
        ];
        let mut ids: Vec<AskId> = other.iter().chain([&ask("a")]).map(Ask::id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn damage_is_named_and_a_write_that_was_cut_off_is_not_seen() {
        let (_folder, store) = store();
        store.put(&[Entry::new(ask("whole"), 0)]).unwrap();
        let whole = fs::read(store.file_of(ask("whole").id())).unwrap();
        fs::write(store.folder.join("half.new"), &whole[..20]).unwrap();
        let relative = String::from_utf8(whole.clone()).unwrap().replace("/out", "out");
        let damaged = [
            b"".to_vec(),
            whole[..20].to_vec(),
            b"[1]".to_vec(),
            relative.into_bytes(),
            vec![b' '; 300 << 10],
            vec![0xff; 64],
        ];
        for (number, bytes) in damaged.iter().enumerate() {
            fs::write(store.folder.join(format!("{number}.json")), bytes).unwrap();
        }
        let (entries, notes) = store.list().unwrap();
        assert_eq!((entries.len(), notes.len()), (1, damaged.len()), "{notes:?}");
        assert!(notes.iter().all(|note| note.contains("damaged")), "{notes:?}");
        store.set_damaged_aside();
        assert_eq!(store.list().unwrap().1, Vec::<String>::new());
        assert_eq!(store.files(DAMAGED_ENDING).unwrap().len(), damaged.len());
    }

    #[test]
    fn a_full_queue_says_so_and_still_keeps_what_it_has() {
        let (_folder, store) = store();
        store.put(&[Entry::new(ask("first"), 0)]).unwrap();
        for number in 1..ENTRIES_MAX {
            fs::write(store.folder.join(format!("{number}.json")), "").unwrap();
        }
        let trouble = store.put(&[Entry::new(ask("one more"), 0)]).unwrap_err();
        assert!(trouble.cause == Cause::Failed && trouble.message.contains("full"), "{trouble:?}");
        store.put(&[Entry { found: true, ..Entry::new(ask("first"), 0) }]).unwrap();
    }

    #[test]
    fn a_folder_that_can_t_be_written_is_told() {
        let (_folder, store) = store();
        fs::write(&store.folder, "in the way").unwrap();
        let trouble = store.put(&[Entry::new(ask("a"), 0)]).unwrap_err();
        assert!(trouble.message.contains("can't keep the queue") && !trouble.hint.is_empty(), "{trouble:?}");
    }
}
