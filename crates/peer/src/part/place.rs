//! Giving a finished file its name: never another's, unless that was asked for.
//!
//! Invariant: between looking and naming somebody else may take the name, so the kernel decides
//! (`RENAME_NOREPLACE`, or a hard link where that is not known).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use cap_std::fs::Dir;
use peerage_wire::{ContentHash, limits};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::resume;

/// Names that are tried, `name (2)`, `name (3)` and so on: more are a mistake.
const NAMES_MAX: u32 = 1_000;

/// The first of `name`, `name (2)`, … that already holds this very content. With `overwrite` only `name` counts.
pub(super) fn find_same(
    dir: &Dir,
    name: &str,
    hash: ContentHash,
    size: u64,
    overwrite: bool,
) -> Option<String> {
    let tries = if overwrite { 1 } else { NAMES_MAX };
    for number in 1..=tries {
        let candidate = numbered(name, number);
        match compare(dir, &candidate, hash, size) {
            Standing::Free => return None,
            Standing::Same => return Some(candidate),
            Standing::Other => {}
        }
    }
    None
}

/// Renames `part` to the first free of `name`, `name (2)`, …, or over `name` where that was asked for.
pub(super) fn give_name(dir: &Dir, part: &str, name: &str, overwrite: bool) -> io::Result<String> {
    if overwrite {
        rustix::fs::renameat(dir, part, dir, name)?;
        return Ok(name.to_owned());
    }
    for number in 1..=NAMES_MAX {
        let candidate = numbered(name, number);
        match rename_new(dir, part, &candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Renames within a folder unless the new name is taken (`AlreadyExists`).
pub(crate) fn rename_new(dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
    let dir = dir.as_fd();
    match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(dir, from, AtFlags::empty())?)
        }
        renamed => Ok(renamed?),
    }
}

enum Standing {
    Free,
    Same,
    Other,
}

fn compare(dir: &Dir, name: &str, hash: ContentHash, size: u64) -> Standing {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Standing::Free,
        Err(_) => return Standing::Other,
    };
    let is_alike = file.metadata().is_ok_and(|found| found.is_file() && found.len() == size);
    if is_alike && resume::hash(&file, size).is_ok_and(|found| found == hash) {
        Standing::Same
    } else {
        Standing::Other
    }
}

/// `song.flac` and 2 give `song (2).flac`; 1 gives the name itself. The stem is cut where the whole gets too long.
fn numbered(name: &str, number: u32) -> String {
    if number == 1 {
        return name.to_owned();
    }
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, format!(" ({number}).{ending}")),
        _ => (name, format!(" ({number})")),
    };
    let room = limits::COMPONENT_BYTES_MAX.saturating_sub(ending.len());
    let mut end = stem.len().min(room);
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_before_the_ending_and_names_stay_short() {
        let cases = [
            ("song.flac", 1, "song.flac"),
            ("song.flac", 2, "song (2).flac"),
            ("README", 3, "README (3)"),
            (".hidden", 2, ".hidden (2)"),
            ("a.tar.gz", 2, "a.tar (2).gz"),
        ];
        for (name, number, expected) in cases {
            assert_eq!(numbered(name, number), expected);
        }
        let long = format!("{}.txt", "é".repeat(125));
        assert_eq!(numbered(&long, 2), format!("{} (2).txt", "é".repeat(123)));
        assert!(numbered(&"x".repeat(255), 1000).len() <= 255);
    }

    #[test]
    fn a_taken_name_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("new"), "new").unwrap();
        std::fs::write(folder.path().join("old"), "old").unwrap();
        let dir = File::open(folder.path()).unwrap();
        let error = rename_new(&dir, "new", "old").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(folder.path().join("old")).unwrap(), b"old");
        rename_new(&dir, "new", "free").unwrap();
        assert_eq!(std::fs::read(folder.path().join("free")).unwrap(), b"new");
    }
}
