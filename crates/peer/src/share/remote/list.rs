//! Everything that is below a server's folder, folder by folder, each file asked about as one on a disk would be.
//!
//! Invariants: nothing a server lists takes more than a fixed amount of memory, or makes the walk endless: lines, folders,
//! files, what waits, and depth have limits, and each connection has its own against waiting; one folder is asked for at a
//! time, so a short look of somebody else gets its turn. After a walk that went through, what it did not see is no longer
//! in the catalogue.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use peerage_wire::limits;

use super::Server;
use super::entry::{Entry, Facts, Kind, No, of_list, of_mlsd};
use super::failure::Failure;
use super::line::{Line, stamp_of};
use super::memory::Memory;
use super::pool::Purpose;
use crate::share::Stamp;
use crate::share::cache::Reader;
use crate::share::debounce::Look;
use crate::share::engine::{Engine, Found, Holding};
use crate::share::filter::Sort;
use crate::share::notes::Trouble;

/// Bytes of a line: the longest name and all facts there are.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Bytes of one folder's listing, and entries in it: ten times what any person puts into one.
const LISTING_BYTES_MAX: u64 = 32 << 20;
const ENTRIES_MAX: usize = 250_000;
/// Bytes of the paths of folders that wait to be listed.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Folders of one server.
const FOLDERS_MAX: usize = 1_000_000;

/// One walk.
pub(super) struct Walk<'a> {
    pub(super) engine: &'a Engine,
    pub(super) holding: &'a Holding,
    pub(super) server: &'a Arc<Server>,
    pub(super) memory: &'a mut Memory,
    waiting: Vec<String>,
    waiting_bytes: usize,
    folders: usize,
    files: u64,
    /// What makes folders unique, where it is told: one that is met again on another way is not entered again.
    met: HashSet<[u8; 16]>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        holding: &'a Holding,
        server: &'a Arc<Server>,
        memory: &'a mut Memory,
    ) -> Self {
        let (waiting, met) = Default::default();
        Self { engine, holding, server, memory, waiting, waiting_bytes: 0, folders: 0, files: 0, met }
    }

    /// Goes through everything; `reached` is called when the first folder is there.
    pub(super) fn run(mut self, reached: impl FnOnce()) -> Result<(), Failure> {
        let engine = self.engine;
        let root = self.list("")?;
        reached();
        let scan = engine.catalogue.begin_scan();
        self.memory.begin();
        self.take("", root)?;
        while let Some(folder) = self.waiting.pop() {
            self.waiting_bytes -= folder.len();
            match self.list(&folder) {
                Ok(entries) => self.take(&folder, entries)?,
                Err(Failure::Refused(words)) => {
                    engine.notes.trouble(&engine.progress, Trouble::Unreadable, &folder, &words);
                }
                Err(failure) => return Err(failure),
            }
        }
        self.memory.end();
        if let Ok(path) = self.holding.path("") {
            engine.catalogue.sweep(&path, "", scan);
        }
        engine.notes.sum_up(&engine.progress);
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Failure> {
        let (mut entries, mut refused, mut is_whole) = (Vec::new(), Vec::new(), true);
        self.server.pool.with(Purpose::Look, |line| {
            (entries, refused) = (Vec::new(), Vec::new());
            is_whole = read_listing(line, folder, &mut entries, &mut refused)?;
            Ok(())
        })?;
        for (name, reason) in refused {
            let place = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            self.note(&place, reason);
        }
        if !is_whole {
            self.note(&format!("{folder}/…"), "its folder's listing is too long, so only a part is shared");
        }
        Ok(entries)
    }

    fn take(&mut self, folder: &str, entries: Vec<Entry>) -> Result<(), Failure> {
        let reader = self.engine.cache.reader();
        for Entry { name, kind } in entries {
            if self.engine.is_stopping() {
                return Err(Failure::Stopped);
            }
            let disk = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let sort = if matches!(kind, Kind::File(_)) { Sort::File } else { Sort::Folder };
            if !self.engine.filter.admits(Path::new(""), Path::new(&disk), sort) {
                continue;
            }
            match kind {
                Kind::File(facts) => self.file(&disk, facts, &reader)?,
                Kind::Folder(unique) => self.folder(disk, unique),
            }
        }
        Ok(())
    }

    fn folder(&mut self, disk: String, unique: Option<Box<str>>) {
        if let Err(error) = self.holding.path(&disk) {
            return self.note(&disk, &error.to_string());
        }
        // Sixteen bytes of a hash, however long a server makes it.
        let unique = unique.map(|unique| blake3::hash(unique.as_bytes()).as_bytes()[..16].try_into());
        let unique: Option<[u8; 16]> = unique.and_then(Result::ok);
        if unique.is_some_and(|unique| self.met.contains(&unique)) {
            return;
        }
        self.folders += 1;
        self.waiting_bytes += disk.len();
        if self.folders > FOLDERS_MAX || self.waiting_bytes > WAITING_BYTES_MAX {
            self.waiting_bytes -= disk.len();
            return self
                .note(&self.server.url.to_string(), "it has too many folders, so only some are shared");
        }
        self.met.extend(unique);
        self.waiting.push(disk);
    }

    fn file(&mut self, disk: &str, facts: Facts, reader: &Reader) -> Result<(), Failure> {
        self.files += 1;
        if self.files > limits::PEER_FILES_MAX {
            self.note(&self.server.url.to_string(), "it has too many files, so only some are shared");
            return Ok(());
        }
        let stamp = match self.stamp(disk, facts) {
            Ok(stamp) => stamp,
            Err(Failure::Refused(_)) => return Ok(()), // it went in between
            Err(failure) => return Err(failure),
        };
        if self.server.is_refused(disk, stamp) {
            return Ok(());
        }
        let found = self.engine.consider(self.holding, disk, stamp, Look::IfChanged, reader);
        if found == Found::SameName {
            // The file that had the name may be swept out in the end.
            self.server.touch(disk);
        }
        Ok(())
    }

    fn stamp(&mut self, disk: &str, facts: Facts) -> Result<Stamp, Failure> {
        if self.server.tells_times() {
            return Ok(stamp_of(facts));
        }
        let key = self.server.key(disk);
        if let Some(stamp) = self.memory.recall(key, facts) {
            return Ok(stamp);
        }
        let asked = Instant::now();
        let stamp = self.server.stamp(disk)?;
        self.memory.learn(key, facts, stamp, asked);
        Ok(stamp)
    }

    fn note(&self, name: &str, reason: &str) {
        self.engine.notes.trouble(&self.engine.progress, Trouble::Refused, name, reason);
    }
}

/// Reads a folder's listing; whether all of it.
fn read_listing(
    line: &mut Line,
    folder: &str,
    entries: &mut Vec<Entry>,
    refused: &mut Vec<(String, &'static str)>,
) -> Result<bool, Failure> {
    let parse = if line.shape().has_mlsd { of_mlsd } else { of_list };
    let mut lines = BufReader::new(line.list(folder)?.take(LISTING_BYTES_MAX));
    let mut text = Vec::new();
    while entries.len() < ENTRIES_MAX {
        match next_line(&mut lines, &mut text)? {
            None if lines.get_ref().limit() == 0 => return Ok(false),
            None => {
                line.finish(lines.into_inner().into_inner())?;
                return Ok(true);
            }
            Some(()) => match parse(&text) {
                Ok(entry) => entries.push(entry),
                Err(No::Name(name, reason)) if refused.len() < ENTRIES_MAX => refused.push((name, reason)),
                Err(No::Ours | No::Name(..)) => {}
            },
        }
    }
    Ok(false)
}

/// The next line without its end; nothing of one that is too long, and `None` after the last.
fn next_line(lines: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Option<()>> {
    text.clear();
    let mut is_long = false;
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok((!text.is_empty() || is_long).then_some(()));
        }
        let (part, used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&buffer[..end], end + 1, true),
            None => (buffer, buffer.len(), false),
        };
        if text.len() + part.len() > LINE_BYTES_MAX {
            is_long = true;
            text.clear();
        } else if !is_long {
            text.extend_from_slice(part);
        }
        lines.consume(used);
        if is_end {
            let is_returned = text.last() == Some(&b'\r');
            text.truncate(text.len() - usize::from(is_returned));
            return Ok(Some(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut reader, mut text) = (BufReader::with_capacity(7, bytes), Vec::new());
        std::iter::from_fn(|| next_line(&mut reader, &mut text).unwrap().map(|()| text.clone())).collect()
    }

    #[test]
    fn lines_end_as_any_system_ends_them_and_long_ones_are_left_out() {
        assert_eq!(lines(b"a\r\nbc\n\nd"), [&b"a"[..], b"bc", b"", b"d"]);
        let long = [&vec![b'x'; 3 * LINE_BYTES_MAX][..], b"\nnext\r\n"].concat();
        assert_eq!(lines(&long), [&b""[..], b"next"]);
        assert_eq!(lines(&vec![b'x'; LINE_BYTES_MAX + 1]), [b""]);
        assert!(lines(b"").is_empty());
    }
}
