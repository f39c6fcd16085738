//! What one word or phrase of a query asks of a name's terms.
//!
//! Invariants: a run has at least one pattern; its patterns match terms that stand side by side, in order.

use crate::terms::{self, NameTerms};
use crate::typo;

/// Letters a part of a word needs: shorter ones are in nearly every name.
pub(crate) const PART_LETTERS_MIN: usize = 3;
/// Letters of a term in which a typo is forgiven: in shorter ones it makes another word.
pub(crate) const TYPO_LETTERS_MIN: usize = 4;

/// What is asked of one term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The folded text.
    pub text: String,
    /// Whether the term may begin before it.
    pub open_start: bool,
    /// Whether the term may go on after it.
    pub open_end: bool,
    /// Whether the term may differ by one typo instead.
    pub typo: bool,
}

impl Pattern {
    /// Whether a term is what is asked for.
    #[must_use]
    pub fn fits(&self, term: &str) -> bool {
        let text = self.text.as_str();
        let as_written = match (self.open_start, self.open_end) {
            (false, false) => term == text,
            (false, true) => term.starts_with(text),
            (true, false) => term.ends_with(text),
            (true, true) => has_part(term, text),
        };
        as_written || (self.typo && typo::is_within_one(text, term))
    }
}

/// As `str::contains`, without the preparation that pays only in long texts: terms are short, and this is asked of all.
fn has_part(term: &str, part: &str) -> bool {
    part.is_empty() || term.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

/// Where a name was found to match. The file's own name comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Every word is in the file's own name.
    File,
    /// Some word is in the share's or a folder's name.
    Folder,
}

/// A word, part or phrase: patterns for terms side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    patterns: Vec<Pattern>,
    is_phrase: bool,
}

impl Run {
    /// A word as written; `None` where the text has no terms.
    pub(crate) fn word(text: &str) -> Option<Self> {
        Self::of_terms(terms::split(text), false)
    }

    /// A phrase, which is never read in another way than as written.
    pub(crate) fn phrase(text: &str) -> Option<Self> {
        Self::of_terms(terms::split(text), true)
    }

    /// A text without terms as one term ([`terms::whole`]).
    pub(crate) fn whole(text: &str) -> Option<Self> {
        Self::of_terms(terms::whole(text).into_iter().collect(), true)
    }

    fn of_terms(terms: Vec<String>, is_phrase: bool) -> Option<Self> {
        let pattern = |text| Pattern { text, open_start: false, open_end: false, typo: false };
        let mut patterns: Vec<Pattern> = terms.into_iter().map(pattern).collect();
        match patterns.as_mut_slice() {
            [] => return None,
            // Behind a pair of Han or kana stands its second character, alone or in the next pair: whatever has the pair has that.
            [.., pair, last] if is_second_of(&last.text, &pair.text) => _ = patterns.pop(),
            // A run of them ends nowhere: its last character is the first of a pair in a longer name.
            [.., last] => last.open_end = last.text.chars().all(terms::is_cjk),
        }
        Some(Self { patterns, is_phrase })
    }

    /// The patterns, in order.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The best place at which a name's terms match, if they do. Asks for no memory.
    #[must_use]
    pub fn find(&self, name: &NameTerms) -> Option<Place> {
        let last_start = name.len().checked_sub(self.patterns.len())?;
        let start = (0..=last_start).rev().find(|start| self.fits_at(name, *start))?;
        Some(if start >= name.file_start { Place::File } else { Place::Folder })
    }

    /// Whether the terms from this one on are what is asked for.
    pub(crate) fn fits_at(&self, name: &NameTerms, start: usize) -> bool {
        self.patterns.iter().zip(start..).all(|(pattern, position)| pattern.fits(name.get(position)))
    }

    /// Letters and digits in all.
    pub(crate) fn letters(&self) -> usize {
        self.patterns.iter().map(|pattern| pattern.text.chars().count()).sum()
    }

    /// Lets the word begin before what is written.
    pub(crate) fn open_start(&mut self) {
        if let Some(first) = self.patterns.first_mut() {
            // Han and kana match anywhere as they are.
            first.open_start = !first.text.chars().all(terms::is_cjk);
        }
    }

    /// Lets the word go on after what is written. A pair of Han or kana stays as it is: whatever goes on after it begins with its second
    /// character, which is there in any case.
    pub(crate) fn open_end(&mut self) {
        if let Some(last) = self.patterns.last_mut() {
            last.open_end |= !is_pair(&last.text);
        }
    }

    /// The word as a part of longer words; as it was where it is a phrase or too short.
    pub(crate) fn as_part(&self) -> Self {
        let mut part = self.clone();
        if !self.is_phrase && self.letters() >= PART_LETTERS_MIN {
            part.open_start();
            part.open_end();
        }
        part
    }

    /// The word with one typo forgiven in each of its longer terms; as it was where it is a phrase.
    pub(crate) fn with_typo(&self) -> Self {
        let mut run = self.clone();
        if !self.is_phrase {
            run.patterns.iter_mut().for_each(|pattern| pattern.typo = takes_typo(&pattern.text));
        }
        run
    }
}

/// Whether a term is two neighbours of a run of Han or kana.
fn is_pair(term: &str) -> bool {
    term.chars().nth(1).is_some() && term.chars().all(terms::is_cjk)
}

/// Whether a term is the last character of the pair before it, and nothing else.
fn is_second_of(term: &str, before: &str) -> bool {
    let mut chars = term.chars();
    chars.next().is_some_and(terms::is_cjk)
        && chars.next().is_none()
        && before.len() > term.len()
        && before.ends_with(term)
}

/// A number with a typo is another number, and two Han characters with one are another word.
fn takes_typo(text: &str) -> bool {
    text.chars().count() >= TYPO_LETTERS_MIN && text.chars().all(|c| c.is_alphabetic() && !terms::is_cjk(c))
}
