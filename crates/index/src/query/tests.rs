//! What queries find and which are refused, as a table, and what holds for every text.

use peerage_wire::SharePath;
use proptest::prelude::*;

use super::*;

fn find(query: &str, path: &str) -> Option<Place> {
    Query::parse(query).unwrap().find(&name(path))
}

fn name(path: &str) -> NameTerms {
    NameTerms::of(&SharePath::parse(path).unwrap())
}

#[test]
fn a_name_is_found_by_what_the_language_promises() {
    let found = [
        // Every word, in any order, the last one as a prefix.
        ("yellow submarine", "music/Beatles/01 Yellow Submarine.flac"),
        ("submarine yel", "music/Beatles/01 Yellow Submarine.flac"),
        ("beatles fla", "music/Beatles/01 Yellow Submarine.flac"),
        // And so where someone is about to leave something out, or to quote.
        ("submarine yel -", "s/Yellow Submarine.flac"),
        ("submarine yel *", "s/Yellow Submarine.flac"),
        ("submarine yel \"", "s/Yellow Submarine.flac"),
        ("submarine yel type:audio -", "s/Yellow Submarine.flac"),
        // Words of several terms.
        ("foo-bar.txt", "s/foo-bar.txt"),
        ("mp3 song", "s/song.mp3"),
        ("libssl1", "pool/libssl1.1_1.1.1w.deb"),
        ("docs/Read Me/a.txt", "docs/Read Me/a.txt"),
        ("track1 x", "s/Track 1 x"),
        // Phrases.
        ("\"yellow submarine\"", "s/yellow_submarine.mp3"),
        ("\u{201c}yellow submarine\u{201d}", "s/yellow_submarine.mp3"),
        ("\"yellow subm", "s/yellow submarine.mp3"),
        ("\"Heroes\".mp3", "s/\"Heroes\".mp3"),
        ("12\" single", "s/12\" Single.mp3"),
        // Parts.
        ("*marin* mp3", "s/submarine.mp3"),
        ("*rine mp3", "s/submarine.mp3"),
        ("subm* mp3", "s/submarine.mp3"),
        ("*.mp3 sub", "s/submarine.mp3"),
        ("*tle.c", "s/subtitle.c"),
        ("mp3 *rine", "s/submarine.mp3"),
        ("mp3 *marin*", "s/submarine.mp3"),
        // Leaving out, and dashes that don't.
        ("mp3 -live", "s/studio.mp3"),
        ("- mp3 - studio -", "s/studio.mp3"),
        ("--help", "s/help.txt"),
        ("mp3 -\"live at\"", "s/at live.mp3"),
        ("mp3 -liv", "s/Live.mp3"),
        // Alternatives bind closer than the blank.
        ("mp3 live OR studio", "s/studio.mp3"),
        ("live OR studio OR demo mp3", "s/demo.mp3"),
        ("a or b", "s/b or a"),
        // Folding, scripts, symbols.
        ("ete zurich", "s/Été à Zürich.jpg"),
        ("E\u{301}TÉ", "s/été.jpg"),
        ("東京", "s/東京都.txt"),
        ("京都 txt", "s/東京都.txt"),
        ("京 txt", "s/東京都.txt"),
        ("都", "s/東京都.txt"),
        ("🎵", "s/🎵🎶.mp3"),
        ("🎶.mp3", "s/🎵🎶.mp3"),
        // Names of nothing but punctuation.
        ("---", "s/---"),
        ("\"---\"", "s/---"),
        ("& song", "s/song"),
    ];
    for (query, path) in found {
        assert!(find(query, path).is_some(), "{query:?} should find {path:?}");
    }
}

#[test]
fn a_name_is_not_found_by_less() {
    let not_found = [
        ("yell submarine", "s/Yellow Submarine.flac"),
        ("\"submarine yellow\"", "s/Yellow Submarine.flac"),
        ("\"yellow subm\"", "s/yellow submarine.mp3"),
        ("bar-foo", "s/foo-bar.txt"),
        ("mp3 song", "s/song mp 33"),
        ("*marin* mp3", "s/mar-in.mp3"),
        ("marine", "s/submarine"),
        ("*rin", "s/submarine"),
        ("*.fla", "s/submarine.flac"),
        ("yel -x", "s/yellow.mp3"),
        ("mp3 -live", "s/Live.mp3"),
        ("mp3 -\"live at\"", "s/live at home.mp3"),
        ("mp3 live OR studio", "s/demo.mp3"),
        ("都京", "s/東京都"),
        ("東都", "s/東京都"),
        ("---", "s/--"),
    ];
    for (query, path) in not_found {
        assert_eq!(find(query, path), None, "{query:?} should not find {path:?}");
    }
}

#[test]
fn what_can_not_be_read_is_refused_with_the_reason() {
    let cases = [
        ("", "no words"),
        ("  \"\" ", "no words"),
        ("-live", "only leaves out"),
        ("-rf -\"x y\"", "only leaves out"),
        ("a OR", "`OR`"),
        ("OR a", "`OR`"),
        ("OR", "`OR`"),
        ("a OR OR b", "`OR`"),
        ("a OR -b", "`OR`"),
        ("-a OR b", "`OR`"),
        ("*ab*", "3 letters"),
        ("*a x", "3 letters"),
        ("a b c d e f g h i j k l m n o p q", "16 words"),
    ];
    for (query, reason) in cases {
        match Query::parse(query) {
            Err(Error::BadQuery(why)) => assert!(why.contains(reason), "{query:?}: {why}"),
            other => panic!("{query:?} gave {other:?}"),
        }
    }
    assert!(Query::parse(&"x".repeat(limits::QUERY_BYTES_MAX)).is_ok());
    assert!(Query::parse(&"x".repeat(limits::QUERY_BYTES_MAX + 1)).is_err());
}

#[test]
fn the_place_is_the_files_own_name_only_where_every_word_is_in_it() {
    assert_eq!(find("yellow flac", "music/Beatles/Yellow.flac"), Some(Place::File));
    assert_eq!(find("beatles yellow", "music/Beatles/Yellow.flac"), Some(Place::Folder));
    assert_eq!(find("beatles OR yellow", "music/Beatles/Yellow.flac"), Some(Place::File));
    assert_eq!(find("\"beatles yellow\"", "music/Beatles/Yellow.flac"), Some(Place::Folder));
}

#[test]
fn words_are_read_in_another_way_only_where_that_is_allowed() {
    let reread = |query: &str, how, path| {
        Query::parse(query).unwrap().read_as(how).and_then(|query| query.find(&name(path)))
    };
    assert!(reread("marin flac", Matched::Substring, "s/submarine.flac").is_some());
    assert!(reread("beatels yello", Matched::Typo, "Beatles/Yellow.flac").is_some());
    assert_eq!(reread("flac -marin", Matched::Substring, "s/submarine.flac"), Some(Place::File));
    assert_eq!(reread("bg flac", Matched::Substring, "s/abgx.flac"), None);
    assert_eq!(reread("cta x", Matched::Typo, "s/cat x"), None);
    assert_eq!(reread("flac 1984 x", Matched::Typo, "s/flac 1985 x"), None);
    for how in [Matched::Substring, Matched::Typo] {
        assert_eq!(Query::parse("\"some phrase\"").unwrap().read_as(how), None);
        assert_eq!(Query::parse("東京").unwrap().read_as(how), None);
    }
}

/// Whether pasting a name unquoted says just its words: no dash, star, `OR` or filter where they mean
/// something.
fn is_plain(name: &str) -> bool {
    name.split_whitespace().count() <= limits::QUERY_WORDS_MAX
        && !name
            .split(|c: char| c.is_whitespace() || terms::is_quote(c))
            .any(|word| word == "OR" || word.starts_with(['-', '*']) || filter::split(word).is_some())
}

/// Where a name matches a plain query, where that can be told without its terms.
fn plainly(query: &Query, path: &str) -> Option<Option<Place>> {
    let (plain, mut folded) = (query.plain()?, Folded::default());
    folded.read(path.as_bytes()).then(|| plain.find(&folded))
}

#[test]
fn only_marks_are_left_to_terms() {
    let query = Query::parse("songs").unwrap();
    for (path, found) in [
        ("Песни/songs.mp3", Some(Some(Place::File))),
        ("songs/Été – 夏.mp3", Some(Some(Place::Folder))),
        ("s/ёsongs", Some(None)),
        ("s/songsё", Some(Some(Place::File))),
        ("s/夏songs夏", Some(Some(Place::File))),
        ("s/ｓｏｎｇｓ…", Some(Some(Place::File))),
        ("s/song\u{338}s", None),
        ("s/हिन्दी songs", None),
    ] {
        assert_eq!(plainly(&query, path), found, "{path}");
        if let Some(found) = found {
            assert_eq!(query.find(&name(path)), found, "{path}");
        }
    }
}

#[test]
fn a_part_that_stands_in_itself_is_found_where_the_word_ends() {
    let query = Query::parse("11a").unwrap().read_as(Matched::Substring).unwrap();
    assert_eq!(query.find(&name("1-111/a/Ab")), Some(Place::Folder));
    assert_eq!(plainly(&query, "1-111/a/Ab"), Some(Some(Place::Folder)));
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,40}|[-*\"ORa é東🎵.]{0,40}", path in any_path()) {
        if let Ok(query) = Query::parse(&text) {
            for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
                let reread = query.read_as(how);
                let found = reread.map(|query| query.find(&name(&path)));
                // Reading more loosely loses nothing.
                if let (Some(found), Some(exact)) = (found, query.find(&name(&path))) {
                    prop_assert!(found.is_some_and(|place| place <= exact));
                }
            }
        }
    }

    #[test]
    fn plain_words_match_as_terms_do(
        text in "[\"*-]?[ab1-]{1,3}[ .-]?[ab1]{1,2}[ *\"]?( OR )?( -)?\"?[ab1-]{0,3}",
        path in "([abAB1][ab1. -]{0,12}/){1,2}([ab1A][abB1. -]{0,8}[b1]|-[.!-]{0,3})\
            |([abAB1éж東ﬁ℀>][abж1. \u{338}é\u{301}🎵–…-]{0,12}/){1,2}([ab1Aガ][abBж1é\u{301}. ½٣🎵東–-]{0,8}[b1éж東])",
    ) {
        let (Ok(query), Ok(path)) = (Query::parse(&text), SharePath::parse(&path)) else { return Ok(()) };
        for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
            let Some(query) = query.read_as(how) else { continue };
            if let Some(found) = plainly(&query, path.as_str()) {
                prop_assert_eq!(found, query.find(&NameTerms::of(&path)), "{:?}", how);
            }
        }
    }

    #[test]
    fn a_run_without_blanks_asks_for_whole_pairs_and_is_a_part_already(text in "[東京都한국ガ]{2,5}", more in "| a|\\*") {
        let query = Query::parse(&format!("{text}{more}")).unwrap();
        let patterns = query.clauses()[0][0].patterns();
        prop_assert_eq!(patterns.len(), text.chars().count() - 1);
        prop_assert!(patterns.iter().all(|pattern| !pattern.open_start && !pattern.open_end));
        let alone = Query::parse(&text).unwrap();
        prop_assert_eq!(alone.read_as(Matched::Substring), None);
    }

    #[test]
    fn what_is_written_without_blanks_is_found_wherever_it_stands(
        text in "[東京都한국ガ]{1,4}", path in "[東京都한국ガ x1]{0,9}[東京都한국ガ]{1,4}", is_phrase: bool,
    ) {
        let query = if is_phrase { quoted(&text) } else { format!("{text} type:data") };
        let found = Query::parse(&query).unwrap().find(&name(&format!("s/{path}")));
        prop_assert_eq!(found, path.contains(&text).then_some(Place::File));
    }

    #[test]
    fn every_name_is_found_by_itself(path in any_path()) {
        let path = SharePath::parse(&path).unwrap();
        let (file_name, terms) = (path.file_name(), NameTerms::of(&path));
        prop_assume!(terms::whole(file_name).is_some());
        let place = Query::parse(&quoted(file_name)).unwrap().find(&terms);
        prop_assert_eq!(place, Some(Place::File));
        if is_plain(file_name) {
            prop_assert_eq!(Query::parse(file_name).unwrap().find(&terms), Some(Place::File));
        }
        if terms.file_start > 0 && !terms.is_empty() {
            prop_assert!(Query::parse(&quoted(path.as_str())).unwrap().find(&terms).is_some());
        }
    }
}

#[test]
fn the_longest_name_is_found_by_itself() {
    for file_name in ["é".repeat(127), "東".repeat(85), "a-".repeat(127), "-".repeat(255), "x1".repeat(127)]
    {
        let terms = name(&format!("share/{file_name}"));
        let query = Query::parse(&quoted(&file_name)).unwrap();
        assert_eq!(query.find(&terms), Some(Place::File), "{file_name}");
    }
}

fn any_path() -> impl Strategy<Value = String> {
    let part = "[a-zA-Z0-9é東京ガ🎵 ._'\"*+&(){}-]{1,20}|[^/\\\\\\p{C}]{1,20}|(OR|-rf|--|mp3|[a-c]{1,3})( [a-c1]{1,3}){0,4}";
    prop::collection::vec(part, 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("a share path", |text| SharePath::parse(text).is_ok())
}
