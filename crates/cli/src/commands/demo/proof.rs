//! The demo's proof, independent of the download: the fetched files are read again and compared with the originals.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use peerage_wire::{ContentHash, FileEntry, SharePath};

use crate::failure::{Exit, Failure, Outcome};

/// Bytes compared at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// Where a share path lies on the disk of its owner, when the share is `dir`.
pub(super) fn original(dir: &Path, path: &SharePath) -> PathBuf {
    path.components().skip(1).fold(dir.to_owned(), |place, component| place.join(component))
}

/// Fails unless the fetched file hashes to what was registered and equals its original.
pub(super) fn file(fetched: &Path, original: &Path, hash: &ContentHash) -> Outcome {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(fetched).and_then(|file| hasher.update_reader(file).map(drop));
    read.map_err(|error| Failure::failed(format!("can't read `{}`: {error}", fetched.display())))?;
    if hasher.finalize().as_bytes() != hash.as_bytes() {
        return Err(Failure::new(
            Exit::Corrupt,
            format!("`{}` is not what was registered", fetched.display()),
        ));
    }
    if is_equal(fetched, original)
        .map_err(|error| Failure::failed(format!("can't compare `{}`: {error}", original.display())))?
    {
        Ok(())
    } else {
        Err(Failure::new(Exit::Corrupt, format!("`{}` differs from its original", fetched.display()))
            .hint("if the original was changed just now, run the demo again"))
    }
}

/// Proves every registered file below `folder`; how many there were.
pub(super) fn folder(fetched: &Path, files: &[FileEntry], folder: &SharePath, dir: &Path) -> Outcome<usize> {
    let mut compared = 0;
    for entry in files {
        let Some(below) = entry.path.below(folder) else { continue };
        file(&fetched.join(below), &original(dir, &entry.path), &entry.hash)?;
        compared += 1;
    }
    Ok(compared)
}

fn is_equal(left: &Path, right: &Path) -> std::io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let mut here = vec![0; CHUNK_BYTES];
    let mut there = vec![0; CHUNK_BYTES];
    loop {
        let read = left.read(&mut here)?;
        right.read_exact(&mut there[..read])?;
        if here[..read] != there[..read] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}
