//! The bench itself, with small sizes: our own figures are always there, and no rival can stop them.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The works that need neither root nor a long time.
const WORKS: &str = "one-source,four-sources,small-files,share,memory,idle";

#[test]
fn our_figures_are_there_beside_whoever_is_installed() {
    let bench = Bench::new();
    let (report, output) = bench.run(WORKS, &["--only", "curl,lftp,rsync,sendme,cp,b3sum,find"], None);
    assert!(output.status.success(), "{}", told(&output));
    for title in ["one-source", "four-sources", "small-files", "share, one large file", "memory", "idle"] {
        assert!(report.contains(&format!("\n## {title}\n")), "{title} is missing:\n{report}");
    }
    let ours: Vec<&str> =
        report.lines().filter(|line| line.starts_with("| peerage") && line.contains('×')).collect();
    assert_eq!(ours.len(), 8, "{report}");
    // Small runs may take less CPU time than the kernel counts, but whoever ran held memory.
    assert!(ours.iter().all(|line| line.ends_with(" MiB |")), "{ours:?}");
    assert!(report.contains("| each | "), "{report}");
    assert!(report.contains("- processor: ") && report.contains("| peerage | peerage "), "{report}");
    assert!(fs::read_dir(bench.scratch()).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn a_rival_that_is_missing_or_broken_or_lies_is_told_and_stops_nobody() {
    let bench = Bench::new();
    let programs = bench.dir.path().join("programs");
    fs::create_dir(&programs).unwrap();
    script(&programs.join("cp"), "exit 0"); // copies nothing
    script(&programs.join("rsync"), "echo out of order >&2; exit 7");
    let (report, output) = bench.run("one-source", &["--only", "rsync,cp,sendme"], Some(&programs));
    assert!(output.status.success(), "{}", told(&output));
    let us = report.lines().find(|line| line.starts_with("| peerage | ") && line.contains('×')).unwrap();
    assert!(us.contains("1.00 ×"), "{us}");
    assert!(report.contains("sendme: not installed"), "{report}");
    assert!(report.contains("rsync daemon: failed: ") && report.contains("out of order"), "{report}");
    assert!(report.contains("cp -r (reference): failed: in round 1: what arrived is wrong"), "{report}");
}

#[test]
fn without_a_binary_it_says_so() {
    let output = Command::new(env!("CARGO_BIN_EXE_peerage-bench"))
        .args(["transfer", "--smoke", "--peerage", "/no/such/binary"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(told(&output).contains("no binary at `/no/such/binary`"), "{}", told(&output));
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap(); // servers give up their rights
        let bench = Self { dir };
        fs::create_dir(bench.scratch()).unwrap();
        bench
    }

    fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    /// Its report, and what it said.
    fn run(&self, works: &str, more: &[&str], path: Option<&Path>) -> (String, Output) {
        let (report, scratch) = (self.dir.path().join("report.md"), self.scratch());
        let mut command = Command::new(env!("CARGO_BIN_EXE_peerage-bench"));
        command.args(["transfer", "--smoke", "--work", works]).args(more);
        command.arg("--peerage").arg(peerage()).arg("--report").arg(&report);
        command.arg("--scratch").arg(&scratch).arg("--disk").arg(&scratch);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let output = command.output().unwrap();
        let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
        (text, output)
    }
}

/// The binary of the same build, which is made where only this package was built.
fn peerage() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_peerage-bench")).with_file_name("peerage");
    if !built.is_file() {
        let build = ["build", "--quiet", "--locked", "--package", "peerage-cli"];
        let status = Command::new(env!("CARGO")).args(build).status().unwrap();
        assert!(status.success(), "the binary can't be built");
    }
    built
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
