//! Names made of the vocabulary: music, series and films, data sets, software, books.
//!
//! Invariants: a name depends on the seed, its content and its variant alone. Contents next to each other share a folder, as the
//! tracks of an album do. Names of one content are told apart by folder and spelling, and keep most of their words.

use std::fmt::Write as _;

use super::draws::{Draws, Purpose, index};
use super::words::{Language, Vocabulary};

/// Contents in a folder: an album's tracks.
const FOLDER_CONTENTS: u64 = 12;
/// Of a hundred words in a language that is not English, so many are English all the same.
const ENGLISH_AMONG_OTHERS: u64 = 20;

/// Bytes of a file's own name up to which it may be made longer.
const NAME_BYTES_MAX: usize = 240;

const MUSIC_SHARES: [&str; 6] = ["music", "audio", "Music", "songs", "Musique", "Музыка"];
const MUSIC_ENDINGS: [&str; 8] = ["mp3", "mp3", "mp3", "mp3", "flac", "flac", "ogg", "m4a"];
const VIDEO_SHARES: [&str; 4] = ["video", "series", "films", "Vidéos"];
const HEIGHTS: [&str; 4] = ["720p", "1080p", "1080p", "2160p"];
const VIDEO_ENDINGS: [&str; 4] = ["mkv", "mkv", "mp4", "avi"];
const DATA_SHARES: [&str; 3] = ["data", "datasets", "research"];
const DATA_ENDINGS: [&str; 6] = ["csv", "parquet", "json", "tar.zst", "tsv", "h5"];
const SOFTWARE_SHARES: [&str; 3] = ["software", "packages", "mirror"];
const SOFTWARE_ENDINGS: [&str; 5] = ["amd64.deb", "x86_64.rpm", "arm64.deb", "src.tar.gz", "win.zip"];
const BOOK_SHARES: [&str; 4] = ["books", "ebooks", "Livres", "library"];
const BOOK_ENDINGS: [&str; 4] = ["epub", "pdf", "epub", "mobi"];

/// Writes names.
pub(crate) struct Names {
    seed: u64,
    vocabulary: Vocabulary,
}

impl Names {
    /// Those of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, vocabulary: Vocabulary::new() }
    }

    /// Writes the path of a content under one of its names into `out`, which is emptied before.
    pub(crate) fn write(&self, content: u64, variant: u8, out: &mut String) {
        out.clear();
        let folder = Draws::new(self.seed, Purpose::Folder, content / FOLDER_CONTENTS);
        let own = Draws::new(self.seed, Purpose::Content, content);
        let mut pen = Pen { out, vocabulary: &self.vocabulary, folder, own, language: Language::English };
        let file = pen.path(content % FOLDER_CONTENTS + 1);
        rename(variant, file, out);
    }
}

/// Puts words together.
struct Pen<'a> {
    out: &'a mut String,
    vocabulary: &'a Vocabulary,
    /// The same for every content of a folder.
    folder: Draws,
    own: Draws,
    language: Language,
}

/// Whose draws decide a word.
#[derive(Clone, Copy)]
enum Whose {
    Folder,
    Own,
}

impl Pen<'_> {
    /// The usual name; tells where the file's own name begins.
    fn path(&mut self, member: u64) -> usize {
        let family = self.folder.below(100);
        self.language = match self.folder.below(100) {
            0..72 => Language::English,
            72..86 => Language::French,
            86..92 => Language::Russian,
            92..94 => Language::Greek,
            _ => Language::Chinese,
        };
        match family {
            0..58 => self.music(member),
            58..72 => self.video(member),
            72..82 => self.data(member),
            82..90 => self.software(member),
            _ => self.book(),
        }
    }

    /// `music/Artist - Album (1998)/03 - Title.mp3`
    fn music(&mut self, member: u64) -> usize {
        let share = *self.folder.pick(&MUSIC_SHARES);
        self.start(share);
        let artist = 1 + self.folder.below(2);
        self.words(Whose::Folder, artist, ' ');
        self.out.push_str(" - ");
        let album = 1 + self.folder.below(2);
        self.words(Whose::Folder, album, ' ');
        let year = 1960 + self.folder.below(66);
        let file = self.enter(format_args!(" ({year})/"));
        let _ = write!(self.out, "{member:02} - ");
        let title = 1 + self.own.below(2);
        self.words(Whose::Own, title, ' ');
        let ending = *self.folder.pick(&MUSIC_ENDINGS);
        self.end(ending);
        file
    }

    /// `series/Title/Title.s02e05.1080p.mkv` or `films/Title (1998)/Title.1998.1080p.GROUP.mkv`
    fn video(&mut self, member: u64) -> usize {
        let share = *self.folder.pick(&VIDEO_SHARES);
        self.start(share);
        let title = self.out.len();
        self.words(Whose::Folder, 2, ' ');
        let title_end = self.out.len();
        let is_series = self.folder.percent(70);
        let year = 1960 + self.folder.below(66);
        let file =
            if is_series { self.enter(format_args!("/")) } else { self.enter(format_args!(" ({year})/")) };
        if is_series {
            self.again(title..title_end, '.');
            let season = 1 + self.folder.below(9);
            let _ = write!(self.out, ".s{season:02}e{member:02}.");
        } else {
            self.words(Whose::Own, 3, '.');
            let _ = write!(self.out, ".{year}.");
        }
        let (height, ending) = (*self.folder.pick(&HEIGHTS), *self.folder.pick(&VIDEO_ENDINGS));
        self.out.push_str(height);
        self.out.push('-');
        self.words(if is_series { Whose::Folder } else { Whose::Own }, 1, '.');
        self.end(ending);
        file
    }

    /// `data/name-of-set-2021/part-0003_word.csv`
    fn data(&mut self, member: u64) -> usize {
        let share = *self.folder.pick(&DATA_SHARES);
        self.start(share);
        let words = 2 + self.folder.below(2);
        self.words(Whose::Folder, words, '-');
        let year = 1990 + self.folder.below(36);
        let file = self.enter(format_args!("-{year}/"));
        let words = 1 + self.own.below(2);
        self.words(Whose::Own, words, '_');
        let ending = *self.folder.pick(&DATA_ENDINGS);
        let _ = write!(self.out, "_part-{:05}", member * 83 + self.own.below(83));
        self.end(ending);
        file
    }

    /// `packages/name/name-word_1.12-3_amd64.deb`
    fn software(&mut self, member: u64) -> usize {
        let share = *self.folder.pick(&SOFTWARE_SHARES);
        self.language = Language::English;
        self.start(share);
        let name = self.out.len();
        self.words(Whose::Folder, 2, '-');
        let name_end = self.out.len();
        let file = self.enter(format_args!("/"));
        self.again(name..name_end, '-');
        self.out.push('-');
        self.words(Whose::Own, 1, '-');
        let (major, minor) = (self.own.below(10), self.own.below(30));
        let _ = write!(self.out, "_{major}.{minor}-{member}");
        let ending = *self.own.pick(&SOFTWARE_ENDINGS);
        self.out.push('_');
        self.out.push_str(ending);
        file
    }

    /// `books/Author Name/Title of it - Author Name.epub`
    fn book(&mut self) -> usize {
        let share = *self.folder.pick(&BOOK_SHARES);
        self.start(share);
        let author = self.out.len();
        self.words(Whose::Folder, 2, ' ');
        let author_end = self.out.len();
        let file = self.enter(format_args!("/"));
        let title = 2 + self.own.below(2);
        self.words(Whose::Own, title, ' ');
        self.out.push_str(" - ");
        self.again(author..author_end, ' ');
        let ending = *self.own.pick(&BOOK_ENDINGS);
        self.end(ending);
        file
    }

    fn start(&mut self, share: &str) {
        self.out.push_str(share);
        self.out.push('/');
    }

    /// Ends a folder; tells where the file's own name begins.
    fn enter(&mut self, end: std::fmt::Arguments<'_>) -> usize {
        let _ = self.out.write_fmt(end);
        self.out.len()
    }

    fn end(&mut self, ending: &str) {
        self.out.push('.');
        self.out.push_str(ending);
    }

    /// Words with a separator between them, where the language has one.
    fn words(&mut self, whose: Whose, count: u64, separator: char) {
        for number in 0..count {
            let draws = match whose {
                Whose::Folder => &mut self.folder,
                Whose::Own => &mut self.own,
            };
            let (which, unit) = (draws.below(100), draws.unit());
            let is_english = which < ENGLISH_AMONG_OTHERS;
            let language = if is_english { Language::English } else { self.language };
            if number > 0 && (language != Language::Chinese || !self.ends_in_han()) {
                self.out.push(separator);
            }
            self.capital(language, unit, separator);
        }
    }

    /// A word, with a capital where names have one.
    fn capital(&mut self, language: Language, unit: f64, separator: char) {
        let word = self.vocabulary.word(language, unit);
        let first = word.as_bytes().first().filter(|first| first.is_ascii_lowercase() && separator == ' ');
        match first {
            Some(first) => {
                self.out.push(char::from(first.to_ascii_uppercase()));
                self.out.push_str(&word[1..]);
            }
            None => self.out.push_str(word),
        }
    }

    fn ends_in_han(&self) -> bool {
        self.out.chars().next_back().is_some_and(|last| last >= '\u{4e00}')
    }

    /// Repeats what was written, with another separator.
    fn again(&mut self, written: std::ops::Range<usize>, separator: char) {
        let words = self.out[written].to_owned();
        self.out.extend(words.chars().map(|c| if c == ' ' { separator } else { c }));
    }
}

/// Another name of the same content: as people move and respell files. Components grow by four bytes at most, and only where
/// they have room.
fn rename(variant: u8, file: usize, out: &mut String) {
    if variant == 0 {
        return;
    }
    let path = out[..].to_owned();
    let (folder, name) = path.split_at(file);
    let below = folder.split_once('/').map_or("", |(_, below)| below); // with its slash, where there is any
    out.clear();
    match variant {
        1 => {
            let joined = below.trim_end_matches('/');
            let is_short = joined.len() + name.len() < NAME_BYTES_MAX;
            let between = if joined.is_empty() {
                ""
            } else if is_short {
                " - "
            } else {
                "/"
            };
            let _ = write!(out, "downloads/{joined}{between}{name}");
        }
        2 => {
            let _ = write!(out, "backup/{below}");
            out.extend(name.chars().map(|c| if c == ' ' { '_' } else { c }));
        }
        _ => match name.rsplit_once('.').filter(|_| name.len() < NAME_BYTES_MAX) {
            Some((stem, ending)) => _ = write!(out, "shared/{below}{stem} ({variant}).{ending}"),
            None => _ = write!(out, "shared {variant}/{below}{name}"),
        },
    }
}

/// How many names a content has besides its usual one: 0.23 on average.
pub(crate) fn other_names(seed: u64, content: u64) -> u8 {
    match Draws::new(seed, Purpose::Names, content).below(1_000) {
        0..120 => 1,
        120..155 => 2,
        155..167 => 3,
        _ => 0,
    }
}

/// Names read from a list, in place of made ones: content *n* goes by the *n*-th; beyond the last they begin again in
/// another folder.
pub(crate) struct RealNames {
    paths: Vec<Box<str>>,
}

impl RealNames {
    /// Those of a list that is not empty.
    pub(crate) fn new(paths: Vec<Box<str>>) -> Self {
        Self { paths }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.paths.len() as u64
    }

    /// As [`Names::write`].
    pub(crate) fn write(&self, content: u64, variant: u8, out: &mut String) {
        out.clear();
        let (round, at) = (content / self.len(), index(content % self.len()));
        let path = &*self.paths[at];
        let (share, below) = path.split_once('/').unwrap_or(("files", path));
        out.push_str(share);
        if round > 0 {
            let _ = write!(out, "/{round}");
        }
        out.push('/');
        let name = below.rfind('/').map_or(0, |slash| slash + 1);
        out.push_str(&below[..name]);
        let file = out.len();
        out.push_str(&below[name..]);
        rename(variant, file, out);
    }
}
