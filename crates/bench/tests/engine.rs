//! `index` and `load` with very small sizes: every measurement runs and is in the report.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

#[allow(dead_code, reason = "the works of a family are run by its own tests")]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{Bench, peerage, told};

#[test]
fn the_engine_is_filled_searched_and_restarted() {
    let bench = Bench::new();
    let store = bench.dir.path().join("store");
    let report = index(&bench, &["--contents", "300", "--store", store.to_str().unwrap()]);
    let titles =
        ["corpus", "fill", "registrations", "searches", "new files", "a peer leaves and returns", "restart"];
    for title in titles {
        assert!(report.contains(&format!("\n## {title}\n")), "{title} is missing:\n{report}");
    }
    for class in ["rare two words", "very common word", "substring of 4 to 12", "one typo", "no match"] {
        assert!(report.contains(&format!("\n| {class} | ")), "{class} is missing:\n{report}");
    }
    assert!(report.contains("- searches that missed it: 0 of 20\n"), "{report}");
    assert!(report.contains("- returns that were asked for every file again: 0\n"), "{report}");
    assert!(report.contains("\n| contents | 300 |\n"), "{report}");

    let again = index(&bench, &["--contents", "300", "--store", store.to_str().unwrap()]);
    assert!(again.contains("\n## saved store\n") && !again.contains("\n## fill\n"), "{again}");
    let other = run(&bench, &["--contents", "301", "--store", store.to_str().unwrap()]);
    assert!(!other.status.success() && told(&other).contains("holds another corpus"), "{}", told(&other));
}

#[test]
fn real_names_are_searched_as_well() {
    let bench = Bench::new();
    let names = bench.dir.path().join("names");
    let list: String =
        (0..150).map(|n| format!("music/Artist {}/{n} - Some Title of it.mp3\n", n / 12)).collect();
    fs::write(&names, list).unwrap();
    let report =
        index(&bench, &["--contents", "150", "--names", names.to_str().unwrap(), "--class", "phrase,prefix"]);
    assert!(report.contains("\n| phrase | ") && !report.contains("\n| no match | "), "{report}");
}

#[test]
fn rivals_are_measured_or_refused_with_what_to_do() {
    let bench = Bench::new();
    let output = run(&bench, &["--contents", "200", "--rivals", "--only", "tantivy,SQLite"]);
    if cfg!(feature = "rivals") {
        let report = read(&bench, &output);
        assert!(
            report.contains("- tantivy: built in") && report.contains("- SQLite FTS5: built in"),
            "{report}"
        );
    } else {
        assert!(told(&output).contains("build with `--features rivals`"), "{}", told(&output));
    }
}

#[test]
fn a_real_index_is_driven_over_http() {
    let bench = Bench::new();
    let report = bench.dir.path().join("report.md");
    let sizes = ["--peers", "20", "--files", "20", "--secs", "1", "--clients", "2", "--connections", "4"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage-bench"));
    command.arg("load").args(sizes).args(["--writing", "400", "--report"]).arg(&report);
    command.arg("--peerage").arg(peerage()).arg("--scratch").arg(bench.scratch());
    let output = command.output().unwrap();
    let report = read(&bench, &output);
    for row in ["sessions opened", "files registered", "searches", "heartbeats", "peers left"] {
        assert!(
            report.lines().any(|line| line.starts_with(&format!("| {row}"))),
            "{row} is missing:\n{report}"
        );
    }
    assert!(fs::read_dir(bench.scratch()).unwrap().next().is_none(), "nothing is left behind");
}

fn index(bench: &Bench, more: &[&str]) -> String {
    let output = run(bench, more);
    read(bench, &output)
}

fn run(bench: &Bench, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage-bench"));
    command.args(["index", "--quick", "--writers", "2"]).args(more);
    command.arg("--report").arg(report(bench)).arg("--scratch").arg(bench.scratch());
    command.output().unwrap()
}

fn read(bench: &Bench, output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    fs::read_to_string(report(bench)).unwrap_or_else(|error| panic!("{error}: {}", told(output)))
}

fn report(bench: &Bench) -> impl AsRef<Path> + AsRef<std::ffi::OsStr> + use<> {
    bench.dir.path().join("report.md")
}
