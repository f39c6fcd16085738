//! The words of names: which name has which term, and a name's terms in order.
//!
//! Two bitmaps a term: the names that have it anywhere, and those that have it in the file's own name. So a single word
//! is answered from bitmaps alone, whatever its place; only a phrase looks at the order of a name's terms.
//!
//! Terms are kept inside the vocabulary's nodes (up to 23 bytes): reading all of it, as parts and typos need, then runs
//! through memory instead of following a pointer for each term.
//!
//! Invariants: a term is in the vocabulary exactly while some name has it; the bitmaps agree with the spelling.

mod find;
mod spelling;

use std::collections::BTreeMap;

use peerage_wire::SharePath;
use roaring::RoaringBitmap;
use smol_str::SmolStr;

use super::arena::{Arena, NameKey, TermKey};
use crate::terms::NameTerms;

pub(super) use find::Found;
use spelling::Spelling;

/// The names in the text index.
#[derive(Debug, Default)]
pub(super) struct Text {
    vocabulary: BTreeMap<SmolStr, TermKey>,
    postings: Arena<TermKey, Postings>,
    spelling: Spelling,
    all: RoaringBitmap,
}

#[derive(Debug)]
struct Postings {
    term: SmolStr,
    anywhere: RoaringBitmap,
    in_file: RoaringBitmap,
}

impl Text {
    /// Takes a name in.
    pub(super) fn add(&mut self, name: NameKey, path: &SharePath) {
        self.all.insert(name.into());
        let name_terms = NameTerms::of(path);
        let file_start = name_terms.file_start;
        let terms: Vec<TermKey> = name_terms.iter().map(|term| self.term(term)).collect();
        for (position, term) in terms.iter().enumerate() {
            if let Some(postings) = self.postings.get_mut(*term) {
                postings.anywhere.insert(name.into());
                if position >= file_start {
                    postings.in_file.insert(name.into());
                }
            }
        }
        self.spelling.insert(name, &terms, file_start);
    }

    /// Takes a name out.
    pub(super) fn remove(&mut self, name: NameKey) {
        self.all.remove(name.into());
        for term in self.spelling.remove(name) {
            let Some(postings) = self.postings.get_mut(term) else { continue };
            postings.anywhere.remove(name.into());
            postings.in_file.remove(name.into());
            if postings.anywhere.is_empty() {
                self.vocabulary.remove(&postings.term);
                self.postings.remove(term);
            }
        }
    }

    fn term(&mut self, text: &str) -> TermKey {
        if let Some(term) = self.vocabulary.get(text) {
            return *term;
        }
        let term = SmolStr::new(text);
        let postings =
            Postings { term: term.clone(), anywhere: RoaringBitmap::new(), in_file: RoaringBitmap::new() };
        let key = self.postings.insert(postings);
        self.vocabulary.insert(term, key);
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::{Place, Query};
    use peerage_wire::api::Matched;

    const PATHS: &str = "(s|a b|ab/c)/([ab]{1,2}[ .1]?){1,3}";
    const QUERY: &str = "(size:1 )?(-?\"?\\*?[ab1]{1,2}[.1 ]?[ab]{0,2}\\*?\"?( |  OR )?){1,3}";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
        #[test]
        fn what_is_found_is_what_the_query_says(
            paths in prop::collection::vec(PATHS, 1..12), gone in any::<u32>(), query in QUERY,
        ) {
            let names: Vec<_> = paths.iter().filter_map(|path| SharePath::parse(path).ok()).collect();
            let mut text = Text::default();
            let keys = (0_u32..).map(NameKey::from);
            names.iter().zip(keys.clone()).for_each(|(path, key)| text.add(key, path));
            let is_gone = |key: NameKey| gone >> u32::from(key) & 1 == 1;
            keys.clone().take(names.len()).filter(|key| is_gone(*key)).for_each(|key| text.remove(key));
            let Ok(query) = Query::parse(&query) else { return Ok(()) };
            for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
                let Some(query) = query.read_as(how) else { continue };
                let found = text.find(&query);
                for (path, key) in names.iter().zip(keys.clone()) {
                    let place = query.find(&NameTerms::of(path)).filter(|_| !is_gone(key));
                    prop_assert_eq!(found.anywhere.contains(key.into()), place.is_some(), "{} {:?}", path, query);
                    prop_assert_eq!(found.in_file.contains(key.into()), place == Some(Place::File));
                }
            }
        }

        #[test]
        fn nothing_is_left_when_all_are_gone(paths in prop::collection::vec(PATHS, 1..12)) {
            let mut text = Text::default();
            let names: Vec<_> = paths.iter().filter_map(|path| SharePath::parse(path).ok()).collect();
            names.iter().zip(0..).for_each(|(path, key)| text.add(NameKey::from(key), path));
            (0..12).for_each(|key| text.remove(NameKey::from(key)));
            prop_assert!(text.vocabulary.is_empty() && text.postings.len() == 0);
        }
    }
}
