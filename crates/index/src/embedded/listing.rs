//! Lists: files, peers, and one content with its sources.

use peerage_wire::api::{FileRow, Hit, ListParams, Page, PeerRow, Source, Stats, Total};
use peerage_wire::{ContentHash, Kind, PeerId, SharePath, limits};

use super::arena::{ContentKey, NameKey, PeerKey};
use super::contents::Content;
use super::peers::{Peer, clamp_bytes};
use super::state::State;
use crate::cursor::Cursor;
use crate::query::Place;
use crate::{Error, Result};

/// The id before which there is none.
const FIRST_ID: PeerId = PeerId::from_bytes([0; 32]);
/// Peers whose files below a path are counted for the total; more would hold the answer up.
const COUNTED_PEERS_MAX: usize = 10_000;
/// Sources that are all asked for a name, where those that are shown don't have it.
const OWNERS_LOOKED_AT_MAX: u32 = 16;

/// Rows on a page: what was asked for within the limits.
pub(super) fn page_rows(asked: Option<usize>, default: usize) -> Result<usize> {
    match asked.unwrap_or(default) {
        rows @ 1..=limits::PAGE_ROWS_MAX => Ok(rows),
        rows => Err(Error::BadLimit(rows)),
    }
}

/// The peers a list is about, by id: some, or all that are live.
enum Listed {
    Some(Vec<PeerKey>),
    All,
}

impl State {
    pub(super) fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        let most = page_rows(params.limit, limits::PAGE_ROWS_DEFAULT)?;
        let (first, after) = match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => (FIRST_ID, None),
            Some(Cursor::File(peer, path)) => (peer, Some(path)),
            Some(_) => return Err(Error::BadCursor),
        };
        let peers = self.listed(params);
        let total = self.count_files(&peers, params.under.as_ref());
        let rows = self.listed_from(&peers, first).flat_map(|(key, peer)| {
            let after = after.as_ref().filter(|_| peer.id == first);
            self.places(peer, params.under.as_ref(), after).filter_map(move |at| {
                let file = self.file_of(&peer.manifest, at)?;
                Some(FileRow { file, peer: self.peers.get(key)?.id, name: peer.name.clone() })
            })
        });
        Ok(page(most, total, rows, |row| Cursor::File(row.peer, row.file.path.clone())))
    }

    /// The places in a manifest of the files at or below a path, after another.
    fn places(
        &self,
        peer: &Peer,
        under: Option<&SharePath>,
        after: Option<&SharePath>,
    ) -> impl Iterator<Item = usize> + use<> {
        let manifest = &peer.manifest;
        let (itself, below) = match under {
            Some(under) => manifest.under(&self.names, under),
            None => (None, 0..manifest.len()),
        };
        let start = after.map_or(0, |after| match manifest.find(&self.names, after.as_str()) {
            Ok(at) => at + 1,
            Err(at) => at,
        });
        itself.filter(|at| *at >= start).into_iter().chain(below.start.max(start)..below.end)
    }

    fn count_files(&self, peers: &Listed, under: Option<&SharePath>) -> Total {
        let (Some(under), peers) = (under, peers) else {
            let value = match peers {
                Listed::All => self.files,
                Listed::Some(keys) => keys
                    .iter()
                    .filter_map(|key| self.peers.get(*key))
                    .map(|peer| peer.manifest.len() as u64)
                    .sum(),
            };
            return Total { value, exact: true };
        };
        let mut peers = self.listed_from(peers, FIRST_ID);
        let counts = peers.by_ref().take(COUNTED_PEERS_MAX).map(|(_, peer)| {
            let (itself, below) = peer.manifest.under(&self.names, under);
            (usize::from(itself.is_some()) + below.len()) as u64
        });
        let value = counts.sum();
        Total { value, exact: peers.next().is_none() }
    }

    pub(super) fn list_peers(&self, params: &ListParams) -> Result<Page<PeerRow>> {
        let most = page_rows(params.limit, limits::PAGE_ROWS_DEFAULT)?;
        let after = match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => None,
            Some(Cursor::Peer(peer)) => Some(peer),
            Some(_) => return Err(Error::BadCursor),
        };
        let peers = self.listed(params);
        let value = match &peers {
            Listed::All => self.peers.leases.len() as u64,
            Listed::Some(keys) => keys.len() as u64,
        };
        let from = self.listed_from(&peers, after.unwrap_or(FIRST_ID));
        let rows = from.filter(|(_, peer)| Some(peer.id) > after).map(|(_, peer)| peer.row());
        Ok(page(most, Total { value, exact: true }, rows, |row| Cursor::Peer(row.peer)))
    }

    pub(super) fn peer(&self, id: PeerId) -> Option<PeerRow> {
        self.peers.live_key(id).and_then(|key| self.peers.get(key)).map(Peer::row)
    }

    /// A content with all of its names. `turn` chooses among its sources where there are more than are told.
    pub(super) fn content(&self, hash: ContentHash, turn: u32) -> Option<Hit> {
        let key = self.contents.find(&hash)?;
        let content = self.contents.get(key).filter(|content| content.live() > 0)?;
        let live = self.names.listed(content).filter(|(_, name)| name.live > 0);
        let mut names: Vec<_> = live.map(|(key, _)| (Place::File, key)).collect();
        self.sort_names(&mut names);
        let names: Vec<NameKey> = names.into_iter().map(|(_, name)| name).collect();
        self.hit(key, &names, &[], (turn, limits::HIT_SOURCES_MAX))
    }

    /// A content as an answer shows it, with its names in the order given, some of its sources that were asked for, and
    /// others from a place on. None where its last source is leaving just now, which is counted to its end.
    pub(super) fn hit(
        &self,
        key: ContentKey,
        names: &[NameKey],
        asked: &[PeerKey],
        others: (u32, usize),
    ) -> Option<Hit> {
        let content = self.contents.get(key)?;
        let sources = self.sources_of(content, names, asked, others);
        if sources.is_empty() {
            return None;
        }
        let shown = names.iter().take(limits::HIT_NAMES_MAX).filter_map(|name| self.path(*name));
        let shown: Vec<SharePath> = shown.collect();
        Some(Hit {
            hash: content.hash,
            size: content.size,
            kind: shown.first().map_or(Kind::Data, |first| Kind::of_name(first.file_name())),
            names: shown,
            highlights: Vec::new(),
            source_count: content.live().into(),
            sources,
        })
    }

    /// Some live sources of a content: those that were asked for, and others from a place in its list on. Each by id, but the one
    /// before that has the first of the names, and of several such the one that shares least: who sees one name and one
    /// owner takes them to belong together. Where there are few sources in all, it is looked for among all of them.
    fn sources_of(
        &self,
        content: &Content,
        names: &[NameKey],
        asked: &[PeerKey],
        (turn, most): (u32, usize),
    ) -> Vec<Source> {
        let list = content.sources;
        let start = turn.checked_rem(list.len()).unwrap_or(0);
        let is_live = |peer: &PeerKey| self.peers.leases.is_live(*peer);
        let mut others = self.sources.iter(list, start).filter(|peer| !asked.contains(peer)).filter(is_live);
        let mut keys = asked.to_vec();
        keys.extend(others.by_ref().take(most.saturating_sub(asked.len())));
        let order = |key: &PeerKey| (!asked.contains(key), self.peers.get(*key).map(|peer| peer.id));
        keys.sort_unstable_by_key(order);
        if let Some(name) = names.first() {
            let is_sole = content.has_one_name() && !content.has_unlisted();
            let has_it = |key: &PeerKey| self.has_name(&[*key], *name);
            let len = |key: PeerKey| self.peers.get(key).map_or(0, |peer| peer.manifest.len());
            // The least to look through first.
            let least = |at: &usize| (!asked.contains(&keys[*at]), len(keys[*at]));
            let first = if is_sole {
                (0..keys.len()).min_by_key(least)
            } else {
                let mut by_len: Vec<usize> = (0..keys.len()).collect();
                by_len.sort_by_key(least);
                by_len.into_iter().find(|at| has_it(&keys[*at]))
            };
            if let Some(at) = first {
                keys[..=at].rotate_right(1);
            } else if content.live() <= OWNERS_LOOKED_AT_MAX
                && let Some(owner) = others.find(has_it)
            {
                keys.pop();
                keys.insert(0, owner);
            }
        }
        let peers: Vec<&Peer> = keys.iter().filter_map(|key| self.peers.get(*key)).collect();
        // Only a door that goes by names needs to know where the content lies: under a name that is shown, or any other.
        let mut of_content = Vec::new();
        if peers.iter().any(|peer| peer.doors.ftp.is_some()) {
            of_content.extend_from_slice(names);
            of_content.extend(self.names.listed(content).map(|(name, _)| name));
        }
        peers.into_iter().map(|peer| peer.source(&self.names, &of_content)).collect()
    }

    /// Live sources of a content that are among some peers (in the order of their numbers), as many as an answer shows, the
    /// first by id. Where both are many, of the first of these peers alone.
    pub(super) fn sources_among(&self, content: &Content, peers: &[PeerKey]) -> Vec<PeerKey> {
        /// So many sources are looked through rather than asked, and so many peers are asked where there are more.
        const LOOKED_THROUGH: u32 = 1_024;
        const ASKED_MAX: usize = 64;
        if peers.is_empty() {
            return Vec::new();
        }
        let is_live = |peer: &PeerKey| self.peers.leases.is_live(*peer);
        let mut among: Vec<PeerKey> = if content.sources.len() <= LOOKED_THROUGH {
            let sources = self.sources.iter(content.sources, 0).filter(is_live);
            sources.filter(|peer| peers.binary_search(peer).is_ok()).collect()
        } else {
            let names: Vec<NameKey> = self.names.listed(content).map(|(name, _)| name).collect();
            let has_one = |peer: &PeerKey| names.iter().any(|name| self.has_name(&[*peer], *name));
            peers.iter().take(ASKED_MAX).copied().filter(is_live).filter(has_one).collect()
        };
        among.sort_unstable_by_key(|key| self.peers.get(*key).map(|peer| peer.id));
        among.truncate(limits::SEARCH_SOURCES_MAX);
        among
    }

    /// Whether one of some peers has a name.
    pub(super) fn has_name(&self, peers: &[PeerKey], name: NameKey) -> bool {
        let mut peers = peers.iter().filter_map(|key| self.peers.get(*key));
        peers.any(|peer| peer.manifest.has(&self.names, name))
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            peers: self.peers.leases.len() as u64,
            files: self.files,
            contents: self.live_contents,
            bytes: clamp_bytes(self.bytes),
            memory: self.memory(),
        }
    }

    fn listed(&self, params: &ListParams) -> Listed {
        params.peer.as_ref().map_or(Listed::All, |text| Listed::Some(self.peers.meant(text)))
    }

    /// The listed peers from an id on.
    fn listed_from<'a>(
        &'a self,
        listed: &'a Listed,
        first: PeerId,
    ) -> Box<dyn Iterator<Item = (PeerKey, &'a Peer)> + 'a> {
        match listed {
            Listed::All => Box::new(self.peers.live_from(first)),
            Listed::Some(keys) => {
                let peers = keys.iter().filter_map(|key| Some((*key, self.peers.get(*key)?)));
                Box::new(peers.filter(move |(_, peer)| peer.id >= first))
            }
        }
    }
}

/// Takes one page of rows, and a cursor where there are more.
fn page<T>(most: usize, total: Total, rows: impl Iterator<Item = T>, at: impl Fn(&T) -> Cursor) -> Page<T> {
    let mut hits: Vec<T> = rows.take(most + 1).collect();
    let has_more = hits.len() > most;
    hits.truncate(most);
    let cursor = hits.last().filter(|_| has_more).and_then(|last| at(last).to_text());
    Page { total, hits, cursor, matched: None }
}
