//! Terms: the one set of rules by which names and words become what is compared. Every engine uses these.
//!
//! 1. **Folding** ([`fold`]): compatibility decomposition (NFKD), lower case, accents and points dropped, composed
//!    again. Letters that carry their stroke inside (`ø`, `ł`, `ß`, `æ`) become the plain letters people type.
//!    Marks that make another letter (kana voicing, Indic nukta and virama: combining class below 10) stay.
//! 2. **Splitting** ([`split`]): at everything that is no letter, digit or mark, and between a letter and a digit,
//!    since people write `track 01`, `track01`, `s01e02` and `1080p` as they like: a word of several terms is
//!    looked for as those terms side by side, so that `mp3` still means `mp3`.
//! 3. **Han, kana and hangul** have no (reliable) blanks between words: a run of them becomes each two neighbours,
//!    then the last one alone, so that every part of the run is found, even a single character.
//! 4. **Symbols and emoji** are each a term; joiners, variation selectors and skin tones are dropped.
//! 5. A file name in which nothing of this is left (`---`) is one term as a whole.
//!
//! Invariants: no function here fails or panics on any text. Equal texts, composed or decomposed, give equal terms.
//! Every term is a part of the folded text, so a name's terms are one text and where each begins and ends.

mod cut;
mod fold;

use std::ops::Range;

use peerage_wire::SharePath;
use unicode_normalization::UnicodeNormalization;

pub use cut::is_cjk;
pub(crate) use cut::{Class, ascii_class, class_of};
use cut::{Span, cut};
pub use fold::fold;
pub(crate) use fold::{begins_piece, fold_into, folds_in_place, stays_apart};

/// The terms of a share path in their order, the folders' first. Reading another path into it reuses its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameTerms {
    /// Where the file's own name begins among the terms: what stands before is the share and its folders.
    pub file_start: usize,
    text: String,
    /// How much of the text is the folded path; after it comes the name as a whole, where that is a term.
    path_bytes: usize,
    spans: Vec<Span>,
}

impl NameTerms {
    /// The terms of a path. A path's slashes are borders as any other, so a pasted path is found.
    #[must_use]
    pub fn of(path: &SharePath) -> Self {
        let mut terms = Self::default();
        terms.read(path.as_str());
        terms
    }

    /// The terms of another path instead; no memory is asked for once the buffers have grown.
    pub fn read(&mut self, path: &str) {
        self.clear();
        let (folders, file_name) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
        self.take(folders);
        self.file_start = self.spans.len();
        self.take(file_name);
        self.path_bytes = self.text.len();
        if self.spans.len() == self.file_start {
            self.take_whole(file_name);
        }
    }

    /// How many terms there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no term.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// A term by its position; empty, as no term is, past the last.
    #[must_use]
    pub fn get(&self, position: usize) -> &str {
        self.spans.get(position).map_or("", |span| self.slice(*span))
    }

    /// Every term in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator + Clone {
        self.spans.iter().map(|span| self.slice(*span))
    }

    /// Whether the term goes on from the one before it at a letter's and a digit's border, with nothing between them
    /// (`mp3`, `s01`, `1080p`). The file's first term never does.
    #[must_use]
    pub fn is_glued(&self, position: usize) -> bool {
        self.spans.get(position).is_some_and(|span| span.is_glued)
    }

    /// Where a term stands in the folded path, in bytes; a name that is one term as a whole stands nowhere.
    pub(crate) fn span(&self, position: usize) -> Option<Range<usize>> {
        self.spans.get(position).map(|span| span.range()).filter(|span| span.end <= self.path_bytes)
    }

    fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.file_start = 0;
        self.text.clear();
        self.spans.clear();
    }

    fn take(&mut self, text: &str) {
        let start = self.text.len();
        fold_into(text, &mut self.text);
        cut(&self.text, start, &mut self.spans);
    }

    fn take_whole(&mut self, text: &str) {
        if let Some(whole) = whole(text) {
            let start = self.text.len();
            self.text.push_str(&whole);
            self.spans.push(Span::new(start, self.text.len()));
        }
    }
}

/// The terms of a text, in their order.
#[must_use]
pub fn split(text: &str) -> Vec<String> {
    let mut terms = NameTerms::default();
    terms.take(text);
    terms.iter().map(String::from).collect()
}

/// A text that has no terms, as one: folded, without quotes and blanks, which a query can't hold as they are; `None`
/// where nothing is left.
#[must_use]
pub fn whole(text: &str) -> Option<String> {
    let bare: String = text.nfc().filter(|c| !is_quote(*c) && !c.is_whitespace()).collect();
    // Folding can leave nothing of a name of accents alone, or decompose into blanks: then it stays as it is.
    let folded: String = fold(&bare).chars().filter(|c| !c.is_whitespace()).collect();
    [folded, bare].into_iter().find(|text| !text.is_empty())
}

/// Whether a character opens or closes a phrase: the straight quote, and those that keyboards put in its place.
#[must_use]
pub const fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_become_terms_by_the_rules() {
        let cases: [(&str, &[&str]); 22] = [
            ("Foo-bar_baz.TXT", &["foo", "bar", "baz", "txt"]),
            ("Été à Zürich", &["ete", "a", "zurich"]),
            ("E\u{301}te\u{301}", &["ete"]),
            ("Straße ŁÓDŹ Ærø İstanbul", &["strasse", "lodz", "aero", "istanbul"]),
            ("ΟΔΟΣ Οδός", &["οδοσ", "οδοσ"]),
            ("ＦＵＬＬ①ﬁ", &["full", "1", "fi"]),
            ("track01 s01e02 1080p", &["track", "01", "s", "01", "e", "02", "1080", "p"]),
            ("libssl1.1", &["libssl", "1", "1"]),
            ("東京都", &["東京", "京都", "都"]),
            ("東 x京", &["東", "x", "京"]),
            ("ガイド2", &["ガイ", "イド", "ド", "2"]),
            ("ｶﾞ", &["ガ"]),
            ("한국어", &["한국", "국어", "어"]),
            ("हिन्दी", &["हिन्दी"]),
            ("🎵🎶mp3", &["🎵", "🎶", "mp", "3"]),
            ("❤\u{fe0f} 👍🏽 👨\u{200d}👩", &["❤", "👍", "👨", "👩"]),
            ("don't \"quote\" (it)", &["don", "t", "quote", "it"]),
            ("-rf --help", &["rf", "help"]),
            ("𝐁old ㎒", &["bold", "mhz"]),
            ("so\u{ad}ft", &["soft"]),
            ("--- ...", &[]),
            ("\u{301}", &[]),
        ];
        for (text, terms) in cases {
            assert_eq!(split(text), terms, "{text:?}");
        }
    }

    #[test]
    fn a_path_knows_where_its_file_begins() {
        let terms = NameTerms::of(&path("docs/Pro jects/été2.txt"));
        assert_eq!(all(&terms), ["docs", "pro", "jects", "ete", "2", "txt"]);
        assert_eq!((terms.file_start, terms.get(3), terms.get(6)), (3, "ete", ""));
        let alone = NameTerms::of(&path("alone"));
        assert_eq!((all(&alone), alone.file_start), (vec!["alone"], 0));
    }

    #[test]
    fn a_name_without_terms_is_one_as_a_whole() {
        assert_eq!(all(&NameTerms::of(&path("s/--- \"!\" "))), ["s", "---!"]);
        assert_eq!(all(&NameTerms::of(&path("s/\u{301}"))), ["s", "\u{301}"]);
        assert_eq!(all(&NameTerms::of(&path("s/\" \""))), ["s"]);
    }

    #[test]
    fn a_term_is_glued_where_nothing_parts_it_from_the_one_before() {
        let glued = |text: &str| {
            let terms = NameTerms::of(&path(text));
            let glued = (0..terms.len()).filter(|position| terms.is_glued(*position));
            glued.map(|position| terms.get(position).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(glued("s/s01e02.mp3"), ["01", "e", "02", "3"]);
        assert_eq!(glued("s1/2x é2-3 ⅷ8"), ["1", "x", "2", "8"]);
        assert_eq!(glued("s 1/2 1.0 東1 🎵mp ガイド2").len(), 0);
    }

    proptest! {
        #[test]
        fn reading_again_leaves_nothing_of_what_was_read_before(
            first in "([a-c1é東/ -]{0,12}|\\PC{0,12})", second in "([a-c1é東/ -]{0,12}|\\PC{0,12})",
        ) {
            let (mut reused, mut fresh) = (NameTerms::default(), NameTerms::default());
            reused.read(&first);
            reused.read(&second);
            fresh.read(&second);
            prop_assert_eq!(&reused, &fresh);
            prop_assert_eq!(fresh.iter().collect::<Vec<_>>(), (0..fresh.len()).map(|at| fresh.get(at)).collect::<Vec<_>>());
        }

        #[test]
        fn any_text_has_terms_that_stay_as_they_are(text in any_text()) {
            for term in split(&text) {
                prop_assert!(!term.is_empty());
                prop_assert_eq!(&fold(&term), &term);
                prop_assert!(!term.contains(char::is_whitespace));
            }
        }

        #[test]
        fn composed_and_decomposed_are_the_same(text in any_text()) {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(split(&composed), split(&decomposed));
        }

        #[test]
        fn what_a_border_parts_can_be_split_apart(left in any_text(), right in any_text()) {
            let mut apart = split(&left);
            apart.extend(split(&right));
            prop_assert_eq!(split(&format!("{left}/{right}")), apart);
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof!["\\PC{0,24}", "[a-zA-Z0-9 ._'\"*-]{0,24}", "[é東京ガ゙ｶﾞ한ßİΣ🎵👍🏽\u{301}\u{200d}1a ]{0,16}"]
    }

    fn all(terms: &NameTerms) -> Vec<&str> {
        terms.iter().collect()
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse(text).unwrap()
    }
}
