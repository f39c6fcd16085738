//! Folding: case, accents and compatibility forms.
//!
//! Invariants: what is ASCII is only lower-cased, so text may be folded in pieces that begin at an ASCII character.
//! Folding folded text changes nothing.

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Folds case, accents and compatibility forms.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// Appends folded text. Most names are ASCII, and most of the others have a letter or two that is not: the rest is
/// copied, which is far faster than asking the tables.
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
        folded.extend(letters(other.chars()).nfc());
        rest = after;
    }
    push_lower(rest, folded);
}

/// Whether text can be folded apart before this character: it neither changes nor is lost in what stands before.
pub(crate) fn begins_piece(c: char) -> bool {
    let is_apart = |first| {
        canonical_combining_class(first) == 0 && is_nfc_quick(std::iter::once(first)) == IsNormalized::Yes
    };
    c.is_ascii() || letters(std::iter::once(c)).next().is_some_and(is_apart)
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

    proptest! {
        #[test]
        fn in_pieces_is_as_in_one(text in "(\\PC{0,24}|[a-zA>\\-é\u{338}\u{301}\u{3099}が東ßİﬁ ]{0,24})") {
            let in_one: String = letters(text.chars()).nfc().collect();
            prop_assert_eq!(&fold(&text), &in_one);
            prop_assert_eq!(&fold(&in_one), &in_one);
        }
    }
}
