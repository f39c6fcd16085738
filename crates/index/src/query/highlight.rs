//! Highlights: which parts of a name a query's words matched, for showing them.
//!
//! Folding changes lengths (`ß` becomes `ss`, an accent goes), so a name is folded in the smallest pieces that fold on
//! their own, and a term's place is that of the pieces it comes from.
//!
//! Invariant: ranges are in order, apart from each other, not empty, and begin and end between characters.

use std::ops::Range;

use peerage_wire::SharePath;

use super::plain::{Folded, Plain};
use super::{Pattern, Query, Run};
use crate::terms::{self, NameTerms};

/// Tells for one name after the other which parts of it a query's words matched.
pub(crate) struct Highlighter<'a> {
    query: &'a Query,
    plain: Option<Plain<'a>>,
    terms: NameTerms,
    folded: Folded,
}

impl Query {
    /// The parts of a share path, in bytes, that its words match: a word's beginning where it is one, the whole term
    /// where a typo was forgiven, and a phrase with what stands between its words. None where the name does not match.
    #[must_use]
    pub fn highlights(&self, path: &SharePath) -> Vec<Range<usize>> {
        self.highlighter().of(path.as_str(), true)
    }

    /// The same as an answer has it: for each name in characters; empty where no name has any.
    #[must_use]
    pub fn hit_highlights(&self, names: &[SharePath]) -> Vec<Vec<[u32; 2]>> {
        self.highlighter().of_names(names, true)
    }

    pub(crate) fn highlighter(&self) -> Highlighter<'_> {
        Highlighter {
            query: self,
            plain: self.plain(),
            terms: NameTerms::default(),
            folded: Folded::default(),
        }
    }
}

impl Highlighter<'_> {
    /// As [`Query::highlights`]; whether the name matches is asked only where it `must_ask`.
    fn of(&mut self, text: &str, must_ask: bool) -> Vec<Range<usize>> {
        let Some(plain) = self.plain.as_ref().filter(|_| self.folded.read_text(text)) else {
            return self.of_terms(text, must_ask);
        };
        if must_ask && plain.find(&self.folded).is_none() {
            return Vec::new();
        }
        in_name(text, plain.spans(&self.folded), self.folded.is_in_place)
    }

    /// As [`Highlighter::of`], for any query and text.
    fn of_terms(&mut self, text: &str, must_ask: bool) -> Vec<Range<usize>> {
        self.terms.read(text);
        if must_ask && self.query.find(&self.terms).is_none() {
            return Vec::new();
        }
        let spans = self.query.clauses.iter().flatten().flat_map(|run| run.spans(&self.terms));
        in_name(text, spans.collect(), terms::folds_in_place(text))
    }

    /// As [`Query::hit_highlights`], of names that match.
    pub(crate) fn of_matching(&mut self, names: &[SharePath]) -> Vec<Vec<[u32; 2]>> {
        self.of_names(names, false)
    }

    fn of_names(&mut self, names: &[SharePath], must_ask: bool) -> Vec<Vec<[u32; 2]>> {
        if self.query.clauses.is_empty() {
            return Vec::new();
        }
        let all: Vec<_> =
            names.iter().map(|name| in_chars(name.as_str(), &self.of(name.as_str(), must_ask))).collect();
        if all.iter().all(Vec::is_empty) { Vec::new() } else { all }
    }
}

/// The parts of a name that parts of its folded text come from, in order and apart.
fn in_name(text: &str, spans: Vec<Range<usize>>, is_in_place: bool) -> Vec<Range<usize>> {
    if is_in_place {
        return merged(spans); // folding moved nothing
    }
    let pieces = pieces(text);
    merged(spans.into_iter().filter_map(|span| origin(&pieces, text.len(), span)).collect())
}

fn in_chars(text: &str, ranges: &[Range<usize>]) -> Vec<[u32; 2]> {
    let is_ascii = text.is_ascii();
    let chars_before = |at: usize| {
        let chars = if is_ascii { at } else { text.get(..at).map_or(0, |before| before.chars().count()) };
        u32::try_from(chars).unwrap_or(u32::MAX)
    };
    ranges.iter().map(|range| [chars_before(range.start), chars_before(range.end)]).collect()
}

impl Run {
    /// Where in the folded text the run matches: every place.
    fn spans<'a>(&'a self, name: &'a NameTerms) -> impl Iterator<Item = Range<usize>> + 'a {
        let patterns = self.patterns();
        let starts = 0..(name.len() + 1).saturating_sub(patterns.len());
        starts.filter(|start| self.fits_at(name, *start)).filter_map(move |start| {
            let (first, last) = (patterns.first()?, patterns.last()?);
            let first = first.part_at(name, start)?;
            let last = last.part_at(name, start + patterns.len() - 1)?;
            Some(first.start..last.end.max(first.end))
        })
    }
}

impl Pattern {
    /// The part of a name's fitting term that is what was written; where a typo was forgiven, all of it.
    fn part_at(&self, name: &NameTerms, position: usize) -> Option<Range<usize>> {
        let span = name.span(position)?;
        let part = self.part_of(name.get(position));
        Some(part.map_or(span.clone(), |part| span.start + part.start..span.start + part.end))
    }

    /// The part of a fitting term that is what was written, unless a typo was forgiven.
    pub(super) fn part_of(&self, term: &str) -> Option<Range<usize>> {
        let start = match (self.open_start, self.open_end) {
            (true, true) => term.find(&self.text),
            (true, false) => term.ends_with(&self.text).then(|| term.len() - self.text.len()),
            (false, _) => term.starts_with(&self.text).then_some(0),
        };
        start.map(|start| start..start + self.text.len())
    }
}

/// Where pieces of a name begin: in the folded text, and in the name.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut pieces = Vec::with_capacity(text.len());
    let (mut folded, mut start) = (String::with_capacity(text.len()), 0);
    let borders = text.char_indices().skip(1).filter(|(_, c)| terms::begins_piece(*c)).map(|(at, _)| at);
    for end in borders.chain([text.len()]) {
        pieces.push((folded.len(), start));
        terms::fold_into(&text[start..end], &mut folded);
        start = end;
    }
    pieces
}

/// The part of a name that a part of its folded text comes from.
fn origin(pieces: &[(usize, usize)], text_bytes: usize, folded: Range<usize>) -> Option<Range<usize>> {
    let first = pieces.partition_point(|(start, _)| *start <= folded.start).checked_sub(1)?;
    let after = pieces.partition_point(|(start, _)| *start < folded.end);
    let (_, start) = *pieces.get(first)?;
    let end = pieces.get(after).map_or(text_bytes, |(_, start)| *start);
    (start < end).then_some(start..end)
}

/// In order and apart.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, last| {
        let touches = next.start <= last.end;
        if touches {
            last.end = last.end.max(next.end);
        }
        touches
    });
    ranges
}

#[cfg(test)]
mod tests {
    use peerage_wire::api::Matched;
    use proptest::prelude::*;

    use super::*;

    fn marked(query: &str, how: Matched, path: &str) -> String {
        let (path, mut marked) = (SharePath::parse(path).unwrap(), String::new());
        let query = Query::parse(query).unwrap().read_as(how).unwrap();
        let mut end = 0;
        for range in query.highlights(&path) {
            marked += &format!("{}[{}]", &path.as_str()[end..range.start], &path.as_str()[range.clone()]);
            end = range.end;
        }
        marked + &path.as_str()[end..]
    }

    #[test]
    fn what_was_written_is_marked_in_the_name_as_it_is() {
        let cases = [
            ("yellow subm", "The Beatles/Yellow Submarine.mp3", "The Beatles/[Yellow] [Subm]arine.mp3"),
            ("beatles mp3", "Beatles/Beatles.MP3", "[Beatles]/[Beatles].[MP3]"),
            ("\"yellow sub", "s/Yellow_-_Submarine", "s/[Yellow_-_Sub]marine"),
            ("*mari* *rine x", "s/Submarine x", "s/Sub[marine] [x]"),
            ("ete strass", "s/É\u{301}té Straße", "s/[É\u{301}té] [Straß]e"),
            ("京", "s/東京都の京", "s/東[京]都の[京]"),
            ("東京都", "東京都", "[東京都]"),
            ("ガ", "s/ｶﾞイド", "s/[ｶﾞ]イド"),
            ("🎵", "s/🎵🎶 👍🏽", "s/[🎵]🎶 👍🏽"),
            ("a OR b", "s/a b c", "s/[a] [b] c"),
            ("c -b", "s/a b c", "s/a b c"),
            ("---", "s/ -- - ", "s/ -- - "),
            ("type:audio", "s/a.mp3", "s/a.mp3"),
        ];
        for (query, path, expected) in cases {
            assert_eq!(marked(query, Matched::Exact, path), expected, "{query}");
        }
        assert_eq!(marked("marin flac", Matched::Substring, "s/submarine.flac"), "s/sub[marin]e.[flac]");
        assert_eq!(marked("beatels yello", Matched::Typo, "Beatles/Yellow"), "[Beatles]/[Yello]w");
    }

    #[test]
    fn an_answer_counts_characters() {
        let names = ["s/été yellow", "yellow/東京 x"].map(|path| SharePath::parse(path).unwrap());
        let highlights = |query: &str| Query::parse(query).unwrap().hit_highlights(&names);
        assert_eq!(highlights("yello"), [[[6, 11]], [[0, 5]]]);
        assert_eq!(highlights("ete OR x yellow"), [vec![[2, 5], [6, 12]], vec![[0, 6], [10, 11]]]);
        assert_eq!(highlights("peer:nas"), Vec::<Vec<[u32; 2]>>::new());
    }

    proptest! {
        #[test]
        fn pieces_fold_to_what_the_whole_does(
            text in "(\\PC{0,24}|[a-zЖйÉ東ガ한 ]{0,24}|[a-zA>\\-é\u{338}\u{301}\u{3099}\u{200d}\u{1161}\u{11a8}ᄀが東ßİﬁｶﾞ ]{0,24})",
        ) {
            let pieces = pieces(&text);
            let ends = pieces.iter().skip(1).map(|(_, start)| *start).chain([text.len()]);
            let folded: String =
                pieces.iter().zip(ends).map(|((_, start), end)| terms::fold(&text[*start..end])).collect();
            prop_assert_eq!(folded, terms::fold(&text));
            prop_assert!(!terms::folds_in_place(&text) || pieces.iter().all(|(folded, start)| folded == start));
        }

        #[test]
        fn plain_names_are_marked_as_their_terms_are(
            query in "[\"*-]?[ab1-]{1,3}[ .-]?[ab1]{1,2}[ *\"]?( OR )?\"?[ab1-]{0,3}",
            path in "([abAB1][ab1. -]{0,12}/){0,2}([ab1A][abB1. -]{0,8}[b1]|-[.!-]{0,3})\
                |([abAB1éж東ﬁ][abж1. \u{338}é\u{301}🎵–…-]{0,12}/){0,2}([ab1Aガ][abBж1é\u{301}ß. ½٣🎵東–-]{0,8}[b1éж東])",
        ) {
            let (Ok(query), Ok(path)) = (Query::parse(&query), SharePath::parse(&path)) else { return Ok(()) };
            for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
                let Some(query) = query.read_as(how) else { continue };
                let mut highlighter = query.highlighter();
                let of_terms = highlighter.of_terms(path.as_str(), true);
                prop_assert_eq!(&highlighter.of(path.as_str(), true), &of_terms, "{:?}", how);
                if query.find(&NameTerms::of(&path)).is_some() {
                    prop_assert_eq!(&highlighter.of(path.as_str(), false), &of_terms, "{:?}", how);
                    prop_assert_eq!(highlighter.of_terms(path.as_str(), false), of_terms, "{:?}", how);
                }
            }
        }

        #[test]
        fn ranges_are_in_order_and_between_characters(
            query in "[a-cé東京ß*\" ]{1,8}|\\PC{1,6}", path in "[a-cé東京ßﬁ\u{301} /]{1,16}|\\PC{1,12}",
        ) {
            let (Ok(query), Ok(path)) = (Query::parse(&query), SharePath::parse(&path)) else { return Ok(()) };
            let mut end = None;
            let ranges = query.highlights(&path);
            prop_assert!(ranges.is_empty() || query.find(&NameTerms::of(&path)).is_some());
            for range in ranges {
                prop_assert!(end < Some(range.start) && path.as_str().get(range.clone()).is_some_and(|part| !part.is_empty()));
                end = Some(range.end);
            }
        }
    }
}
