//! What the engine holds in memory, and the steps that change it: a registration comes or goes, a peer's files come into
//! the answers or leave them.
//!
//! Invariants: a content's list of sources has every known peer with a registration of it, once; its live count is of
//! those that are here. A name counts known and live peers in the same way. Each listed name that a known peer uses is
//! in exactly one part of the text index, but for those that a merge is about to leave out and somebody registers
//! again. No step here takes long: whoever holds the lock makes many of them in small turns.

use std::collections::HashSet;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use peerage_wire::api::Memory;
use peerage_wire::{ContentHash, FileEntry, Kind, SharePath};

use super::arena::{ContentKey, NameKey, PeerKey};
use super::claims::Claims;
use super::contents::{Content, Contents};
use super::manifest::{Manifest, Odd};
use super::names::{Name, Names, clamp_time};
use super::peers::{Peer, Peers};
use super::search::Cores;
use super::segments::{Memtable, Segment, Standing, size_class};
use super::sources::{List, Sources};
use crate::Moment;
use crate::terms::NameTerms;

/// Names in the memtable above which it is flushed: small enough that every search can ask all of it.
pub(super) const MEMTABLE_NAMES: usize = 32_768;

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) peers: Peers,
    pub(super) contents: Contents,
    pub(super) names: Names,
    pub(super) sources: Sources,
    pub(super) claims: Claims,
    pub(super) text: Text,
    /// Registrations of live peers, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u128,
    /// Contents with a live source.
    pub(super) live_contents: u64,
    /// Registrations of all known peers.
    pub(super) known_files: u64,
    /// When to look next whether memory is short.
    pub(super) next_look: Option<Moment>,
    /// Names in the memtable above which it is flushed.
    pub(super) memtable_names: usize,
    /// Names that nobody knows any more above which segments are rid of them.
    pub(super) dead_names_max: usize,
    /// Whether a snapshot is being taken, in which what the first said of a size is written after who agreed with it.
    pub(super) keeps_sizes: bool,
    /// How many threads search: a long search is helped where that leaves a core free.
    pub(super) cores: Cores,
}

/// The parts of the text index.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// Takes new names.
    pub(super) memtable: Memtable,
    /// Full ones that are being made into segments.
    pub(super) frozen: Vec<Arc<Memtable>>,
    pub(super) segments: Vec<Held>,
    /// Contents whose standing changed while segments were being made, which these must hear of.
    pub(super) risen: Vec<ContentKey>,
    pub(super) makers: usize,
    /// Whether a segment is taking the place of others: a name may be in two parts for a moment.
    pub(super) is_replacing: bool,
    /// Names that segments were made without, since nobody knew them any more.
    pub(super) limbo: Vec<NameKey>,
    /// Listed names that nobody knows any more but some segment still holds.
    pub(super) dead: u64,
    /// How many of them were left when one segment was made anew for them.
    pub(super) dead_left: usize,
}

impl Text {
    /// All memtables, the oldest first.
    pub(super) fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        self.frozen.iter().map(AsRef::as_ref).chain([&self.memtable])
    }
}

/// A segment, and the number of its file.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) segment: Arc<Segment>,
}

/// Where an arrival belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    pub(super) content: ContentKey,
    pub(super) name: NameKey,
    /// Whether the name was put into the memtable just now, so that no segment can have it.
    pub(super) is_fresh: bool,
}

/// A file that a peer registers, as it was looked at beforehand.
pub(super) struct Arrival<'a> {
    pub(super) file: &'a FileEntry,
    /// [`Names::hash`] of its path.
    pub(super) path_hash: u64,
    /// Its content and its name, where they were known a moment ago.
    pub(super) known: Option<(ContentKey, NameKey)>,
    /// The terms of its path, where they were made.
    pub(super) terms: Option<&'a NameTerms>,
}

impl State {
    /// The content and the name that an arrival has, new ones where there are none.
    pub(super) fn enter(&mut self, arrival: &Arrival<'_>) -> Entered {
        let file = arrival.file;
        let is_still = |(key, _): &(ContentKey, NameKey)| {
            self.contents.get(*key).is_some_and(|content| content.is_here() && content.hash == file.hash)
        };
        let known = arrival.known.filter(is_still).map(|(key, _)| key);
        let known = known.or_else(|| self.contents.find(&file.hash));
        let key = known.unwrap_or_else(|| self.contents.insert(file.hash, file.size));
        self.name(key, arrival)
    }

    /// Reads what looking contents and their names up will read. Each lies anywhere in memory, so that one waits for each;
    /// asked for without a decision between them, many come at the same time.
    pub(super) fn warm<'a>(&self, hashes: impl Iterator<Item = &'a ContentHash>) {
        let keyed: Vec<u64> = hashes.map(|hash| self.contents.keyed(hash)).collect();
        let contents: Vec<ContentKey> =
            keyed.iter().filter_map(|keyed| self.contents.guess(*keyed)).collect();
        let names = contents.iter().filter_map(|key| self.contents.get(*key)?.first_name.key());
        let names: Vec<NameKey> = names.collect();
        self.warm_names(&names);
    }

    /// Reads what registering known names will read.
    pub(super) fn warm_known(&self, known: impl Iterator<Item = (ContentKey, NameKey)>) {
        let (contents, names): (Vec<ContentKey>, Vec<NameKey>) = known.unzip();
        let lists: Vec<List> =
            contents.iter().filter_map(|key| Some(self.contents.get(*key)?.sources)).collect();
        black_box(lists.iter().filter_map(|list| self.sources.last(*list)).fold(0, u32::wrapping_add));
        self.warm_names(&names);
    }

    pub(super) fn warm_names(&self, names: &[NameKey]) {
        let places: Vec<(u64, usize)> = names.iter().filter_map(|key| self.names.place(*key)).collect();
        let ends = places.iter().filter_map(|place| self.names.ends(*place));
        black_box(ends.fold(0, u8::wrapping_add));
    }

    pub(super) fn warm_peers(&self, peers: impl Iterator<Item = PeerKey>) {
        let peers: Vec<&Peer> = peers.filter_map(|key| self.peers.get(key)).collect();
        let of_record = |peer: &&Peer| {
            let len = peer.manifest.len().to_le_bytes()[0];
            peer.id.as_bytes()[0] ^ peer.address.port().to_le_bytes()[0] ^ len
        };
        black_box(peers.iter().map(of_record).fold(0, |sum, byte| sum ^ byte));
        let beside_it = |peer: &&Peer| {
            let first = peer.manifest.names.first().map_or(0, |name| u32::from(*name));
            peer.name.as_str().as_bytes().first().copied().unwrap_or_default() ^ first.to_le_bytes()[0]
        };
        black_box(peers.iter().map(beside_it).fold(0, |sum, byte| sum ^ byte));
    }

    /// A peer registers a file of a content under a name that it does not have. `is_first` tells whether it had the
    /// content under no path until now. Gives what of the file does not fit.
    pub(super) fn add(
        &mut self,
        peer: PeerKey,
        is_live: bool,
        is_first: bool,
        entered: Entered,
        file: &FileEntry,
    ) -> Odd {
        let Entered { content: key, name, is_fresh } = entered;
        let time = clamp_time(file.modified);
        let mut is_changed = false;
        if let Some(name) = self.names.get_mut(name) {
            let was_known = name.known() > 0;
            name.modified = if was_known { name.modified.max(time) } else { time };
            name.count_known(true);
            name.live += u32::from(is_live);
            is_changed = is_live && name.live == 1 && !is_fresh;
        }
        let first = self.first_size(key, file.size);
        if file.size != first {
            self.claims.add(key, first, peer, file.size);
        }
        if let Some(content) = self.contents.get_mut(key) {
            content.set_disputed(content.is_disputed() || file.size != first);
            if is_first {
                self.sources.push(&mut content.sources, peer);
            }
        }
        self.known_files += 1;
        if is_live {
            self.files += 1;
            self.bytes += u128::from(file.size);
            if is_first {
                is_changed |= self.come(key);
            }
        }
        let is_alone = is_fresh && self.contents.get(key).is_some_and(Content::has_one_name);
        if is_changed && !is_alone {
            self.tell_all(key, false);
        }
        Odd {
            size: (file.size != first).then_some(file.size),
            modified: (i64::from(time) != file.modified).then_some(file.modified),
        }
    }

    /// A peer gives a file up that was added for it. `is_last` tells whether it has the content under no path any more.
    pub(super) fn remove(&mut self, peer: PeerKey, is_live: bool, is_last: bool, name: NameKey, odd: Odd) {
        let Some(slot) = self.names.get_mut(name) else { return };
        slot.count_known(false);
        slot.live -= u32::from(is_live);
        let (key, is_dead, is_listed) = (slot.content, slot.known() == 0, slot.is_listed());
        let is_free = is_live && slot.live == 0 && is_listed;
        if is_dead && is_listed {
            self.text.dead += 1;
        } else if is_dead {
            self.text.limbo.push(name);
        }
        let size = odd.size.unwrap_or_else(|| self.said_first(key));
        let agreed = odd.size.and_then(|size| self.claims.remove(key, peer, size));
        if let (Some(first), Some(content)) = (agreed, self.contents.get_mut(key)) {
            content.set_disputed(false);
            self.resize(key, first);
        }
        if let Some(content) = self.contents.get_mut(key)
            && is_last
        {
            self.sources.remove(&mut content.sources, peer);
        }
        self.known_files -= 1;
        if is_live {
            self.files -= 1;
            self.bytes -= u128::from(size);
            if is_last {
                self.go(key);
            }
        }
        if is_free {
            self.tell_all(key, false);
            self.promote(key);
        }
    }

    /// Brings files of a peer into the answers, or takes them out. `seen` holds its contents of several paths that were
    /// counted already.
    pub(super) fn turn(
        &mut self,
        peer: PeerKey,
        is_coming: bool,
        files: Range<usize>,
        seen: &mut HashSet<ContentKey>,
    ) {
        for at in files {
            let Some(manifest) = self.peers.get(peer).map(|peer| &peer.manifest) else { return };
            let Some(name) = manifest.names.get(at).copied() else { return };
            let odd = manifest.odd(name);
            let Some(content) = self.names.get(name).map(|name| name.content) else { continue };
            let is_counted = manifest.repeats(content).is_some() && !seen.insert(content);
            let size = u128::from(odd.size.unwrap_or_else(|| self.said_first(content)));
            let mut is_changed = false;
            if let Some(name) = self.names.get_mut(name) {
                name.live = if is_coming { name.live + 1 } else { name.live.saturating_sub(1) };
                is_changed = name.live == u32::from(is_coming);
            }
            match is_coming {
                true => (self.files, self.bytes) = (self.files + 1, self.bytes + size),
                false => (self.files, self.bytes) = (self.files - 1, self.bytes - size),
            }
            match (is_counted, is_coming) {
                (true, _) => {}
                (false, true) => is_changed |= self.come(content),
                (false, false) => self.go(content),
            }
            if is_changed {
                self.tell_all(content, false);
            }
            if !is_coming && self.names.get(name).is_some_and(|name| name.live == 0 && name.is_listed()) {
                self.promote(content);
            }
            if self.contents.get(content).is_some_and(Content::is_disputed) {
                self.decide(content);
            }
        }
    }

    /// Works out a disputed content's size anew.
    pub(super) fn decide(&mut self, key: ContentKey) {
        let Some(live) = self.contents.get(key).map(Content::live) else { return };
        let paths = |peer: PeerKey| {
            let is_live = self.peers.leases.is_live(peer);
            let peer = self.peers.get(peer).filter(|_| is_live)?;
            Some(peer.manifest.repeats(key).unwrap_or(1))
        };
        let winner = self.claims.winner(key, live, paths);
        if let Some(size) = winner {
            self.resize(key, size);
        }
    }

    /// A content is of another size than was thought.
    fn resize(&mut self, key: ContentKey, size: u64) {
        let Some(content) = self.contents.get_mut(key) else { return };
        let is_told = size_class(content.size) == size_class(size);
        content.size = size;
        if !is_told {
            self.tell_all(key, true);
        }
    }

    /// What the first that registered a content said of its size; `size` where nobody has it any more.
    fn first_size(&mut self, key: ContentKey, size: u64) -> u64 {
        let Some(content) = self.contents.get_mut(key) else { return size };
        if content.is_disputed() {
            return self.claims.first(key).unwrap_or(content.size);
        }
        if content.sources.len() == 0 && !self.keeps_sizes {
            content.size = size;
        }
        content.size
    }

    /// What the first said of a content's size.
    pub(super) fn said_first(&self, key: ContentKey) -> u64 {
        let said = self.claims.first(key);
        said.or_else(|| self.contents.get(key).map(|content| content.size)).unwrap_or_default()
    }

    /// A file as its owner registered it.
    pub(super) fn file_of(&self, manifest: &Manifest, at: usize) -> Option<FileEntry> {
        let (name, changed) = (*manifest.names.get(at)?, *manifest.changed.get(at)?);
        let (odd, content) = (manifest.odd(name), self.names.get(name)?.content);
        Some(FileEntry {
            path: self.path(name)?,
            size: odd.size.unwrap_or_else(|| self.said_first(content)),
            hash: self.contents.get(content)?.hash,
            modified: odd.modified.unwrap_or_else(|| i64::from(changed)),
        })
    }

    pub(super) fn path(&self, name: NameKey) -> Option<SharePath> {
        self.names.share_path(name)
    }

    /// What the order of names in a segment depends on; `None` for those that nobody knows any more.
    pub(super) fn standings(&self, names: &[u32]) -> Vec<Option<Standing>> {
        let standing = |number: &u32| {
            let name = self.names.get(NameKey::from(*number)).filter(|name| name.known() > 0)?;
            let content = self.contents.get(name.content)?;
            Some(standing_of(name, content))
        };
        names.iter().map(standing).collect()
    }

    /// Tells a segment that was just made how the names of a content stand now.
    pub(super) fn tell(&self, segment: &Segment, key: ContentKey) {
        self.tell_each(&std::iter::once(segment), key, true);
    }

    fn tell_each<'a>(
        &self,
        segments: &(impl Iterator<Item = &'a Segment> + Clone),
        key: ContentKey,
        is_resized: bool,
    ) {
        let Some(content) = self.contents.get(key) else { return };
        for (key, name) in self.names.listed(content) {
            // A name is in one of them, or still in a memtable.
            let _ = segments
                .clone()
                .any(|segment| segment.tell(key.into(), standing_of(name, content), is_resized));
        }
    }

    /// Tells all segments how the names of a content stand now, and those that are being made, and memtables how many live
    /// sources they have.
    fn tell_all(&mut self, key: ContentKey, is_resized: bool) {
        self.tell_each(&self.text.segments.iter().map(|held| held.segment.as_ref()), key, is_resized);
        // Their classes rise with this one source.
        if let Some(content) = self.contents.get(key).filter(|content| content.live().is_power_of_two()) {
            for (name, _) in self.names.listed(content) {
                self.text.memtables().for_each(|memtable| memtable.tell(name.into(), content.live()));
            }
        }
        if self.text.makers > 0 {
            self.text.risen.push(key);
        }
    }

    /// Takes a name into the text index again that it had given up.
    pub(super) fn list_again(&mut self, name: NameKey) {
        let (Some(path), Some(slot)) = (self.path(name), self.names.get_mut(name)) else { return };
        slot.set_in_text(true);
        let content = slot.content;
        self.list(name, content, &path, None);
    }

    /// Takes names out of memory that no part of the text index holds and nobody knows, some of those that wait for it.
    /// Tells whether there were any.
    pub(super) fn bury(&mut self, at_most: usize) -> bool {
        let has_some = !self.text.limbo.is_empty();
        let from = self.text.limbo.len().saturating_sub(at_most);
        for name in self.text.limbo.split_off(from) {
            let Some(slot) = self.names.get(name).copied() else { continue };
            if !slot.is_here() || slot.known() > 0 || (slot.is_listed() && slot.is_in_text()) {
                continue;
            }
            let Some(content) = self.contents.get_mut(slot.content) else { continue };
            self.names.remove(name, content);
            self.names.reuse([name]);
            let is_over = content.sources.len() == 0
                && !content.has_unlisted()
                && self.names.listed(content).next().is_none();
            if is_over {
                self.contents.remove(slot.content);
                self.contents.reuse([slot.content]);
            }
        }
        has_some
    }

    /// Memory in use by part.
    pub(super) fn memory(&self) -> Memory {
        let text = &self.text;
        let segments: usize = text.segments.iter().map(|held| held.segment.memory_bytes()).sum();
        let memtables: usize = text.memtables().map(Memtable::memory_bytes).sum();
        let mut memory = Memory {
            contents_bytes: self.contents.bytes() + self.claims.bytes(),
            names_bytes: self.names.bytes(),
            text_bytes: (segments + memtables) as u64,
            sources_bytes: self.sources.bytes(),
            shares_bytes: self.known_files * 8,
            peers_bytes: self.peers.bytes(),
            ..Memory::default()
        };
        memory.total_bytes = memory.contents_bytes
            + memory.names_bytes
            + memory.text_bytes
            + memory.sources_bytes
            + memory.shares_bytes
            + memory.peers_bytes;
        memory
    }

    /// The name that an arrival has, a new one where there is none.
    fn name(&mut self, key: ContentKey, arrival: &Arrival<'_>) -> Entered {
        let nowhere = Entered { content: key, name: NameKey::from(u32::MAX), is_fresh: false };
        let Some(content) = self.contents.get_mut(key) else { return nowhere };
        let had_one = content.has_one_name();
        let path = &arrival.file.path;
        let is_it = |(_, name): &(ContentKey, NameKey)| self.names.is(*name, key, path.as_str());
        let known = arrival.known.filter(is_it).map(|(_, name)| name);
        let find = || self.names.find(key, content, path.as_str(), arrival.path_hash);
        let (name, is_listed) = match known.or_else(find) {
            Some(name) => {
                (name, self.names.get(name).is_some_and(|name| name.is_listed() && !name.is_in_text()))
            }
            None => self.names.insert(key, content, path.as_str(), arrival.path_hash),
        };
        let is_back = self.names.get(name).is_some_and(|name| name.known() == 0 && name.is_listed());
        if is_listed {
            if let Some(name) = self.names.get_mut(name) {
                name.set_in_text(true);
            }
            self.list(name, key, path, arrival.terms);
        } else if is_back {
            self.text.dead = self.text.dead.saturating_sub(1);
        }
        if had_one && !self.contents.get(key).is_some_and(Content::has_one_name) {
            self.tell_all(key, false);
        }
        Entered { content: key, name, is_fresh: is_listed }
    }

    /// A listed name of a content is used by nobody here any more: one that was not listed may take its place.
    fn promote(&mut self, key: ContentKey) {
        let Some(content) = self.contents.get_mut(key) else { return };
        let had_one = content.has_one_name();
        if let Some(name) = self.names.promote(key, content) {
            self.list_again(name);
            if had_one {
                self.tell_all(key, false);
            }
        }
    }

    fn list(&mut self, name: NameKey, key: ContentKey, path: &SharePath, terms: Option<&NameTerms>) {
        let made;
        let terms = match terms {
            Some(terms) => terms,
            None => {
                made = NameTerms::of(path);
                &made
            }
        };
        // Whoever registers it may be one source more.
        let live = self.contents.get(key).map_or(0, Content::live).saturating_add(1);
        let kind = Kind::of_name(path.file_name());
        self.text.memtable.add(name.into(), (key.into(), live), kind, terms);
        if self.text.memtable.len() >= self.memtable_names.max(1) {
            self.freeze();
        }
    }

    /// Sets the memtable aside to be made into a segment.
    pub(super) fn freeze(&mut self) {
        if self.text.memtable.len() > 0 {
            let full = std::mem::take(&mut self.text.memtable);
            self.text.frozen.push(Arc::new(full));
        }
    }

    /// One live source more. Gives whether a bound may be too low for it now.
    fn come(&mut self, key: ContentKey) -> bool {
        let Some(content) = self.contents.get_mut(key) else { return false };
        let live = content.count(true);
        self.live_contents += u64::from(live == 1);
        live.is_power_of_two()
    }

    fn go(&mut self, key: ContentKey) {
        if let Some(content) = self.contents.get_mut(key) {
            let before = content.live();
            let live = content.count(false);
            self.live_contents -= u64::from(before == 1 && live == 0);
        }
    }
}

fn standing_of(name: &Name, content: &Content) -> Standing {
    Standing {
        live: content.live(),
        hash_prefix: content.hash_prefix(),
        is_used: name.live > 0,
        is_sole: content.has_one_name(),
        size_class: size_class(content.size),
    }
}
