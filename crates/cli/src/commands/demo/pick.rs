//! Which file and which folder the demo shows: middling ones, so that it is quick on any disk. Pure.

use std::collections::BTreeMap;

use peerage_wire::{FileEntry, SharePath};

/// Bytes of the file at most: a second or so on any machine.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Files and bytes of the folder at most.
const FOLDER_FILES_MAX: usize = 300;
const FOLDER_BYTES_MAX: u64 = 256 << 20;

/// The largest quick file, and words that find it.
pub(super) fn file(files: &[FileEntry]) -> Option<(&FileEntry, String)> {
    let storable = files.iter().filter(|file| file.path.check_storable().is_ok());
    let quick = storable.clone().filter(|file| file.size <= FILE_BYTES_MAX).max_by_key(|file| file.size);
    let file = quick.or_else(|| storable.min_by_key(|file| file.size))?;
    Some((file, words_of(file.path.file_name())))
}

/// A name's words as a person would type them; the name itself where it has none.
fn words_of(name: &str) -> String {
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { name.to_owned() } else { words.join(" ").to_lowercase() }
}

/// The folder with the most files among those that are quick to fetch.
pub(super) fn folder(files: &[FileEntry]) -> Option<SharePath> {
    let mut folders: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for file in files {
        let path = file.path.as_str();
        for (end, _) in path.match_indices('/') {
            let (count, bytes) = folders.entry(&path[..end]).or_default();
            *count += 1;
            *bytes += file.size;
        }
    }
    let quick = folders
        .into_iter()
        .filter(|(_, (count, bytes))| *count <= FOLDER_FILES_MAX && *bytes <= FOLDER_BYTES_MAX);
    let (folder, _) = quick.max_by_key(|(folder, (count, _))| (*count, std::cmp::Reverse(folder.len())))?;
    SharePath::parse(folder).ok().filter(|folder| folder.check_storable().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::ContentHash;

    fn entry(path: &str, size: u64) -> FileEntry {
        FileEntry {
            path: SharePath::parse(path).unwrap(),
            size,
            hash: ContentHash::of(path.as_bytes()),
            modified: 0,
        }
    }

    #[test]
    fn what_is_picked_is_quick_and_can_be_found() {
        let files =
            [entry("s/a/Big film.mkv", 1 << 40), entry("s/b/Blue Note_01.flac", 9), entry("s/b/x", 1)];
        let (file, words) = file(&files).unwrap();
        assert_eq!((file.path.file_name(), words.as_str()), ("Blue Note_01.flac", "blue note 01 flac"));
        assert_eq!(folder(&files), Some(SharePath::parse("s/b").unwrap()));
        assert_eq!(words_of("…"), "…");
        assert_eq!(folder(&[]), None);
    }
}
