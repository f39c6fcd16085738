//! What in a shared folder is meant to be shared, by its name alone.
//!
//! Invariants: the scan and the watcher ask the same question here; a file below something left out is left
//! out. Left out are hidden files and folders, files that are still on their way (`.part`), what matches an
//! `--exclude`, and private folders such as the peer's own home, wherever they lie.

use std::path::{Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::ShareError;

/// Patterns one peer may exclude: each costs time for each name.
const EXCLUDES_MAX: usize = 1_000;

/// The ending of a download that is not finished.
const PART_ENDING: &str = ".part";

/// Decides by names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    by_name: GlobSet,
    by_path: GlobSet,
    private: Vec<PathBuf>,
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Folder,
    File,
}

impl Filter {
    /// A pattern with a slash is held against the path below the share's folder, others against each name.
    pub(crate) fn new(excludes: &[String], private: &[PathBuf]) -> Result<Self, ShareError> {
        if excludes.len() > EXCLUDES_MAX {
            return Err(ShareError::Excludes { count: excludes.len(), max: EXCLUDES_MAX });
        }
        let (mut by_name, mut by_path) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in excludes {
            let plain = pattern.trim_end_matches('/');
            let glob = glob_of(plain.strip_prefix('/').unwrap_or(plain));
            let set = if plain.contains('/') { &mut by_path } else { &mut by_name };
            set.add(glob.map_err(|source| ShareError::Exclude { pattern: pattern.clone(), source })?);
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|source| ShareError::Exclude { pattern: excludes.join(" "), source })
        };
        let private = private.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
        Ok(Self { by_name: build(by_name)?, by_path: build(by_path)?, private: private.collect() })
    }

    /// Whether the last name of `relative` is shared; what stands above it has been asked about before.
    pub(crate) fn admits(&self, root: &Path, relative: &Path, sort: Sort) -> bool {
        let Some(name) = relative.file_name() else { return true };
        let bytes = name.as_encoded_bytes();
        let is_left_out = bytes.starts_with(b".")
            || (sort == Sort::File && bytes.ends_with(PART_ENDING.as_bytes()))
            || self.by_name.is_match(name)
            || self.by_path.is_match(relative)
            || (!self.private.is_empty() && self.private.contains(&root.join(relative)));
        !is_left_out
    }

    /// Whether the file or folder and everything above it is shared.
    pub(crate) fn admits_all(&self, root: &Path, relative: &Path, sort: Sort) -> bool {
        let above = relative.ancestors().skip(1);
        above.into_iter().all(|folder| self.admits(root, folder, Sort::Folder))
            && self.admits(root, relative, sort)
    }

    /// Whether `folder` itself is one that is never shared.
    pub(crate) fn is_private(&self, folder: &Path) -> bool {
        self.private.iter().any(|private| private == folder)
    }
}

fn glob_of(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(excludes: &[&str], relative: &str, sort: Sort) -> bool {
        let excludes: Vec<String> = excludes.iter().map(ToString::to_string).collect();
        let filter = Filter::new(&excludes, &["/s/home".into()]).unwrap();
        filter.admits_all(Path::new("/s"), Path::new(relative), sort)
    }

    #[test]
    fn hidden_unfinished_and_private_things_are_left_out() {
        for relative in [".bashrc", "a/.git/config", "song.mp3.part", "home/identity.key"] {
            assert!(!admits(&[], relative, Sort::File), "{relative}");
        }
        for relative in ["a", "a/b.c", "part", "a.part/b", "a/home/b", "..."] {
            assert_eq!(admits(&[], relative, Sort::File), relative != "...", "{relative}");
        }
        assert!(admits(&[], "a.part", Sort::Folder));
    }

    #[test]
    fn patterns_match_names_anywhere_or_whole_paths() {
        let cases = [
            ("*.tmp", "a/b.tmp", false),
            ("*.tmp", "a/b.tmpx", true),
            ("node_modules", "x/node_modules/y/z.js", false),
            ("node_modules/", "x/node_modules/y/z.js", false),
            ("a/*.c", "a/x.c", false),
            ("a/*.c", "a/b/x.c", true),
            ("a/**/*.c", "a/b/c/x.c", false),
            ("/top/x", "top/x", false),
            ("/top/x", "a/top/x", true),
            ("{a,b}?", "q/b1", false),
        ];
        for (pattern, relative, shared) in cases {
            assert_eq!(admits(&[pattern], relative, Sort::File), shared, "{pattern} {relative}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_told() {
        let error = Filter::new(&["[a".to_owned()], &[]).unwrap_err().to_string();
        assert!(error.contains("`[a`") && error.contains("hint: "), "{error}");
    }
}
