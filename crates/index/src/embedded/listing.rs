//! Lists: files, peers, and one content with its sources.

use peerage_wire::api::{FileRow, Hit, ListParams, Page, PeerRow, Source, Total};
use peerage_wire::{ContentHash, Kind, PeerId, SharePath, limits};

use super::arena::{ContentKey, NameKey, PeerKey};
use super::peers::Peer;
use super::registry::Registry;
use crate::cursor::Cursor;
use crate::{Error, Result};

/// The id before which there is none.
const FIRST_ID: PeerId = PeerId::from_bytes([0; 32]);

/// Rows on a page: what was asked for within the limits.
pub(super) fn page_rows(asked: Option<usize>, default: usize) -> usize {
    asked.unwrap_or(default).clamp(1, limits::PAGE_ROWS_MAX)
}

impl Registry {
    pub(super) fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        let (first, after) = match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => (FIRST_ID, None),
            Some(Cursor::File(peer, path)) => (peer, Some(path)),
            Some(_) => return Err(Error::BadCursor),
        };
        let under = params.under.as_ref();
        let peers = self.listed_peers(params);
        let total = peers.iter().map(|peer| count_under(peer, under)).sum();
        let rows = peers.iter().filter(|peer| peer.id >= first).flat_map(|peer| {
            let after = after.as_ref().filter(|_| peer.id == first);
            peer.manifest.listed(under, after).map(|file| FileRow {
                file: file.clone(),
                peer: peer.id,
                name: peer.name.clone(),
            })
        });
        Ok(page(params, total, rows, |row| Cursor::File(row.peer, row.file.path.clone())))
    }

    pub(super) fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>> {
        let after = match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => None,
            Some(Cursor::Peer(peer)) => Some(peer),
            Some(_) => return Err(Error::BadCursor),
        };
        let peers = self.listed_peers(params);
        let rows = peers.iter().filter(|peer| Some(peer.id) > after).map(|peer| peer.row());
        Ok(page(params, peers.len() as u64, rows, |row| Cursor::Peer(row.peer)))
    }

    pub(super) fn peer(&self, id: PeerId) -> Option<PeerRow> {
        self.peers.live_key(id).and_then(|key| self.peers.get(key)).map(Peer::row)
    }

    pub(super) fn content(&self, hash: ContentHash) -> Option<Hit> {
        let key = self.contents.by_hash(hash)?;
        self.hit(key, &self.contents.names().best_of(key))
    }

    /// A content as an answer shows it, with its names in the order given.
    pub(super) fn hit(&self, key: ContentKey, names: &[NameKey]) -> Option<Hit> {
        let content = self.contents.get(key)?;
        let all = names.iter().filter_map(|name| self.contents.names().get(*name));
        let all: Vec<&SharePath> = all.map(|name| &name.path).collect();
        let names: Vec<SharePath> = all.iter().take(limits::HIT_NAMES_MAX).copied().cloned().collect();
        let kind = names.first().map_or(Kind::Data, |path| Kind::of_name(path.file_name()));
        Some(Hit {
            hash: content.hash,
            size: content.size,
            kind,
            names,
            highlights: Vec::new(),
            source_count: content.sources,
            sources: self.sources(key, content.hash, &all),
        })
    }

    /// The sources of a content, by id, as many as an answer shows.
    fn sources(&self, key: ContentKey, hash: ContentHash, names: &[&SharePath]) -> Vec<Source> {
        let mut peers: Vec<&Peer> =
            self.contents.providers(key).filter_map(|peer| self.peers.get(peer)).collect();
        if peers.len() > limits::HIT_SOURCES_MAX {
            peers.select_nth_unstable_by_key(limits::HIT_SOURCES_MAX, |peer| peer.id);
            peers.truncate(limits::HIT_SOURCES_MAX);
        }
        peers.sort_unstable_by_key(|peer| peer.id);
        peers.into_iter().map(|peer| peer.source(hash, names)).collect()
    }

    /// The peers a list is about, by id.
    fn listed_peers(&self, params: &ListParams) -> Vec<&Peer> {
        match &params.peer {
            Some(text) => self.peers.meant(text).into_iter().filter_map(|key| self.peers.get(key)).collect(),
            None => self.peers.live_from(FIRST_ID).map(|(_, peer): (PeerKey, &Peer)| peer).collect(),
        }
    }
}

fn count_under(peer: &Peer, under: Option<&SharePath>) -> u64 {
    if under.is_none() { peer.manifest.len() } else { peer.manifest.listed(under, None).count() as u64 }
}

/// Takes one page of rows, and a cursor where there are more.
fn page<T>(
    params: &ListParams,
    total: u64,
    rows: impl Iterator<Item = T>,
    at: impl Fn(&T) -> Cursor,
) -> Page<T> {
    let most = page_rows(params.limit, limits::PAGE_ROWS_DEFAULT);
    let mut hits: Vec<T> = rows.take(most + 1).collect();
    let has_more = hits.len() > most;
    hits.truncate(most);
    let cursor = hits.last().filter(|_| has_more).and_then(|last| at(last).to_text());
    Page { total: Total { value: total, exact: true }, hits, cursor, matched: None }
}
