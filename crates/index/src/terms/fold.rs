//! Folding: case, accents and compatibility forms.
//!
//! Invariants: what is ASCII is only lower-cased, so text may be folded in pieces that begin at an ASCII character.
//! Folding folded text changes nothing.

use std::sync::LazyLock;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::cut::{Class, class_of};

/// Folds case, accents and compatibility forms.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// Appends folded text. Most names are ASCII, and most of the others have a letter or two that is not: the rest is
/// copied, and letters that fold by themselves are looked up, which is far faster than asking Unicode's tables.
pub(crate) fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        return push_lower(text, folded);
    }
    let mut rest = text;
    while let Some(ascii_bytes) = rest.bytes().position(|byte| !byte.is_ascii()) {
        // The character before may be composed with what follows.
        let (plain, other) = rest.split_at(ascii_bytes.saturating_sub(1));
        push_lower(plain, folded);
        let other_bytes = other.bytes().skip(1).position(|byte| byte.is_ascii());
        let (other, after) = other.split_at(other_bytes.map_or(other.len(), |at| at + 1));
        let before = folded.len();
        if !push_alone(other, folded) {
            folded.truncate(before);
            folded.extend(letters(other.chars()).nfc());
        }
        rest = after;
    }
    push_lower(rest, folded);
}

/// Whether text can be folded apart before this character: it neither changes nor is lost in what stands before.
pub(crate) fn begins_piece(c: char) -> bool {
    c.is_ascii() || alone(c).is_some() || letters(std::iter::once(c)).next().is_some_and(is_apart)
}

/// Whether each character folds by itself, to one of as many bytes: what is told of the folded text is told of the text.
pub(crate) fn folds_in_place(text: &str) -> bool {
    let is_in_place = |c: char, to: Alone| to.second.is_none() && to.first.len_utf8() == c.len_utf8();
    text.chars().all(|c| c.is_ascii() || alone(c).is_some_and(|to| is_in_place(c, to)))
}

/// Whether a character beyond ASCII becomes, whatever stands beside it, another such one of as many bytes that means the same to the
/// terms: what has other letters of ASCII beside such ones can be looked for in the text as it is.
pub(crate) fn stays_apart(c: char) -> bool {
    const KNOWN: usize = 0x3100;
    static TABLE: LazyLock<Vec<bool>> =
        LazyLock::new(|| ('\0'..).take(KNOWN).map(|c| alone(c).is_some_and(|to| is_other(c, to))).collect());
    TABLE.get(c as usize).copied().unwrap_or_else(|| alone(c).is_some_and(|to| is_other(c, to)))
}

fn is_other(c: char, to: Alone) -> bool {
    let is_one = to.second.is_none() && !to.first.is_ascii() && to.first.len_utf8() == c.len_utf8();
    is_one && class_of(to.first) == class_of(c) && class_of(c) != Class::Mark
}

/// Appends text that folds letter by letter; `false` where it does not, having appended some of it.
fn push_alone(text: &str, folded: &mut String) -> bool {
    text.chars().all(|c| match alone(c) {
        Some(Alone { first, second }) => {
            folded.push(first);
            folded.extend(second);
            true
        }
        None if c.is_ascii() => {
            folded.push(c.to_ascii_lowercase());
            true
        }
        None => false,
    })
}

/// What a letter folds to by itself.
#[derive(Debug, Clone, Copy)]
struct Alone {
    first: char,
    second: Option<char>,
}

/// The scripts of which [`alone`] knows the letters: Latin, Greek, Cyrillic, Armenian, Hebrew; Latin as Vietnamese has it;
/// dashes, quotes and dots; and kana.
const LETTERS: [std::ops::Range<u32>; 4] = [0x80..0x600, 0x1e00..0x1f00, 0x2010..0x2028, 0x3041..0x3100];

/// What a letter beyond ASCII folds to, where that does not depend on its neighbours as long as they are such letters or
/// ASCII: it becomes one or two letters that are composed with none of these.
fn alone(c: char) -> Option<Alone> {
    static TABLES: LazyLock<[Vec<Option<Alone>>; 4]> =
        LazyLock::new(|| LETTERS.map(|letters| letters.map(|c| folded_alone(char::from_u32(c)?)).collect()));
    // Han and Hangul stay as they are.
    if matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
        return Some(Alone { first: c, second: None });
    }
    let (table, letters) = TABLES.iter().zip(LETTERS).find(|(_, letters)| letters.contains(&u32::from(c)))?;
    *table.get((u32::from(c) - letters.start) as usize)?
}

fn folded_alone(c: char) -> Option<Alone> {
    let mut folded = letters(std::iter::once(c)).nfc();
    let alone = Alone { first: folded.next()?, second: folded.next() };
    let is_all = folded.next().is_none();
    (is_all && is_apart(alone.first) && alone.second.is_none_or(is_apart)).then_some(alone)
}

/// Whether a character is composed with nothing that stands before it.
fn is_apart(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes
}

fn push_lower(ascii: &str, folded: &mut String) {
    let start = folded.len();
    folded.push_str(ascii);
    folded[start..].make_ascii_lowercase();
}

/// Folded, but not yet composed.
fn letters(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    // Decomposed twice: lower-casing can give marks (`İ`), and decomposing can give capitals (`㎒`).
    let lower = text.nfkd().flat_map(char::to_lowercase).nfkd();
    lower.filter(|c| !is_dropped(*c)).flat_map(|c| {
        let (first, second) = plain_letters(c);
        std::iter::once(first).chain(second)
    })
}

/// Accents and points, and what only changes how a neighbour looks.
fn is_dropped(c: char) -> bool {
    /// Below it are marks that make another letter. Source: Unicode, `DerivedCombiningClass.txt`.
    const ACCENT_CLASS_MIN: u8 = 10;
    canonical_combining_class(c) >= ACCENT_CLASS_MIN
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{20e3}' | '\u{feff}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// What people type for letters that Unicode does not decompose; any other as it is.
const fn plain_letters(c: char) -> (char, Option<char>) {
    match c {
        'ß' => ('s', Some('s')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        'ø' => ('o', None),
        'ł' => ('l', None),
        'đ' | 'ð' => ('d', None),
        'þ' => ('t', Some('h')),
        'ħ' => ('h', None),
        'ı' => ('i', None),
        'ς' => ('σ', None),
        _ => (c, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded_in_one(text: &str) -> String {
        letters(text.chars()).nfc().collect()
    }

    #[test]
    fn letters_that_fold_by_themselves_do_so_beside_any_other() {
        let all: Vec<char> = ('\u{80}'..'\u{ffff}').filter(|c| alone(*c).is_some()).collect();
        assert!(all.len() > 30_000, "{}", all.len());
        for known in ["éЖςñガ東한ß", "İıøÆǅệ"].iter().flat_map(|text| text.chars()) {
            assert!(all.contains(&known), "{known}");
        }
        assert!(!['\u{301}', '\u{3099}', '\u{338}', '¼', '\u{1161}'].iter().any(|c| alone(*c).is_some()));
        for pair in all.windows(2) {
            let text: String = ['=', pair[0], pair[1], 'E', pair[0], '\u{338}', pair[1]].iter().collect();
            assert_eq!(fold(&text), folded_in_one(&text), "{text}");
            assert!(begins_piece(pair[0]));
        }
    }

    proptest! {
        #[test]
        fn letters_fold_alike_alone_and_in_one(text in "[A-Za-z =<>\u{80}-\u{5ff}\u{2010}-\u{2027}\u{3041}-\u{30ff}\u{ac00}-\u{ac80}東京]{0,16}") {
            prop_assert_eq!(fold(&text), folded_in_one(&text));
        }

        #[test]
        fn in_pieces_is_as_in_one(text in "(\\PC{0,24}|[a-zA>\\-é\u{338}\u{301}\u{3099}が東ßİﬁ ]{0,24})") {
            let in_one: String = letters(text.chars()).nfc().collect();
            prop_assert_eq!(&fold(&text), &in_one);
            prop_assert_eq!(&fold(&in_one), &in_one);
        }
    }
}
