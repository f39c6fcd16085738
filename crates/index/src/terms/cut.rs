//! Cutting folded text into terms.
//!
//! Invariants: a term is a part of the text, terms begin in the text's order, and each is at least a character long.
//! ASCII text, which most names are, goes a faster way to the same terms.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::char::is_combining_mark;

/// Where a term stands in the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    /// Whether the term before ends where this begins, one of letters and the other of digits.
    pub(super) is_glued: bool,
}

impl Span {
    /// A term that is not glued. Text beyond 4 GiB, which no path or query has, would have no terms.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: offset(start), end: offset(end), is_glued: false }
    }

    pub(super) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
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

/// Appends the terms of the text from a byte on.
pub(super) fn cut(text: &str, start: usize, spans: &mut Vec<Span>) {
    let part = text.get(start..).unwrap_or_default();
    if part.is_ascii() { cut_ascii(part.as_bytes(), start, spans) } else { cut_any(part, start, spans) }
}

fn cut_ascii(text: &[u8], offset: usize, spans: &mut Vec<Span>) {
    let mut word_start = 0;
    let mut word_class = Class::Gap;
    let mut is_glued = false;
    for (at, byte) in text.iter().chain([&b' ']).enumerate() {
        let class = ascii_class(*byte);
        if class == word_class {
            continue;
        }
        if word_class != Class::Gap {
            spans.push(Span { is_glued, ..Span::new(offset + word_start, offset + at) });
        }
        is_glued = word_class != Class::Gap;
        (word_start, word_class) = (at, class);
    }
}

fn cut_any(text: &str, offset: usize, spans: &mut Vec<Span>) {
    let mut cutter = Cutter { spans, word: None, pair: None };
    for (at, c) in text.char_indices() {
        cutter.take(offset + at, c);
    }
    cutter.end_run(offset + text.len());
}

/// Cuts text a character at a time; what is open goes up to the character that ends it, marks included.
struct Cutter<'a> {
    spans: &'a mut Vec<Span>,
    word: Option<Word>,
    pair: Option<Pair>,
}

struct Word {
    start: usize,
    class: Class,
    is_glued: bool,
}

/// In a run of Han or kana: where its last character begins, and the one before it.
struct Pair {
    before: Option<usize>,
    last: usize,
}

/// What a character of folded text is to the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Letter,
    Digit,
    /// Written without blanks between words: a term of its own, or two neighbours.
    Cjk,
    /// Belongs to what it stands on, whatever that is.
    Mark,
    /// A term of its own.
    Symbol,
    /// What is between terms.
    Gap,
}

impl Cutter<'_> {
    fn take(&mut self, at: usize, c: char) {
        match class_of(c) {
            Class::Mark => {} // it belongs to what it stands on; on nothing it is nothing
            Class::Cjk => {
                self.end_word(at);
                let before = self.end_pair(at);
                self.pair = Some(Pair { before, last: at });
            }
            Class::Symbol => {
                self.end_run(at);
                self.spans.push(Span::new(at, at + c.len_utf8()));
            }
            Class::Gap => self.end_run(at),
            class if self.word.as_ref().is_some_and(|word| word.class == class) => {}
            class => {
                self.end_cjk_run(at);
                let is_glued = self.end_word(at);
                self.word = Some(Word { start: at, class, is_glued });
            }
        }
    }

    fn end_run(&mut self, at: usize) {
        self.end_word(at);
        self.end_cjk_run(at);
    }

    /// Whether there was one.
    fn end_word(&mut self, at: usize) -> bool {
        let Some(Word { start, is_glued, .. }) = self.word.take() else { return false };
        self.spans.push(Span { is_glued, ..Span::new(start, at) });
        true
    }

    fn end_cjk_run(&mut self, at: usize) {
        if let Some(last) = self.end_pair(at) {
            self.spans.push(Span::new(last, at));
            self.pair = None;
        }
    }

    /// Where the run's last character begins, once it and the one before are a term.
    fn end_pair(&mut self, at: usize) -> Option<usize> {
        let pair = self.pair.as_ref()?;
        self.spans.extend(pair.before.map(|before| Span::new(before, at)));
        Some(pair.last)
    }
}

/// The class of a character of folded text.
pub(crate) fn class_of(c: char) -> Class {
    /// Letters of the scripts that most names have: of others Unicode's tables are asked, which takes far longer.
    const KNOWN: usize = 0x3100;
    static CLASSES: LazyLock<Vec<Class>> =
        LazyLock::new(|| ('\0'..).take(KNOWN).map(class_by_unicode).collect());
    match c {
        _ if c.is_ascii() => ascii_class(c as u8),
        '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => Class::Cjk,
        _ => CLASSES.get(c as usize).copied().unwrap_or_else(|| class_by_unicode(c)),
    }
}

fn class_by_unicode(c: char) -> Class {
    match c {
        _ if c.is_ascii() => ascii_class(c as u8),
        _ if is_cjk(c) => Class::Cjk,
        _ if is_combining_mark(c) => Class::Mark,
        _ if c.is_numeric() => Class::Digit,
        _ if c.is_alphabetic() => Class::Letter,
        '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => Class::Symbol,
        _ => Class::Gap,
    }
}

/// Of folded text: there are no capitals.
pub(crate) const fn ascii_class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Gap,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_are_those_that_unicode_tells() {
        for c in '\0'..=char::MAX {
            assert_eq!(class_of(c), class_by_unicode(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_terms(text in "([a-c0-2 ./_-]{0,32}|[ -~]{0,32})", offset in 0_usize..9) {
            let text = text.to_ascii_lowercase();
            let (mut fast, mut general) = (Vec::new(), Vec::new());
            cut_ascii(text.as_bytes(), offset, &mut fast);
            cut_any(&text, offset, &mut general);
            prop_assert_eq!(fast, general);
        }

        #[test]
        fn terms_are_parts_of_the_text(text in "(\\PC{0,24}|[a-c1東京ガ\u{3099}🎵 .]{0,24})") {
            let mut spans = Vec::new();
            cut(&text, 0, &mut spans);
            for pair in spans.windows(2) {
                prop_assert!(pair[0].start < pair[1].start);
            }
            for span in spans {
                prop_assert!(text.get(span.range()).is_some_and(|term| !term.is_empty()));
            }
        }
    }
}
