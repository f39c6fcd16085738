//! Tab: the commands, folders after `register`, the last results after `download`.

use std::path::Path;
use std::sync::{Arc, Mutex};

use reedline::{Completer, CompletionResult, Span, Suggestion};

use peerage_wire::api::Hit;
use peerage_wire::shown;

use super::line::COMMANDS;

/// Folders offered at once.
const FOLDERS_MAX: usize = 200;

/// What the shell offers.
pub(crate) struct Completions {
    pub(crate) results: Arc<Mutex<Vec<Hit>>>,
}

impl Completer for Completions {
    fn complete(&mut self, line: &str, position: usize) -> CompletionResult {
        CompletionResult::fresh(self.suggestions(line.get(..position).unwrap_or(line), position))
    }
}

impl Completions {
    fn suggestions(&self, typed: &str, position: usize) -> Vec<Suggestion> {
        let Some((word, rest)) = typed.split_once(' ') else { return commands(typed, position) };
        let start = position - rest.len();
        match word.trim_start_matches('/') {
            "register" => {
                folders(rest).into_iter().map(|value| suggestion(value, None, start, position)).collect()
            }
            "download" => self.numbers(rest, position),
            _ => Vec::new(),
        }
    }

    fn numbers(&self, rest: &str, position: usize) -> Vec<Suggestion> {
        let last = rest.rsplit([' ', ',']).next().unwrap_or_default();
        let results = super::lock(&self.results);
        let numbered = results.iter().enumerate().map(|(row, hit)| ((row + 1).to_string(), hit));
        numbered
            .filter(|(number, _)| number.starts_with(last))
            .map(|(number, hit)| {
                let name = hit.names.first().map(|name| shown(name.as_str()).to_string());
                suggestion(number, name, position - last.len(), position)
            })
            .collect()
    }
}

fn commands(typed: &str, position: usize) -> Vec<Suggestion> {
    let slash = if typed.starts_with('/') { "/" } else { "" };
    let word = &typed[slash.len()..];
    let fitting = COMMANDS.into_iter().filter(|command| command.starts_with(word));
    fitting.map(|command| suggestion(format!("{slash}{command} "), None, 0, position)).collect()
}

fn folders(typed: &str) -> Vec<String> {
    let (parent, begun) = typed.rsplit_once('/').map_or(("", typed), |(parent, begun)| (parent, begun));
    let shown_parent = if typed.contains('/') { format!("{parent}/") } else { String::new() };
    let place =
        if shown_parent.is_empty() { Path::new(".").to_owned() } else { Path::new(&shown_parent).to_owned() };
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(begun) && (begun.starts_with('.') || !name.starts_with('.')))
        .filter(|name| !name.contains(char::is_control))
        .take(FOLDERS_MAX)
        .collect();
    names.sort();
    names.into_iter().map(|name| format!("{shown_parent}{name}/")).collect()
}

fn suggestion(value: String, description: Option<String>, start: usize, end: usize) -> Suggestion {
    Suggestion { value, description, span: Span::new(start, end), ..Suggestion::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let completions = Completions { results: Arc::default() };
        completions.suggestions(line, line.len()).into_iter().map(|suggestion| suggestion.value).collect()
    }

    #[test]
    fn commands_and_folders_are_offered() {
        assert_eq!(offered("/re"), ["/register "]);
        assert_eq!(offered("p"), ["peers "]);
        assert!(offered("search x").is_empty());
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("music")).unwrap();
        std::fs::write(dir.path().join("mute.txt"), "").unwrap();
        let place = dir.path().display();
        assert_eq!(offered(&format!("register {place}/mu")), [format!("{place}/music/")]);
    }
}
