//! The names of contents: each path that live peers have a content under, how many have it, and which are searched.
//!
//! At most [`limits::CONTENT_NAMES_MAX`] distinct paths of one content are in the text index, so that nobody can bloat it
//! with names for one content. First come, first listed: a stranger's names can't push out those that are there. The
//! others wait, and when a listed path is gone the one that waits with the lowest number takes its place. A file whose
//! path waits is still in its owner's listing and found by its hash and by the listed names of its content.
//!
//! Invariants: a name is here exactly while a live peer has it. Nothing waits while a place is free. The text index
//! holds exactly the listed names.

use std::collections::{BTreeSet, HashMap};

use peerage_wire::{FileEntry, Kind, SharePath, limits};

use super::arena::{Arena, ContentKey, Key, NameKey};
use super::text::Text;
use crate::query::Place;
use crate::rank;

/// A path that a content goes by.
#[derive(Debug)]
pub(super) struct Name {
    /// The content.
    pub(super) content: ContentKey,
    /// The path.
    pub(super) path: SharePath,
    /// What the path says it is; kept, because a search by type asks it of every match.
    pub(super) kind: Kind,
    /// Live peers that have the content under this path.
    pub(super) holders: u64,
}

/// Every name of every content.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Arena<NameKey, Name>,
    by_path: HashMap<(ContentKey, SharePath), NameKey>,
    listed: BTreeSet<(ContentKey, NameKey)>,
    waiting: BTreeSet<(ContentKey, NameKey)>,
    text: Text,
}

impl Names {
    pub(super) fn get(&self, name: NameKey) -> Option<&Name> {
        self.names.get(name)
    }

    pub(super) fn text(&self) -> &Text {
        &self.text
    }

    /// The best of a content's listed names where no words were asked for.
    pub(super) fn best_of(&self, content: ContentKey) -> Vec<NameKey> {
        let mut names: Vec<_> =
            self.listed.range(keys_of(content)).map(|(_, name)| (Place::File, *name)).collect();
        self.sort(&mut names);
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Brings one content's names into the order in which they are shown.
    pub(super) fn sort(&self, names: &mut [(Place, NameKey)]) {
        names.sort_by_cached_key(|(place, name)| {
            self.get(*name).map(|name| rank::name_order(*place, name.holders, &name.path))
        });
    }

    /// One more live peer has a content under a file's path.
    pub(super) fn add(&mut self, content: ContentKey, file: &FileEntry) {
        let key = match self.by_path.get(&(content, file.path.clone())) {
            Some(key) => *key,
            None => self.insert(content, &file.path),
        };
        if let Some(name) = self.names.get_mut(key) {
            name.holders += 1;
        }
    }

    /// One live peer less has a content under a file's path.
    pub(super) fn remove(&mut self, content: ContentKey, file: &FileEntry) {
        let Some(key) = self.by_path.get(&(content, file.path.clone())).copied() else { return };
        match self.names.get_mut(key) {
            Some(name) if name.holders > 1 => name.holders -= 1,
            _ => self.forget(key),
        }
    }

    fn insert(&mut self, content: ContentKey, path: &SharePath) -> NameKey {
        let kind = Kind::of_name(path.file_name());
        let name = Name { content, path: path.clone(), kind, holders: 0 };
        let key = self.names.insert(name);
        self.by_path.insert((content, path.clone()), key);
        if self.listed.range(keys_of(content)).count() < limits::CONTENT_NAMES_MAX {
            self.list(content, key);
        } else {
            self.waiting.insert((content, key));
        }
        key
    }

    fn list(&mut self, content: ContentKey, key: NameKey) {
        if let Some(name) = self.names.get(key) {
            self.listed.insert((content, key));
            self.text.add(key, &name.path);
        }
    }

    fn forget(&mut self, key: NameKey) {
        let Some(Name { content, path, .. }) = self.names.remove(key) else { return };
        self.by_path.remove(&(content, path));
        self.waiting.remove(&(content, key));
        if self.listed.remove(&(content, key)) {
            self.text.remove(key);
            if let Some((_, next)) = self.waiting.range(keys_of(content)).next().copied() {
                self.waiting.remove(&(content, next));
                self.list(content, next);
            }
        }
    }
}

fn keys_of(content: ContentKey) -> std::ops::RangeInclusive<(ContentKey, NameKey)> {
    (content, NameKey::MIN)..=(content, NameKey::MAX)
}

#[cfg(test)]
mod tests {
    use peerage_wire::ContentHash;

    use super::*;
    use crate::query::Query;

    fn file(number: usize) -> FileEntry {
        let path = SharePath::parse(&format!("s/name x{number}")).unwrap();
        FileEntry { path, size: 1, hash: ContentHash::of(b"x"), modified: 0 }
    }

    fn found(names: &Names) -> usize {
        usize::try_from(names.text().find(&Query::parse("name").unwrap()).anywhere.len()).unwrap()
    }

    #[test]
    fn a_content_has_so_many_searched_names_and_the_others_move_up() {
        let (mut names, content) = (Names::default(), ContentKey::from(0));
        let most = limits::CONTENT_NAMES_MAX;
        (0..most + 3).for_each(|number| names.add(content, &file(number)));
        names.add(ContentKey::from(1), &file(0));
        assert_eq!((found(&names), names.waiting.len()), (most + 1, 3));
        names.remove(content, &file(5)); // listed: one moves up
        assert_eq!((found(&names), names.waiting.len()), (most + 1, 2));
        names.remove(content, &file(most + 2)); // waiting
        assert_eq!((found(&names), names.waiting.len()), (most + 1, 1));
        (0..most + 3).for_each(|number| names.remove(content, &file(number)));
        assert_eq!((found(&names), names.waiting.len(), names.names.len()), (1, 0, 1));
    }
}
