//! A search: the parts of the text index give names that may match, most sources first; those that do become contents,
//! which are filtered, counted and put in order, a page at a time.
//!
//! **The early end.** A search by rank looks only at blocks of names that can still be among the best: each has a bound on
//! the sources of its contents, and bounds are never too low. So what is left out can't belong on the page, and the page is
//! exact. Until there are more than [`limits::TOTAL_EXACT_MAX`] everything is counted as well, by the marks of segments
//! where they can tell, else one by one.
//!
//! **Budgets.** A search that would have to look at too much ends early and says that there is more: it is then of what it
//! looked at, the most shared first. New names are asked in any case. A full first page is content with fewer names
//! read than a later one: it is not sure to have the best, and the second begins anew and leaves out what the first showed.
//!
//! Invariants: a page depends on nothing but what is registered and its parameters, unless a budget ended. A later page
//! reads the words as the first did, even when something else would match by then.

mod cores;
mod gathered;
mod marks;
mod mask;
mod page;
mod walk;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hint::black_box;

use hashbrown::HashSet;
use peerage_wire::api::{Hit, Matched, Page, SearchParams, Sort, Total};
use peerage_wire::limits;

pub(super) use cores::Cores;
use marks::Told;
use mask::{Bar, Mask};
use walk::Part;

use super::arena::{ContentKey, NameKey, PeerKey};
use super::contents::{Content, hash_prefix};
use super::filter::Filter;
use super::listing::page_rows;
use super::segments::{Bits, Scratch, WINDOW, ones};
use super::state::State;
use crate::cursor::{Asked, Cursor, Rest};
use crate::query::{Folded, Place, Plain, Query};
use crate::rank::{ByName, Standing};
use crate::terms::NameTerms;
use crate::{Error, Result};

/// Names looked at one by one, where every match must be: the order is none by sources, or a filter lets few through. Beyond
/// it the answer is of the most shared ones, and says that there are more.
const LOOKED_AT_MAX: usize = 200_000;
/// What reading names may cost before a search is content with a full page: some milliseconds. Where the page is not full, where no
/// name can be left out, since the order is another than by sources, or where more is wanted than the first few, some tens: whoever
/// turns pages wants to come to the end.
const READ_MAX: usize = 18_000;
const READ_ALL_MAX: usize = LOOKED_AT_MAX;
/// What one name costs where words side by side are asked for: of ASCII and asked as it is, with other letters or its words cut
/// out, and where for that other letters are folded. Elsewhere few names are read, and each costs the least.
const READ_PLAIN: usize = 3;
const READ: usize = 9;
const READ_OTHER: usize = 30;
const READ_ELSE: usize = 1;
/// Windows looked into before a search that finds little among very common words is content with what it has: some
/// milliseconds.
const WINDOWS_MAX: usize = 4_096;

impl State {
    pub(super) fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        let query = Query::parse(&params.q)?;
        let most = page_rows(params.limit, limits::HITS_DEFAULT)?;
        let _core = self.cores.enter();
        let search = Search {
            state: self,
            filter: Filter::of(self, params, &query),
            sort: params.sort.unwrap_or_default(),
            most,
            asked: Asked::of(params),
        };
        match params.cursor.as_deref().map(Cursor::parse).transpose()? {
            None => {
                let readings = [Matched::Exact, Matched::Substring, Matched::Typo];
                let pages =
                    readings.into_iter().filter_map(|how| Some(search.page(&query.read_as(how)?, how, None)));
                let found = pages.into_iter().find(|page| page.total.value > 0);
                Ok(found.unwrap_or_else(nothing))
            }
            Some(Cursor::Search(asked, how, rest))
                if asked == search.asked
                    && rest.after.as_ref().is_none_or(|after| after.sort() == search.sort) =>
            {
                let query = query.read_as(how).ok_or(Error::BadCursor)?;
                Ok(search.page(&query, how, Some(&rest)))
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
    state: &'a State,
    filter: Filter,
    sort: Sort,
    most: usize,
    asked: Asked,
}

impl Search<'_> {
    fn page(&self, query: &Query, how: Matched, rest: Option<&Rest>) -> Page<Hit> {
        let mut tally = Tally::new(self, query, rest);
        match self.filter.few() {
            Some(contents) => contents.into_iter().for_each(|key| tally.look_at_content(key)),
            None => tally.look_through_the_text(),
        }
        tally.page(how)
    }
}

/// What a search has cost so far.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    windows: usize,
    looked_at: usize,
    /// What reading names has cost.
    read: usize,
}

/// What was found so far.
struct Tally<'a> {
    search: &'a Search<'a>,
    query: &'a Query,
    /// What earlier pages left, where this is a later one.
    rest: Option<&'a Rest>,
    /// The best of what is left in order, one more than a page has.
    best: VecDeque<(Standing, ContentKey)>,
    /// Contents of several names that were counted.
    seen: HashSet<ContentKey>,
    /// Names of contents of several that are still to be counted: the contents from the first name of a word on, and which.
    waiting: Vec<(&'a [u32], u64)>,
    /// Such contents, about to be counted.
    of_several: Vec<u32>,
    /// Contents whose standing by all their names was worked out.
    stood: HashSet<ContentKey>,
    /// Contents that were counted; some may wait for it.
    total: u64,
    /// What others that search for the same have counted as well is at least this, where there are any.
    total_of_all: u64,
    /// What stands behind this can't be on the page, by what another found, where there is one.
    worst_of_all: Option<Standing>,
    is_exact: bool,
    spent: Spent,
    asks_for_neighbours: bool,
    /// It was nearly over before help would have come.
    is_short: bool,
    plain: Option<Plain<'a>>,
    folded: Folded,
    terms: NameTerms,
    /// Places of names about to be looked at.
    near: Vec<usize>,
    told: Option<Box<Told>>,
    scratch: Option<Box<Scratch>>,
}

impl Spent {
    const fn is_all(self, read_max: usize) -> bool {
        self.windows >= WINDOWS_MAX || self.looked_at >= LOOKED_AT_MAX || self.read >= read_max
    }

    /// Adds what another spent since some time before.
    const fn add(&mut self, now: Self, before: Self) {
        self.windows += now.windows - before.windows;
        self.looked_at += now.looked_at - before.looked_at;
        self.read += now.read - before.read;
    }
}

impl<'a> Tally<'a> {
    fn new(search: &'a Search<'a>, query: &'a Query, rest: Option<&'a Rest>) -> Self {
        Self {
            search,
            query,
            rest,
            best: VecDeque::new(),
            seen: HashSet::new(),
            waiting: Vec::new(),
            of_several: Vec::new(),
            stood: HashSet::new(),
            total: 0,
            total_of_all: 0,
            worst_of_all: None,
            is_exact: true,
            spent: Spent::default(),
            asks_for_neighbours: query.asks_for_neighbours(),
            is_short: false,
            plain: query.plain(),
            folded: Folded::default(),
            terms: NameTerms::default(),
            near: Vec::new(),
            told: None,
            scratch: None,
        }
    }

    /// Looks at all of a window's candidates that a mask lets through.
    fn look_at_all(&mut self, part: &Part<'a>, (window, mask): (usize, Option<&Mask<'_>>), bits: &Bits) {
        let of_word =
            |word: usize| mask.map_or(bits.anywhere[word], |mask| mask.word(part, (window, word), bits));
        let mut warm = 0;
        for word in bits.words() {
            if word >= warm {
                warm = self.warm(part, (window, word), bits, of_word);
            }
            let looked_at = of_word(word);
            if looked_at == 0 {
                continue;
            }
            if !self.may_go_on() {
                return;
            }
            self.look_at_word(part, (window, word), looked_at, 0, bits);
        }
    }

    /// Reads what looking at some candidates of a window from a word on will read: it lies all over memory, and what is read
    /// without a decision in between comes at the same time. Gives the word to which it was read.
    fn warm(
        &mut self,
        part: &Part<'a>,
        (window, word): (usize, usize),
        bits: &Bits,
        of_word: impl Fn(usize) -> u64,
    ) -> usize {
        /// So many keep memory busy. The worst of the page gets better meanwhile, so that fewer are looked at then.
        const WARM: usize = 128;
        self.near.clear();
        let mut next = WINDOW / 64;
        for word in bits.words().skip_while(|at| *at < word) {
            if self.near.len() >= WARM {
                next = word;
                break;
            }
            let first = window * WINDOW + word * 64;
            self.near.extend(ones(of_word(word)).map(|bit| first + bit));
        }
        self.warm_near(part);
        if !bits.is_sure {
            let is_unsure = |at: &&usize| {
                let at = *at % WINDOW;
                bits.check[at / 64] >> (at % 64) & 1 == 1
            };
            let names = self.near.iter().filter(is_unsure).filter_map(|at| part.names.get(*at));
            let names = names.map(|name| NameKey::from(*name));
            self.search.state.warm_names(&names.collect::<Vec<_>>());
        }
        next
    }

    /// Reads the contents of the names that are near to be looked at.
    fn warm_near(&self, part: &Part<'a>) {
        if self.near.len() < 2 {
            return;
        }
        let state = self.search.state;
        let content =
            |at: &usize| state.contents.get(part.contents.get(*at).copied().unwrap_or_default().into());
        let lives = |at: &usize| {
            content(at).map_or(0, |content| content.live() ^ u32::from(content.hash.as_bytes()[0]))
        };
        black_box(self.near.iter().map(lives).fold(0, |all, one| all ^ one));
        let uses = |at: &usize| {
            let name = content(at).filter(|content| !content.has_one_name()).and(part.names.get(*at));
            name.and_then(|name| state.names.get(NameKey::from(*name))).map_or(0, |name| name.live)
        };
        black_box(self.near.iter().map(uses).fold(0, |all, one| all ^ one));
    }

    /// Looks at the candidates of one word of a window's bits, some of which were counted.
    fn look_at_word(
        &mut self,
        part: &Part<'a>,
        (window, word): (usize, usize),
        mask: u64,
        counted: u64,
        bits: &Bits,
    ) {
        let first = window * WINDOW + word * 64;
        let in_file = part.plan.in_file(word, bits);
        for bit in ones(mask) {
            let is_set = |word: u64| word >> bit & 1 == 1;
            let place = if is_set(in_file) { Place::File } else { Place::Folder };
            self.look_at_one(part, first + bit, (place, is_set(bits.check[word]), is_set(counted)));
        }
    }

    /// Whether the first few of all are asked for.
    fn wants_few(&self) -> bool {
        let Search { sort, most, .. } = self.search;
        *sort == Sort::Rank && self.rest.is_none() && *most <= limits::HITS_DEFAULT
    }

    /// What reading names may cost.
    fn read_max(&self) -> usize {
        if self.wants_few() && self.worst().is_some() { READ_MAX } else { READ_ALL_MAX }
    }

    /// The last of the pages before.
    fn after(&self) -> Option<&'a Standing> {
        self.rest.and_then(|rest| rest.after.as_ref())
    }

    /// Whether there is budget left; where there is none, what is found is of the most shared.
    fn may_go_on(&mut self) -> bool {
        let may = !self.spent.is_all(self.read_max());
        self.is_exact &= may;
        may
    }

    fn is_counting(&self) -> bool {
        self.search.sort != Sort::Rank || self.total.max(self.total_of_all) <= limits::TOTAL_EXACT_MAX
    }

    /// The last of the page, where it is full or another's is.
    fn worst(&self) -> Option<&Standing> {
        let is_full = self.best.len() > self.search.most;
        let own = self.best.back().filter(|_| is_full).map(|(standing, _)| standing);
        match (own, &self.worst_of_all) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other.as_ref()),
        }
    }

    /// What a name must beat, where the page is full and in order of sources.
    fn bar(&self) -> Option<Bar> {
        match (self.search.sort, self.worst()) {
            (Sort::Rank, Some(Standing::Rank(place, Reverse(live), hash))) => {
                Some(Bar { place: *place, live: *live, hash_prefix: hash_prefix(hash) })
            }
            _ => None,
        }
    }

    fn look_at(
        &mut self,
        key: NameKey,
        (content_key, content): (ContentKey, &'a Content),
        (place, must_check, is_counted): (Place, bool, bool),
    ) {
        self.spent.looked_at += 1;
        if !self.is_counting() && self.worst().is_some_and(|worst| is_behind(content, worst)) {
            return;
        }
        // The one name of a content that somebody has is a name that somebody uses.
        let is_only = content.has_one_name() && !self.search.state.text.is_replacing;
        if !is_only && self.was_looked_at(content_key) {
            return;
        }
        let is_used = || self.search.state.names.get(key).is_some_and(|name| name.live > 0);
        if !self.search.filter.passes(content_key, content) || !(is_only || is_used()) {
            return;
        }
        let place = if must_check || self.search.filter.asks_names() {
            let Some(place) = self.place_of(key) else { return };
            place
        } else {
            place
        };
        if !is_counted && (is_only || self.seen.insert(content_key)) {
            self.total += 1;
        }
        if let Some(standing) = self.standing(key, (content_key, content), place, is_only) {
            self.enter(standing, content_key);
        }
    }

    /// Whether no other name of a content makes a difference: by rank only where its standing was worked out, in other orders as
    /// soon as one of them matched.
    fn was_looked_at(&self, content: ContentKey) -> bool {
        match self.search.sort {
            Sort::Rank => self.stood.contains(&content),
            Sort::Size | Sort::Name | Sort::Newest => self.seen.contains(&content),
        }
    }

    /// A content's standing, which depends on all of its names.
    fn standing(
        &mut self,
        key: NameKey,
        (content_key, content): (ContentKey, &Content),
        place: Place,
        is_only: bool,
    ) -> Option<Standing> {
        let rank = |place| Standing::Rank(place, Reverse(u64::from(content.live())), content.hash);
        match self.search.sort {
            // It was shown before, wherever it matches.
            Sort::Rank if self.after().is_some_and(|after| rank(Place::Folder) <= *after) => None,
            // Where it stands better by another name, that name is looked at as well.
            Sort::Rank if self.worst().is_some_and(|worst| *worst < rank(place)) => None,
            // The first page showed it, so that none of its other names matters.
            Sort::Rank if self.rest.is_some_and(|rest| rest.shown.has(&content.hash)) => {
                self.stood.insert(content_key);
                None
            }
            Sort::Rank if is_only || place == Place::File => Some(rank(place)),
            Sort::Rank => {
                self.stood.insert(content_key);
                Some(rank(self.best_place(content, key)))
            }
            Sort::Size => Some(Standing::Size(Reverse(content.size), content.hash)),
            Sort::Name if is_only => self.by_name(key).map(|name| Standing::Name(name, content.hash)),
            Sort::Name => {
                let names = self.matching(content);
                let asked = self.search.state.sources_among(content, self.search.filter.peers());
                let first = self.first_by_name(&names, &asked).and_then(|at| self.by_name(names[at].1));
                first.map(|name| Standing::Name(name, content.hash))
            }
            Sort::Newest => {
                let state = self.search.state;
                let names = if is_only { vec![(place, key)] } else { self.matching(content) };
                let times =
                    names.iter().filter_map(|(_, key)| state.names.get(*key)).map(|name| name.modified);
                times.max().map(|newest| Standing::Newest(Reverse(newest.into()), content.hash))
            }
        }
    }

    fn by_name(&self, key: NameKey) -> Option<ByName> {
        self.search.state.path(key).map(ByName::from)
    }

    /// Which of some names comes first by name: of those that peers who are asked for have, where they have one.
    fn first_by_name(&self, names: &[(Place, NameKey)], asked: &[PeerKey]) -> Option<usize> {
        let order =
            |at: &usize| (!self.search.state.has_name(asked, names[*at].1), self.by_name(names[*at].1));
        let mut all: Vec<usize> = (0..names.len()).collect();
        all.sort_by_cached_key(order);
        all.first().copied()
    }

    fn enter(&mut self, standing: Standing, content: ContentKey) {
        let is_too_early = self.after().is_some_and(|after| standing <= *after);
        if is_too_early || self.worst().is_some_and(|worst| *worst <= standing) {
            return;
        }
        let entry = (standing, content);
        // Most come in their order, or where the newest stand first in the opposite one, so that little is moved.
        if let Err(at) = self.best.binary_search(&entry) {
            self.best.truncate(self.search.most);
            self.best.insert(at, entry);
        }
    }

    /// A content that was asked for otherwise than by words.
    fn look_at_content(&mut self, key: ContentKey) {
        let state = self.search.state;
        let Some(content) = state.contents.get(key) else { return };
        if content.live() == 0 || !self.search.filter.passes(key, content) {
            return;
        }
        let names = self.matching(content);
        let Some((place, name_key)) = names.iter().min().copied() else { return };
        self.total += 1;
        if let Some(standing) = self.standing(name_key, (key, content), place, names.len() == 1) {
            self.enter(standing, key);
        }
    }

    /// The names of a content that match, with their places.
    fn matching(&mut self, content: &Content) -> Vec<(Place, NameKey)> {
        let state = self.search.state;
        let live = state.names.listed(content).filter(|(_, name)| name.live > 0);
        live.filter_map(|(key, _)| Some((self.place_of(key)?, key))).collect()
    }

    /// The best place of a content's names that match, of which one is known to match in a folder's name: the others alone are read.
    fn best_place(&mut self, content: &Content, known: NameKey) -> Place {
        let live = self.search.state.names.listed(content).filter(|(_, name)| name.live > 0);
        for (key, _) in live.filter(|(key, _)| *key != known) {
            if self.place_of(key) == Some(Place::File) {
                return Place::File;
            }
        }
        Place::Folder
    }

    fn place_of(&mut self, key: NameKey) -> Option<Place> {
        let names = &self.search.state.names;
        if !self.search.filter.takes_name(|| names.path(key)) {
            return None;
        }
        let bytes = names.path_bytes(key);
        let is_ascii = bytes.is_ascii();
        if let Some(plain) = self.plain.as_ref().filter(|_| self.folded.read(bytes)) {
            self.spent.read += match (self.asks_for_neighbours, is_ascii) {
                (false, _) => READ_ELSE,
                (true, true) => READ_PLAIN,
                (true, false) => READ,
            };
            return plain.find(&self.folded);
        }
        self.spent.read += match (self.asks_for_neighbours, is_ascii) {
            (false, _) => READ_ELSE,
            (true, true) => READ,
            (true, false) => READ_OTHER,
        };
        self.terms.read(names.path(key));
        self.query.find(&self.terms)
    }
}

/// Whether a content can't stand before another, wherever it matches.
fn is_behind(content: &Content, worst: &Standing) -> bool {
    matches!(worst, Standing::Rank(Place::File, Reverse(live), _) if u64::from(content.live()) < *live)
}
