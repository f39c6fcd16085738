//! The catalogue as a tree of folders, for the doors that go by names: FTP, the folder door, plain HTTP.
//!
//! Invariants: a share that a viewer may not see is as absent to it as one that there is not; folders are what the
//! names of the files make them, so a folder without a file is not there; a listing is read a page at a time and
//! holds the catalogue's lock for one page at most.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use peerage_wire::{FileEntry, SharePath};

use super::Catalogue;
use super::state::State;

/// Children read under one lock: some 200 µs.
const PAGE_CHILDREN: usize = 1_000;

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// Whoever: sees what is public.
    Anyone,
    /// Somebody known: sees what is public and these shares.
    Given(Arc<BTreeSet<String>>),
    /// Somebody who may see everything.
    Everything,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder, and when a file in it changed, in seconds since 1970: the first by name, so that asking costs nothing.
    Folder {
        /// Seconds since 1970.
        modified: i64,
    },
    /// A file.
    File(FileEntry),
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name there.
    pub name: String,
    /// What it is.
    pub node: Node,
}

/// A folder's children, by name, a page at a time.
#[derive(Debug)]
pub struct Listing {
    viewer: Viewer,
    /// The folder's path with a slash behind it; nothing for the root.
    inside: String,
    /// Where the next page begins; `None` after the last.
    from: Option<Bound<String>>,
}

impl Catalogue {
    /// What a viewer finds at `path`, or at the root of all shares.
    #[must_use]
    pub fn look(&self, viewer: &Viewer, path: Option<&SharePath>) -> Option<Node> {
        let state = self.lock();
        let Some(path) = path else { return Some(state.folder("").unwrap_or(Node::Folder { modified: 0 })) };
        if !viewer.sees(&state, path.share()) {
            return None;
        }
        match state.entry(path) {
            Some(entry) => Some(Node::File(entry)),
            None => state.folder(&format!("{path}/")),
        }
    }

    /// What a viewer finds in a folder, or in the root; nothing where there is no such folder.
    #[must_use]
    pub fn list(&self, viewer: Viewer, folder: Option<&SharePath>) -> Listing {
        let inside = folder.map(|path| format!("{path}/")).unwrap_or_default();
        let is_seen = folder.is_none_or(|path| viewer.sees(&self.lock(), path.share()));
        let from = is_seen.then(|| Bound::Included(inside.clone()));
        Listing { viewer, inside, from }
    }
}

impl Viewer {
    fn sees(&self, state: &State, share: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Anyone => state.is_public(share),
            Self::Given(shares) => shares.contains(share) || state.is_public(share),
        }
    }
}

impl Listing {
    /// The same from behind a child on, whether that is still there or not.
    #[must_use]
    pub fn after(self, name: &str, is_folder: bool) -> Self {
        let Self { viewer, inside, from } = self;
        let from = from.map(|_| behind(&inside, name, is_folder));
        Self { viewer, inside, from }
    }

    /// The next children; none after the last.
    pub fn next_page(&mut self, catalogue: &Catalogue) -> Vec<Child> {
        self.next_children(catalogue, PAGE_CHILDREN)
    }

    /// The next children, at most `max`; fewer only where there are no more.
    pub fn next_children(&mut self, catalogue: &Catalogue, max: usize) -> Vec<Child> {
        let state = catalogue.lock();
        let mut page = Vec::new();
        while page.len() < max
            && let Some(from) = self.from.take()
        {
            let Some((name, node, next)) = state.child(&self.inside, &from) else { break };
            self.from = Some(next);
            if !self.inside.is_empty() || self.viewer.sees(&state, &name) {
                page.push(Child { name, node });
            }
        }
        page
    }
}

impl State {
    /// The folder whose files begin with `inside`, where there are any.
    fn folder(&self, inside: &str) -> Option<Node> {
        let from = (Bound::Included(inside), Bound::Unbounded);
        let (path, record) = self.files.range::<str, _>(from).next()?;
        let is_inside = path.as_str().starts_with(inside);
        is_inside.then(|| Node::Folder { modified: record.stamp.modified_secs() })
    }

    /// The first child from a place on, and the place behind it. A folder's files stand together, from `name/` to the
    /// character after the slash, `0`, so one look-up passes over all of them.
    fn child(&self, inside: &str, from: &Bound<String>) -> Option<(String, Node, Bound<String>)> {
        let range = (from.as_ref().map(String::as_str), Bound::Unbounded);
        let (path, record) = self.files.range::<str, _>(range).next()?;
        let rest = path.as_str().strip_prefix(inside)?;
        Some(match rest.split_once('/') {
            Some((name, _)) => {
                let node = Node::Folder { modified: record.stamp.modified_secs() };
                (name.to_owned(), node, behind(inside, name, true))
            }
            None => (rest.to_owned(), Node::File(record.entry(path)), behind(inside, rest, false)),
        })
    }
}

/// Where the children behind one begin.
fn behind(inside: &str, name: &str, is_folder: bool) -> Bound<String> {
    if is_folder {
        Bound::Included(format!("{inside}{name}0"))
    } else {
        Bound::Excluded(format!("{inside}{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Hashed, ShareId};
    use crate::share::{Audience, Origin, Root, Stamp};
    use peerage_wire::ContentHash;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn path(text: &str) -> SharePath {
        SharePath::parse(text).unwrap()
    }

    /// A catalogue with these files; they need not be on the disk.
    fn catalogue(files: &[&str]) -> Catalogue {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::new();
        let root = Arc::new(Root::open("s", &folder.path().canonicalize().unwrap()).unwrap());
        let origin = Origin::from(root);
        let share = ShareId(0);
        catalogue.set_origin(share, Some(origin.clone()));
        for (number, file) in (0_i64..).zip(files) {
            let stamp = Stamp { size: 1, mtime_ns: number * 1_000_000_000, inode: 1 };
            let (path, disk) = (path(file), file.split_once('/').unwrap().1);
            let hash = ContentHash::of(file.as_bytes());
            catalogue.put(&Hashed { share, origin: &origin, path: &path, disk, hash, stamp });
        }
        catalogue
    }

    /// What a folder holds: its children's names, those of folders with a slash.
    fn names(catalogue: &Catalogue, viewer: &Viewer, folder: Option<&str>) -> Vec<String> {
        let folder = folder.map(path);
        let mut listing = catalogue.list(viewer.clone(), folder.as_ref());
        let pages = std::iter::from_fn(|| Some(listing.next_page(catalogue)).filter(|page| !page.is_empty()));
        let name = |child: Child| match child.node {
            Node::Folder { .. } => child.name + "/",
            Node::File(_) => child.name,
        };
        pages.flatten().map(name).collect()
    }

    #[test]
    fn folders_are_what_the_names_make_them() {
        let catalogue = catalogue(&["a/x/1", "a/x/2", "a/x!", "a/x0", "a/x-y/z", "b/f"]);
        let all = Viewer::Everything;
        assert_eq!(names(&catalogue, &all, None), ["a/", "b/"]);
        assert_eq!(names(&catalogue, &all, Some("a")), ["x!", "x-y/", "x/", "x0"]);
        assert_eq!(names(&catalogue, &all, Some("a/x")), ["1", "2"]);
        assert!(
            names(&catalogue, &all, Some("a/x!")).is_empty() && names(&catalogue, &all, Some("c")).is_empty()
        );
        assert_eq!(catalogue.look(&all, Some(&path("a/x"))), Some(Node::Folder { modified: 0 }));
        assert_eq!(catalogue.look(&all, Some(&path("a/y"))), None);
        for (after, is_folder, expected) in [("x!", false, "x-y"), ("x", true, "x0"), ("w", true, "x!")] {
            let mut rest = catalogue.list(all.clone(), Some(&path("a"))).after(after, is_folder);
            let next = rest.next_children(&catalogue, 1);
            assert_eq!(next.iter().map(|child| child.name.as_str()).collect::<Vec<_>>(), [expected]);
        }
        let hidden = catalogue.list(Viewer::Anyone, Some(&path("a"))).after("x", true).next_page(&catalogue);
        assert!(hidden.is_empty(), "a place in a folder does not open it");
        let file = catalogue.look(&all, Some(&path("b/f")));
        assert!(matches!(file, Some(Node::File(entry)) if entry.hash == ContentHash::of(b"b/f")));
    }

    #[test]
    fn what_one_may_not_see_is_not_there() {
        let catalogue = catalogue(&["open/f", "given/f", "other/f"]);
        catalogue.admit("open", Audience::Public);
        let given = Viewer::Given(Arc::new(BTreeSet::from(["given".to_owned()])));
        for (viewer, expected) in [
            (Viewer::Anyone, &["open/"][..]),
            (given, &["given/", "open/"]),
            (Viewer::Everything, &["given/", "open/", "other/"]),
        ] {
            assert_eq!(names(&catalogue, &viewer, None), expected);
            for share in ["open", "given", "other"] {
                let is_seen = expected.contains(&format!("{share}/").as_str());
                assert_eq!(catalogue.look(&viewer, Some(&path(share))).is_some(), is_seen, "{share}");
                assert_eq!(catalogue.look(&viewer, Some(&path(&format!("{share}/f")))).is_some(), is_seen);
                assert_eq!(names(&catalogue, &viewer, Some(share)).is_empty(), !is_seen);
            }
        }
    }

    proptest! {
        #[test]
        fn a_listing_is_what_the_paths_say(files in proptest::collection::btree_set("s(/[ab!0 ]{1,2}){1,3}", 0..12)) {
            // A name is a file's or a folder's, never both.
            let is_folder = |name: &String| files.iter().any(|other| other.starts_with(&format!("{name}/")));
            let files: Vec<&str> = files.iter().filter(|name| !is_folder(name)).map(String::as_str).collect();
            let catalogue = catalogue(&files);
            let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for file in &files {
                for (end, _) in file.match_indices('/') {
                    let rest = &file[end + 1..];
                    let child = rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/"));
                    folders.entry(file[..end].to_owned()).or_default().insert(child);
                }
            }
            for (folder, expected) in folders {
                let found: BTreeSet<String> = names(&catalogue, &Viewer::Everything, Some(&folder)).into_iter().collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
