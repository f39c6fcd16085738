//! `transfer` with small sizes: our own figures are always there, and no rival can stop them.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use support::{Bench, told};

/// The works that need neither root nor a long time.
const WORKS: &str = "one-source,four-sources,small-files,share,memory,idle";

#[test]
fn our_figures_are_there_beside_whoever_is_installed() {
    let bench = Bench::new();
    let scratch = bench.scratch();
    let more = ["--only", "curl,lftp,rsync,sendme,cp,b3sum,find", "--disk", scratch.to_str().unwrap()];
    let (report, output) = bench.run("transfer", WORKS, &more, None);
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
    let (report, output) =
        bench.run("transfer", "one-source", &["--only", "rsync,cp,sendme"], Some(&programs));
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

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
