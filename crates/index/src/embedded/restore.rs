//! A snapshot into memory, by several threads.
//!
//! Segments and peers are read beside the contents and names, which need nothing of them. Then `link` works out who has
//! what, which is not in a snapshot, since the files of each peer tell it.
//!
//! Invariants: every number read from a file is looked at before it is used, though its checksum was right: what does not
//! fit together is named as damage.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, ScopedJoinHandle};

use peerage_wire::ContentHash;

use super::arena::{ContentKey, NameKey};
use super::contents::{Content, Contents};
use super::disk::{Container, Damaged, DiskError, DiskResult, Record, SectionReader, StoreDir, StoreFile};
use super::leases::Order;
use super::manifest::{Manifest, Odd, Rare};
use super::names::{NameRef, Names, Restored};
use super::peers::Peer;
use super::segments::Segment;
use super::snapshot::{CONTENTS, FREE, NAMES, PEERS, SEGMENTS, UNLISTED};
use super::state::{Held, State};
use crate::Phase;

/// Bytes between two reports of progress.
pub(super) const PROGRESS_BYTES: u64 = 64 << 20;
/// Reads a snapshot and its segments, and tells their bytes.
pub(super) fn restore(store: &StoreDir, last: u64, progress: &dyn Fn(Phase)) -> DiskResult<(State, u64)> {
    let file = StoreFile::Snapshot(last);
    let container = Container::open(store, file)?;
    let snapshot = Snapshot { store, container, path: store.path_of(file) };
    let total_bytes = store.bytes_of(file)? + store.segment_bytes()?;
    let (tell, told) = mpsc::channel();
    let mut done_bytes = 0;
    let state = thread::scope(|scope| {
        let read = scope.spawn(|| snapshot.read(tell));
        progress(Phase::Reading { done_bytes, total_bytes });
        for bytes in told {
            done_bytes += bytes;
            progress(Phase::Reading { done_bytes, total_bytes });
        }
        join(read)
    })?;
    Ok((state, total_bytes))
}

/// What a thread gives; its panic is this one's.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A snapshot being read.
struct Snapshot<'a> {
    store: &'a StoreDir,
    container: Container,
    path: PathBuf,
}

impl Snapshot<'_> {
    fn read(&self, tell: Sender<u64>) -> DiskResult<State> {
        let tells = [tell.clone(), tell.clone()];
        let [of_segments, of_peers] = tells;
        let (contents, names, segments, peers) = thread::scope(|scope| {
            let segments = scope.spawn(move || self.segments(of_segments));
            let peers = scope.spawn(move || self.peers(of_peers));
            let mut contents = self.contents(tell.clone())?;
            let (table, names) = thread::scope(|scope| {
                let table = scope.spawn(|| contents.table());
                (join(table), self.names(&contents, tell))
            });
            let (names, first_names) = names?;
            contents.restored(table, &first_names, &names);
            Ok((contents, names, join(segments)?, join(peers)?))
        })?;
        let mut state = State { contents, names, ..State::default() };
        for held in &segments {
            if held.segment.names().iter().any(|name| *name >= state.names.slots()) {
                let path = self.store.path_of(StoreFile::Segment(held.id));
                return Err(Damaged("it has names that the snapshot has not").at(&path, 0));
            }
        }
        state.text.segments = segments;
        for peer in peers {
            if state.peers.key(peer.id).is_some() {
                return Err(self.damaged("a peer is in it twice"));
            }
            state.peers.insert(peer);
        }
        state.link().map_err(|what| self.damaged(what))?;
        Ok(state)
    }

    fn section(&self, name: &str, tell: Sender<u64>) -> DiskResult<Section> {
        Ok(Section { reader: self.container.section(name)?, tell, read_bytes: 0 })
    }

    fn damaged(&self, what: &'static str) -> DiskError {
        Damaged(what).at(&self.path, 0)
    }

    fn contents(&self, tell: Sender<u64>) -> DiskResult<Contents> {
        let mut contents = Contents::default();
        let mut section = self.section(CONTENTS, tell)?;
        while !section.is_over() {
            let in_use = match section.array::<1>()? {
                [1] => {
                    let hash = ContentHash::from_bytes(section.array()?);
                    Some((hash, u64::from_le_bytes(section.array()?)))
                }
                _ => None,
            };
            contents.restore(in_use);
        }
        Ok(contents)
    }

    /// The names, and the first listed one of each content.
    fn names(&self, contents: &Contents, tell: Sender<u64>) -> DiskResult<(Names, Vec<NameRef>)> {
        let mut names = Names::default();
        let mut first_names = vec![NameRef::default(); contents.slots() as usize];
        let mut section = self.section(NAMES, tell)?;
        let mut path = Vec::new();
        while !section.is_over() {
            let len = u16::from_le_bytes(section.array()?);
            if len == FREE {
                names.restore(None);
                continue;
            }
            let content = ContentKey::from(u32::from_le_bytes(section.array()?));
            let modified = u32::from_le_bytes(section.array()?);
            path.resize(usize::from(len & !UNLISTED), 0);
            section.fill(&mut path)?;
            let is_here = contents.get(content).is_some_and(Content::is_here);
            let first = first_names.get_mut(u32::from(content) as usize).filter(|_| is_here);
            let (Some(first), Ok(path)) = (first, std::str::from_utf8(&path)) else {
                return Err(self.damaged("a name does not fit its content"));
            };
            let first = (len & UNLISTED == 0).then_some(first);
            names.restore(Some(Restored { content, path, modified, first }));
        }
        Ok((names, first_names))
    }

    fn peers(&self, tell: Sender<u64>) -> DiskResult<Vec<Peer>> {
        let mut section = self.section(PEERS, tell)?;
        let (mut peers, mut bytes) = (Vec::new(), Vec::new());
        while !section.is_over() {
            let len = u64::from_le_bytes(section.array()?);
            let len = usize::try_from(len).ok().filter(|len| *len as u64 <= section.reader.left());
            let Some(len) = len else {
                return Err(self.damaged("a peer is longer than its file"));
            };
            bytes.resize(len, 0);
            section.fill(&mut bytes)?;
            peers.push(peer_of(&bytes).ok_or_else(|| self.damaged("a peer can't be read"))?);
        }
        Ok(peers)
    }

    fn segments(&self, tell: Sender<u64>) -> DiskResult<Vec<Held>> {
        let (mut ids, mut segments) = (Vec::new(), Vec::new());
        let mut section = self.section(SEGMENTS, tell)?;
        while !section.is_over() {
            ids.push(u64::from_le_bytes(section.array()?));
        }
        for id in ids {
            let file = StoreFile::Segment(id);
            let bytes = self.store.read_file(file)?;
            let damaged = |_| Damaged("it is no part of a text index").at(&self.store.path_of(file), 0);
            let segment = Segment::decode(&bytes).map_err(damaged)?;
            let _ = section.tell.send(bytes.len() as u64); // nobody listens once something failed
            segments.push(Held { id, segment: segment.into() });
        }
        Ok(segments)
    }
}

/// A section, read in order.
struct Section {
    reader: SectionReader,
    tell: Sender<u64>,
    /// Bytes read that were not told.
    read_bytes: u64,
}

impl Section {
    fn is_over(&self) -> bool {
        self.reader.left() == 0
    }

    fn array<const N: usize>(&mut self) -> DiskResult<[u8; N]> {
        // Nearly always all of it lies in one block.
        let ready = self.reader.fill_buf().ok().and_then(|ready| ready.first_chunk().copied());
        if let Some(bytes) = ready {
            self.reader.consume(N);
            self.count(N);
            return Ok(bytes);
        }
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> DiskResult<()> {
        let read = self.reader.read_exact(bytes);
        read.map_err(|_| self.reader.error(Damaged("it ends too early")))?;
        self.count(bytes.len());
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.read_bytes += bytes as u64;
        if self.read_bytes >= PROGRESS_BYTES {
            let _ = self.tell.send(std::mem::take(&mut self.read_bytes)); // nobody listens once something failed
        }
    }
}

/// Bytes of a peer, read from the front.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things of so many bytes, which must be there.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }

    fn words(&mut self, count: usize) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let (words, _) = self.take(count * 4)?.as_chunks::<4>();
        Some(words.iter().map(|word| u32::from_le_bytes(*word)))
    }
}

/// A peer as a snapshot has it; whether its names are there is not known yet.
fn peer_of(bytes: &[u8]) -> Option<Peer> {
    let mut cut = Cut(bytes);
    let len = cut.count(1)?;
    let Ok(Record::Announce { peer: id, what, address, starts_over: has_left, asked, .. }) =
        Record::decode(cut.take(len)?)
    else {
        return None;
    };
    let (next_seq, lsn) = (cut.number()?, cut.number()?);
    let mut manifest =
        Manifest { digest: what.digest, bytes: u128::from_le_bytes(cut.array()?), ..Manifest::default() };
    let files = cut.count(8)?;
    manifest.names = cut.words(files)?.map(NameKey::from).collect();
    manifest.changed = cut.words(files)?.collect();
    let (odd, repeats) = (cut.count(0)?, cut.count(0)?);
    let mut rare = Rare::default();
    for _ in 0..odd {
        let name = NameKey::from(u32::from_le_bytes(cut.array()?));
        let [flags] = cut.array()?;
        let (size, modified) = (cut.number()?, i64::from_le_bytes(cut.array()?));
        let odd =
            Odd { size: (flags & 1 != 0).then_some(size), modified: (flags & 2 != 0).then_some(modified) };
        rare.odd.insert(name, odd);
    }
    for _ in 0..repeats {
        let content = ContentKey::from(u32::from_le_bytes(cut.array()?));
        rare.repeats.insert(content, u32::from_le_bytes(cut.array()?));
    }
    manifest.rare = (odd + repeats > 0).then(|| Box::new(rare));
    let order = Order::restored(what.epoch, next_seq, asked);
    Some(Peer { id, name: what.name, address, doors: what.doors, order, manifest, lsn, has_left })
}
