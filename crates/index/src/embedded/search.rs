//! A search: names that match become contents, which are filtered, counted and put in order, a page at a time.
//!
//! Invariants: a page depends on nothing but what is registered and its parameters. A later page reads the words as the
//! first did, even when something else would match by then.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::ops::Range;

use peerage_wire::api::{Hit, Matched, Page, SearchParams, Sort, Total};
use peerage_wire::{Kind, SharePath, limits};

use super::arena::{ContentKey, NameKey, PeerKey};
use super::contents::Content;
use super::listing::page_rows;
use super::registry::Registry;
use super::text::Found;
use crate::cursor::Cursor;
use crate::query::{Filters, Place, Query};
use crate::rank::{ByName, Standing};
use crate::{Error, Result};

impl Registry {
    pub(super) fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        let query = Query::parse(&params.q)?;
        let search = Search::new(self, params, query.filters());
        match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => {
                let readings = [Matched::Exact, Matched::Substring, Matched::Typo];
                let pages =
                    readings.into_iter().filter_map(|how| Some(search.page(&query.read_as(how)?, how, None)));
                let found = pages.into_iter().find(|page| page.total.value > 0);
                Ok(found.unwrap_or_else(nothing))
            }
            Some(Cursor::Search(how, after)) if after.sort() == search.sort => {
                let query = query.read_as(how).ok_or(Error::BadCursor)?;
                Ok(search.page(&query, how, Some(&after)))
            }
            Some(_) => Err(Error::BadCursor),
        }
    }
}

fn nothing() -> Page<Hit> {
    let total = Total { value: 0, exact: true };
    Page { total, hits: Vec::new(), cursor: None, matched: Some(Matched::Exact) }
}

struct Search<'a> {
    registry: &'a Registry,
    params: &'a SearchParams,
    filters: &'a Filters,
    sort: Sort,
    /// Of each group one must have a content.
    peers: Vec<Vec<PeerKey>>,
    without_peers: Vec<PeerKey>,
}

/// A name that matched; sorted, those of one content are together, the best placed first.
type Match = (ContentKey, Place, NameKey);

/// A content that passed the filters: where it stands, and which of the matches are its names.
struct Candidate {
    standing: Standing,
    content: ContentKey,
    matches: Range<usize>,
}

impl<'a> Search<'a> {
    fn new(registry: &'a Registry, params: &'a SearchParams, filters: &'a Filters) -> Self {
        let meant = |texts: &[String]| texts.iter().flat_map(|text| registry.peers.meant(text)).collect();
        let mut peers: Vec<Vec<PeerKey>> = Vec::new();
        peers.extend(params.peer.as_deref().map(|text| registry.peers.meant(text)));
        peers.extend((!filters.peers.is_empty()).then(|| meant(&filters.peers)));
        let without_peers = meant(&filters.without_peers);
        Self { registry, params, filters, sort: params.sort.unwrap_or_default(), peers, without_peers }
    }

    fn page(&self, query: &Query, how: Matched, after: Option<&Standing>) -> Page<Hit> {
        let matches = self.matches(&self.registry.contents.names().text().find(query));
        let most = page_rows(self.params.limit, limits::HITS_DEFAULT);
        let (total, mut best) = self.best(&matches, after, most + 1);
        let has_more = best.len() > most;
        best.truncate(most);
        let last = best.last().filter(|_| has_more);
        let cursor = last.and_then(|last| Cursor::Search(how, last.standing.clone()).to_text());
        let hits = best.iter().filter_map(|candidate| self.hit(query, candidate, &matches)).collect();
        let exact = total <= limits::TOTAL_EXACT_MAX;
        let total = Total { value: total.min(limits::TOTAL_EXACT_MAX), exact };
        Page { total, hits, cursor, matched: Some(how) }
    }

    fn matches(&self, found: &Found) -> Vec<Match> {
        let names = self.registry.contents.names();
        let mut in_file = found.in_file.iter().peekable();
        let mut matches = Vec::with_capacity(usize::try_from(found.anywhere.len()).unwrap_or_default());
        for number in &found.anywhere {
            let place = if in_file.next_if_eq(&number).is_some() { Place::File } else { Place::Folder };
            let key = NameKey::from(number);
            let name = names.get(key).filter(|name| self.takes_kind(name.kind));
            matches.extend(name.map(|name| (name.content, place, key)));
        }
        matches.sort_unstable();
        matches
    }

    /// Counts the contents that pass the filters, and keeps so many of those that stand after a place, in order.
    fn best(&self, matches: &[Match], after: Option<&Standing>, most: usize) -> (u64, Vec<Candidate>) {
        let (mut total, mut start) = (0, 0);
        let mut best = BinaryHeap::with_capacity(most + 1);
        for group in matches.chunk_by(|left, right| left.0 == right.0) {
            let range = start..start + group.len();
            start = range.end;
            let Some(candidate) = self.candidate(group, range) else { continue };
            total += 1;
            if after.is_some_and(|after| candidate.standing <= *after) {
                continue;
            }
            if best.len() < most {
                best.push(candidate);
            } else if let Some(mut worst) = best.peek_mut().filter(|worst| candidate < **worst) {
                *worst = candidate; // most candidates end at that comparison
            }
        }
        (total, best.into_sorted_vec())
    }

    fn candidate(&self, group: &[Match], matches: Range<usize>) -> Option<Candidate> {
        let (key, place, _) = *group.first()?;
        let content = self.registry.contents.get(key)?;
        if !self.passes(key, content) {
            return None;
        }
        let standing = match self.sort {
            Sort::Rank => Standing::Rank(place, Reverse(content.sources), content.hash),
            Sort::Size => Standing::Size(Reverse(content.size), content.hash),
            Sort::Name => Standing::Name(self.smallest_name(group)?, content.hash),
            Sort::Newest => Standing::Newest(Reverse(self.newest(content, group)?), content.hash),
        };
        Some(Candidate { standing, content: key, matches })
    }

    fn takes_kind(&self, kind: Kind) -> bool {
        self.params.kind.is_none_or(|asked| asked == kind) && self.filters.takes_kind(kind)
    }

    fn passes(&self, key: ContentKey, content: &Content) -> bool {
        let SearchParams { min_size, max_size, .. } = self.params;
        let one_has = |peers: &[PeerKey]| peers.iter().any(|peer| self.registry.contents.has(*peer, key));
        min_size.is_none_or(|min| content.size >= min)
            && max_size.is_none_or(|max| content.size <= max)
            && self.filters.takes_size(content.size)
            && self.filters.takes_hash(&content.hash)
            && self.peers.iter().all(|peers| one_has(peers))
            && !one_has(&self.without_peers)
    }

    fn paths<'b>(&'b self, group: &'b [Match]) -> impl Iterator<Item = &'b SharePath> {
        let names = self.registry.contents.names();
        group.iter().filter_map(|(_, _, name)| names.get(*name)).map(|name| &name.path)
    }

    fn smallest_name(&self, group: &[Match]) -> Option<ByName> {
        self.paths(group).cloned().map(ByName).min()
    }

    fn names_in_order(&self, group: &[Match]) -> Vec<NameKey> {
        let mut names: Vec<_> = group.iter().map(|(_, place, name)| (*place, *name)).collect();
        self.registry.contents.names().sort(&mut names);
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn newest(&self, content: &Content, group: &[Match]) -> Option<i64> {
        self.paths(group).filter_map(|path| self.registry.told.newest(content.hash, path)).max()
    }

    fn hit(&self, query: &Query, candidate: &Candidate, matches: &[Match]) -> Option<Hit> {
        let group = matches.get(candidate.matches.clone())?;
        let mut hit = self.registry.hit(candidate.content, &self.names_in_order(group))?;
        hit.highlights = query.hit_highlights(&hit.names);
        Some(hit)
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.standing.cmp(&other.standing)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.standing == other.standing
    }
}

impl Eq for Candidate {}
