//! The name of a shared file: `share name/relative path`, valid by construction ([`SharePath::parse`]).
//!
//! Invariants: one to [`limits::PATH_DEPTH_MAX`] components, none of them empty, `.` or `..`; no separator,
//! NUL or control character; Unicode NFC; every component at most [`limits::COMPONENT_BYTES_MAX`] bytes and the
//! whole at most [`limits::PATH_BYTES_MAX`]. A `SharePath` is a *name*: it becomes a place on a disk only
//! through a directory handle, component by component, after [`SharePath::check_storable`].

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{limits, text};

/// Why a text is not a share path, or not one that every system can store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all, or nothing between two slashes.
    #[error("the path has an empty component")]
    Empty,
    /// `.` or `..`.
    #[error("the path has a `.` or `..` component")]
    Climbs,
    /// A control character, NUL or backslash.
    #[error("the path has a control character or a backslash")]
    Character,
    /// A component above 255 bytes.
    #[error("a component of the path is longer than {} bytes", limits::COMPONENT_BYTES_MAX)]
    ComponentLong,
    /// More than 4,096 bytes.
    #[error("the path is longer than {} bytes", limits::PATH_BYTES_MAX)]
    Long,
    /// More than 64 components.
    #[error("the path is deeper than {} components", limits::PATH_DEPTH_MAX)]
    Deep,
    /// A name that Windows could not store (`CON`, `a:b`, a trailing dot or space).
    #[error("the name {0:?} can't be stored on every system")]
    NotStorable(String),
}

/// A validated share path. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "music/Artist/Song.flac")]
pub struct SharePath(Arc<str>);

impl SharePath {
    /// Parses and normalises (NFC) a path.
    ///
    /// # Errors
    /// A [`PathError`] other than [`PathError::NotStorable`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > 4 * limits::PATH_BYTES_MAX {
            return Err(PathError::Long); // before any work is done on it
        }
        let is_normal = text.is_ascii() || is_nfc(text);
        let normal: Arc<str> = if is_normal { text.into() } else { text.nfc().collect::<String>().into() };
        if normal.len() > limits::PATH_BYTES_MAX {
            return Err(PathError::Long);
        }
        if normal.bytes().filter(|byte| *byte == b'/').count() >= limits::PATH_DEPTH_MAX {
            return Err(PathError::Deep);
        }
        if has_forbidden(&normal) {
            return Err(PathError::Character);
        }
        normal.split('/').try_for_each(check_component)?;
        Ok(Self(normal))
    }

    /// A path that was parsed before and kept as its text since: nothing is looked at again, so whoever keeps it vouches for the
    /// invariants.
    #[must_use]
    pub fn kept(text: &str) -> Self {
        Self(text.into())
    }

    /// The share and the path within it joined by slashes.
    ///
    /// # Errors
    /// As [`SharePath::parse`]; each component is also refused when it has a `/` of its own.
    pub fn from_components<'a>(components: impl IntoIterator<Item = &'a str>) -> Result<Self, PathError> {
        let mut joined = String::new();
        for (position, component) in components.into_iter().enumerate() {
            if component.contains('/') {
                return Err(PathError::Character);
            }
            if position > 0 {
                joined.push('/');
            }
            joined.push_str(component);
        }
        Self::parse(&joined)
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The share's name: the first component.
    #[must_use]
    pub fn share(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The file's own name: the last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The components, the share first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// What is below `folder`, or `None` when this path is not. A path is not below itself.
    #[must_use]
    pub fn below<'a>(&'a self, folder: &SharePath) -> Option<&'a str> {
        self.0.strip_prefix(&*folder.0)?.strip_prefix('/')
    }

    /// Refuses names that Windows could not store: such a file is not written on any system, so that a
    /// folder fetched here can be copied there.
    /// Source: Microsoft, "Naming Files, Paths, and Namespaces".
    ///
    /// # Errors
    /// [`PathError::NotStorable`] with the first such component.
    pub fn check_storable(&self) -> Result<(), PathError> {
        match self.components().find(|component| !is_storable(component)) {
            Some(component) => Err(PathError::NotStorable(component.to_owned())),
            None => Ok(()),
        }
    }
}

fn check_component(component: &str) -> Result<(), PathError> {
    match component {
        "" => Err(PathError::Empty),
        "." | ".." => Err(PathError::Climbs),
        _ if component.len() > limits::COMPONENT_BYTES_MAX => Err(PathError::ComponentLong),
        _ => Ok(()),
    }
}

fn has_forbidden(path: &str) -> bool {
    if path.is_ascii() {
        // Every byte is looked at, so that many are looked at in one step.
        let is_bad = |byte: u8| byte.is_ascii_control() | (byte == b'\\');
        return path.bytes().fold(false, |bad, byte| bad | is_bad(byte));
    }
    path.contains(|c: char| c.is_control() || c == '\\')
}

fn is_storable(component: &str) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = component.split('.').next().unwrap_or_default().trim_end();
    let numbered_device = stem.get(..3).is_some_and(|head| {
        (head.eq_ignore_ascii_case("COM") || head.eq_ignore_ascii_case("LPT"))
            && matches!(&stem[3..], "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    });
    !(component.contains(['<', '>', ':', '"', '|', '?', '*'])
        || component.ends_with(['.', ' '])
        || numbered_device
        || DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)))
}

/// Paths compare and hash as their text does, so an ordered map of paths can be asked for a range of texts.
impl Borrow<str> for SharePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for SharePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl serde::Serialize for SharePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for SharePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_that_climbs_or_hides_something_is_refused() {
        let refused = [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            ("a/../b", PathError::Climbs),
            ("./a", PathError::Climbs),
            ("a/b\0", PathError::Character),
            ("a/b\x1b[2J", PathError::Character),
            ("a/b\u{9b}2J", PathError::Character),
            ("a\\..\\b", PathError::Character),
        ];
        for (text, error) in refused {
            assert_eq!(SharePath::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(SharePath::parse(&"a".repeat(256)), Err(PathError::ComponentLong));
        assert_eq!(
            SharePath::parse(&"a/".repeat(64).replace("a/", "aa/")[..191]),
            Ok(path(&vec!["aa"; 64].join("/")))
        );
        assert_eq!(SharePath::parse(&vec!["a"; 65].join("/")), Err(PathError::Deep));
        assert_eq!(SharePath::parse(&vec!["a".repeat(250); 20].join("/")), Err(PathError::Long));
    }

    #[test]
    fn accents_are_composed() {
        assert_eq!(path("music/e\u{301}te\u{301}"), path("music/été"));
    }

    #[test]
    fn names_windows_could_not_store_are_told() {
        for name in ["CON", "con.txt", "Lpt1.log", "COM¹", "a:b", "what?", "dot.", "space ", "NUL .txt"] {
            assert!(path(&format!("s/{name}")).check_storable().is_err(), "{name}");
        }
        for name in ["CONTENT", "com10", "lpt", "été.flac", "-rf", "a b", "COMé"] {
            assert_eq!(path(&format!("s/{name}")).check_storable(), Ok(()), "{name}");
        }
    }

    #[test]
    fn below_needs_a_whole_component() {
        let folder = path("docs/a");
        assert_eq!(path("docs/a/b/c").below(&folder), Some("b/c"));
        assert_eq!(path("docs/ab/c").below(&folder), None);
        assert_eq!(path("docs/a").below(&folder), None);
    }

    proptest! {
        #[test]
        fn whatever_parses_is_normal_and_stays_inside(text in "\\PC{0,40}|[./\\\\a-c\u{301}\0]{0,24}") {
            if let Ok(parsed) = SharePath::parse(&text) {
                prop_assert_eq!(SharePath::parse(parsed.as_str()), Ok(parsed.clone()));
                let inside = parsed.components().all(|c| !["", ".", ".."].contains(&c));
                prop_assert!(inside);
            }
        }
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse(text).unwrap()
    }
}
