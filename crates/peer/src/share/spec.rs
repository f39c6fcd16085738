//! Which folders are shared and under which names.
//!
//! Invariants: every [`ShareSpec`] has a folder that exists, absolute and without symbolic links, or one on a server; and a
//! name that is one valid component which every system can store; no two have the same name or folder, and none
//! lies inside another: a file has one name in the index.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use peerage_wire::{SharePath, shown};

use super::remote::{FtpUrl, UrlError};

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
    /// What is meant as a server's folder is none.
    #[error(transparent)]
    Url(#[from] UrlError),
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

/// Where a shared folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On this machine.
    Folder(PathBuf),
    /// On an FTP server.
    Server(FtpUrl),
}

/// One folder as it was asked for: `DIR`, `ftp://HOST/PATH`, or `Name=` either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareArg {
    /// The name, where one was given.
    pub name: Option<String>,
    /// The folder, as it was given.
    pub location: Location,
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
    /// The folder; one of this machine is absolute and without symbolic links.
    pub location: Location,
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
    /// Reads `DIR`, a server's URL, or `Name=` either; what exists as written is a `DIR`, whatever it has for characters.
    ///
    /// # Errors
    /// [`SpecError::Url`].
    pub fn parse(text: &OsStr) -> Result<Self, SpecError> {
        let whole = || Ok(Self { name: None, location: Location::parse(text)? });
        if Path::new(text).exists() {
            return Ok(Self::folder(text));
        }
        if text.to_str().is_some_and(FtpUrl::is_meant) {
            return whole();
        }
        let mut halves = text.as_bytes().splitn(2, |byte| *byte == b'=');
        match (halves.next().and_then(|name| str::from_utf8(name).ok()), halves.next()) {
            (Some(name), Some(dir)) if !name.is_empty() && !name.contains('/') => {
                let location = Location::parse(OsStr::from_bytes(dir))?;
                Ok(Self { name: Some(name.to_owned()), location })
            }
            _ => whole(),
        }
    }

    /// A folder of this machine, under its own name.
    pub fn folder(dir: impl Into<PathBuf>) -> Self {
        Self { name: None, location: Location::Folder(dir.into()) }
    }
}

impl Location {
    fn parse(text: &OsStr) -> Result<Self, SpecError> {
        match text.to_str().filter(|text| FtpUrl::is_meant(text)) {
            Some(url) => Ok(Self::Server(url.parse()?)),
            None => match text.to_str().and_then(|text| text.split_once("://")) {
                Some((scheme, _)) if !scheme.contains('/') => Err(UrlError::scheme(scheme).into()),
                _ => Ok(Self::Folder(text.into())),
            },
        }
    }

    /// What a share is called where nobody says otherwise.
    fn base_name(&self) -> Cow<'_, str> {
        match self {
            Self::Folder(dir) => dir.file_name().unwrap_or(OsStr::new(ROOT_NAME)).to_string_lossy(),
            Self::Server(url) => url.base_name().into(),
        }
    }

    /// Components that tell whether one place lies in another.
    fn as_path(&self) -> Cow<'_, Path> {
        match self {
            Self::Folder(dir) => dir.into(),
            Self::Server(url) => PathBuf::from(url.to_string()).into(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(&self.as_path().to_string_lossy()).fmt(f)
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
    let found: Vec<(Option<String>, Location)> = args.into_iter().map(find).collect::<Result<_, _>>()?;
    check_apart(&found)?;
    let mut taken = Vec::new();
    for name in found.iter().filter_map(|(name, _)| name.as_deref()) {
        let name = check_name(name)?;
        if taken.contains(&name) {
            return Err(SpecError::SameName { name });
        }
        taken.push(name);
    }
    found.into_iter().map(|(name, location)| name_one(name, location, &mut taken)).collect()
}

/// The same for one more folder beside those that are shared.
///
/// # Errors
/// [`SpecError`].
pub(super) fn resolve_one(arg: ShareArg, shared: &[ShareSpec]) -> Result<ShareSpec, SpecError> {
    if shared.len() >= SHARES_MAX {
        return Err(SpecError::TooMany { count: shared.len() + 1 });
    }
    let mut found: Vec<_> =
        shared.iter().map(|spec| (Some(spec.name.clone()), spec.location.clone())).collect();
    let (name, location) = find(arg)?;
    found.push((name.clone(), location.clone()));
    check_apart(&found)?;
    let mut taken: Vec<String> = shared.iter().map(|spec| spec.name.clone()).collect();
    match name {
        Some(name) if taken.contains(&check_name(&name)?) => Err(SpecError::SameName { name }),
        name => name_one(name, location, &mut taken),
    }
}

fn find(arg: ShareArg) -> Result<(Option<String>, Location), SpecError> {
    let Location::Folder(dir) = arg.location else { return Ok((arg.name, arg.location)) };
    let canonical = dir.canonicalize().and_then(|dir| std::fs::read_dir(&dir).map(|_| dir));
    match canonical {
        Ok(dir) => Ok((arg.name, Location::Folder(dir))),
        Err(source) => Err(SpecError::Folder { dir, source }),
    }
}

fn check_apart(found: &[(Option<String>, Location)]) -> Result<(), SpecError> {
    let mut dirs: Vec<Cow<'_, Path>> = found.iter().map(|(_, location)| location.as_path()).collect();
    // By components, so that a folder stands right before what lies in it.
    dirs.sort();
    match dirs.windows(2).find(|pair| pair[1].starts_with(&pair[0])) {
        Some(pair) => Err(SpecError::Overlap { outer: pair[0].to_path_buf(), inner: pair[1].to_path_buf() }),
        None => Ok(()),
    }
}

fn name_one(
    name: Option<String>,
    location: Location,
    taken: &mut Vec<String>,
) -> Result<ShareSpec, SpecError> {
    if let Some(name) = name {
        return Ok(ShareSpec { name: check_name(&name)?, location, audience: Audience::default() });
    }
    let base = check_name(&location.base_name())?;
    let numbered = (2..).map(|number: usize| format!("{base}-{number}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    let name = check_name(&free.unwrap_or(base))?;
    taken.push(name.clone());
    Ok(ShareSpec { name, location, audience: Audience::default() })
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
        let args = args.iter().map(|arg| ShareArg::parse(OsStr::new(arg))).collect::<Result<_, _>>()?;
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
        let parse = |text: &str| ShareArg::parse(OsStr::new(text)).unwrap();
        assert_eq!(parse(&at("x=y")).name, None);
        let named = ShareArg { name: Some("films".to_owned()), ..ShareArg::folder("/srv/a=b") };
        assert_eq!(parse("films=/srv/a=b"), named);
        assert_eq!(parse("/no/such=dir").name, None);
    }

    #[test]
    fn a_server_s_folder_is_told_from_one_here() {
        let url = |text: &str| Location::Server(text.parse().unwrap());
        let parse = |text: &str| ShareArg::parse(OsStr::new(text)).unwrap();
        assert_eq!(parse("ftp://nas/a=b"), ShareArg { name: None, location: url("ftp://nas/a=b") });
        let named = ShareArg { name: Some("films".to_owned()), location: url("ftps://nas:2121/x") };
        assert_eq!(parse("films=ftps://nas:2121/x"), named);
        let args = ["ftp://nas/music", "ftp://other/music", "ftp://nas.local"].map(ToOwned::to_owned);
        assert_eq!(names(&args).unwrap(), ["music", "music-2", "nas.local"]);
        for refused in ["ftp://bob:x@nas/a", "a=ftp://nas/../x"] {
            assert!(names(&[refused.to_owned()]).unwrap_err().to_string().contains("hint: "));
        }
        let nested = ["ftp://nas/music", "ftp://nas/music/new"].map(ToOwned::to_owned);
        assert!(names(&nested).unwrap_err().to_string().contains("already"));
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
