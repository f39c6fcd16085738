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

use peerage_wire::SharePath;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// The terms of a share path in their order, the folders' first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTerms {
    /// Every term.
    pub terms: Vec<String>,
    /// Where the file's own name begins in `terms`: what stands before is the share and its folders.
    pub file_start: usize,
}

impl NameTerms {
    /// The terms of a path. A path's slashes are borders as any other, so a pasted path is found.
    #[must_use]
    pub fn of(path: &SharePath) -> Self {
        let file_name = path.file_name();
        let folders = &path.as_str()[..path.as_str().len() - file_name.len()];
        let mut terms = split(folders);
        let file_start = terms.len();
        terms.extend(split(file_name));
        if terms.len() == file_start {
            terms.extend(whole(file_name));
        }
        Self { terms, file_start }
    }
}

/// The terms of a text, in their order.
#[must_use]
pub fn split(text: &str) -> Vec<String> {
    let mut splitter = Splitter::default();
    fold(text).chars().for_each(|c| splitter.take(c));
    splitter.finish()
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

/// Folds case, accents and compatibility forms.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase(); // most names, and ten times as fast
    }
    // Decomposed twice: lower-casing can give marks (`İ`), and decomposing can give capitals (`㎒`).
    let lower = text.nfkd().flat_map(char::to_lowercase).nfkd();
    let kept = lower.filter(|c| !is_dropped(*c));
    let mut plain = String::with_capacity(text.len());
    for c in kept {
        match plain_letters(c) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(c),
        }
    }
    plain.nfc().collect()
}

/// Whether a character opens or closes a phrase: the straight quote, and those that keyboards put in its place.
#[must_use]
pub const fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// Whether a character is written without blanks between words (rule 3).
#[must_use]
pub fn is_cjk(c: char) -> bool {
    let is_in_a_block = matches!(c,
        '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3031}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}');
    is_in_a_block && c.is_alphanumeric()
}

/// Cuts folded text into terms, a character at a time.
#[derive(Default)]
struct Splitter {
    terms: Vec<String>,
    word: String,
    word_class: Option<Class>,
    cjk_run: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Cjk,
    Mark,
    Symbol,
    Gap,
}

impl Splitter {
    fn take(&mut self, c: char) {
        match class(c) {
            Class::Mark => self.attach(c),
            Class::Cjk => {
                self.end_word();
                self.cjk_run.push(c.to_string());
            }
            Class::Symbol => {
                self.end_run();
                self.terms.push(c.to_string());
            }
            Class::Gap => self.end_run(),
            class => self.grow_word(c, class),
        }
    }

    /// A mark belongs to what it stands on; on nothing it is nothing.
    fn attach(&mut self, mark: char) {
        if let Some(last) = self.cjk_run.last_mut() {
            last.push(mark);
        } else if !self.word.is_empty() {
            self.word.push(mark);
        }
    }

    fn grow_word(&mut self, c: char, class: Class) {
        self.end_cjk_run();
        if self.word_class != Some(class) {
            self.end_word();
            self.word_class = Some(class);
        }
        self.word.push(c);
    }

    fn end_run(&mut self) {
        self.end_word();
        self.end_cjk_run();
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.terms.push(std::mem::take(&mut self.word));
        }
        self.word_class = None;
    }

    fn end_cjk_run(&mut self) {
        self.terms.extend(self.cjk_run.windows(2).map(<[String]>::concat));
        self.terms.extend(self.cjk_run.pop());
        self.cjk_run.clear();
    }

    fn finish(mut self) -> Vec<String> {
        self.end_run();
        self.terms
    }
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Letter,
        '0'..='9' => Class::Digit,
        _ if c.is_ascii() => Class::Gap,
        _ if is_cjk(c) => Class::Cjk,
        _ if is_combining_mark(c) => Class::Mark,
        _ if c.is_numeric() => Class::Digit,
        _ if c.is_alphabetic() => Class::Letter,
        '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => Class::Symbol,
        _ => Class::Gap,
    }
}

/// Accents and points, and what only changes how a neighbour looks.
fn is_dropped(c: char) -> bool {
    /// Below it are marks that make another letter. Source: Unicode, `DerivedCombiningClass.txt`.
    const ACCENT_CLASS_MIN: u8 = 10;
    canonical_combining_class(c) >= ACCENT_CLASS_MIN
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{20e3}' | '\u{feff}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// What people type for letters that Unicode does not decompose.
const fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ħ' => "h",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
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
        assert_eq!(terms.terms, ["docs", "pro", "jects", "ete", "2", "txt"]);
        assert_eq!(terms.file_start, 3);
        assert_eq!(NameTerms::of(&path("alone")), NameTerms { terms: vec!["alone".into()], file_start: 0 });
    }

    #[test]
    fn a_name_without_terms_is_one_as_a_whole() {
        assert_eq!(NameTerms::of(&path("s/--- \"!\" ")).terms, ["s", "---!"]);
        assert_eq!(NameTerms::of(&path("s/\u{301}")).terms, ["s", "\u{301}"]);
        assert_eq!(NameTerms::of(&path("s/\" \"")).terms, ["s"]);
    }

    proptest! {
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

    fn path(text: &str) -> SharePath {
        SharePath::parse(text).unwrap()
    }
}
