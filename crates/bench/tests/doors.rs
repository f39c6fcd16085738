//! `doors` with small sizes: our doors are measured by whichever client is here, and what is missing is told.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;

use support::{Bench, told};

const WORKS: [&str; 5] = ["ftp", "ftps", "ftp-small-files", "ftps-small-files", "folder"];

#[test]
fn our_doors_are_measured_beside_whoever_is_installed() {
    let bench = Bench::new();
    let (report, output) = bench.run("doors", &WORKS.join(","), &[], None);
    assert!(output.status.success(), "{}", told(&output));
    for work in WORKS {
        assert!(report.contains(&format!("\n## {work}\n")), "{work} is missing:\n{report}");
    }
    // Every test has curl, but not lftp.
    for (ours, may_lack) in [
        ("peerage ftp + curl", None),
        ("peerage ftps + curl", None),
        ("peerage https + curl", None),
        ("peerage ftp + lftp", Some("lftp")),
        ("peerage ftps + lftp", Some("lftp")),
    ] {
        let ran =
            report.lines().any(|line| line.starts_with(&format!("| {ours} | ")) && line.contains("1.00 ×"));
        let lacks = may_lack.is_some_and(|what| report.contains(&format!("{ours}: not installed ({what})")));
        assert!(ran || lacks, "{ours} did not run:\n{report}");
    }
    assert!(
        report.starts_with("# Doors side by side, ") && report.contains("| peerage | peerage "),
        "{report}"
    );
    assert!(fs::read_dir(bench.scratch()).unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn without_clients_nobody_runs_and_each_says_why() {
    let bench = Bench::new();
    let nothing = bench.dir.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let (report, output) = bench.run("doors", "ftp,folder", &[], Some(&nothing));
    assert!(output.status.success(), "{}", told(&output));
    for ours in ["peerage ftp + curl", "peerage https + curl"] {
        assert!(report.contains(&format!("{ours}: not installed (curl)")), "{report}");
    }
}
