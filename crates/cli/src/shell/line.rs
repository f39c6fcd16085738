//! One line of the shell, read: which command, with what. Pure.

use std::borrow::Cow;

use crate::failure::{Failure, Outcome};

/// The words, in the order help shows them; each with its other names.
pub(crate) const COMMANDS: [&str; 7] = ["register", "search", "list", "download", "peers", "help", "quit"];

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Empty,
    Register(String),
    Search(String),
    List(Option<String>),
    Download(Vec<String>),
    Peers,
    Help,
    Quit,
}

impl Line {
    /// Reads a line: the command with or without a leading slash, then its rest.
    pub(crate) fn parse(text: &str) -> Outcome<Line> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let word = word.strip_prefix('/').unwrap_or(word);
        match word.to_ascii_lowercase().as_str() {
            "" => Ok(Line::Empty),
            "register" | "share" => needed(rest, "register DIR").map(|rest| Line::Register(folder(rest))),
            "search" | "find" => needed(rest, "search WORDS").map(|rest| Line::Search(rest.to_owned())),
            "list" | "ls" | "browse" => Ok(Line::List((!rest.is_empty()).then(|| unquoted(rest).to_owned()))),
            "download" | "get" => needed(rest, "download 3").map(|rest| Line::Download(wanted(rest))),
            "peers" | "who" => Ok(Line::Peers),
            "help" | "?" => Ok(Line::Help),
            "quit" | "exit" | "q" => Ok(Line::Quit),
            _ => {
                Err(Failure::usage(format!("there is no command `{word}`"))
                    .hint("type help for the commands"))
            }
        }
    }
}

fn needed<'a>(rest: &'a str, usage: &str) -> Outcome<&'a str> {
    if rest.is_empty() { Err(Failure::usage(format!("say what: `{usage}`"))) } else { Ok(rest) }
}

/// Several numbers are several results; anything else is one name, blanks and all.
fn wanted(rest: &str) -> Vec<String> {
    let words: Vec<&str> = rest.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if words.iter().all(|word| word.parse::<usize>().is_ok()) {
        words.into_iter().map(str::to_owned).collect()
    } else {
        vec![unquoted(rest).to_owned()]
    }
}

/// A folder as people type it: quoted or not, `~` for the home directory.
fn folder(rest: &str) -> String {
    let rest = unquoted(rest);
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_string_lossy().into_owned());
    match (rest.strip_prefix('~'), home) {
        (Some(below), Some(home)) if below.is_empty() || below.starts_with('/') => format!("{home}{below}"),
        _ => rest.to_owned(),
    }
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// `peerage> `
pub(crate) struct Prompt;

impl reedline::Prompt for Prompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "peerage".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: reedline::PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "… ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: reedline::PromptHistorySearch) -> Cow<'_, str> {
        format!("(history: {}) ", search.term).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_words_work_with_and_without_a_slash() {
        let cases = [
            ("", Line::Empty),
            ("  /search blue  note ", Line::Search("blue  note".into())),
            ("SEARCH \"blue note\"", Line::Search("\"blue note\"".into())),
            ("register \"/My Music\"", Line::Register("/My Music".into())),
            ("/list", Line::List(None)),
            ("list studio nas", Line::List(Some("studio nas".into()))),
            ("download 3", Line::Download(vec!["3".into()])),
            ("/download 1, 4 7", Line::Download(vec!["1".into(), "4".into(), "7".into()])),
            ("download blue note.flac", Line::Download(vec!["blue note.flac".into()])),
            ("peers", Line::Peers),
            ("?", Line::Help),
            ("/quit", Line::Quit),
        ];
        for (text, line) in cases {
            assert_eq!(Line::parse(text).unwrap(), line, "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_told() {
        for text in ["register", "search  ", "download", "dwonload 3", "/"] {
            let outcome = Line::parse(text);
            assert!(outcome.is_err() || text == "/", "{text:?}");
        }
    }
}
