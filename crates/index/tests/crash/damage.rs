//! Stores that something else wrote into: every byte of them is either of no account, or its damage is told, with the file
//! and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use peerage_index::{Error, Index, Options};
use peerage_wire::api::Change;

use crate::fixture::{SEEN_IP, at, counts};
use crate::round::scratch;
use crate::share::{Dice, Op, Standing, id};

/// Places of each file that are looked at.
const PLACES: u64 = 40;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Flip,
    Cut,
    Zeros,
}

#[test]
fn damage_is_named_with_what_to_do() {
    let _alone = crate::alone();
    let dir = scratch();
    fill(dir.path());
    let files: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kinds = ["FORMAT", "log", "snapshot", "segment"];
    let is_kind = |kind: &str, file: &Path| file.file_name().unwrap().to_string_lossy().starts_with(kind);
    assert!(kinds.iter().all(|kind| files.iter().any(|file| is_kind(kind, file))), "{files:?}");
    let whole = Index::check(dir.path()).unwrap();
    let mut dice = Dice::new(7);
    let mut told = 0;
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for place in 0..PLACES.min(bytes.len() as u64) {
            let place =
                usize::try_from(if place < 4 { place } else { dice.below(bytes.len() as u64) }).unwrap();
            for damage in [Damage::Flip, Damage::Cut, Damage::Zeros] {
                fs::write(file, damaged(&bytes, place, damage)).unwrap();
                // A log that ends too early may be one that had not ended: only what has a mark after it is missed.
                let may_be_less = damage != Damage::Flip && is_kind("log", file);
                match Index::check(dir.path()) {
                    Ok(checked) if may_be_less => assert!(checked.files <= whole.files),
                    Ok(checked) => assert_eq!(
                        (checked.peers, checked.files, checked.contents, checked.names),
                        (whole.peers, whole.files, whole.contents, whole.names),
                        "{damage:?} at {place} of {file:?}"
                    ),
                    Err(error) => {
                        is_told_well(&error, file);
                        assert!(open(dir.path()).is_err());
                        told += 1;
                    }
                }
                // What a start puts right it puts right in the last log.
                fs::write(file, &bytes).unwrap();
                assert_eq!(Index::check(dir.path()).map(|checked| checked.files), Ok(whole.files));
            }
        }
    }
    assert!(told > 200, "{told}");
}

fn damaged(bytes: &[u8], place: usize, damage: Damage) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    match damage {
        Damage::Flip => damaged[place] ^= 1 << (place % 8),
        Damage::Cut => damaged.truncate(place),
        Damage::Zeros => damaged[place..].fill(0),
    }
    damaged
}

fn is_told_well(error: &Error, file: &Path) {
    let Error::Store { message, hint, is_damaged } = error else { panic!("{error}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    let names_it = message.contains(name) || message.contains(file.parent().unwrap().to_str().unwrap());
    assert!(names_it && !hint.is_empty() && *is_damaged, "{file:?}: {message}, {hint}");
}

#[test]
fn a_file_that_is_gone_is_missed() {
    let _alone = crate::alone();
    let dir = scratch();
    fill(dir.path());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        if bytes.is_empty() {
            continue; // the lock
        }
        fs::remove_file(&file).unwrap();
        let error = open(dir.path()).map(drop).expect_err("it has all it needs");
        is_told_well(&error, &file);
        fs::write(&file, bytes).unwrap();
        assert_eq!(open(dir.path()).map(|index| index.close()), Ok(Ok(())));
    }
}

fn open(dir: &Path) -> Result<Index, Error> {
    Index::open(dir, &Options { memtable_names: Some(5), ..Options::default() }, &|_| {})
}

/// A store with a snapshot, segments, and a log after it that was not closed in peace.
fn fill(dir: &Path) {
    let index = open(dir).unwrap();
    let mut dice = Dice::new(3);
    for peer in 0..3 {
        let mut standing = Standing::default();
        index.announce(id(peer), &standing.announcement(peer, true), SEEN_IP, at(0)).unwrap();
        standing.take(&Op::Announce { keeps: true });
        for _ in 0..6 {
            let changes: Vec<Change> = match standing.next(peer, &mut dice) {
                Op::Batch { changes } => changes,
                _ => continue,
            };
            index.apply(id(peer), standing.order(), changes.clone()).unwrap();
            standing.take(&Op::Batch { changes });
        }
        index.settle().unwrap();
        if peer == 1 {
            index.snapshot().unwrap();
        }
    }
    assert!(counts(&index).files > 100);
    index.close().unwrap();
}
