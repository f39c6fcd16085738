//! Which folders are shared and under which names.
//!
//! Invariants: every [`ShareSpec`] has a folder that exists, absolute and without symbolic links, and a name
//! that is one valid component which every system can store; no two have the same name or folder, and none
//! lies inside another: a file has one name in the index.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use peerage_wire::{SharePath, shown};

/// Folders one peer may share: more than anyone lists by hand, few enough to watch each second.
pub const SHARES_MAX: usize = 1_000;

/// The name of a share whose folder has none: `/`.
const ROOT_NAME: &str = "root";

/// Why folders can't be shared.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The folder is missing, not a folder, or closed to us.
    #[error("can't share `{}`: {source}\nhint: {}", shown(&dir.to_string_lossy()), hint_of(source))]
    Folder {
        /// As it was given.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name is no valid component.
    #[error("`{}` can't be a share's name: {reason}\nhint: give it one with `Name=DIR`", shown(name))]
    Name {
        /// As it was given, or the folder's own.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two folders were given one name.
    #[error("two folders are named `{}`\nhint: give each `Name=DIR` a name of its own", shown(name))]
    SameName {
        /// The name.
        name: String,
    },
    /// One folder is another, or lies in it.
    #[error(
        "`{}` is shared with `{}` already\nhint: leave one of them out",
        shown(&inner.to_string_lossy()), shown(&outer.to_string_lossy())
    )]
    Overlap {
        /// The folder that is or contains the other.
        outer: PathBuf,
        /// The other.
        inner: PathBuf,
    },
    /// Too many.
    #[error(
        "{count} folders are more than the {SHARES_MAX} that can be shared\nhint: share a folder above them"
    )]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// One folder as it was asked for: `DIR` or `Name=DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareArg {
    /// The name, where one was given.
    pub name: Option<String>,
    /// The folder, as it was given.
    pub dir: PathBuf,
}

/// Who may see a share through the doors that go by names; the native door serves any peer that has a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Everybody, without a name or a password.
    Public,
    /// Those who are given it.
    #[default]
    Members,
}

/// One folder to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSpec {
    /// The first component of its files' paths.
    pub name: String,
    /// The folder, absolute and without symbolic links.
    pub dir: PathBuf,
    /// Who may see it.
    pub audience: Audience,
}

impl ShareSpec {
    /// The same for another audience.
    #[must_use]
    pub fn with_audience(self, audience: Audience) -> Self {
        Self { audience, ..self }
    }
}

impl ShareArg {
    /// Reads `DIR` or `Name=DIR`; what exists as written is a `DIR`, whatever it has for characters.
    #[must_use]
    pub fn parse(text: &OsStr) -> Self {
        let whole = Self { name: None, dir: text.into() };
        if Path::new(text).exists() {
            return whole;
        }
        let mut halves = text.as_bytes().splitn(2, |byte| *byte == b'=');
        match (halves.next().and_then(|name| str::from_utf8(name).ok()), halves.next()) {
            (Some(name), Some(dir)) if !name.is_empty() && !name.contains('/') => {
                Self { name: Some(name.to_owned()), dir: OsStr::from_bytes(dir).into() }
            }
            _ => whole,
        }
    }
}

/// Finds the folders and gives each a name of its own: the one asked for, or the folder's, with `-2`, `-3`, …
/// where that is taken.
///
/// # Errors
/// [`SpecError`], for the first folder that can't be shared.
pub fn resolve_names(args: Vec<ShareArg>) -> Result<Vec<ShareSpec>, SpecError> {
    if args.len() > SHARES_MAX {
        return Err(SpecError::TooMany { count: args.len() });
    }
    let found: Vec<(Option<String>, PathBuf)> = args.into_iter().map(find).collect::<Result<_, _>>()?;
    check_apart(&found)?;
    let mut taken = Vec::new();
    for name in found.iter().filter_map(|(name, _)| name.as_deref()) {
        let name = check_name(name)?;
        if taken.contains(&name) {
            return Err(SpecError::SameName { name });
        }
        taken.push(name);
    }
    found.into_iter().map(|(name, dir)| name_one(name, dir, &mut taken)).collect()
}

/// The same for one more folder beside those that are shared.
///
/// # Errors
/// [`SpecError`].
pub(super) fn resolve_one(arg: ShareArg, shared: &[ShareSpec]) -> Result<ShareSpec, SpecError> {
    if shared.len() >= SHARES_MAX {
        return Err(SpecError::TooMany { count: shared.len() + 1 });
    }
    let mut found: Vec<_> = shared.iter().map(|spec| (Some(spec.name.clone()), spec.dir.clone())).collect();
    let (name, dir) = find(arg)?;
    found.push((name.clone(), dir.clone()));
    check_apart(&found)?;
    let mut taken: Vec<String> = shared.iter().map(|spec| spec.name.clone()).collect();
    match name {
        Some(name) if taken.contains(&check_name(&name)?) => Err(SpecError::SameName { name }),
        name => name_one(name, dir, &mut taken),
    }
}

fn find(arg: ShareArg) -> Result<(Option<String>, PathBuf), SpecError> {
    let canonical = arg.dir.canonicalize().and_then(|dir| std::fs::read_dir(&dir).map(|_| dir));
    match canonical {
        Ok(dir) => Ok((arg.name, dir)),
        Err(source) => Err(SpecError::Folder { dir: arg.dir, source }),
    }
}

fn check_apart(found: &[(Option<String>, PathBuf)]) -> Result<(), SpecError> {
    let mut dirs: Vec<&PathBuf> = found.iter().map(|(_, dir)| dir).collect();
    // By components, so that a folder stands right before what lies in it.
    dirs.sort();
    match dirs.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(SpecError::Overlap { outer: pair[0].clone(), inner: pair[1].clone() }),
        None => Ok(()),
    }
}

fn name_one(name: Option<String>, dir: PathBuf, taken: &mut Vec<String>) -> Result<ShareSpec, SpecError> {
    if let Some(name) = name {
        return Ok(ShareSpec { name: check_name(&name)?, dir, audience: Audience::default() });
    }
    let base = dir.file_name().unwrap_or(OsStr::new(ROOT_NAME)).to_string_lossy();
    let base = check_name(&base)?;
    let numbered = (2..).map(|number: usize| format!("{base}-{number}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    let name = check_name(&free.unwrap_or(base))?;
    taken.push(name.clone());
    Ok(ShareSpec { name, dir, audience: Audience::default() })
}

/// The name in NFC, if it is one component that can be fetched on every system.
fn check_name(name: &str) -> Result<String, SpecError> {
    let refused = |reason: String| SpecError::Name { name: name.to_owned(), reason };
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(refused("it is not UTF-8".to_owned()));
    }
    let path = SharePath::from_components([name]).map_err(|error| refused(error.to_string()))?;
    path.check_storable().map_err(|error| refused(error.to_string()))?;
    Ok(path.as_str().to_owned())
}

fn hint_of(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "check the spelling, or make the folder first",
        io::ErrorKind::NotADirectory => "share the folder that it is in",
        io::ErrorKind::PermissionDenied => "run as a user who may read it, or change its permissions",
        _ => "share another folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::create_dir_all;

    fn names(args: &[String]) -> Result<Vec<String>, SpecError> {
        let args = args.iter().map(|arg| ShareArg::parse(OsStr::new(arg))).collect();
        Ok(resolve_names(args)?.into_iter().map(|spec| spec.name).collect())
    }

    fn folder(dirs: &[&str]) -> (tempfile::TempDir, impl Fn(&str) -> String) {
        let folder = tempfile::tempdir().unwrap();
        dirs.iter().for_each(|dir| create_dir_all(folder.path().join(dir)).unwrap());
        let base = folder.path().to_str().unwrap().to_owned();
        (folder, move |dir| format!("{base}/{dir}"))
    }

    #[test]
    fn folders_of_one_name_are_told_apart() {
        let (_folder, at) = folder(&["a/music", "b/music", "c/music-2", "d/e\u{301}"]);
        let args = [at("a/music"), at("b/music/"), at("c/music-2"), at("d/e\u{301}")];
        assert_eq!(names(&args).unwrap(), ["music", "music-2", "music-2-2", "é"]);
        let named = [at("b/music"), format!("music={}", at("a/music"))];
        assert_eq!(names(&named).unwrap(), ["music-2", "music"]);
    }

    #[test]
    fn a_folder_that_exists_as_written_is_meant() {
        let (_folder, at) = folder(&["x=y", "z"]);
        assert_eq!(ShareArg::parse(OsStr::new(&at("x=y"))).name, None);
        let named = ShareArg::parse(OsStr::new("films=/srv/a=b"));
        assert_eq!((named.name.as_deref(), named.dir.to_str()), (Some("films"), Some("/srv/a=b")));
        assert_eq!(ShareArg::parse(OsStr::new("/no/such=dir")).name, None);
    }

    #[test]
    fn the_root_and_climbing_folders_get_names() {
        let (_folder, at) = folder(&["outer/inner"]);
        assert_eq!(names(&[at("outer/inner/..")]).unwrap(), ["outer"]);
        assert_eq!(names(&["/".to_owned()]).unwrap(), ["root"]);
    }

    #[test]
    fn what_can_t_be_shared_is_told_with_a_hint() {
        let (folder, at) = folder(&["a/b", "bad\x07name", "c"]);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let refused = [
            (vec![at("missing")], "check the spelling"),
            (vec![at("file")], "share the folder"),
            (vec![at("bad\x07name")], "`bad\u{fffd}name` can't be a share's name"),
            (vec![at("a"), at("a")], "already"),
            (vec![at("a/b"), at("a")], "already"),
            (vec![format!("x={}", at("a")), format!("x={}", at("c"))], "two folders are named `x`"),
            (vec![format!("CON={}", at("a"))], "can't be a share's name"),
            (vec![format!("..={}", at("a"))], "can't be a share's name"),
        ];
        for (args, says) in refused {
            let error = names(&args).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn folders_that_only_begin_alike_are_apart() {
        let (_folder, at) = folder(&["a", "a-b", "ab"]);
        assert_eq!(names(&[at("a"), at("a-b"), at("ab")]).unwrap(), ["a", "a-b", "ab"]);
    }
}
