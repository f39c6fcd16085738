//! Where the index of a run comes from: memory, or a store that may hold the corpus already.
//!
//! Invariants: this is the one place that opens and closes an index. A store is used again only for the very corpus it was
//! filled with, and only when it was filled to the end. Beside the engine's own folder lies what its peers need to come back: who they are and the
//! digests of what they have, so that nothing need be made again.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerage_index::{Index, Options};
use peerage_wire::api::{Heartbeat, SearchParams};
use peerage_wire::{PeerId, ShareDigest};
use serde::{Deserialize, Serialize};

use super::Setting;
use super::fill::each_peer;
use super::newcomers::{FIRST_EPOCH, now};
use crate::corpus::{Corpus, Size, index};
use crate::latency::{grouped, rate};
use crate::report::{Facts, Section, mebibytes};
use crate::say;

/// Bytes of a peer in the file of peers: its id and its digest, each 64 hex digits.
const PEER_BYTES: usize = 128;

/// Which corpus a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) seed: u64,
    pub(crate) size: Size,
    pub(crate) names: Option<PathBuf>,
}

/// What was in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Empty,
    /// The whole corpus; its peers are not here yet.
    Corpus,
}

/// An index, and where it is kept.
pub(crate) struct Store {
    index: Option<Index>,
    kept: Option<Kept>,
}

struct Kept {
    dir: PathBuf,
    peers: File,
    identity: Written,
    opened: Opened,
}

/// The identity as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    seed: u64,
    contents: u64,
    registrations: u64,
    peers: u64,
    names: Option<PathBuf>,
}

/// How an opening went.
#[derive(Debug, Clone, Copy, Default)]
struct Opened {
    opening: Duration,
    answering: Duration,
}

impl Store {
    /// An index in memory, or in a folder.
    ///
    /// # Errors
    /// When the folder holds something else, or can't be opened.
    pub(crate) fn open(dir: Option<&Path>, identity: &Identity, corpus: &Corpus) -> Result<(Self, Found)> {
        let Some(dir) = dir else {
            return Ok((Self { index: Some(Index::embedded()), kept: None }, Found::Empty));
        };
        fs::create_dir_all(dir).with_context(|| format!("can't make `{}`", dir.display()))?;
        let written = Written::of(identity);
        let found = look(dir, &written)?;
        let peers =
            File::options().read(true).write(true).create(true).truncate(false).open(dir.join("peers"))?;
        let (index, opened) = open(dir, corpus)?;
        let kept = Kept { dir: dir.to_owned(), peers, identity: written, opened };
        Ok((Self { index: Some(index), kept: Some(kept) }, found))
    }

    /// The index.
    pub(crate) fn index(&self) -> Index {
        self.index.clone().unwrap_or_else(Index::embedded) // it is away during a restart only
    }

    /// Writes down who a peer is and what it has.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn note(&self, number: u64, id: PeerId, digest: ShareDigest) -> Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let digest = serde_json::to_value(digest)?;
        let record = format!("{id}{}", digest.as_str().unwrap_or_default());
        ensure!(record.len() == PEER_BYTES, "a digest is 64 hex digits");
        Ok(kept.peers.write_all_at(record.as_bytes(), number * PEER_BYTES as u64)?)
    }

    /// From now on the store is known to hold the whole corpus.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn filled(&self) -> Result<()> {
        let Some(kept) = &self.kept else { return Ok(()) };
        kept.peers.sync_all()?;
        Ok(fs::write(mark(&kept.dir), serde_json::to_vec(&kept.identity)?)?)
    }

    /// All peers of the store come back, each by one heartbeat with its digest.
    ///
    /// # Errors
    /// When they can't be read.
    pub(crate) fn all_return(&self, setting: &Setting<'_>) -> Result<Section> {
        let Some(kept) = &self.kept else { bail!("only what is kept can return") };
        let index = self.index();
        let returned = kept.all_return(&index, setting)?;
        let mut rows = kept.opened.rows();
        rows.extend(returned.rows(&index)?);
        Ok(facts("saved store", "A store that was filled before is opened, and all its peers return.", rows))
    }

    /// Closes the index and opens it again, where it is kept.
    ///
    /// # Errors
    /// When the store can't be closed or opened.
    pub(crate) fn restart(&mut self, setting: &Setting<'_>) -> Result<Section> {
        let Some(kept) = &mut self.kept else {
            let rows = vec![(
                "restart".to_owned(),
                "not measured: the index is in memory only (`--store DIR`)".to_owned(),
            )];
            return Ok(facts("restart", "Closing the index and opening it again.", rows));
        };
        let closing = Instant::now();
        if let Some(index) = self.index.take() {
            index.close()?;
        }
        let closed = closing.elapsed();
        let (index, opened) = open(&kept.dir, setting.corpus)?;
        kept.opened = opened;
        let mut rows = vec![("closing".to_owned(), format!("{:.2} s", closed.as_secs_f64()))];
        rows.extend(opened.rows());
        rows.extend(kept.all_return(&index, setting)?.rows(&index)?);
        rows.push(("on disk".to_owned(), mebibytes(bytes_below(&engine(&kept.dir))?)));
        self.index = Some(index);
        Ok(facts("restart", "The index is closed and opened again; then all its peers return.", rows))
    }
}

/// What lies beside a store's engine: which corpus it holds, and who its peers are.
pub(crate) struct Saved {
    identity: Written,
    peers: Vec<u8>,
}

/// Reads it.
///
/// # Errors
/// When the folder has no store that was filled to the end.
pub(crate) fn saved(dir: &Path) -> Result<Saved> {
    let text = fs::read(mark(dir)).with_context(|| format!("`{}` holds no filled store", dir.display()))?;
    Ok(Saved { identity: serde_json::from_slice(&text)?, peers: fs::read(dir.join("peers"))? })
}

/// Copies a store's engine, which nobody may be using, to a folder that is not there yet.
///
/// # Errors
/// When it can't be read, or there is no room.
pub(crate) fn copy_store(dir: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let from = engine(dir);
    for entry in fs::read_dir(&from).with_context(|| format!("`{}` holds no store", dir.display()))? {
        let file = entry?.path();
        let name = file.file_name().context("a file without a name")?;
        fs::copy(&file, to.join(name)).with_context(|| format!("can't copy `{}`", file.display()))?;
    }
    Ok(())
}

impl Saved {
    /// The corpus that the store holds.
    ///
    /// # Errors
    /// When its real names can't be read.
    pub(crate) fn corpus(&self) -> Result<Corpus> {
        let Written { seed, contents, registrations, peers, ref names } = self.identity;
        let size = Size { contents, registrations, peers };
        match names {
            Some(path) => Corpus::real(seed, size, path),
            None => Ok(Corpus::made(seed, size)),
        }
    }

    /// What a peer has.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn digest(&self, number: u64) -> Result<ShareDigest> {
        let at = index(number) * PEER_BYTES;
        let record = self.peers.get(at..at + PEER_BYTES).context("the file of peers is too short")?;
        Ok(read(record)?.1)
    }
}

/// Opens the engine and asks it something.
fn open(dir: &Path, corpus: &Corpus) -> Result<(Index, Opened)> {
    let started = Instant::now();
    let folder = engine(dir);
    let index = Index::open(&folder, &Options::default(), &|phase| say(format_args!("opening: {phase:?}")))
        .with_context(|| format!("can't open `{}`", folder.display()))?;
    let opening = started.elapsed();
    let mut path = String::new();
    corpus.path(0, 0, &mut path);
    let q = path.chars().take(32).collect();
    index.search(&SearchParams { q, ..SearchParams::default() })?;
    Ok((index, Opened { opening, answering: started.elapsed() }))
}

impl Opened {
    fn rows(self) -> Vec<(String, String)> {
        let secs = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        vec![
            ("opening".to_owned(), secs(self.opening)),
            ("opening, to the first answer".to_owned(), secs(self.answering)),
        ]
    }
}

/// How many peers came back, and how fast.
struct Returned {
    peers: u64,
    back: u64,
    time: Duration,
}

impl Returned {
    fn rows(&self, index: &Index) -> Result<Vec<(String, String)>> {
        let back = format!("{} of {}", grouped(self.back), grouped(self.peers));
        Ok(vec![
            ("peers back by one heartbeat".to_owned(), back),
            ("in".to_owned(), format!("{:.2} s", self.time.as_secs_f64())),
            ("heartbeats a second".to_owned(), rate(self.peers, self.time)),
            ("files after it".to_owned(), grouped(index.stats()?.files)),
        ])
    }
}

impl Kept {
    fn all_return(&self, held: &Index, setting: &Setting<'_>) -> Result<Returned> {
        let peers = setting.corpus.size().peers;
        let mut text = Vec::new();
        File::open(self.dir.join("peers"))?.read_to_end(&mut text)?;
        ensure!(text.len() >= index(peers) * PEER_BYTES, "the file of peers is too short");
        let back = AtomicU64::new(0);
        let started = Instant::now();
        each_peer(setting.writers, peers, |number| {
            let at = index(number) * PEER_BYTES;
            let (id, digest) = read(&text[at..at + PEER_BYTES])?;
            let beat = Heartbeat { epoch: FIRST_EPOCH, digest: Some(digest) };
            let is_back = held.heartbeat(id, beat, now()).is_ok_and(|reply| !reply.resync);
            back.fetch_add(u64::from(is_back), Ordering::Relaxed);
            Ok(())
        })?;
        Ok(Returned { peers, back: back.load(Ordering::Relaxed), time: started.elapsed() })
    }
}

impl Written {
    fn of(identity: &Identity) -> Self {
        let Size { contents, registrations, peers } = identity.size;
        Self { seed: identity.seed, contents, registrations, peers, names: identity.names.clone() }
    }
}

/// Whether the store holds the corpus, or is empty.
fn look(dir: &Path, wanted: &Written) -> Result<Found> {
    match fs::read(mark(dir)) {
        Ok(text) => {
            let held: Written = serde_json::from_slice(&text).context("the store's mark can't be read")?;
            ensure!(held == *wanted, "`{}` holds another corpus: {held:?}", dir.display());
            Ok(Found::Corpus)
        }
        Err(_) if fs::read_dir(dir)?.next().is_none() => Ok(Found::Empty),
        Err(_) => bail!("`{}` is neither empty nor filled to the end; give another folder", dir.display()),
    }
}

fn read(record: &[u8]) -> Result<(PeerId, ShareDigest)> {
    let text = std::str::from_utf8(record)?;
    let (id, digest) = text.split_at(PEER_BYTES / 2);
    Ok((id.parse()?, serde_json::from_value(digest.into())?))
}

fn mark(dir: &Path) -> PathBuf {
    dir.join("corpus.json")
}

fn engine(dir: &Path) -> PathBuf {
    dir.join("engine")
}

fn bytes_below(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    let Ok(entries) = fs::read_dir(dir) else { return Ok(0) };
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn facts(title: &str, about: &str, rows: Vec<(String, String)>) -> Section {
    Section::Facts(Facts { title: title.to_owned(), about: about.to_owned(), rows })
}
