//! What is moved: files of random bytes that are the same on every machine, and the check that they arrived.
//!
//! Invariant: the check reads what arrived, outside of the timed part; equal names, sizes and BLAKE3 hashes are right.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Bytes at a time: within the cache, and no more memory than a program of this kind has anyway.
const CHUNK_BYTES: usize = 256 << 10;

/// One file, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its bytes.
    pub(crate) size: u64,
    /// Its BLAKE3.
    pub(crate) hash: blake3::Hash,
}

/// A file or a tree of files in a folder by itself.
pub(crate) struct Material {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// Every file by its path below the folder.
    pub(crate) files: BTreeMap<String, Content>,
}

impl Material {
    /// One file of random bytes.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn file(dir: &Path, name: &str, size: u64) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let content = write(&dir.join(name), size, name)?;
        Ok(Self { dir: dir.to_owned(), files: BTreeMap::from([(name.to_owned(), content)]) })
    }

    /// One file of zeros that takes no room.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn sparse(dir: &Path, name: &str, size: u64) -> Result<Self> {
        fs::create_dir_all(dir)?;
        File::create(dir.join(name))?.set_len(size)?;
        let content = read(&dir.join(name))?;
        Ok(Self { dir: dir.to_owned(), files: BTreeMap::from([(name.to_owned(), content)]) })
    }

    /// So many files of the same size, spread over folders.
    ///
    /// # Errors
    /// When they can't be written.
    pub(crate) fn tree(dir: &Path, shape: Shape) -> Result<Self> {
        let mut files = BTreeMap::new();
        for folder in 0..shape.folders {
            fs::create_dir_all(dir.join(format!("folder {folder:03}")))?;
        }
        for file in 0..shape.files {
            let name = format!("folder {:03}/file {file:06}.bin", file % shape.folders);
            let content = write(&dir.join(&name), shape.file_bytes, &name)?;
            files.insert(name, content);
        }
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|content| content.size).sum()
    }

    /// The one file, for what can move only one.
    ///
    /// # Errors
    /// When there are several.
    pub(crate) fn only(&self) -> Result<(&str, Content)> {
        ensure!(self.files.len() == 1, "this moves single files only");
        let (name, content) = self.files.first_key_value().context("no file")?;
        Ok((name, *content))
    }

    /// Fails unless all of it lies below `into`, however deep, and nothing else does.
    ///
    /// # Errors
    /// With the first difference.
    pub(crate) fn check(&self, into: &Path) -> Result<()> {
        let first = self.files.keys().next().context("no file")?;
        let root = root_of(into, first).with_context(|| format!("`{first}` did not arrive"))?;
        let mut arrived = 0;
        for path in files_below(into)? {
            let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
            let Some(wanted) = self.files.get(&name) else { bail!("`{name}` arrived, which nobody wanted") };
            ensure!(read(&path)? == *wanted, "`{name}` arrived with other bytes");
            arrived += 1;
        }
        ensure!(arrived == self.files.len(), "{arrived} of {} files arrived", self.files.len());
        Ok(())
    }
}

/// A tree of small files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Files in all.
    pub(crate) files: usize,
    /// Bytes of each.
    pub(crate) file_bytes: u64,
    /// Folders they are spread over.
    pub(crate) folders: usize,
}

fn write(path: &Path, size: u64, seed: &str) -> Result<Content> {
    let mut bytes =
        blake3::Hasher::new_derive_key("peerage-bench material").update(seed.as_bytes()).finalize_xof();
    let mut file = File::create(path).with_context(|| format!("can't write `{}`", path.display()))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        bytes.fill(&mut chunk[..part]);
        hasher.update(&chunk[..part]);
        file.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    Ok(Content { size, hash: hasher.finalize() })
}

fn read(path: &Path) -> Result<Content> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let part = file.read(&mut chunk)?;
        if part == 0 {
            return Ok(Content { size: hasher.count(), hash: hasher.finalize() });
        }
        hasher.update(&chunk[..part]);
    }
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { open.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    Ok(files)
}

/// Some programs put a tree into a folder of its name, others do not.
fn root_of(into: &Path, name: &str) -> Option<PathBuf> {
    let mut dir = into.to_owned();
    while !dir.join(name).exists() {
        dir = fs::read_dir(&dir).ok()?.flatten().map(|entry| entry.path()).find(|path| path.is_dir())?;
    }
    Some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let one = Material::file(&dir.path().join("a"), "x", 300_000).unwrap();
        let two = Material::file(&dir.path().join("b"), "x", 300_000).unwrap();
        assert_eq!(one.files, two.files);
        assert_eq!(one.bytes(), 300_000);
        let other = Material::file(dir.path(), "y", 300_000).unwrap();
        assert_ne!(other.only().unwrap().1, one.only().unwrap().1);
    }

    #[test]
    fn the_check_finds_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("into/share");
        let shape = Shape { files: 6, file_bytes: 100, folders: 2 };
        let material = Material::tree(&dir.path().join("from"), shape).unwrap();
        Material::tree(&into, shape).unwrap();
        material.check(&dir.path().join("into")).unwrap();

        fs::write(into.join("folder 001/file 000003.bin"), [7; 100]).unwrap();
        assert!(material.check(&into).unwrap_err().to_string().contains("other bytes"));
        fs::remove_file(into.join("folder 001/file 000003.bin")).unwrap();
        assert!(material.check(&into).unwrap_err().to_string().contains("5 of 6"));
        fs::write(into.join("stray"), "").unwrap();
        assert!(material.check(&into).unwrap_err().to_string().contains("nobody wanted"));
        assert!(material.check(dir.path().join("nothing").as_path()).is_err());
    }
}
