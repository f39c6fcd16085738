//! Where a client is, and what a path means from there.
//!
//! Invariant: a place is the root of all shares, or a valid [`SharePath`]; `..` is resolved in the text and leads
//! nowhere above the root.

use peerage_wire::{SharePath, limits};

/// The root, or a path of a share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place(Option<SharePath>);

impl Place {
    /// What `path` means from here; `None` where nothing could be called so.
    pub(super) fn join(&self, path: &str) -> Option<Self> {
        // Also where `..` would take it away again: what is said back is made of it.
        if path.len() > 4 * limits::PATH_BYTES_MAX || path.contains(char::is_control) {
            return None;
        }
        let here = self.0.as_ref().map_or("", SharePath::as_str);
        let base = if path.starts_with('/') { "" } else { here };
        let mut components: Vec<&str> = base.split('/').filter(|component| !component.is_empty()).collect();
        for component in path.split('/') {
            match component {
                "" | "." => {}
                ".." => drop(components.pop()),
                name => components.push(name),
            }
        }
        if components.is_empty() {
            return Some(Self(None));
        }
        SharePath::from_components(components).ok().map(|path| Self(Some(path)))
    }

    /// As the catalogue knows it.
    pub(super) const fn path(&self) -> Option<&SharePath> {
        self.0.as_ref()
    }

    /// As a client is shown it, from the root on.
    pub(super) fn shown(&self) -> String {
        format!("/{}", self.0.as_ref().map_or("", SharePath::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_resolved_and_never_climb_out() {
        let here = Place::default().join("music/A").unwrap();
        for (path, expected) in [
            ("", "/music/A"),
            (".", "/music/A"),
            ("b", "/music/A/b"),
            ("./b//c/", "/music/A/b/c"),
            ("..", "/music"),
            ("../..", "/"),
            ("../../../../etc", "/etc"),
            ("/x/../y", "/y"),
            ("/", "/"),
            (" b ", "/music/A/ b "),
            ("e\u{301}", "/music/A/é"),
        ] {
            assert_eq!(here.join(path).map(|place| place.shown()).as_deref(), Some(expected), "{path:?}");
        }
        for path in ["a\0b", "a\rb", "a\\b", "\x1b[2J", "\x1b[2J/../b", &"x".repeat(256), &"x/".repeat(70)] {
            assert_eq!(here.join(path), None, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_stays_inside(paths in proptest::collection::vec("[./a\\\\ \0]{0,12}", 0..6)) {
            let mut place = Place::default();
            for path in paths {
                place = place.join(&path).unwrap_or_default();
                let shown = place.shown();
                let is_inside = !shown.split('/').any(|part| part == ".." || part == ".");
                prop_assert!(is_inside && !shown.contains("//"));
            }
        }
    }
}
