//! Every call to the disk failing in turn, with and without a power cut: no acknowledged record is lost, none is
//! acknowledged that is not there, and every store opens again.

pub(in crate::embedded) mod files;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use peerage_wire::PeerId;

use super::files::Files;
use super::{Container, ContainerWriter, DiskResult, Log, Record, StoreDir, StoreFile, replay};
use files::{Fault, FaultyFiles, Loss};

const LOSSES: [Loss; 4] = [Loss::Nothing, Loss::Bytes, Loss::All, Loss::Holes];

/// What a run was told.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    /// Records handed in.
    appended: u64,
    /// Records up to this one are safe.
    acknowledged: u64,
}

#[test]
fn any_call_may_fail() {
    thread::scope(|scope| {
        for loss in LOSSES {
            for fault in [Fault::Once, Fault::FromThenOn] {
                scope.spawn(move || sweep(|fail_at| survives(fail_at, fault, loss)));
            }
        }
    });
}

/// Whether the call failed that was to fail.
fn survives(fail_at: usize, fault: Fault, loss: Loss) -> bool {
    let dir = scratch();
    let files = Arc::new(FaultyFiles::new(dir.path(), fail_at, fault));
    let told = run(dir.path(), &files, Told::default());
    files.cut_power(loss);
    let mended = files.mended();
    let told = check(dir.path(), mended.clone(), told).unwrap();
    // What came back is built upon, and is there the next time.
    let told = run(dir.path(), &mended, told);
    assert_eq!(told.acknowledged, told.appended);
    check(dir.path(), mended, told).unwrap();
    files.has_failed()
}

/// A second failure while the first one's remains are put right, and a power cut after it.
#[test]
fn any_call_of_the_restart_may_fail_too() {
    thread::scope(|scope| {
        for loss in LOSSES {
            scope.spawn(move || sweep(|turn| survives_two(3 * turn, loss)));
        }
    });
}

fn survives_two(first_at: usize, loss: Loss) -> bool {
    let dir = scratch();
    let first = Arc::new(FaultyFiles::new(dir.path(), first_at, Fault::FromThenOn));
    let told = run(dir.path(), &first, Told::default());
    sweep(|fail_at| {
        let again = copy_of(dir.path());
        let second = Arc::new(first.restarted(again.path(), fail_at, Fault::FromThenOn));
        let seen = check(again.path(), second.clone(), told);
        second.cut_power(loss);
        // What the restart told of was on the disk then, so it still is.
        check(again.path(), second.mended(), seen.unwrap_or(told)).unwrap();
        second.has_failed()
    });
    first.has_failed()
}

/// Calls it with 1, 2, 3, … as long as it says that it failed there.
fn sweep(mut failed_at: impl FnMut(usize) -> bool) {
    let end = (1..).find(|fail_at| !failed_at(*fail_at));
    assert!(end.is_some_and(|end| end > 2), "the sweep swept something");
}

/// A history from whatever the directory holds: groups, rotations, snapshots, segments, a clean end and a second start.
fn run(dir: &Path, files: &Arc<FaultyFiles>, mut told: Told) -> Told {
    let files: Arc<dyn Files> = files.clone();
    for _ in 0..2 {
        if serve(dir, &files, &mut told).is_err() {
            break;
        }
    }
    told
}

fn serve(dir: &Path, files: &Arc<dyn Files>, told: &mut Told) -> DiskResult<()> {
    let store = StoreDir::open_with(dir, files.clone())?;
    let next = recover(&store, *told)?;
    // Records that were handed in and lost before anybody was told of them do not count any more.
    told.appended = next - 1;
    told.acknowledged = next - 1;
    let log = Log::open(store.clone(), next)?;
    let outcome = use_store(&store, &log, told);
    if outcome.is_err() && append(&log, told, 1).is_err() {
        // It was the log that failed, and so it stays.
        assert!(append(&log, &mut told.clone(), 1).is_err());
        assert!(log.wait(told.appended + 1).is_err());
        assert!(log.rotate().is_err());
        assert!(log.close().is_err());
    }
    outcome
}

fn use_store(store: &StoreDir, log: &Log, told: &mut Told) -> DiskResult<()> {
    for round in 1..=2 {
        append(log, told, 2)?;
        append(log, told, 1)?;
        let last = log.rotate()? - 1;
        store.write_file(StoreFile::Segment(round), |into| into.write_all(&[7; 5_000]))?;
        append(log, told, 1)?;
        let mut snapshot = ContainerWriter::begin(store, StoreFile::Snapshot(last))?;
        for name in ["last", "again"] {
            let written = snapshot.section(name)?.write_all(&last.to_le_bytes());
            written.map_err(super::DiskError::of_section("write", store.path()))?;
        }
        snapshot.finish()?;
        log.remove_before(last + 1)?;
        for old in store.snapshots()?.into_iter().filter(|old| *old < last) {
            store.remove(StoreFile::Snapshot(old))?;
        }
        append(log, told, 3)?;
    }
    log.close()
}

fn append(log: &Log, told: &mut Told, count: u64) -> DiskResult<()> {
    for _ in 0..count {
        let mut bytes = Vec::new();
        quit(told.appended + 1).encode(&mut bytes);
        assert_eq!(log.append(&bytes)?, told.appended + 1);
        told.appended += 1;
    }
    log.wait(told.appended)?;
    told.acknowledged = told.appended;
    Ok(())
}

fn check(dir: &Path, files: Arc<dyn Files>, told: Told) -> DiskResult<Told> {
    let store = StoreDir::open_with(dir, files)?;
    let next = recover(&store, told)?;
    let log = Log::open(store, next)?;
    log.close()?;
    Ok(Told { appended: next - 1, acknowledged: next - 1 })
}

/// Reads all there is, compares it with what was told, and gives the next record's number.
fn recover(store: &StoreDir, told: Told) -> DiskResult<u64> {
    for id in store.segments()? {
        assert_eq!(store.read_file(StoreFile::Segment(id))?, [7; 5_000]);
    }
    let snapshots = store.snapshots()?;
    for last in &snapshots {
        let container = Container::open(store, StoreFile::Snapshot(*last))?;
        for section in container.sections() {
            assert_eq!(container.section(&section.name)?.rest()?, last.to_le_bytes());
        }
    }
    let after = snapshots.last().copied().unwrap_or(0);
    let mut expected = after + 1;
    let replayed = replay(store, after, |number, _bytes, record| {
        assert_eq!((number, record), (expected, quit(expected)));
        expected += 1;
    })?;
    assert_eq!(replayed.next, expected);
    assert!(expected > told.acknowledged, "lost: {told:?}, found up to {expected}");
    assert!(expected <= told.appended + 1, "never appended: {told:?}, found up to {expected}");
    Ok(expected)
}

/// A record that tells its number.
fn quit(number: u64) -> Record {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Record::Quit { peer: PeerId::from_bytes(bytes) }
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = scratch();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// A directory in memory where there is such a place: what a power cut would leave is made up here anyway.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
