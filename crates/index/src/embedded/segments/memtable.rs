//! The table that new names come into: small, and quick to add to.
//!
//! All terms stand in one text, each between two NULs, so that ends and parts are found by looking through it, and short
//! beginnings as well; terms whose first [`BEGINNING`] bytes may be the same are a chain. A term's names are in chunks that grow,
//! each of which knows the one before it, so that those of a common term lie together.
//!
//! Invariants: names are numbered as they came. No term is in the text twice; a term has a name at most once. A name's class is at
//! least that of its content's live sources, or the last, as long as every rise is told.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use memchr::memmem;
use peerage_wire::Kind;

use super::dictionary::{self, PAIR};
use super::members::{self, OfKind};
use super::neighbours::{self, Signature, Signatures};
use super::plan::{Plan, Words};
use super::union::Union;
use super::{WINDOW, class_of};
use crate::query::{Pattern, Query};
use crate::terms::NameTerms;

/// Parts terms in the text; no term has it.
const BORDER: char = '\0';

/// The newest names.
#[derive(Debug)]
pub(in crate::embedded) struct Memtable {
    names: Vec<u32>,
    contents: Vec<u32>,
    /// The numbers of their kinds.
    kinds: Vec<u8>,
    /// How many live sources they have at most, of 64 each.
    classes: Vec<Classes>,
    /// Their places by the names' numbers.
    places: HashTable<u32>,
    /// What terms stand side by side in each.
    signatures: Vec<Signature>,
    text: String,
    terms: Vec<Term>,
    /// Chains of terms by a hash of their first bytes.
    beginnings: Vec<Chain>,
    /// Of each chunk: where the older one is, how many values there is room for, and these.
    chunks: Vec<u32>,
    /// Each term's hash and number.
    numbers: HashTable<(u64, u32)>,
    hasher: DefaultHashBuilder,
    pair: String,
}

/// Classes of live sources that are told apart: of the last are all above it as well.
const CLASSES: usize = 16;

/// The classes of 64 names: those of each class or above it, from the first class on, a bit for each name.
#[derive(Debug, Default)]
struct Classes([AtomicU64; CLASSES]);

#[derive(Debug, Clone, Copy)]
struct Term {
    /// Where it starts in the text.
    start: u32,
    /// Its newest value, which is in no chunk yet.
    newest: u32,
    /// Its newest chunk; none is at nought.
    chunk: u32,
    /// The values in that, and how many there is room for.
    used: u32,
    room: u32,
    /// The one that came into its chain before it, [`NO_TERM`] where it is the first or in none.
    before: u32,
}

/// Terms that may begin in the same way.
#[derive(Debug, Clone, Copy)]
struct Chain {
    newest: u32,
    count: u32,
}

/// Bytes by which terms are in a chain; shorter ones are in none.
const BEGINNING: usize = 3;
/// Chains.
const BEGINNINGS: usize = 4_096;
const NO_TERM: u32 = u32::MAX;

/// Words of a chunk before its values.
const CHUNK_HEAD: usize = 2;
/// Values of a term's first chunk, and of its largest.
const CHUNK_MIN: u32 = 2;
const CHUNK_MAX: u32 = 256;

impl Default for Memtable {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            contents: Vec::new(),
            kinds: Vec::new(),
            classes: Vec::new(),
            places: HashTable::new(),
            signatures: Vec::new(),
            text: String::from(BORDER),
            terms: Vec::new(),
            beginnings: vec![Chain { newest: NO_TERM, count: 0 }; BEGINNINGS],
            chunks: vec![0],
            numbers: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            pair: String::new(),
        }
    }
}

impl Memtable {
    /// Takes a name in, of a content that has so many live sources at most.
    pub(in crate::embedded) fn add(
        &mut self,
        name: u32,
        (content, live): (u32, u32),
        kind: Kind,
        terms: &NameTerms,
    ) {
        let ordinal = number(self.names.len());
        self.names.push(name);
        self.contents.push(content);
        self.kinds.push(members::number_of(kind));
        if ordinal.is_multiple_of(64) {
            self.classes.push(Classes::default());
        }
        self.raise(ordinal, live);
        let (names, hasher) = (&self.names, &self.hasher);
        let hash_of = |place: &u32| hasher.hash_one(names.get(*place as usize));
        self.places.insert_unique(hash_of(&ordinal), ordinal, hash_of);
        let mut pair = std::mem::take(&mut self.pair);
        let (mut before, mut hash_before, mut signature) = ("", None, 0);
        for (position, term) in terms.iter().enumerate() {
            let value = |start: usize| ordinal << 1 | u32::from(start >= terms.file_start);
            self.add_term(term, value(position));
            let hash = neighbours::hash(term);
            signature |= hash_before.replace(hash).map_or(0, |before| neighbours::bits_of(before, hash));
            if terms.is_glued(position) {
                pair.clear();
                pair.extend([PAIR]);
                pair.push_str(before);
                pair.extend([PAIR]);
                pair.push_str(term);
                self.add_term(&pair, value(position.saturating_sub(1)));
            }
            before = term;
        }
        self.pair = pair;
        self.signatures.push(signature);
    }

    fn add_term(&mut self, text: &str, value: u32) {
        let hash = self.hasher.hash_one(text.as_bytes());
        let known = self.number_of(hash, text);
        match known.and_then(|number| self.terms.get_mut(number as usize)) {
            Some(term) if term.newest >> 1 == value >> 1 => term.newest |= value,
            Some(term) => term.put(value, &mut self.chunks),
            None => {
                let term = number(self.terms.len());
                let start = number(self.text.len());
                let mut before = NO_TERM;
                if let Some(chain) = chain_of(text).and_then(|chain| self.beginnings.get_mut(chain)) {
                    before = std::mem::replace(&mut chain.newest, term);
                    chain.count += 1;
                }
                self.terms.push(Term { start, newest: value, chunk: 0, used: 0, room: 0, before });
                self.text.push_str(text);
                self.text.push(BORDER);
                self.numbers.insert_unique(hash, (hash, term), |(hash, _)| *hash);
            }
        }
    }

    fn number_of(&self, hash: u64, text: &str) -> Option<u32> {
        let is_it = |(other, number): &(u64, u32)| *other == hash && self.term(*number) == text;
        self.numbers.find(hash, is_it).map(|(_, number)| *number)
    }

    /// How many names there are.
    pub(in crate::embedded) const fn len(&self) -> usize {
        self.names.len()
    }

    /// The names, as they came.
    pub(in crate::embedded) fn names(&self) -> &[u32] {
        &self.names
    }

    /// The names' contents.
    pub(in crate::embedded) fn contents(&self) -> &[u32] {
        &self.contents
    }

    /// Tells that a name's content has so many live sources.
    pub(in crate::embedded) fn tell(&self, name: u32, live: u32) {
        let is_it = |place: &u32| self.names.get(*place as usize) == Some(&name);
        let place = self.places.find(self.hasher.hash_one(Some(&name)), is_it);
        if let Some(place) = place {
            self.raise(*place, live);
        }
    }

    /// Notes that the content of the name at a place has so many live sources, if it had fewer.
    fn raise(&self, place: u32, live: u32) {
        let Some(Classes(classes)) = self.classes.get(place as usize / 64) else { return };
        let (class, bit) = (usize::from(class_of(live)), 1 << (place % 64));
        for class in classes.iter().take(class).rev() {
            if class.load(Ordering::Relaxed) & bit != 0 {
                break; // so it is in those below
            }
            class.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Leaves of 64 names, from a multiple of 64 on, those whose contents may have so many live sources.
    pub(in crate::embedded) fn with_sources(&self, word: usize, names: u64, live: u32) -> u64 {
        let Some(class) = usize::from(class_of(live)).min(CLASSES).checked_sub(1) else { return names };
        let of_class = self.classes.get(word).and_then(|Classes(classes)| classes.get(class));
        of_class.map_or(0, |of_class| names & of_class.load(Ordering::Relaxed))
    }

    /// What it occupies.
    pub(in crate::embedded) fn memory_bytes(&self) -> usize {
        let names = (self.names.capacity() + self.contents.capacity()) * 4
            + self.signatures.capacity() * 16
            + self.kinds.capacity()
            + self.classes.capacity() * size_of::<Classes>()
            + self.places.allocation_size();
        let terms =
            self.text.capacity() + self.terms.capacity() * size_of::<Term>() + self.numbers.capacity() * 20;
        let chains = self.beginnings.capacity() * size_of::<Chain>();
        names + terms + chains + self.chunks.capacity() * 4
    }

    /// A query, ready to be asked; `None` where nothing can match.
    pub(in crate::embedded) fn plan(&self, query: &Query, kind: Option<Kind>) -> Option<Plan<'_>> {
        Plan::new(self, query, kind)
    }

    /// The kind's number of a name.
    pub(super) fn kind_number(&self, ordinal: usize) -> u8 {
        self.kinds.get(ordinal).copied().unwrap_or_default()
    }

    /// What terms stand side by side in a name.
    pub(super) fn signature(&self, ordinal: usize) -> Signature {
        self.signatures.get(ordinal).copied().unwrap_or(Signature::MAX)
    }

    /// The terms' numbers in order of their texts.
    pub(super) fn sorted_terms(&self) -> Vec<u32> {
        let mut terms: Vec<u32> = (0..number(self.terms.len())).collect();
        terms.sort_unstable_by_key(|number| self.term(*number));
        terms
    }

    /// A term's text.
    pub(super) fn term(&self, number: u32) -> &str {
        let start_of = |number: usize| self.terms.get(number).map(|term| term.start as usize);
        let Some(start) = start_of(number as usize) else { return "" };
        let end = start_of(number as usize + 1).unwrap_or(self.text.len()) - BORDER.len_utf8();
        self.text.get(start..end).unwrap_or_default()
    }

    /// Adds a term's values; alone they ascend.
    pub(super) fn add_values(&self, number: u32, to: &mut Vec<u32>) {
        let Some(term) = self.terms.get(number as usize) else { return };
        let start = to.len();
        to.push(term.newest);
        let (mut at, mut used) = (term.chunk as usize, term.used as usize);
        while at != 0
            && let Some([older, _, values @ ..]) = self.chunks.get(at..)
        {
            to.extend(values.iter().take(used).rev());
            at = *older as usize;
            used = self.chunks.get(at + 1).map_or(0, |room| *room as usize); // older ones are full
        }
        to.get_mut(start..).unwrap_or_default().reverse();
    }

    fn exactly(&self, text: &str) -> Option<u32> {
        self.number_of(self.hasher.hash_one(text.as_bytes()), text)
    }

    /// Adds the terms in whose text, borders included, the part is.
    fn add_having(&self, part: &str, to: &mut Vec<u32>) {
        let mut next = 0; // the first term that may start after what was found
        for at in memmem::find_iter(self.text.as_bytes(), part) {
            let rest = self.terms.get(next..).unwrap_or_default();
            // The border before a term belongs to it, as far as it was looked for.
            let at = at + usize::from(part.starts_with(BORDER));
            let is_before = |term: &Term| term.start as usize <= at;
            let mut reach = 1; // the next one is near, mostly
            while rest.get(reach).is_some_and(is_before) {
                reach *= 2;
            }
            next += rest.get(..reach).unwrap_or(rest).partition_point(is_before);
            to.extend(next.checked_sub(1).map(number));
        }
    }

    /// Adds the terms that begin so.
    fn add_beginning(&self, text: &str, to: &mut Vec<u32>) {
        /// Bytes of the text that are looked through while one term of a chain is looked at.
        const TERM_BYTES: usize = 128;
        let chain = chain_of(text).and_then(|chain| self.beginnings.get(chain));
        match chain.filter(|chain| chain.count as usize * TERM_BYTES <= self.text.len()) {
            Some(chain) => {
                let mut number = chain.newest;
                while let Some(term) = self.terms.get(number as usize) {
                    let rest = self.text.as_bytes().get(term.start as usize..);
                    if rest.is_some_and(|rest| rest.starts_with(text.as_bytes())) {
                        to.push(number);
                    }
                    number = term.before;
                }
            }
            None => self.add_having(&format!("{BORDER}{text}"), to),
        }
    }

    /// Adds the terms that may be a typo away.
    fn add_typos(&self, text: &str, to: &mut Vec<u32>) {
        let (left, right, swapped) = dictionary::halves(text);
        self.add_beginning(left, to);
        self.add_having(&format!("{right}{BORDER}"), to);
        to.extend(self.exactly(&swapped));
    }

    fn union_of(&self, terms: &[u32]) -> Union<'_> {
        let mut union = Union::default();
        union.add_values(|values| terms.iter().for_each(|term| self.add_values(*term, values)));
        union.ready(self.len().div_ceil(WINDOW))
    }
}

impl Term {
    /// Adds a value of another name than the last.
    fn put(&mut self, value: u32, chunks: &mut Vec<u32>) {
        let value = std::mem::replace(&mut self.newest, value);
        if self.used == self.room {
            let chunk = number(chunks.len());
            self.room = (self.room * 2).clamp(CHUNK_MIN, CHUNK_MAX);
            chunks.extend([self.chunk, self.room]);
            chunks.resize(chunks.len() + self.room as usize, 0);
            (self.chunk, self.used) = (chunk, 0);
        }
        if let Some(to) = chunks.get_mut(self.chunk as usize + CHUNK_HEAD + self.used as usize) {
            *to = value;
        }
        self.used += 1;
    }
}

impl Words for Memtable {
    fn names(&self) -> usize {
        self.len()
    }

    fn of_kind(&self, kind: Kind) -> OfKind<'_> {
        OfKind::ByName(&self.kinds, members::number_of(kind))
    }

    fn signatures(&self) -> Signatures<'_> {
        Signatures::ByName(&self.signatures)
    }

    fn fitting(&self, pattern: &Pattern, _is_alone: bool, _kind: Option<Kind>) -> Option<Union<'_>> {
        let text = pattern.text.as_str();
        let mut terms = Vec::new();
        match (pattern.open_start, pattern.open_end) {
            (false, false) => terms.extend(self.exactly(text)),
            (false, true) => self.add_beginning(text, &mut terms),
            (true, false) => self.add_having(&format!("{text}{BORDER}"), &mut terms),
            (true, true) => self.add_having(text, &mut terms),
        }
        if pattern.typo {
            self.add_typos(text, &mut terms);
        }
        terms.sort_unstable();
        terms.dedup();
        terms.retain(|term| pattern.fits(self.term(*term)));
        Some(self.union_of(&terms))
    }

    fn with_pair(&self, pair: &str, open_end: bool) -> Union<'_> {
        let mut terms = Vec::new();
        if open_end {
            self.add_beginning(pair, &mut terms);
        } else {
            terms.extend(self.exactly(pair));
        }
        self.union_of(&terms)
    }
}

/// The chain of the terms that begin as this does; `None` where it is too short.
fn chain_of(text: &str) -> Option<usize> {
    let (first, _) = text.as_bytes().split_first_chunk::<BEGINNING>()?;
    let number =
        first.iter().fold(0_usize, |number, byte| number.wrapping_mul(43).wrapping_add((*byte).into()));
    Some(number % BEGINNINGS)
}

/// A number of names, terms or bytes; the table is sent off long before there are more.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
