//! The classes of searches, and how queries of each are made from the names of the corpus.
//!
//! Invariant: words are what `peerage_index::terms` makes of names, so every contender can be given the same text and the same words;
//! but those of known files, which no other is asked for.

use std::collections::HashMap;

use clap::ValueEnum;
use peerage_index::terms;
use peerage_wire::api::SearchParams;
use peerage_wire::{Kind, limits};

use crate::corpus::{Corpus, Draws, index};

/// Names looked at to know which words are common.
const SAMPLE_NAMES: u64 = 100_000;
/// Names tried for words of the wanted frequency before those are taken that come nearest.
const TRIES: usize = 500;
/// The least size asked for by `filters`.
const FILTER_SIZE_MIN: u64 = 1 << 20;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Class {
    /// Two rare words of one name.
    RareWords,
    /// Two common words of one name.
    CommonWords,
    /// One of the most common words.
    VeryCommonWord,
    /// Three of the most common words, in one name where there is one.
    ThreeCommonWords,
    /// The first 2 to 5 letters of a word.
    Prefix,
    /// 4 to 12 letters from within a word.
    Substring,
    /// Two words side by side.
    Phrase,
    /// A word with one letter wrong.
    Typo,
    /// A common word, a type and a least size.
    Filters,
    /// Words that nobody has.
    NoMatch,
    /// 2 to 5 words of a file that somebody has, and in a third of them its type.
    KnownFile,
}

impl Class {
    /// Those that ask an index for something of their own each, most of it hard: what is measured where no others are asked for.
    pub(crate) const APART: [Self; 10] = [
        Self::RareWords,
        Self::CommonWords,
        Self::VeryCommonWord,
        Self::ThreeCommonWords,
        Self::Prefix,
        Self::Substring,
        Self::Phrase,
        Self::Typo,
        Self::Filters,
        Self::NoMatch,
    ];

    /// Every class, in the order of the tables.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::APART.into_iter().chain([Self::KnownFile])
    }

    /// What it is called in tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::RareWords => "rare two words",
            Self::CommonWords => "two common words",
            Self::VeryCommonWord => "very common word",
            Self::ThreeCommonWords => "three very common words",
            Self::Prefix => "prefix of 2 to 5 letters",
            Self::Substring => "substring of 4 to 12",
            Self::Phrase => "phrase",
            Self::Typo => "one typo",
            Self::Filters => "filters",
            Self::NoMatch => "no match",
            Self::KnownFile => "a known file",
        }
    }
}

/// One search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) class: Class,
    /// Folded words, or the part of one; of a known file as they stand in its name.
    pub(crate) words: Vec<String>,
    /// Only this kind, for `filters` and some known files.
    pub(crate) kind: Option<Kind>,
}

impl Query {
    /// As our index is asked.
    pub(crate) fn params(&self) -> SearchParams {
        let words = self.words.join(" ");
        let q = match self.class {
            Class::Substring => format!("*{words}*"),
            Class::Phrase => format!("\"{words}\""),
            _ => words,
        };
        SearchParams {
            q,
            kind: self.kind,
            min_size: self.min_size(),
            limit: Some(limits::HITS_DEFAULT),
            ..SearchParams::default()
        }
    }

    /// The least size that is asked for, if any.
    pub(crate) fn min_size(&self) -> Option<u64> {
        (self.class == Class::Filters).then_some(FILTER_SIZE_MIN)
    }
}

/// Queries of some classes, `count` of each, the classes taking turns.
pub(crate) fn queries(corpus: &Corpus, classes: &[Class], count: usize) -> Vec<Query> {
    let sample = Sample::of(corpus);
    let mut queries = Vec::with_capacity(count * classes.len());
    let mut draws = corpus.draws(1);
    for _ in 0..count {
        queries.extend(classes.iter().map(|class| sample.query(corpus, *class, &mut draws)));
    }
    queries
}

/// Words of a file that somebody has, as whoever knows of it writes them, without its share and the ending of its name: what many have
/// is looked for more often. Of 23.4 million queries seen in the Gnutella network 33 % asked for a type, and they had
/// 3.57 words on average (Nguyen and others, SIGIR 2007).
fn known_file(corpus: &Corpus, draws: &mut Draws) -> Query {
    const WORDS: std::ops::RangeInclusive<u64> = 2..=5;
    const OF_A_TYPE: u64 = 33;
    let (mut words, mut path) = (Vec::new(), String::new());
    let mut kind = Kind::Data;
    for _ in 0..TRIES {
        let peer = draws.below(corpus.size().peers);
        let mut files = Vec::new();
        corpus.contents(peer, &corpus.listing(peer), |content, variant| files.push((content, variant)));
        if files.is_empty() {
            continue;
        }
        let (content, variant) = *draws.pick(&files);
        corpus.path(content, variant, &mut path);
        let known = path.split_once('/').map_or(path.as_str(), |(_, known)| known);
        kind = Kind::of_name(known.rsplit('/').next().unwrap_or(known));
        let ending = known.rfind(['.', '/']).filter(|at| known[*at..].starts_with('.'));
        let known = &known[..ending.unwrap_or(known.len())];
        words = Vec::new();
        for word in known.split(|c: char| !c.is_alphanumeric()).filter(|word| is_word(word, 2)) {
            if word != "OR" && !words.iter().any(|known: &String| known.eq_ignore_ascii_case(word)) {
                words.push(word.to_owned());
            }
        }
        if words.len() as u64 >= *WORDS.start() {
            break;
        }
    }
    if words.is_empty() {
        words.push("the".to_owned()); // names of digits alone
    }
    let wanted = index(WORDS.start() + draws.below(WORDS.end() - WORDS.start() + 1));
    while words.len() > wanted {
        words.remove(index(draws.below(words.len() as u64)));
    }
    Query { class: Class::KnownFile, words, kind: draws.percent(OF_A_TYPE).then_some(kind) }
}

/// A part of the corpus's names, and how common their words are.
pub(crate) struct Sample {
    names: Vec<Name>,
    /// In how many of the names each word is.
    counts: HashMap<String, u32>,
    /// The most common words, most common first.
    top: Vec<String>,
    bytes: u64,
    words: u64,
}

struct Name {
    terms: Vec<String>,
    kind: Kind,
}

impl Sample {
    /// Looks at contents from all over the corpus.
    pub(crate) fn of(corpus: &Corpus) -> Self {
        let contents = corpus.size().contents;
        let mut sample =
            Self { names: Vec::new(), counts: HashMap::new(), top: Vec::new(), bytes: 0, words: 0 };
        let (mut draws, mut path) = (corpus.draws(0), String::new());
        for _ in 0..SAMPLE_NAMES.min(contents) {
            corpus.path(draws.below(contents), 0, &mut path);
            sample.take(&path);
        }
        let mut top: Vec<(&String, &u32)> =
            sample.counts.iter().filter(|(word, _)| is_word(word, 2)).collect();
        top.sort_by(|(one, more), (two, less)| less.cmp(more).then(one.cmp(two)));
        sample.top = top.into_iter().take(TOP).map(|(word, _)| word.clone()).collect();
        sample
    }

    /// Bytes of a name on average.
    pub(crate) fn bytes_mean(&self) -> f64 {
        self.bytes as f64 / self.names.len().max(1) as f64
    }

    /// Words of a name on average.
    pub(crate) fn words_mean(&self) -> f64 {
        self.words as f64 / self.names.len().max(1) as f64
    }

    fn take(&mut self, path: &str) {
        let terms = terms::split(path);
        self.bytes += path.len() as u64;
        self.words += terms.len() as u64;
        let mut distinct: Vec<&String> = terms.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        for term in distinct {
            match self.counts.get_mut(term) {
                Some(count) => *count += 1,
                None => _ = self.counts.insert(term.clone(), 1),
            }
        }
        let file = path.rsplit('/').next().unwrap_or(path);
        self.names.push(Name { terms, kind: Kind::of_name(file) });
    }

    fn query(&self, corpus: &Corpus, class: Class, draws: &mut Draws) -> Query {
        let words = match class {
            Class::RareWords => self.words_within(draws, 2, |share| share < 0.000_1),
            Class::CommonWords => self.words_within(draws, 2, |share| (0.002..0.04).contains(&share)),
            Class::VeryCommonWord => vec![draws.pick(&self.top[..self.top.len().min(VERY_COMMON)]).clone()],
            Class::ThreeCommonWords => self.top_words(draws),
            Class::Prefix => {
                let length = 2 + index(draws.below(4));
                vec![self.any_word(draws, 5).chars().take(length).collect()]
            }
            Class::Substring => vec![part(self.any_word(draws, 5), draws)],
            Class::Phrase => self.neighbours(draws),
            Class::Typo => vec![self.typo(draws)],
            Class::Filters => {
                let name = draws.pick(&self.names);
                let words = self.words_within(draws, 1, |share| (0.002..0.04).contains(&share));
                return Query { class, words, kind: Some(name.kind) };
            }
            Class::NoMatch => vec![nonsense(draws), nonsense(draws)],
            Class::KnownFile => return known_file(corpus, draws),
        };
        Query { class, words, kind: None }
    }

    /// Words of one name whose shares of all names are as wanted.
    fn words_within(&self, draws: &mut Draws, count: usize, wanted: impl Fn(f64) -> bool) -> Vec<String> {
        let mut best: Vec<String> = Vec::new();
        for _ in 0..TRIES {
            let mut found: Vec<&String> = draws.pick(&self.names).terms.iter().collect();
            found.retain(|term| is_word(term, 3) && wanted(self.share(term)));
            found.sort_unstable();
            found.dedup();
            if found.len() > best.len() {
                best = found.into_iter().take(count).cloned().collect();
            }
            if best.len() == count {
                break;
            }
        }
        if best.is_empty() { vec![self.any_word(draws, 2).to_owned()] } else { best }
    }

    /// Of the most common words, three that stand in one name.
    fn top_words(&self, draws: &mut Draws) -> Vec<String> {
        for _ in 0..TRIES {
            let mut found = draws.pick(&self.names).terms.clone();
            found.retain(|term| self.top.contains(term));
            found.sort_unstable();
            found.dedup();
            if found.len() >= 3 {
                found.truncate(3);
                return found;
            }
        }
        (0..3).map(|_| draws.pick(&self.top).clone()).collect()
    }

    fn neighbours(&self, draws: &mut Draws) -> Vec<String> {
        for _ in 0..TRIES {
            let name = draws.pick(&self.names);
            let pairs: Vec<&[String]> =
                name.terms.windows(2).filter(|pair| pair.iter().all(|term| is_word(term, 3))).collect();
            if !pairs.is_empty() {
                return draws.pick(&pairs).to_vec();
            }
        }
        vec![self.any_word(draws, 2).to_owned()]
    }

    /// A word as it occurs: common ones more often.
    fn any_word(&self, draws: &mut Draws, letters_min: usize) -> &str {
        for _ in 0..TRIES {
            let term = draws.pick(&draws.clone().pick(&self.names).terms);
            if is_word(term, letters_min) {
                return term;
            }
        }
        self.top.first().map_or("the", String::as_str)
    }

    /// A word of Latin letters with another letter somewhere behind its first two, which is no known word.
    fn typo(&self, draws: &mut Draws) -> String {
        let mut wrong = String::new();
        for _ in 0..TRIES {
            let word = self.any_word(draws, 6);
            if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                continue;
            }
            let at = 2 + index(draws.below(word.len() as u64 - 2));
            let letter = *draws.pick(b"abcdefghijklmnopqrstuvwxyz");
            wrong = format!("{}{}{}", &word[..at], char::from(letter), &word[at + 1..]);
            if !self.counts.contains_key(&wrong) {
                break;
            }
        }
        wrong
    }

    fn share(&self, term: &str) -> f64 {
        f64::from(self.counts.get(term).copied().unwrap_or(0)) / self.names.len().max(1) as f64
    }
}

/// Words among which three are looked for in one name.
const TOP: usize = 30;
/// Words that are very common.
const VERY_COMMON: usize = 8;

fn is_word(term: &str, letters_min: usize) -> bool {
    term.chars().count() >= letters_min && term.chars().all(char::is_alphabetic)
}

/// 4 to 12 letters from within a word.
fn part(word: &str, draws: &mut Draws) -> String {
    let letters: Vec<char> = word.chars().collect();
    let most = letters.len().min(12) as u64;
    let length = 4 + draws.below(most.saturating_sub(3).max(1));
    let start = draws.below(letters.len() as u64 - length + 1);
    letters.into_iter().skip(index(start)).take(index(length)).collect()
}

fn nonsense(draws: &mut Draws) -> String {
    (0..9).map(|_| char::from(*draws.pick(b"bcdfghjkqvwxz"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Size;

    #[test]
    fn queries_are_of_their_class() {
        let corpus = Corpus::made(1, Size { contents: 20_000, registrations: 100_000, peers: 500 });
        let sample = Sample::of(&corpus);
        let classes: Vec<_> = Class::all().collect();
        let all = queries(&corpus, &classes, 30);
        assert_eq!(all.len(), 330);
        assert_eq!(all, queries(&corpus, &classes, 30), "the same corpus, the same queries");
        for query in &all {
            let share = |word: &String| sample.share(word);
            let fits = match query.class {
                Class::RareWords => {
                    query.words.len() == 2 && query.words.iter().all(|word| share(word) < 0.001)
                }
                Class::CommonWords => query.words.iter().all(|word| share(word) > 0.001),
                Class::VeryCommonWord => share(&query.words[0]) > 0.01,
                Class::ThreeCommonWords => query.words.len() == 3,
                Class::Prefix => (2..=5).contains(&query.words[0].chars().count()),
                Class::Substring => (4..=12).contains(&query.words[0].chars().count()),
                Class::Phrase => query.params().q.starts_with('"'),
                Class::Typo | Class::NoMatch => query.words.iter().all(|word| share(word) == 0.0),
                Class::Filters => query.kind.is_some() && query.min_size().is_some(),
                Class::KnownFile => (2..=5).contains(&query.words.len()) && query.min_size().is_none(),
            };
            assert!(fits, "{query:?}");
        }
    }
}
