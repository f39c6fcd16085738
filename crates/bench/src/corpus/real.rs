//! Names of real files: of a folder, or from a list such as `find` prints.
//!
//! Invariants: only valid share paths get through, each once; their order depends on the list and the seed alone.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use peerage_wire::{SharePath, limits};

use super::draws::{Draws, Purpose, index};

/// Bytes of a path: with a folder more, as names of the same content have, it is still valid.
const NAME_BYTES_MAX: usize = limits::PATH_BYTES_MAX - 64;
/// Components of a path, for the same reason.
const DEPTH_MAX: usize = limits::PATH_DEPTH_MAX - 4;

/// Reads them.
pub(super) fn read(path: &Path, seed: u64) -> Result<Vec<Box<str>>> {
    let mut kept = Kept::default();
    if path.is_dir() {
        walk(path, &mut kept)?;
    } else {
        let file = File::open(path).with_context(|| format!("can't read `{}`", path.display()))?;
        for line in BufReader::new(file).split(b'\n') {
            kept.take(&String::from_utf8_lossy(&line?));
        }
    }
    let mut names = kept.names;
    ensure!(!names.is_empty(), "`{}` has no names", path.display());
    mingle(&mut names, seed);
    Ok(names)
}

#[derive(Default)]
struct Kept {
    names: Vec<Box<str>>,
    known: HashSet<Box<str>>,
}

impl Kept {
    fn take(&mut self, line: &str) {
        let line = line.trim_matches(['\r', '/']).trim_start_matches("./");
        let Ok(path) = SharePath::parse(line) else { return };
        if path.as_str().len() > NAME_BYTES_MAX || path.components().count() > DEPTH_MAX {
            return;
        }
        let name: Box<str> = path.as_str().into();
        if self.known.insert(name.clone()) {
            self.names.push(name);
        }
    }
}

fn walk(root: &Path, kept: &mut Kept) -> Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let mut entries: Vec<_> = fs::read_dir(&dir)
            .with_context(|| format!("can't read `{}`", dir.display()))?
            .collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
                kept.take(name);
            }
        }
    }
    Ok(())
}

/// Mixes them (by Fisher and Yates) in runs of a few, so that neighbours stay together as an album's tracks do and a part of the
/// list has names from all of it.
fn mingle(names: &mut Vec<Box<str>>, seed: u64) {
    const RUN: usize = 12;
    let mut runs: Vec<Vec<Box<str>>> = names.chunks(RUN).map(<[_]>::to_vec).collect();
    let mut draws = Draws::new(seed, Purpose::Order, 0);
    for last in (1..runs.len()).rev() {
        runs.swap(last, index(draws.below(last as u64 + 1)));
    }
    *names = runs.into_iter().flatten().collect();
}
