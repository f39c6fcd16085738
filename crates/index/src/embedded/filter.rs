//! What a search asks besides words: sizes, types, peers, contents.
//!
//! Invariant: a filter by peers or hashes is a set of contents that was made once, so that each match is asked in no time.

use peerage_wire::Kind;
use peerage_wire::api::SearchParams;
use roaring::RoaringBitmap;

use super::arena::{ContentKey, PeerKey};
use super::contents::Content;
use super::segments::Sizes;
use super::state::State;
use crate::query::Query;

/// Contents that are looked at one by one rather than searched for: a few milliseconds.
const FEW: u64 = 4_096;

/// The conditions of one search.
pub(super) struct Filter {
    kinds: Vec<Vec<Kind>>,
    min_size: u64,
    max_size: u64,
    contents: Option<RoaringBitmap>,
    without: Option<RoaringBitmap>,
    /// The peers that are asked for, in the order of their numbers.
    peers: Vec<PeerKey>,
}

impl Filter {
    pub(super) fn of(state: &State, params: &SearchParams, query: &Query) -> Self {
        let asked = query.filters();
        let mut filter = Self {
            kinds: Vec::new(),
            min_size: params.min_size.unwrap_or(0).max(asked.min_size.unwrap_or(0)),
            max_size: params.max_size.unwrap_or(u64::MAX).min(asked.max_size.unwrap_or(u64::MAX)),
            contents: None,
            without: None,
            peers: Vec::new(),
        };
        filter.kinds.extend(params.kind.map(|kind| vec![kind]));
        if !asked.kinds.is_empty() {
            filter.kinds.push(asked.kinds.clone());
        }
        if let Some(text) = &params.peer {
            filter.narrow_to_peers(state, state.peers.meant(text));
        }
        if !asked.peers.is_empty() {
            let peers: Vec<PeerKey> = asked.peers.iter().flat_map(|text| state.peers.meant(text)).collect();
            filter.narrow_to_peers(state, peers);
        }
        if !asked.without_peers.is_empty() {
            let peers: Vec<PeerKey> =
                asked.without_peers.iter().flat_map(|text| state.peers.meant(text)).collect();
            filter.without = Some(of_peers(state, &peers));
        }
        if !asked.hashes.is_empty() {
            let keys = asked.hashes.iter().filter_map(|hash| state.contents.find(hash));
            filter.narrow(keys.map(u32::from).collect());
        }
        filter
    }

    fn narrow_to_peers(&mut self, state: &State, peers: Vec<PeerKey>) {
        self.narrow(of_peers(state, &peers));
        self.peers.extend(peers);
        self.peers.sort_unstable();
        self.peers.dedup();
    }

    fn narrow(&mut self, contents: RoaringBitmap) {
        self.contents = Some(match self.contents.take() {
            Some(before) => before & contents,
            None => contents,
        });
    }

    /// The peers that are asked for, in the order of their numbers.
    pub(super) fn peers(&self) -> &[PeerKey] {
        &self.peers
    }

    /// The contents to look at, where they are few.
    pub(super) fn few(&self) -> Option<Vec<ContentKey>> {
        let contents = self.contents.as_ref().filter(|contents| contents.len() <= FEW)?;
        Some(contents.iter().map(ContentKey::from).collect())
    }

    /// The one type that is asked for, where it is one.
    pub(super) fn one_kind(&self) -> Option<Kind> {
        match self.kinds.as_slice() {
            [kinds] => match kinds.as_slice() {
                [kind] => Some(*kind),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether names must be asked one by one for what the text index does not answer.
    pub(super) fn asks_names(&self) -> bool {
        !self.kinds.is_empty() && self.one_kind().is_none()
    }

    /// Whether a name is of a type that is asked for; its path is read only where some are.
    pub(super) fn takes_name<'a>(&self, path: impl Fn() -> &'a str) -> bool {
        if self.kinds.is_empty() {
            return true;
        }
        let path = path();
        let file_name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let kind = Kind::of_name(file_name);
        self.kinds.iter().all(|kinds| kinds.contains(&kind))
    }

    /// Whether a segment's marks tell what else than words and one type is asked for.
    pub(super) fn asks_marks_only(&self) -> bool {
        self.contents.is_none() && self.without.is_none() && !self.asks_names()
    }

    /// The sizes that are asked for, where not all are.
    pub(super) fn sizes(&self) -> Option<Sizes> {
        let all = (0, u64::MAX);
        ((self.min_size, self.max_size) != all).then(|| Sizes::new(self.min_size, self.max_size))
    }

    /// Whether a live content is what is asked for.
    pub(super) fn passes(&self, key: ContentKey, content: &Content) -> bool {
        content.live() > 0
            && (self.min_size..=self.max_size).contains(&content.size)
            && self.contents.as_ref().is_none_or(|contents| contents.contains(key.into()))
            && !self.without.as_ref().is_some_and(|without| without.contains(key.into()))
    }
}

fn of_peers(state: &State, peers: &[PeerKey]) -> RoaringBitmap {
    let manifests = peers.iter().filter_map(|key| state.peers.get(*key)).map(|peer| &peer.manifest);
    let names = manifests.flat_map(|manifest| &manifest.names).filter_map(|name| state.names.get(*name));
    let mut contents: Vec<u32> = names.map(|name| name.content.into()).collect();
    contents.sort_unstable();
    contents.dedup();
    RoaringBitmap::from_sorted_iter(contents).unwrap_or_default()
}
