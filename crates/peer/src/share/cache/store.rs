//! The database behind the cache: its tables, its format, and what happens when it can't be used.
//!
//! Invariants: the whole file is checked when it is opened, so that later reads need not be doubted; an older
//! file of the same name is set aside at most once, replacing the one set aside before.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_wire::{ContentHash, PieceList, piece_count, shown};
use redb::{
    Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageError, TableDefinition,
};

use super::super::root::{FileKey, Stamp};
use super::{Durable, Entry};

/// Bytes of the database that are kept in memory: the upper levels of its trees.
const MEMORY_BYTES: usize = 16 << 20;
/// The format written here; another number is another format.
const FORMAT: u32 = 1;
/// Bytes of an entry: size, time, inode, hash, day.
const ENTRY_BYTES: usize = 8 + 8 + 8 + 32 + 4;

const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
const FILES: TableDefinition<&[u8; 16], &[u8; ENTRY_BYTES]> = TableDefinition::new("files");
const PIECES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("pieces");

/// The open database.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
}

/// One read transaction.
pub(crate) struct Reader {
    files: ReadOnlyTable<&'static [u8; 16], &'static [u8; ENTRY_BYTES]>,
    pieces: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
}

/// What can go wrong, as far as anyone cares.
enum Unusable {
    /// It is damaged, or of another version.
    Damaged(String),
    /// It is not ours to touch now: another process has it, or the disk won't let us.
    Closed(String),
}

impl Store {
    /// Opens or makes the database. A note comes with it where an old one was set aside.
    ///
    /// # Errors
    /// A note that says why there is none.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<String>), String> {
        let name = path.display().to_string();
        let nothing = |why: &str| {
            format!(
                "hashes can't be remembered in `{}` ({}): the next start hashes everything again",
                shown(&name),
                shown(why)
            )
        };
        let reason = match Self::try_open(path) {
            Ok(store) => return Ok((store, None)),
            Err(Unusable::Closed(why)) => return Err(nothing(&why)),
            Err(Unusable::Damaged(why)) => why,
        };
        std::fs::rename(path, aside(path)).map_err(|error| nothing(&error.to_string()))?;
        match Self::try_open(path) {
            Ok(store) => {
                let note = format!(
                    "the remembered hashes in `{}` can't be used ({}): set aside as `{}`, every file is hashed again",
                    shown(&name),
                    shown(&reason),
                    shown(&aside(path).display().to_string()),
                );
                Ok((store, Some(note)))
            }
            Err(Unusable::Damaged(why) | Unusable::Closed(why)) => Err(nothing(&why)),
        }
    }

    pub(super) fn reader(&self) -> Result<Reader, redb::Error> {
        let transaction = self.database.begin_read()?;
        Ok(Reader { files: transaction.open_table(FILES)?, pieces: transaction.open_table(PIECES)? })
    }

    pub(super) fn write(
        &self,
        entries: &[(FileKey, Entry)],
        lists: &[Arc<PieceList>],
        durable: Durable,
    ) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(match durable {
            Durable::Later => Durability::None,
            Durable::Now => Durability::Immediate,
        })?;
        {
            let mut files = transaction.open_table(FILES)?;
            for (key, entry) in entries {
                files.insert(key.as_bytes(), &encode(entry))?;
            }
            let mut pieces = transaction.open_table(PIECES)?;
            for list in lists {
                pieces.insert(list.hash().as_bytes(), list.to_bytes().as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Drops entries last seen before `oldest`, and the lists of contents that neither an entry has nor
    /// `is_shared` knows.
    pub(super) fn prune(
        &self,
        oldest: u32,
        is_shared: &dyn Fn(&ContentHash) -> bool,
    ) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut files = transaction.open_table(FILES)?;
            files.retain(|_, value| decode(value).day >= oldest)?;
            let mut pieces = transaction.open_table(PIECES)?;
            if !pieces.is_empty()? {
                let kept = large_contents(&files)?;
                let is_kept = |hash: &[u8; 32]| {
                    let hash = ContentHash::from_bytes(*hash);
                    kept.contains(&hash) || is_shared(&hash)
                };
                pieces.retain(|hash, _| is_kept(hash))?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn try_open(path: &Path) -> Result<Self, Unusable> {
        let mut builder = Database::builder();
        builder.set_cache_size(MEMORY_BYTES).set_check_integrity_on_open(true);
        let database = builder.create(path)?;
        let store = Self { database };
        store.set_up().map_err(|error| Unusable::Damaged(error.to_string()))??;
        Ok(store)
    }

    /// Makes the tables, or finds that these are not ours.
    fn set_up(&self) -> Result<Result<(), Unusable>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let format = {
            let mut meta = transaction.open_table(META)?;
            let found = meta.get("format")?.map(|format| format.value());
            if found.is_none() {
                meta.insert("format", FORMAT)?;
            }
            transaction.open_table(FILES)?;
            transaction.open_table(PIECES)?;
            found.unwrap_or(FORMAT)
        };
        if format != FORMAT {
            return Ok(Err(Unusable::Damaged(format!("format {format}, this is for {FORMAT}"))));
        }
        transaction.commit()?;
        Ok(Ok(()))
    }
}

impl Reader {
    pub(super) fn entry(&self, key: FileKey) -> Result<Option<Entry>, StorageError> {
        Ok(self.files.get(key.as_bytes())?.map(|value| decode(value.value())))
    }

    pub(super) fn pieces(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.pieces.get(hash.as_bytes())?.map(|value| value.value().to_vec()))
    }

    pub(super) fn has_pieces(&self, hash: &ContentHash, size: u64) -> bool {
        let found = self.pieces.get(hash.as_bytes());
        found.is_ok_and(|list| list.is_some_and(|list| list.value().len() as u64 == 32 * piece_count(size)))
    }
}

impl From<DatabaseError> for Unusable {
    fn from(error: DatabaseError) -> Self {
        let text = error.to_string();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::Closed(text),
            DatabaseError::Storage(StorageError::Io(error)) if !is_about_content(&error) => {
                Self::Closed(text)
            }
            _ => Self::Damaged(text),
        }
    }
}

/// Whether the file could be read, and only what it holds is wrong.
fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("old")
}

fn large_contents(
    files: &impl ReadableTable<&'static [u8; 16], &'static [u8; ENTRY_BYTES]>,
) -> Result<HashSet<ContentHash>, StorageError> {
    let mut contents = HashSet::new();
    for row in files.iter()? {
        let entry = decode(row?.1.value());
        if piece_count(entry.stamp.size) > 1 {
            contents.insert(entry.hash);
        }
    }
    Ok(contents)
}

fn encode(entry: &Entry) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&entry.stamp.size.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.stamp.mtime_ns.to_le_bytes());
    bytes[16..24].copy_from_slice(&entry.stamp.inode.to_le_bytes());
    bytes[24..56].copy_from_slice(entry.hash.as_bytes());
    bytes[56..].copy_from_slice(&entry.day.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; ENTRY_BYTES]) -> Entry {
    let word = |at: usize| std::array::from_fn(|offset| bytes[at + offset]);
    let stamp = Stamp {
        size: u64::from_le_bytes(word(0)),
        mtime_ns: i64::from_le_bytes(word(8)),
        inode: u64::from_le_bytes(word(16)),
    };
    let hash = ContentHash::from_bytes(std::array::from_fn(|offset| bytes[24 + offset]));
    let day = u32::from_le_bytes(std::array::from_fn(|offset| bytes[56 + offset]));
    Entry { stamp, hash, day }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &Path) {
        let (store, note) = Store::open(path).unwrap();
        assert_eq!(note, None);
        let stamp = Stamp { size: 3, mtime_ns: -5, inode: 7 };
        let entry = Entry { stamp, hash: ContentHash::of(b"x"), day: 9 };
        let names = (0..5_000).map(|index| (FileKey::of(path, &index.to_string()), entry));
        let mut entries: Vec<_> = names.collect();
        entries.sort_by_key(|(key, _)| *key);
        store.write(&entries, &[], Durable::Now).unwrap();
        assert_eq!(store.reader().unwrap().entry(entries[77].0).unwrap(), Some(entry));
    }

    #[test]
    fn a_damaged_database_is_set_aside_wherever_the_damage_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.redb");
        filled(&path);
        let good = std::fs::read(&path).unwrap();
        // Strides that hit the header, tree pages and free space alike.
        for at in (0..good.len()).step_by(40_009) {
            let mut bad = good.clone();
            let end = (at + 600).min(bad.len());
            bad[at..end].fill(0xa5);
            std::fs::write(&path, &bad).unwrap();
            let (store, note) = Store::open(&path).unwrap();
            let readable = store.reader().unwrap().files.iter().unwrap().filter(Result::is_ok).count();
            assert!(readable == 5_000 || (readable == 0 && note.is_some()), "at {at}: {readable} {note:?}");
        }
    }

    #[test]
    fn no_database_another_format_and_a_short_one_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.redb");
        filled(&path);
        let good = std::fs::read(&path).unwrap();
        let texts: [&[u8]; 3] =
            [b"no database at all, but long enough to look", &good[..good.len() / 3], &[0; 9_000]];
        for bytes in texts {
            std::fs::write(&path, bytes).unwrap();
            let (_, note) = Store::open(&path).unwrap();
            assert!(note.is_some_and(|note| note.contains("set aside")));
            assert_eq!(std::fs::read(aside(&path)).unwrap().len(), bytes.len());
        }
        let store = Store::open(&path).unwrap().0;
        let transaction = store.database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", FORMAT + 1).unwrap();
        transaction.commit().unwrap();
        drop(store);
        assert!(Store::open(&path).unwrap().1.is_some_and(|note| note.contains("format 2")));
    }

    #[test]
    fn one_that_another_has_open_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes.redb");
        let _open = Store::open(&path).unwrap();
        assert!(Store::open(&path).is_err_and(|note| note.contains("hashes everything again")));
        assert!(!aside(&path).exists() && path.exists());
        let inside_a_file = path.join("hashes.redb");
        assert!(Store::open(&inside_a_file).is_err());
    }
}
