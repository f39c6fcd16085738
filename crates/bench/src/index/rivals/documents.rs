//! The corpus as a search engine of documents sees it: one for each content, with the words of all its names and its live sources.

use anyhow::Result;
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

/// Tells every content.
///
/// # Errors
/// The first of `tell`.
pub(super) fn each(
    corpus: &Corpus,
    live: &[u32],
    mut tell: impl FnMut(&Document<'_>) -> Result<()>,
) -> Result<()> {
    let (mut path, mut words) = (String::new(), String::new());
    for (id, live) in (0..).zip(live) {
        let entry = corpus.entry(id, 0, &mut path);
        let kind = Kind::of_name(entry.path.file_name());
        words.clear();
        put(&path, &mut words);
        for variant in 1..=corpus.other_names(id) {
            corpus.path(id, variant, &mut path);
            words.push(' ');
            put(&path, &mut words);
        }
        tell(&Document { id, live: *live, kind, size: entry.size, words: &words })?;
    }
    Ok(())
}

fn put(path: &str, words: &mut String) {
    for (position, term) in terms::split(path).into_iter().enumerate() {
        if position > 0 {
            words.push(' ');
        }
        words.push_str(&term);
    }
}
