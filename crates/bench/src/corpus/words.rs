//! A vocabulary of 600,000 words in five scripts, common ones short and rare ones long, as in any language.
//!
//! Invariants: the words of one language differ from each other; all text is NFC and has no separator, so that whatever is put together
//! of words is a valid path.

use super::draws::{Zipf, index, mix};

/// A language as far as names go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// ASCII letters alone.
    English,
    /// Latin letters with accents.
    French,
    /// Cyrillic.
    Russian,
    /// Greek.
    Greek,
    /// Han: without blanks between words.
    Chinese,
}

impl Language {
    /// Every language, in the order of the vocabulary.
    pub(crate) const ALL: [Self; 5] =
        [Self::English, Self::French, Self::Russian, Self::Greek, Self::Chinese];

    /// Words of it: 600,000 in all.
    const fn words(self) -> u64 {
        match self {
            Self::English => 380_000,
            Self::French => 120_000,
            Self::Russian => 60_000,
            Self::Greek => 10_000,
            Self::Chinese => 30_000,
        }
    }

    /// What a syllable begins and ends with.
    fn sounds(self) -> (Vec<char>, Vec<char>) {
        let (first, last) = match self {
            Self::English | Self::Chinese => ("bcdfghjklmnprstvwz", "aeiou"),
            Self::French => ("bcçdfghjklmnñprstvz", "aeiouaeiouaeiouéèêàâüöíó"),
            Self::Russian => ("бвгджзклмнпрстфхцчш", "аеиоуыэюя"),
            Self::Greek => ("βγδζθκλμνξπρστφχψ", "αεηιουω"),
        };
        (first.chars().collect(), last.chars().collect())
    }
}

/// Words that are the same everywhere, most common first.
const COMMON: [&str; 40] = [
    "the", "of", "and", "love", "you", "in", "to", "my", "live", "is", "it", "on", "for", "remix", "night",
    "me", "de", "la", "time", "one", "new", "heart", "best", "world", "life", "black", "man", "blue", "day",
    "little", "house", "vol", "el", "le", "all", "feat", "original", "version", "down", "dance",
];
/// Ranks below this have two syllables, those below the next three, the others four.
const SYLLABLE_RANKS: [u64; 2] = [800, 30_000];
/// The Han characters that are used: the common ones of the first block.
const HAN: (u32, u64) = (0x4e00, 3_000);
/// Ranks below this are of two Han characters, the others of three.
const HAN_PAIRS: u64 = 12_000;

/// The words.
pub(crate) struct Vocabulary {
    text: String,
    /// Where each word ends in `text`, language after language.
    ends: Vec<u32>,
    languages: [Part; 5],
}

#[derive(Clone, Copy)]
struct Part {
    first: usize,
    law: Zipf,
}

impl Vocabulary {
    /// Makes them all: about a tenth of a second.
    pub(crate) fn new() -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        let languages = Language::ALL.map(|language| {
            let part = Part { first: ends.len(), law: Zipf::new(language.words(), 1.0) };
            let spell = Speller::new(language);
            for rank in 0..language.words() {
                spell.word(rank, &mut text);
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX)); // some MB
            }
            part
        });
        Self { text, ends, languages }
    }

    /// A word by a place between zero and one: common ones have the most room.
    pub(crate) fn word(&self, language: Language, unit: f64) -> &str {
        let part = &self.languages[language as usize];
        let at = part.first + index(part.law.rank(unit));
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[at] as usize]
    }
}

/// Spells the words of one language by rank.
struct Speller {
    language: Language,
    first: Vec<char>,
    last: Vec<char>,
}

impl Speller {
    fn new(language: Language) -> Self {
        let (first, last) = language.sounds();
        Self { language, first, last }
    }

    fn word(&self, rank: u64, text: &mut String) {
        match self.language {
            Language::Chinese => han(rank, text),
            Language::English if rank < COMMON.len() as u64 => text.push_str(COMMON[index(rank)]),
            _ => self.syllables(rank, text),
        }
    }

    /// Two to four syllables, spread over all there are by a multiplication that maps no two ranks to one.
    fn syllables(&self, rank: u64, text: &mut String) {
        let count = 2 + SYLLABLE_RANKS.iter().filter(|end| rank >= **end).count();
        let (firsts, lasts) = (self.first.len() as u64, self.last.len() as u64);
        let all = (0..count).fold(1, |all, _| all * firsts * lasts);
        let mut code = scatter(rank, all);
        for _ in 0..count {
            text.push(self.first[index(code % firsts)]);
            code /= firsts;
            text.push(self.last[index(code % lasts)]);
            code /= lasts;
        }
        // An ending that depends on the word, so that words do not all end in a vowel.
        if mix(rank).is_multiple_of(3) {
            text.push(self.first[index(mix(rank) / 3 % firsts)]);
        }
    }
}

fn han(rank: u64, text: &mut String) {
    let (first, characters) = HAN;
    let count = if rank < HAN_PAIRS { 2 } else { 3 };
    let mut code = scatter(rank, (0..count).fold(1, |all, _| all * characters));
    for _ in 0..count {
        let offset = u32::try_from(code % characters).unwrap_or(0);
        text.extend(char::from_u32(first + offset));
        code /= characters;
    }
}

/// A place below `all`, another for each rank below it: the multiplier is a prime above all that are used.
fn scatter(rank: u64, all: u64) -> u64 {
    const PRIME: u128 = 1_000_000_000_039;
    u64::try_from(u128::from(rank + 1) * PRIME % u128::from(all)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_differ_and_rare_ones_are_long() {
        let words = Vocabulary::new();
        assert_eq!(words.ends.len(), 600_000);
        let all: HashSet<&str> = (0..600_000).map(|at| word_at(&words, at)).collect();
        assert!(all.len() > 599_000, "{}", all.len()); // a common word may also be spelt of syllables
        assert_eq!(words.word(Language::English, 0.0), "the");
        assert!(words.word(Language::English, 0.999).len() >= 8);
        for language in Language::ALL {
            assert!(peerage_wire::SharePath::parse(words.word(language, 0.7)).is_ok());
        }
    }

    fn word_at(words: &Vocabulary, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| words.ends[before]);
        &words.text[start as usize..words.ends[at] as usize]
    }
}
