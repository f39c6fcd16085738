//! The corpus as a search engine of documents sees it: one for each content, with the words of all its names and its live sources.

use peerage_index::terms;
use peerage_wire::Kind;

use crate::corpus::{Corpus, index};

/// One content.
pub(super) struct Document<'a> {
    pub(super) id: u64,
    /// Live sources.
    pub(super) live: u32,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// The terms of its names with blanks between them.
    pub(super) words: &'a str,
}

/// How many peers of the corpus have each content.
pub(super) fn live_sources(corpus: &Corpus) -> Vec<u32> {
    let mut live = vec![0_u32; index(corpus.size().contents)];
    for peer in 0..corpus.size().peers {
        let mut before = None; // other names of one content follow each other
        corpus.contents(peer, &corpus.listing(peer), |content, _| {
            if before.replace(content) != Some(content)
                && let Some(sources) = live.get_mut(index(content))
            {
                *sources += 1;
            }
        });
    }
    live
}

/// Makes one document after the other.
#[derive(Default)]
pub(super) struct Maker {
    path: String,
    words: String,
}

impl Maker {
    /// A content of the corpus, or one beyond it, which goes by its usual name alone.
    pub(super) fn document(&mut self, corpus: &Corpus, id: u64, live: u32) -> Document<'_> {
        let Self { path, words } = self;
        let entry = corpus.entry(id, 0, path);
        let kind = Kind::of_name(entry.path.file_name());
        words.clear();
        put(path, words);
        let others = if id < corpus.size().contents { corpus.other_names(id) } else { 0 };
        for variant in 1..=others {
            corpus.path(id, variant, path);
            words.push(' ');
            put(path, words);
        }
        Document { id, live, kind, size: entry.size, words }
    }
}

fn put(path: &str, words: &mut String) {
    for (position, term) in terms::split(path).into_iter().enumerate() {
        if position > 0 {
            words.push(' ');
        }
        words.push_str(&term);
    }
}
