//! The index as one would explain it: a list of peers with their files, and every answer worked out from all of it.
//!
//! Slow and plain on purpose. What a query means is taken from `peerage_index::query`, which has tests of its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use peerage_index::query::{Filters, Place, Query};
use peerage_index::terms::{NameTerms, fold};
use peerage_index::{Error, Moment, Result};
use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit, Matched,
    PeerRow, SearchParams, Sort, Source, Stats,
};
use peerage_wire::{ContentHash, FileEntry, Kind, PeerId, SharePath, limits};

use super::fixture::{SEEN_IP, digest_of};

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) peers: BTreeMap<PeerId, ModelPeer>,
    /// The latest time told for each name that a known peer has.
    told: BTreeMap<(ContentHash, SharePath), i64>,
}

#[derive(Debug)]
pub(crate) struct ModelPeer {
    pub(crate) said: Announcement,
    pub(crate) next_seq: u64,
    asked: bool,
    lease_end: Option<Moment>,
    has_left: bool,
    pub(crate) files: BTreeMap<SharePath, FileEntry>,
}

/// What a content looks like among all registrations: its matching names best first, and when the newest changed.
struct Found {
    hit: Hit,
    place: Place,
    by_name: (bool, String, SharePath),
    newest: i64,
}

impl Model {
    pub(crate) fn announce(&mut self, id: PeerId, said: &Announcement, now: Moment) -> Result<Announced> {
        let fresh = || ModelPeer::new(said.clone());
        let peer = self.peers.entry(id).or_insert_with(fresh);
        if said.epoch < peer.said.epoch {
            return Err(Error::StaleEpoch { current: peer.said.epoch, found: said.epoch });
        }
        let agrees = digest_of(peer.files.values()) == said.digest;
        let is_retry = said.epoch == peer.said.epoch && peer.lease_end.is_some() && peer.next_seq > 0;
        if !is_retry {
            peer.next_seq = 0;
            if !agrees {
                peer.files.clear();
            }
            peer.asked = digest_of(peer.files.values()) != said.digest;
        }
        peer.said = said.clone();
        peer.has_left = false;
        peer.lease_end = peer.lease_end.max(Some(now.after(limits::LEASE)));
        let resync = peer.asked && !agrees;
        self.forget_times();
        let address = SocketAddr::new(SEEN_IP, said.doors.native);
        Ok(Announced { lease_secs: 90, heartbeat_secs: 30, address, resync })
    }

    pub(crate) fn apply(&mut self, id: PeerId, order: BatchOrder, changes: &[Change]) -> Result<Applied> {
        let peer = self.live_mut(id)?;
        let before = peer.files.clone();
        if order.epoch != peer.said.epoch || order.seq > peer.next_seq {
            return Err(Error::OutOfOrder {
                expected_epoch: peer.said.epoch,
                expected_seq: peer.next_seq,
                found_epoch: order.epoch,
                found_seq: order.seq,
            });
        }
        if order.seq == peer.next_seq {
            for change in changes {
                match change {
                    Change::Add(file) => peer.files.insert(file.path.clone(), file.clone()),
                    Change::Remove { path } => peer.files.remove(path),
                };
            }
            peer.next_seq += 1;
        }
        let after = peer.files.clone();
        for file in after.values().filter(|file| before.get(&file.path) != Some(file)) {
            // What lies before 1970 or after 2106 counts as that end.
            let told = file.modified.clamp(0, i64::from(u32::MAX));
            let newest = self.told.entry((file.hash, file.path.clone())).or_insert(told);
            *newest = told.max(*newest);
        }
        self.forget_times();
        Ok(Applied { files: after.len() as u64 })
    }

    fn forget_times(&mut self) {
        let files = self.peers.values().flat_map(|peer| peer.files.values());
        let held: BTreeSet<_> = files.map(|file| (file.hash, &file.path)).collect();
        self.told.retain(|(hash, path), _| held.contains(&(*hash, path)));
    }

    pub(crate) fn heartbeat(&mut self, id: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        let peer = self.peers.get_mut(&id).filter(|peer| !peer.has_left).ok_or(Error::UnknownPeer)?;
        if beat.epoch < peer.said.epoch {
            return Err(Error::StaleEpoch { current: peer.said.epoch, found: beat.epoch });
        }
        if beat.epoch > peer.said.epoch {
            return Err(Error::UnknownPeer);
        }
        if peer.lease_end.is_none() && beat.digest != Some(digest_of(peer.files.values())) {
            return Err(Error::UnknownPeer);
        }
        peer.lease_end = peer.lease_end.max(Some(now.after(limits::LEASE)));
        let resync = beat.digest.is_some_and(|digest| digest != digest_of(peer.files.values()));
        Ok(HeartbeatReply { lease_secs: 90, resync })
    }

    pub(crate) fn quit(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            (peer.lease_end, peer.has_left) = (None, true);
        }
    }

    /// The index is started again: everything is known, and nobody is here.
    pub(crate) fn restart(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.lease_end = None);
    }

    pub(crate) fn expire(&mut self, now: Moment) -> Vec<PeerId> {
        let ended = self.peers.iter_mut().filter(|(_, peer)| peer.lease_end.is_some_and(|end| end <= now));
        ended
            .map(|(id, peer)| {
                peer.lease_end = None;
                *id
            })
            .collect()
    }

    /// Every hit, in order, and how the words were read.
    pub(crate) fn search(&self, params: &SearchParams) -> Result<(Matched, Vec<Hit>)> {
        let query = Query::parse(&params.q)?;
        let peers = params.peer.iter().chain(&query.filters().peers);
        let asked: BTreeSet<_> = peers.flat_map(|peer| self.meant(Some(peer))).map(|(id, _)| *id).collect();
        let sort_by = params.sort.unwrap_or_default();
        for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
            let Some(query) = query.read_as(how) else { continue };
            let place_of = |path: &SharePath| {
                let kind = Kind::of_name(path.file_name());
                let is_asked = params.kind.is_none_or(|asked| asked == kind);
                query.find(&NameTerms::of(path)).filter(|_| is_asked && query.filters().takes_kind(kind))
            };
            let mut found: Vec<Found> =
                self.hashes().into_iter().filter_map(|hash| self.found(hash, place_of, &asked)).collect();
            found.retain(|found| self.passes(&found.hit, params, query.filters()));
            if sort_by == Sort::Name {
                found.iter_mut().for_each(|found| self.show_first(&mut found.hit, &found.by_name.2, &asked));
            }
            found.iter_mut().for_each(|found| found.hit.names.truncate(limits::HIT_NAMES_MAX));
            found.iter_mut().for_each(|found| found.hit.highlights = query.hit_highlights(&found.hit.names));
            sort(&mut found, sort_by);
            if !found.is_empty() {
                return Ok((how, found.into_iter().map(|found| found.hit).collect()));
            }
        }
        Ok((Matched::Exact, Vec::new()))
    }

    pub(crate) fn content(&self, hash: ContentHash) -> Option<Hit> {
        self.found(hash, |_| Some(Place::File), &BTreeSet::new()).map(|mut found| {
            found.hit.names.truncate(limits::HIT_NAMES_MAX);
            found.hit
        })
    }

    pub(crate) fn files(&self, peer: Option<&str>, under: Option<&SharePath>) -> Vec<FileRow> {
        let is_under =
            |path: &SharePath| under.is_none_or(|under| path == under || path.below(under).is_some());
        let rows = self.meant(peer).into_iter().flat_map(|(id, peer)| {
            let files = peer.files.values().filter(|file| is_under(&file.path));
            files.map(|file| FileRow { file: file.clone(), peer: *id, name: peer.said.name.clone() })
        });
        rows.collect()
    }

    pub(crate) fn peers(&self, peer: Option<&str>) -> Vec<PeerRow> {
        self.meant(peer).into_iter().map(|(id, peer)| peer.row(*id)).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let rows = self.files(None, None);
        Stats {
            peers: self.live().count() as u64,
            files: rows.len() as u64,
            contents: self.hashes().len() as u64,
            bytes: rows.iter().map(|row| row.file.size).sum(),
            ..Stats::default()
        }
    }

    fn live(&self) -> impl Iterator<Item = (&PeerId, &ModelPeer)> {
        self.peers.iter().filter(|(_, peer)| peer.lease_end.is_some())
    }

    fn live_mut(&mut self, id: PeerId) -> Result<&mut ModelPeer> {
        self.peers.get_mut(&id).filter(|peer| peer.lease_end.is_some()).ok_or(Error::UnknownPeer)
    }

    fn meant(&self, text: Option<&str>) -> Vec<(&PeerId, &ModelPeer)> {
        let Some(text) = text else { return self.live().collect() };
        let begins = |id: &PeerId| text.len() >= 4 && id.to_string().starts_with(&text.to_lowercase());
        let is_one = self.live().filter(|(id, _)| begins(id)).count() == 1;
        let is_spelt_so = |peer: &ModelPeer| peer.said.name.as_str() == text;
        let any_is = self.live().any(|(_, peer)| is_spelt_so(peer));
        let is_named = |peer: &ModelPeer| {
            if any_is { is_spelt_so(peer) } else { fold(peer.said.name.as_str()) == fold(text) }
        };
        let is_meant =
            |id: &PeerId, peer: &ModelPeer| (text.len() < 64 && is_named(peer)) || (is_one && begins(id));
        self.live().filter(|(id, peer)| is_meant(id, peer)).collect()
    }

    fn hashes(&self) -> BTreeSet<ContentHash> {
        self.live().flat_map(|(_, peer)| peer.files.values()).map(|file| file.hash).collect()
    }

    fn found(
        &self,
        hash: ContentHash,
        place_of: impl Fn(&SharePath) -> Option<Place>,
        asked: &BTreeSet<PeerId>,
    ) -> Option<Found> {
        let mut names: BTreeMap<SharePath, u64> = BTreeMap::new();
        let mut sizes: BTreeMap<u64, BTreeSet<PeerId>> = BTreeMap::new();
        let mut sources = Vec::new();
        for (id, peer) in self.live() {
            let files: Vec<_> = peer.files.values().filter(|file| file.hash == hash).collect();
            for file in &files {
                *names.entry(file.path.clone()).or_default() += 1;
                sizes.entry(file.size).or_default().insert(*id);
            }
            sources.extend((!files.is_empty()).then(|| peer.source(*id)));
        }
        // What peers who are asked for have comes before: the first of those whom an answer shows.
        let holders = sources.iter().map(|source| source.peer).filter(|peer| asked.contains(peer));
        let asked: &BTreeSet<PeerId> = &holders.take(limits::SEARCH_SOURCES_MAX).collect();
        let is_others = |path: &SharePath| !asked.iter().any(|peer| self.has(peer, hash, path));
        let matching = names
            .into_iter()
            .filter_map(|(path, holders)| Some((is_others(&path), place_of(&path)?, Reverse(holders), path)));
        let matching: BTreeSet<_> = matching.collect();
        let first = &matching.first()?.3;
        let source_count = sources.len() as u64;
        let mut hit = Hit {
            hash,
            size: *sizes.iter().max_by_key(|(size, peers)| (peers.len(), Reverse(**size)))?.0,
            kind: Kind::of_name(first.file_name()),
            names: matching.iter().map(|name| name.3.clone()).collect(),
            highlights: Vec::new(),
            source_count,
            sources,
        };
        self.show_first(&mut hit, &first.clone(), asked);
        let by_name = matching.iter().map(|name| (name.0, fold(name.3.file_name()), name.3.clone())).min()?;
        let newest = matching.iter().filter_map(|name| self.told.get(&(hash, name.3.clone()))).max()?;
        Some(Found { hit, place: matching.iter().map(|name| name.1).min()?, by_name, newest: *newest })
    }

    fn has(&self, peer: &PeerId, hash: ContentHash, path: &SharePath) -> bool {
        self.peers.get(peer).and_then(|peer| peer.files.get(path)).is_some_and(|file| file.hash == hash)
    }

    /// Puts one of a hit's names before the others, and one who has it before the other sources.
    fn show_first(&self, hit: &mut Hit, name: &SharePath, asked: &BTreeSet<PeerId>) {
        hit.names.sort_by_key(|other| other != name);
        hit.kind = Kind::of_name(name.file_name());
        hit.sources.sort_by_key(|source| (!asked.contains(&source.peer), source.peer));
        let len = |at: &usize| {
            let peer = &hit.sources[*at].peer;
            (!asked.contains(peer), self.peers.get(peer).map_or(0, |peer| peer.files.len()))
        };
        let owners = (0..hit.sources.len()).filter(|at| self.has(&hit.sources[*at].peer, hit.hash, name));
        if let Some(at) = owners.min_by_key(len) {
            hit.sources[..=at].rotate_right(1);
        }
    }

    fn passes(&self, hit: &Hit, params: &SearchParams, filters: &Filters) -> bool {
        let one_has = |peers: &[&str]| {
            let mut meant = peers.iter().flat_map(|peer| self.meant(Some(peer)));
            meant.any(|(id, _)| hit.sources.iter().any(|source| source.peer == *id))
        };
        params.min_size.is_none_or(|min| hit.size >= min)
            && params.max_size.is_none_or(|max| hit.size <= max)
            && filters.takes_size(hit.size)
            && filters.takes_hash(&hit.hash)
            && params.peer.as_deref().is_none_or(|peer| one_has(&[peer]))
            && (filters.peers.is_empty() || one_has(&strs(&filters.peers)))
            && !one_has(&strs(&filters.without_peers))
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn sort(found: &mut [Found], sort: Sort) {
    found.sort_by_key(|found| found.hit.hash);
    match sort {
        Sort::Rank => found.sort_by_key(|found| (found.place, Reverse(found.hit.source_count))),
        Sort::Size => found.sort_by_key(|found| Reverse(found.hit.size)),
        Sort::Newest => found.sort_by_key(|found| Reverse(found.newest)),
        Sort::Name => found.sort_by_key(|found| (found.by_name.1.clone(), found.by_name.2.clone())),
    }
}

impl ModelPeer {
    fn new(said: Announcement) -> Self {
        Self { said, next_seq: 0, asked: false, lease_end: None, has_left: false, files: BTreeMap::new() }
    }

    fn source(&self, peer: PeerId) -> Source {
        let address = SocketAddr::new(SEEN_IP, self.said.doors.native);
        Source {
            peer,
            name: self.said.name.clone(),
            address,
            doors: self.said.doors,
            path: None,
            ftp: None,
            partial: false,
        }
    }

    fn row(&self, peer: PeerId) -> PeerRow {
        let Source { name, address, doors, .. } = self.source(peer);
        let bytes = self.files.values().map(|file| file.size).sum();
        PeerRow { peer, name, address, doors, files: self.files.len() as u64, bytes }
    }
}
