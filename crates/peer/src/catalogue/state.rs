//! The catalogue's data, without its lock: records by path, paths by content, and what is to be told.
//!
//! Invariants: `by_hash`, `disk_names`, `digest` and `bytes` follow from `files` at all times; every change to
//! what the index would see is in the log. A file's cost: a [`Record`] of 64 bytes and its path's handle of 16,
//! 24 in `by_hash`, the slack of two B-trees, and one allocation for the path with a header of 16.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use peerage_wire::api::Change;
use peerage_wire::{ContentHash, FileEntry, ShareDigest, SharePath};

use super::log::ChangeLog;
use super::{Hashed, Known, ShareId};
use crate::share::{Audience, Origin, Stamp};

#[derive(Default)]
pub(super) struct State {
    origins: Vec<Option<Origin>>,
    pub(super) files: BTreeMap<SharePath, Record>,
    /// The names of the shares that everybody may see.
    public: BTreeSet<Box<str>>,
    /// The first eight bytes of the content and the path: a quarter of the hash is enough, the record has the
    /// rest. `None` is never stored; it stands before every path.
    by_hash: BTreeSet<(u64, Option<SharePath>)>,
    /// Paths on disk below the share, where they differ from the registered one: names not in NFC.
    disk_names: BTreeMap<SharePath, Box<str>>,
    pub(super) log: ChangeLog,
    digest: ShareDigest,
    bytes: u64,
    scan: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) hash: ContentHash,
    pub(super) stamp: Stamp,
    pub(super) share: ShareId,
    /// The last scan that saw it, so that a scan can tell what is gone.
    seen: u32,
    /// It was found changed and is being hashed again: not served until then.
    pub(super) is_suspect: bool,
}

impl State {
    pub(super) const fn digest(&self) -> ShareDigest {
        self.digest
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.files.len() as u64, self.bytes)
    }

    pub(super) fn origin(&self, share: ShareId) -> Option<&Origin> {
        self.origins.get(usize::from(share.0)).and_then(Option::as_ref)
    }

    pub(super) fn set_origin(&mut self, share: ShareId, origin: Option<Origin>) {
        let index = usize::from(share.0);
        if self.origins.len() <= index {
            self.origins.resize(index + 1, None);
        }
        self.origins[index] = origin;
    }

    pub(super) fn admit(&mut self, share: &str, audience: Audience) {
        match audience {
            Audience::Public => self.public.insert(share.into()),
            Audience::Members => self.public.remove(share),
        };
    }

    pub(super) fn is_public(&self, share: &str) -> bool {
        self.public.contains(share)
    }

    pub(super) fn begin_scan(&mut self) -> u32 {
        self.scan = self.scan.wrapping_add(1);
        self.scan
    }

    pub(super) fn take_change(&mut self) -> Option<Change> {
        let path = self.log.pop()?;
        Some(match self.entry(&path) {
            Some(entry) => Change::Add(entry),
            None => Change::Remove { path },
        })
    }

    pub(super) fn resend_all(&mut self) {
        self.log.clear();
        self.files.keys().for_each(|path| self.log.push(path));
    }

    pub(super) fn entry(&self, path: &SharePath) -> Option<FileEntry> {
        self.files.get(path).map(|record| record.entry(path))
    }

    /// Every file with this content.
    pub(super) fn places(&self, hash: &ContentHash) -> impl Iterator<Item = (&SharePath, &Record)> {
        let prefix = prefix_of(hash);
        let same = self.by_hash.range((prefix, None)..).take_while(move |(other, _)| *other == prefix);
        let records = same.filter_map(|(_, path)| self.files.get_key_value(path.as_ref()?));
        let hash = *hash;
        records.filter(move |(_, record)| record.hash == hash)
    }

    /// The path below the share's folder as the disk spells it.
    pub(super) fn disk_name<'a>(&'a self, path: &'a SharePath) -> &'a str {
        match self.disk_names.get(path) {
            Some(name) => name,
            None => plain_name(path),
        }
    }

    /// Whether another file on the disk has the name.
    pub(super) fn is_taken(&self, path: &SharePath, disk: &str) -> bool {
        match self.disk_names.get(path) {
            Some(name) => **name != *disk,
            None => plain_name(path) != disk && self.files.contains_key(path),
        }
    }

    pub(super) fn is_current(&self, file: &Hashed<'_>) -> bool {
        self.origin(file.share).is_some_and(|origin| origin.is(file.origin))
    }

    pub(super) fn see(&mut self, path: &SharePath, disk: &str, stamp: Stamp) -> Known {
        if self.is_taken(path, disk) {
            return Known::Taken;
        }
        let Some(record) = self.files.get_mut(path) else { return Known::No };
        record.seen = self.scan;
        if record.stamp == stamp && !record.is_suspect { Known::Same } else { Known::No }
    }

    /// Marks a file that is no longer what was hashed; whether it was not marked before.
    pub(super) fn suspect(&mut self, path: &SharePath, stamp: Stamp) -> bool {
        let record = self.files.get_mut(path).filter(|record| record.stamp == stamp && !record.is_suspect);
        record.map(|record| record.is_suspect = true).is_some()
    }

    /// Whether the index has to be told.
    pub(super) fn put(&mut self, file: &Hashed<'_>) -> bool {
        let Hashed { share, hash, stamp, .. } = *file;
        let record = Record { hash, stamp, share, seen: self.scan, is_suspect: false };
        let entry = record.entry(file.path);
        if let Some(known) = self.files.insert(file.path.clone(), record) {
            if known.entry(file.path) == entry {
                return false;
            }
            self.forgotten(file.path, &known);
        }
        self.digest.add(&entry);
        self.bytes += stamp.size;
        self.by_hash.insert((prefix_of(&hash), Some(file.path.clone())));
        if plain_name(file.path) != file.disk {
            self.disk_names.insert(file.path.clone(), file.disk.into());
        }
        self.log.push(file.path);
        true
    }

    pub(super) fn remove(&mut self, path: &SharePath) -> bool {
        let is_out = self.forget(path);
        if is_out {
            self.log.push(path);
        }
        is_out
    }

    /// Takes out what is below `folder`, spelt `disk` on the disk; only what was not seen since scan
    /// `unseen_since` began, if one is given.
    pub(super) fn remove_below(
        &mut self,
        folder: &SharePath,
        disk: &str,
        unseen_since: Option<u32>,
    ) -> usize {
        let inside = format!("{folder}/");
        let from = (Bound::Included(inside.as_str()), Bound::Unbounded);
        let below =
            self.files.range::<str, _>(from).take_while(|(path, _)| path.as_str().starts_with(&inside));
        let is_in =
            |name: &str| disk.is_empty() || name.strip_prefix(disk).is_some_and(|rest| rest.starts_with('/'));
        let gone = below.filter(|(path, record)| {
            unseen_since.is_none_or(|scan| record.seen < scan) && is_in(self.disk_name(path))
        });
        let gone: Vec<SharePath> = gone.map(|(path, _)| path.clone()).collect();
        gone.iter().filter(|path| self.remove(path)).count()
    }

    fn forget(&mut self, path: &SharePath) -> bool {
        let record = self.files.remove(path);
        if let Some(record) = &record {
            self.forgotten(path, record);
        }
        record.is_some()
    }

    /// A record is out of `files`: what follows from it goes too.
    fn forgotten(&mut self, path: &SharePath, record: &Record) {
        self.digest.remove(&record.entry(path));
        self.bytes -= record.stamp.size;
        self.by_hash.remove(&(prefix_of(&record.hash), Some(path.clone())));
        self.disk_names.remove(path);
    }
}

impl Record {
    pub(super) fn entry(&self, path: &SharePath) -> FileEntry {
        let Self { hash, stamp, .. } = *self;
        FileEntry { path: path.clone(), size: stamp.size, hash, modified: stamp.modified_secs() }
    }
}

/// The path below the share's folder, where the disk spells it as it is registered.
fn plain_name(path: &SharePath) -> &str {
    path.as_str().split_once('/').map_or("", |(_, rest)| rest)
}

fn prefix_of(hash: &ContentHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
