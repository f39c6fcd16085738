//! `transfer`: the same files between the same places, by us and by every rival, and what it cost each.

mod four_sources;
mod idle;
mod memory;
mod one_source;
mod one_to_eight;
mod race;
mod share;
mod small_files;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};

use crate::material::Shape;
use crate::report::Section;
use crate::tools::Tool;
use crate::{machine, put, say};

/// The flags of `transfer`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// What to do; everything when not given.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "NAME")]
    work: Vec<Work>,
    /// How often everyone takes a turn.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Only contenders whose names contain one of these words; ours always.
    #[arg(long, value_delimiter = ',', value_name = "WORD")]
    only: Vec<String>,
    /// Write a report in Markdown as well.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The binary to measure; built from this source when not given.
    #[arg(long, value_name = "PATH")]
    peerage: Option<PathBuf>,
    /// Small sizes and one round: does everything work?
    #[arg(long)]
    smoke: bool,
    /// Where files are moved from and to: memory, so that no disk is measured.
    #[arg(long, default_value = "/dev/shm", value_name = "DIR")]
    scratch: PathBuf,
    /// Where the file of `memory` goes, which may be too large for memory.
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    disk: PathBuf,
    /// Bytes of the file of `one-source` and `four-sources`.
    #[arg(long, default_value = "2G", value_parser = peerage_wire::parse_bytes, value_name = "SIZE")]
    file_size: u64,
    /// Bytes of the file of `memory`.
    #[arg(long, default_value = "20G", value_parser = peerage_wire::parse_bytes, value_name = "SIZE")]
    memory_size: u64,
}

/// One table of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// A large file from one source.
    OneSource,
    /// The same from four sources.
    FourSources,
    /// Many small files.
    SmallFiles,
    /// Sharing files for the first time and again.
    Share,
    /// One seed, eight downloaders, slow links.
    OneToEight,
    /// Memory with a very large file.
    Memory,
    /// Memory of idle connections.
    Idle,
}

impl Work {
    fn run(self, setting: &Setting) -> Result<Vec<Section>> {
        match self {
            Self::OneSource => one_source::run(setting),
            Self::FourSources => four_sources::run(setting),
            Self::SmallFiles => small_files::run(setting),
            Self::Share => share::run(setting),
            Self::OneToEight => one_to_eight::run(setting),
            Self::Memory => memory::run(setting),
            Self::Idle => idle::run(setting),
        }
    }
}

/// What every work is given.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Our binary.
    pub(crate) peerage: PathBuf,
    /// How often everyone takes a turn.
    pub(crate) rounds: usize,
    /// Where files are moved from and to.
    pub(crate) scratch: PathBuf,
    /// Where very large files are.
    pub(crate) disk: PathBuf,
    /// One turn takes this long at most.
    pub(crate) limit: Duration,
    /// How much is moved.
    pub(crate) sizes: Sizes,
    only: Vec<String>,
}

impl Setting {
    /// Whether a contender takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_named = |word: &String| name.contains(word.as_str());
        self.only.is_empty() || name.starts_with("peerage") || self.only.iter().any(is_named)
    }
}

/// How much is moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes of the large file.
    pub(crate) file: u64,
    /// The small files.
    pub(crate) tree: Shape,
    /// Bytes of the large file that is shared.
    pub(crate) share_file: u64,
    /// The small files that are shared.
    pub(crate) share_tree: Shape,
    /// Bytes of the file for eight downloaders.
    pub(crate) swarm: u64,
    /// Bytes of the very large file.
    pub(crate) memory: u64,
    /// Idle connections.
    pub(crate) idle: usize,
}

impl Sizes {
    /// Those of the figures to reach.
    const FULL: Self = Self {
        file: 2 << 30,
        tree: Shape { files: 10_000, file_bytes: 10 << 10, folders: 100 },
        share_file: 4 << 30,
        share_tree: Shape { files: 100_000, file_bytes: 10 << 10, folders: 1_000 },
        swarm: 256 << 20,
        memory: 20 << 30,
        idle: 500,
    };
    /// Enough to see that everything works: several pieces, several folders.
    const SMOKE: Self = Self {
        file: 5 << 20,
        tree: Shape { files: 60, file_bytes: 10 << 10, folders: 6 },
        share_file: 5 << 20,
        share_tree: Shape { files: 60, file_bytes: 10 << 10, folders: 6 },
        swarm: 5 << 20,
        memory: 20 << 20,
        idle: 20,
    };
}

/// Longest turn: twice what the slowest rival needs on a machine that has other work as well.
const LIMIT: Duration = Duration::from_secs(600);
/// Longest turn of a smoke run.
const LIMIT_SMOKE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "at least one round is needed");
    let setting = Setting {
        peerage: binary(args.peerage.as_deref())?,
        rounds: if args.smoke { 1 } else { args.rounds },
        scratch: args.scratch.clone(),
        disk: args.disk.clone(),
        limit: if args.smoke { LIMIT_SMOKE } else { LIMIT },
        sizes: if args.smoke {
            Sizes::SMOKE
        } else {
            Sizes { file: args.file_size, memory: args.memory_size, ..Sizes::FULL }
        },
        only: args.only.clone(),
    };
    let works = if args.work.is_empty() { Work::value_variants() } else { &args.work };
    let (sections, failed) = perform(works, &setting);
    if let Some(path) = &args.report {
        let text = machine::head(&tools(&setting)) + &sections.concat();
        std::fs::write(path, text).with_context(|| format!("can't write `{}`", path.display()))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("not done: {}", failed.join(", ")) }
}

/// Does one work after the other; gives the sections in Markdown, and the works that failed.
fn perform(works: &[Work], setting: &Setting) -> (Vec<String>, Vec<String>) {
    let (mut sections, mut failed) = (Vec::new(), Vec::new());
    for work in works {
        let name = work.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        say(format_args!("{name}:"));
        match work.run(setting) {
            Ok(tables) => {
                tables.iter().for_each(|table| put(table.plain()));
                sections.extend(tables.iter().map(Section::markdown));
            }
            Err(error) => {
                say(format_args!("{name}: {error:#}"));
                sections.push(format!("\n## {name}\n\nNot done: {error:#}\n"));
                failed.push(name);
            }
        }
    }
    (sections, failed)
}

/// Every program that a table may name.
fn tools(setting: &Setting) -> Vec<Tool> {
    let all = [
        one_source::contenders(setting),
        four_sources::contenders(setting),
        small_files::contenders(setting),
        share::contenders(setting),
    ];
    all.iter().flatten().flat_map(|contender| contender.tools()).collect()
}

/// The binary that was given, or one built from this source as users have it.
fn binary(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("no binary at `{}`", path.display()));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args([
        "build",
        "--release",
        "--locked",
        "--package",
        "peerage-cli",
        "--message-format=json-render-diagnostics",
    ]);
    let output = build.current_dir(root).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the binary can't be built");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().rev().find_map(executable).context("cargo names no binary")
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
