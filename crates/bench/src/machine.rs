//! The head of a report: where, when, with what and by which command it was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::report::mebibytes;
use crate::tools::Tool;

/// How a race is read.
pub(crate) const OF_RACES: &str = "Every contender runs once in every round, in the same order, alone on the machine; a row has the median of\n\
     its rounds. *ours is* says how many times as fast we are, *our CPU is* how much CPU time we take beside theirs.\n\
     MB are 10^6 bytes, MiB and GiB powers of two. What arrives is read again and compared, untimed.\n";

/// Markdown that lets someone else judge and repeat the figures of what the title names; `about` says how to read them.
pub(crate) fn head(title: &str, about: &str, tools: &[Tool]) -> String {
    let uname = rustix::system::uname();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!("# {title}, {}\n\n", today());
    let _ = writeln!(text, "- processor: {}, {cores} cores", field("/proc/cpuinfo", "model name"));
    let _ = writeln!(text, "- memory: {}", memory());
    let _ = writeln!(
        text,
        "- kernel: {} {}, {}",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy()
    );
    let _ = writeln!(text, "- commit: {}", commit());
    let _ = writeln!(text, "- command: `{}`", command_line());
    text.push_str("\n| program | version |\n|---|---|\n");
    for (name, version) in versions(tools) {
        let _ = writeln!(text, "| {name} | {version} |");
    }
    let _ = write!(text, "\n{about}");
    text
}

fn today() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.map_or_else(|_| "date unknown".to_owned(), |output| text_of(&output.stdout))
}

fn commit() -> String {
    let git = |args: &[&str]| Command::new("git").args(args).output().map(|output| text_of(&output.stdout));
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    match (commit.is_empty(), changes.is_empty()) {
        (true, _) => "unknown".to_owned(),
        (false, true) => commit,
        (false, false) => format!("{commit}, with changes"),
    }
}

/// As it can be typed again: by cargo, with the same arguments.
fn command_line() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let features = if cfg!(feature = "rivals") { " --features rivals" } else { "" };
    format!("cargo run --release -p peerage-bench{features} -- {}", args.join(" "))
}

fn versions(tools: &[Tool]) -> BTreeMap<String, String> {
    let version = |tool: &Tool| tool.version().unwrap_or_else(|| "not installed".to_owned());
    tools.iter().map(|tool| (tool.name(), version(tool).replace('|', "/"))).collect()
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib = kib.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| mebibytes(kib << 10))
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
