//! The fuzz targets' seeds, replayed by the ordinary tests: as they are, and with every byte of them changed.
//!
//! Seeds are kept in `fuzz/seeds/<target>/`: what is of each kind, and whatever once broke something.

use std::fs;
use std::path::PathBuf;

use crate::fuzzing;

/// Bytes of a seed that are changed one by one; of a longer one evenly spread as many.
const CHANGES_MAX: usize = 2_000;

fn replay(target: &str, run: fn(&[u8])) {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(seeds).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        run(&seed);
        for at in (0..seed.len()).step_by(seed.len().div_ceil(CHANGES_MAX).max(1)) {
            run(&seed[..at]);
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut changed = seed.clone();
                changed[at] ^= flip;
                run(&changed);
            }
        }
        count += 1;
    }
    assert!(count > 0, "there are seeds for {target}");
}

#[test]
fn records() {
    replay("record", fuzzing::record);
}

#[test]
fn logs() {
    replay("log", fuzzing::log);
}

#[test]
fn snapshots() {
    replay("snapshot", fuzzing::snapshot);
}

#[test]
fn queries() {
    replay("query", fuzzing::query);
}
