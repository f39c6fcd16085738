//! The log written and read again: whole, cut at every byte, damaged at every byte.

use std::fs;
use std::path::Path;
use std::thread;

use peerage_wire::PeerId;

use super::*;
use crate::embedded::disk::{Record, Replayed, replay};

/// A record that tells its number.
fn quit(number: u64) -> Record {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Record::Quit { peer: PeerId::from_bytes(bytes) }
}

fn append(log: &Log, number: u64) {
    let mut bytes = Vec::new();
    quit(number).encode(&mut bytes);
    assert_eq!(log.append(&bytes).unwrap(), number);
}

/// Reads the log and checks that it is the records 1, 2, … in their order, after the one given.
fn read(store: &StoreDir, after: u64) -> DiskResult<Replayed> {
    let mut expected = after + 1;
    let replayed = replay(store, after, |number, _bytes, record| {
        assert_eq!((number, record), (expected, quit(expected)));
        expected += 1;
    })?;
    assert_eq!(replayed.next, expected);
    Ok(replayed)
}

fn open(dir: &Path) -> (StoreDir, Replayed) {
    let store = StoreDir::open(dir).unwrap();
    let replayed = read(&store, 0).unwrap();
    (store, replayed)
}

fn written(dir: &Path, groups: &[u64]) -> StoreDir {
    let store = StoreDir::open(dir).unwrap();
    let log = Log::open(store.clone(), 1).unwrap();
    let mut number = 0;
    for records in groups {
        for _ in 0..*records {
            number += 1;
            append(&log, number);
        }
        log.wait(number).unwrap();
    }
    log.close().unwrap();
    store
}

#[test]
fn what_was_appended_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), &[1, 3]));
    let (store, replayed) = open(dir.path());
    assert_eq!(replayed.next, 5);
    let log = Log::open(store.clone(), 5).unwrap();
    append(&log, 5);
    assert_eq!(log.rotate().unwrap(), 6);
    assert_eq!(log.rotate().unwrap(), 6);
    assert_eq!(log.durable_lsn(), 5);
    append(&log, 6);
    append(&log, 7);
    log.close().unwrap();
    assert!(matches!(log.append(&[1]), Err(DiskError::Closed)));
    log.wait(7).unwrap();
    assert_eq!(store.logs().unwrap(), [1, 5, 6]);
    assert_eq!(read(&store, 0).unwrap().next, 8);
    assert_eq!(read(&store, 6).unwrap().next, 8);
    assert!(matches!(read(&store, 8), Err(DiskError::Missing { first: 8, last: 8, .. })));
}

#[test]
fn old_files_go_and_the_rest_is_read_from_the_snapshot_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreDir::open(dir.path()).unwrap();
    let log = Log::open(store.clone(), 1).unwrap();
    for number in 1..=6 {
        append(&log, number);
        log.rotate().unwrap();
    }
    log.remove_before(4).unwrap();
    assert_eq!(store.logs().unwrap(), [4, 5, 6, 7]);
    log.remove_before(u64::MAX).unwrap();
    assert_eq!(store.logs().unwrap(), [7], "the one being written stays");
    drop(log);
    assert_eq!(read(&store, 6).unwrap().next, 7);
    let error = read(&store, 3).unwrap_err();
    assert!(matches!(error, DiskError::Missing { first: 4, last: 6, .. }), "{error}");
    store.remove(StoreFile::Log(7)).unwrap();
    assert!(read(&store, 6).is_err(), "a snapshot without a log");
}

#[test]
fn many_threads_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreDir::open(dir.path()).unwrap();
    let log = Log::open(store.clone(), 1).unwrap();
    let mut record = Vec::new();
    quit(0).encode(&mut record);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..100 {
                    let number = log.append(&record).unwrap();
                    if turn % 10 == 0 {
                        log.wait(number).unwrap();
                        assert!(log.durable_lsn() >= number);
                    }
                }
            });
        }
        scope.spawn(|| (0..10).for_each(|_| assert!(log.rotate().unwrap() > 0)));
    });
    log.close().unwrap();
    let mut numbers = Vec::new();
    replay(&store, 0, |number, _, _| numbers.push(number)).unwrap();
    assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
}

#[test]
fn records_of_no_size_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreDir::open(dir.path()).unwrap(), 1).unwrap();
    for bytes in [0, RECORD_BYTES_MAX + 1] {
        assert!(matches!(log.append(&vec![1; bytes]), Err(DiskError::RecordSize { .. })));
    }
}

/// More than the buffer takes: appending waits for the disk and then goes on.
#[test]
fn the_buffer_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(StoreDir::open(dir.path()).unwrap(), 1).unwrap();
    let record = vec![1; RECORD_BYTES_MAX];
    for _ in 0..5 {
        log.append(&record).unwrap();
        assert!(log.shared.lock().buffered < BUFFER_BYTES_MAX + RECORD_BYTES_MAX + 100);
    }
    log.close().unwrap();
    assert_eq!(log.durable_lsn(), 5);
}

#[test]
fn a_tail_cut_at_any_byte_loses_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = written(dir.path(), &[2, 2]);
    let path = store.path_of(StoreFile::Log(1));
    let whole = fs::read(&path).unwrap();
    for length in frame::HEAD_BYTES..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let first = read(&store, 0).unwrap();
        assert!(first.next <= 5);
        let again = read(&store, 0).unwrap();
        assert_eq!(again.next, first.next);
        assert!(again.cut.is_none(), "cut at {length}, then {again:?}");
        if let Some(cut) = first.cut {
            assert_eq!((cut.offset + cut.bytes, cut.file), (length as u64, path.clone()));
        }
    }
    for length in 0..frame::HEAD_BYTES {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(read(&store, 0), Err(DiskError::Damaged { .. })),
            "no file comes to its name so short"
        );
    }
}

#[test]
fn a_changed_byte_anywhere_is_found_or_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let store = written(dir.path(), &[2, 2]);
    let path = store.path_of(StoreFile::Log(1));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            match read(&store, 0) {
                // A mark was hit: the records are all there.
                Ok(replayed) => assert_eq!(replayed.next, 5, "byte {at}"),
                Err(DiskError::Damaged { file, offset, .. }) => {
                    assert!(file == path && offset <= at as u64, "byte {at}, told as {offset}");
                    assert_eq!(fs::read(&path).unwrap(), bytes, "what is damaged is left as it is");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A file of two groups, the second without a mark after it, and where its records begin.
fn two_groups(salt: u64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Head { salt, first: 1 }.encode().to_vec();
    let mut starts = Vec::new();
    for number in 1..=5 {
        if number == 3 {
            bytes.extend_from_slice(&frame::mark(salt, 2));
        }
        starts.push(bytes.len());
        let mut record = Vec::new();
        quit(number).encode(&mut record);
        bytes.extend_from_slice(&Seal::of(&record).head(salt, number));
        bytes.extend_from_slice(&record);
    }
    (bytes, starts)
}

/// Of the last group any part may be missing after a power cut, the first as well as the last.
#[test]
fn holes_in_the_last_group_are_cut_and_holes_before_it_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreDir::open(dir.path()).unwrap();
    let path = store.path_of(StoreFile::Log(1));
    let (bytes, starts) = two_groups(77);
    for (position, start) in starts.iter().copied().enumerate() {
        let mut hole = bytes.clone();
        hole[start..start + frame::FRAME_HEAD_BYTES + 1].fill(0);
        fs::write(&path, &hole).unwrap();
        if position >= 2 {
            let replayed = read(&store, 0).unwrap();
            let cut = replayed.cut.unwrap();
            assert_eq!((replayed.next, cut.offset), (position as u64 + 1, start as u64));
            assert_eq!(cut.bytes, (bytes.len() - start) as u64);
        } else {
            let error = read(&store, 0).unwrap_err();
            let place = start as u64;
            assert!(matches!(error, DiskError::Damaged { offset, .. } if offset == place), "{error}");
            assert!(error.to_string().contains("\nhint: "), "{error}");
        }
    }
}

/// Whoever registers bytes that would be a mark in another file changes nothing.
#[test]
fn a_mark_of_another_salt_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreDir::open(dir.path()).unwrap();
    let (mut bytes, starts) = two_groups(77);
    bytes[starts[2]] ^= 1;
    for (salt, is_damage) in [(76, false), (77, true)] {
        let end = [&bytes[..], &frame::mark(salt, 5)].concat();
        fs::write(store.path_of(StoreFile::Log(1)), end).unwrap();
        assert_eq!(read(&store, 0).is_err(), is_damage);
    }
}

#[test]
fn a_file_that_is_gone_or_cut_in_the_middle_is_told() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path(), &[2]));
    let (store, _) = open(dir.path());
    let log = Log::open(store.clone(), 3).unwrap();
    append(&log, 3);
    log.rotate().unwrap();
    append(&log, 4);
    drop(log);
    let (first, second) = (store.path_of(StoreFile::Log(1)), store.path_of(StoreFile::Log(3)));
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() - frame::FRAME_HEAD_BYTES]).unwrap();
    read(&store, 0).unwrap(); // a mark more or less
    fs::write(&first, &whole[..whole.len() - frame::FRAME_HEAD_BYTES - 1]).unwrap();
    assert!(matches!(read(&store, 0), Err(DiskError::Damaged { file, .. }) if file == first));
    fs::write(&first, &whole).unwrap();
    fs::remove_file(second).unwrap();
    assert!(matches!(read(&store, 0), Err(DiskError::Missing { first: 3, last: 3, .. })));
}
