//! A page of hits: the best contents with the names and sources that are shown.
//!
//! Invariant: names that are shown match, and somebody here uses them.

use std::cmp::Reverse;

use peerage_wire::api::{Hit, Matched, Page, Sort, Total};
use peerage_wire::limits;

use super::super::arena::{ContentKey, NameKey, PeerKey};
use super::super::state::State;
use super::Tally;
use crate::cursor::{Cursor, Rest, Shown};
use crate::query::{Highlighter, Place};
use crate::rank::{self, Standing};

/// So many hits are made in less time than asking another thread for half of them takes.
const HITS_ALONE: usize = 12;
/// The same where that thread is surely asleep, since nobody looked for anything on it just now.
const HITS_ALONE_MANY: usize = 100;

impl Tally<'_> {
    pub(super) fn page(mut self, how: Matched) -> Page<Hit> {
        let mut best = Vec::from(std::mem::take(&mut self.best));
        let has_more = best.len() > self.search.most;
        best.truncate(self.search.most);
        let rest = has_more.then(|| self.rest_after(&best));
        let cursor = rest.and_then(|rest| Cursor::Search(self.search.asked, how, rest).to_text());
        let keys: Vec<ContentKey> = best.into_iter().map(|(_, key)| key).collect();
        let hits = self.hits_beside(&keys);
        let exact = self.is_exact && self.total <= limits::TOTAL_EXACT_MAX;
        let total = Total { value: self.total.min(limits::TOTAL_EXACT_MAX), exact };
        Page { total, hits, cursor, matched: Some(how) }
    }

    /// What a page leaves. Where the first was cut short, others may belong before what it shows.
    fn rest_after(&self, page: &[(Standing, ContentKey)]) -> Rest {
        let standings = || page.iter().map(|(standing, _)| standing);
        if self.wants_few() && !self.is_exact {
            return Rest { after: None, shown: Shown::of(standings().map(Standing::hash)) };
        }
        let shown = self.rest.map(|rest| rest.shown.clone()).unwrap_or_default();
        Rest { after: standings().next_back().cloned(), shown }
    }

    /// The hits of some contents: where a core is free, half of them are made on it.
    fn hits_beside(&mut self, keys: &[ContentKey]) -> Vec<Hit> {
        let is_worth_it = keys.len() > if self.is_short { HITS_ALONE_MANY } else { HITS_ALONE };
        let Some(helper) = is_worth_it.then(|| self.search.state.cores.try_enter()).flatten() else {
            return self.hits(keys).into_iter().flatten().collect();
        };
        // Every other one: the first have the most names.
        let [first, second] =
            [0, 1].map(|start| keys.iter().skip(start).step_by(2).copied().collect::<Vec<_>>());
        let mut beside = Self::new(self.search, self.query, self.rest);
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        helper.work_beside(|| firsts = self.hits(&first), || seconds = beside.hits(&second));
        let mut seconds = seconds.into_iter();
        firsts.into_iter().flat_map(|hit| [hit, seconds.next().flatten()]).flatten().collect()
    }

    fn hits(&mut self, keys: &[ContentKey]) -> Vec<Option<Hit>> {
        let names = self.search.state.names_in_use(keys);
        let mut highlighter = self.query.highlighter();
        keys.iter().zip(names).map(|(key, names)| self.hit(*key, names, &mut highlighter)).collect()
    }

    fn hit(
        &mut self,
        key: ContentKey,
        names: Vec<(u32, NameKey)>,
        highlighter: &mut Highlighter<'_>,
    ) -> Option<Hit> {
        let state = self.search.state;
        let asked = state.sources_among(state.contents.get(key)?, self.search.filter.peers());
        let names = self.first_names(names, &asked);
        let mut hit = state.hit(key, &names, &asked, (0, limits::SEARCH_SOURCES_MAX))?;
        hit.highlights = highlighter.of_matching(&hit.names);
        Some(hit)
    }

    /// The first names of a content that match, in the order in which they are shown, of those that somebody here uses, the
    /// most used first. Those that peers who are asked for have come before, and the name by which the hit stands where
    /// it does, where it stands by one.
    fn first_names(&mut self, live: Vec<(u32, NameKey)>, asked: &[PeerKey]) -> Vec<NameKey> {
        if let [(_, name)] = live.as_slice() {
            return vec![*name]; // it is the one that was found
        }
        let state = self.search.state;
        let is_by_use = asked.is_empty() && self.search.sort != Sort::Name;
        let (mut names, mut in_file, mut least) = (Vec::new(), 0, 0);
        for (live, key) in live {
            // Those that more use stand first, where all have the words in the file's own name.
            if live < least {
                break;
            }
            let Some(place) = self.place_of(key) else { continue };
            in_file += usize::from(place == Place::File);
            if is_by_use && in_file == limits::HIT_NAMES_MAX {
                least = live;
            }
            names.push((place, key));
        }
        state.sort_names(&mut names);
        if !asked.is_empty() {
            names.sort_by_cached_key(|(_, name)| !state.has_name(asked, *name));
        }
        if self.search.sort == Sort::Name
            && let Some(at) = self.first_by_name(&names, asked)
        {
            names[..=at].rotate_right(1);
        }
        names.truncate(limits::HIT_NAMES_MAX);
        names.into_iter().map(|(_, name)| name).collect()
    }
}

impl State {
    /// For each of some contents the names that somebody here uses, by how many, the most used first. Reads on the way what
    /// showing the contents will read: all of it lies all over memory, and that of one content need not wait for another's.
    fn names_in_use(&self, contents: &[ContentKey]) -> Vec<Vec<(u32, NameKey)>> {
        let contents: Vec<_> = contents.iter().map(|key| self.contents.get(*key)).collect();
        let mut all: Vec<Vec<(u32, NameKey)>> = vec![Vec::new(); contents.len()];
        let mut lists: Vec<_> = contents
            .iter()
            .zip(&mut all)
            .filter_map(|(content, names)| Some((self.names.listed((*content)?), names)))
            .collect();
        while !lists.is_empty() {
            lists.retain_mut(|(list, names)| {
                let next = list.next();
                names.extend(next.filter(|(_, name)| name.live > 0).map(|(key, name)| (name.live, key)));
                next.is_some()
            });
        }
        all.iter_mut().for_each(|names| names.sort_unstable_by_key(|(live, _)| Reverse(*live)));
        let shown = all.iter().flat_map(|names| names.iter().take(limits::HIT_NAMES_MAX));
        self.warm_names(&shown.map(|(_, key)| *key).collect::<Vec<_>>());
        let sources = contents.iter().flatten().map(|content| content.sources);
        self.warm_peers(sources.flat_map(|list| self.sources.iter(list, 0).take(limits::SEARCH_SOURCES_MAX)));
        all
    }

    /// Brings one content's names into the order in which they are shown.
    pub(in super::super) fn sort_names(&self, names: &mut [(Place, NameKey)]) {
        names.sort_by_cached_key(|(place, key)| {
            let live = self.names.get(*key).map_or(0, |name| name.live);
            rank::name_order(*place, live.into(), self.names.path_bytes(*key))
        });
    }
}
