//! Rules that no compiler knows: the arrows between crates, a `//!` on every file, functions of one screen.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file: above this, every project we looked at was a place to get lost in.
const FILE_LINES_MAX: usize = 600;

#[test]
fn crates_depend_only_along_the_arrows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("wire", [].as_slice()),
        ("index", &["wire"]),
        ("server", &["index", "wire"]),
        ("peer", &["wire"]),
        ("doors", &["peer", "wire"]),
        ("cli", &["doors", "index", "peer", "server", "wire"]),
        ("bench", &["index", "wire"]),
    ]);
    let crates = subfolders(&root().join("crates"));
    let names: BTreeSet<&str> = crates.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, allowed.keys().copied().collect(), "every crate has its arrows written down here");
    for path in &crates {
        let name = path.file_name().unwrap().to_str().unwrap();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        for line in manifest.lines().filter_map(|line| line.trim().strip_prefix("peerage-")) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed[name].contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
        assert!(text.lines().count() <= FILE_LINES_MAX, "{} is too long to read", path.display());
    }
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let long: Vec<String> = sources().iter().flat_map(|(path, text)| long_functions(path, text)).collect();
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn an_ignored_test_says_why() {
    let bare = ["#[", "ignore]"].concat();
    for (path, text) in sources() {
        assert!(!text.contains(&bare), "{} ignores a test without a reason", path.display());
    }
}

#[test]
fn the_rules_catch_what_they_are_for() {
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX);
    let text = format!(
        "impl X {{\n    pub async fn long(\n        x: u8,\n    ) {{\n{body}    }}\n\n    fn short() {{}}\n}}\n"
    );
    let found = long_functions(Path::new("x.rs"), &text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("long"));
}

/// rustfmt puts a function's closing brace at the column of its first line, so no parser is needed.
fn long_functions(path: &Path, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !is_function(line.trim_start()) || line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let declared = format!("{});", " ".repeat(indent)); // a trait's method, spread over lines, without a body
        let end = lines[start..].iter().position(|line| *line == close || line.starts_with(&declared));
        let length = end.unwrap_or(0) + 1;
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}: {} has {length} lines", path.display(), line.trim()));
        }
    }
    long
}

fn is_function(line: &str) -> bool {
    let words: Vec<&str> =
        line.split([' ', '(']).take_while(|word| !word.contains(['"', '/', '='])).collect();
    let position = words.iter().position(|word| *word == "fn");
    position.is_some_and(|position| words[..position].iter().all(|word| QUALIFIERS.contains(word)))
}

const QUALIFIERS: [&str; 7] = ["pub", "pub(crate)", "pub(super)", "const", "async", "crate)", "super)"];

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = subfolders(&root().join("crates"));
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        folders.extend(subfolders(&folder));
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 20, "the sources are where they are looked for");
    found
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir() && !path.ends_with("target")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
