//! The engine over a disk each of whose calls fails in turn: nothing is acknowledged that is not there after a start,
//! every store opens again and proves right, and a snapshot that fails takes nothing with it.
//!
//! Whoever is told of a failure acts as the program does: it asks [`Engine::failure`] whether to stop.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use peerage_wire::api::{Announcement, BatchOrder, Change, Doors, SearchParams};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath};

use super::disk::StoreDir;
use super::disk::faults::files::{Fault, FaultyFiles, Loss};
use super::{Inner, recovery};
use crate::{Error, Moment, Options, Result};

const PEERS: usize = 2;
const STEPS: u64 = 18;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How a peer stands.
#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    epoch: u64,
    next_seq: u64,
    has_left: bool,
    files: BTreeMap<SharePath, FileEntry>,
}

impl Standing {
    fn digest(&self) -> ShareDigest {
        let mut digest = ShareDigest::default();
        self.files.values().for_each(|file| digest.add(file));
        digest
    }
}

/// What was done, and how each peer may stand: the latest last, the first that is on the disk for sure.
#[derive(Debug)]
struct Told {
    possible: [Vec<Standing>; PEERS],
    snapshots_failed: u32,
}

impl Told {
    fn latest(&self, peer: usize) -> Standing {
        self.possible[peer].last().cloned().unwrap_or_default()
    }

    /// All that was done so far is on the disk.
    fn is_safe(&mut self) {
        self.possible.iter_mut().for_each(|standings| drop(standings.drain(..standings.len() - 1)));
    }
}

#[test]
fn any_call_of_the_engine_may_fail() {
    thread::scope(|scope| {
        for loss in [Loss::Nothing, Loss::Bytes, Loss::All, Loss::Holes] {
            for fault in [Fault::Once, Fault::FromThenOn] {
                scope.spawn(move || sweep(loss, fault));
            }
        }
    });
}

fn sweep(loss: Loss, fault: Fault) {
    let mut snapshots_failed = 0;
    let end = (1..).find(|fail_at| {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let files = Arc::new(FaultyFiles::new(dir.path(), *fail_at, fault));
        let mut told =
            Told { possible: std::array::from_fn(|_| vec![Standing::default()]), snapshots_failed: 0 };
        serve(dir.path(), &files, &mut told);
        files.cut_power(loss);
        let mended = files.mended();
        find(dir.path(), &mended, &mut told);
        // What came back is built upon.
        serve(dir.path(), &mended, &mut told);
        told.is_safe();
        find(dir.path(), &mended, &mut told);
        snapshots_failed += told.snapshots_failed;
        !files.has_failed()
    });
    assert!(end.is_some_and(|end| end > 60), "the sweep swept something: {end:?}");
    assert!(fault == Fault::FromThenOn || snapshots_failed > 20, "{snapshots_failed} snapshots failed alone");
}

fn open(dir: &Path, files: &Arc<FaultyFiles>) -> Result<Inner> {
    let options = Options { memtable_names: Some(2), ..Options::default() };
    let store = StoreDir::open_with(dir, files.clone())?;
    Ok(recovery::open_store(store, &options, &|_| {})?)
}

/// A store that is opened, used until its end or the disk's, and closed.
fn serve(dir: &Path, files: &Arc<FaultyFiles>, told: &mut Told) {
    let Ok(inner) = open(dir, files) else { return };
    for step in 0..STEPS {
        let error = match step % 6 {
            4 => inner.snapshot().map_err(Error::from).err(),
            5 => {
                inner.settle();
                None
            }
            _ => act(&inner, told, usize::try_from(step % 2).unwrap(), step).err(),
        };
        let Some(error) = error else { continue };
        assert!(matches!(error, Error::Store { .. }), "{error}");
        if failure(&inner).is_none() {
            assert_eq!(step % 6, 4, "only a snapshot may fail alone: {error}");
            told.snapshots_failed += 1;
            continue;
        }
        refuses(&inner, told, step);
        return;
    }
    if inner.disk.as_ref().is_some_and(|disk| disk.log.close().is_ok()) {
        told.is_safe();
    }
}

fn failure(inner: &Inner) -> Option<String> {
    inner.disk.as_ref().and_then(|disk| disk.log.failure())
}

/// What is left of an engine whose log failed: it takes nothing more in, and goes on answering.
fn refuses(inner: &Inner, told: &Told, step: u64) {
    let mut after = Told { possible: told.possible.clone(), snapshots_failed: 0 };
    for peer in 0..PEERS {
        assert!(act(inner, &mut after, peer, step).is_err());
    }
    assert!(inner.snapshot().is_err());
    let params = SearchParams { q: "song".into(), ..SearchParams::default() };
    inner.state.read().search(&params).unwrap();
    inner.settle();
}

/// A peer's next word: it comes, changes its files, leaves, and comes again with or without them.
fn act(inner: &Inner, told: &mut Told, peer: usize, step: u64) -> Result<()> {
    let mut after = told.latest(peer);
    let is_here = inner.state.read().peers.live_key(id(peer)).is_some();
    if !is_here || step.is_multiple_of(6) {
        (after.epoch, after.next_seq, after.has_left) = (after.epoch + 1, 0, false);
        if step == 6 {
            after.files.clear();
        }
        let what = Announcement {
            name: "anna".parse().unwrap(),
            doors: Doors::native(1_000),
            epoch: after.epoch,
            digest: after.digest(),
        };
        told.possible[peer].push(after);
        return inner.announce(id(peer), &what, HERE, Moment::from_millis(0)).map(drop);
    }
    if step % 6 == 3 && step > 6 {
        after.has_left = true;
        told.possible[peer].push(after);
        return inner.quit(id(peer));
    }
    let order = BatchOrder { epoch: after.epoch, seq: after.next_seq };
    let mut changes: Vec<Change> = (0..4).map(|at| Change::Add(file(peer, step * 3 + at))).collect();
    let gone = after.files.keys().step_by(3).map(|path| Change::Remove { path: path.clone() });
    changes.extend(gone);
    after.next_seq += 1;
    for change in &changes {
        match change {
            Change::Add(file) => after.files.insert(file.path.clone(), file.clone()),
            Change::Remove { path } => after.files.remove(path),
        };
    }
    told.possible[peer].push(after);
    let applied = inner.apply(id(peer), order, changes.clone());
    if applied.is_err() {
        assert!(inner.apply(id(peer), order, changes).is_err(), "sent again it is as little acknowledged");
    }
    applied?;
    told.is_safe();
    Ok(())
}

fn file(peer: usize, number: u64) -> FileEntry {
    let path = SharePath::parse(&format!("s/song {}.mp3", number % 17)).unwrap();
    // Sizes that disagree, and contents of several names.
    let (content, size) = (number % 11, number % 11 + (peer as u64) * (number % 2));
    FileEntry { path, size, hash: ContentHash::of(&content.to_le_bytes()), modified: -1 }
}

fn id(peer: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(peer).unwrap() + 1; 32])
}

/// The store opens and proves right, and each peer stands as it may.
fn find(dir: &Path, files: &Arc<FaultyFiles>, told: &mut Told) {
    let inner = open(dir, files).unwrap();
    let state = inner.state.read();
    state.prove(dir).unwrap();
    for (peer, possible) in told.possible.iter_mut().enumerate() {
        let known = state.peers.key(id(peer)).and_then(|key| state.peers.get(key));
        let found = known.map_or_else(Standing::default, |known| {
            let (epoch, next_seq, _) = known.order.parts();
            let files = (0..known.manifest.len()).filter_map(|at| state.file_of(&known.manifest, at));
            let files = files.map(|file| (file.path.clone(), file)).collect();
            Standing { epoch, next_seq, has_left: known.has_left, files }
        });
        assert!(possible.contains(&found), "peer {peer} stands as {found:#?} and may as {possible:#?}");
        *possible = vec![found];
    }
}
