//! What every family of works has in common: its flags, what each of its works is given, and going through them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args as ClapArgs, ValueEnum};

use crate::material::Shape;
use crate::report::Section;
use crate::tools::Tool;
use crate::{machine, put, say};

/// The flags of every family.
#[derive(Debug, ClapArgs)]
pub(crate) struct Flags {
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
    pub(crate) smoke: bool,
    /// Where files are moved from and to: memory, so that no disk is measured.
    #[arg(long, default_value = "/dev/shm", value_name = "DIR")]
    scratch: PathBuf,
    /// Bytes of the large file.
    #[arg(long, default_value = "2G", value_parser = peerage_wire::parse_bytes, value_name = "SIZE")]
    file_size: u64,
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
    /// One turn takes this long at most.
    pub(crate) limit: Duration,
    /// Bytes of the large file.
    pub(crate) large_bytes: u64,
    /// The small files.
    pub(crate) tree: Shape,
    /// See [`Setting::wants`].
    pub(crate) only: Vec<String>,
}

/// Bytes of the large file of a smoke run: several pieces.
const SMOKE_LARGE_BYTES: u64 = 5 << 20;
/// The small files of the figures to reach.
const TREE: Shape = Shape { files: 10_000, file_bytes: 10 << 10, folders: 100 };
/// The small files of a smoke run: several folders.
pub(crate) const SMOKE_TREE: Shape = Shape { files: 60, file_bytes: 10 << 10, folders: 6 };
/// Longest turn: twice what the slowest rival needs on a machine that has other work as well.
const LIMIT: Duration = Duration::from_secs(600);
/// Longest turn of a smoke run.
const SMOKE_LIMIT: Duration = Duration::from_secs(60);

impl Flags {
    /// What they come to. Builds our binary where none was given.
    ///
    /// # Errors
    /// When there is no binary, or nothing to do.
    pub(crate) fn setting(&self) -> Result<Setting> {
        ensure!(self.rounds > 0, "at least one round is needed");
        Ok(Setting {
            peerage: binary(self.peerage.as_deref())?,
            rounds: if self.smoke { 1 } else { self.rounds },
            scratch: self.scratch.clone(),
            limit: if self.smoke { SMOKE_LIMIT } else { LIMIT },
            large_bytes: if self.smoke { SMOKE_LARGE_BYTES } else { self.file_size },
            tree: if self.smoke { SMOKE_TREE } else { TREE },
            only: self.only.clone(),
        })
    }

    /// Does one work after the other (all there are, when none is named), prints their tables and writes the report,
    /// whose head has the title and the programs.
    ///
    /// # Errors
    /// With the works that failed, after all were done; when the report can't be written.
    pub(crate) fn perform<Work: ValueEnum>(
        &self,
        works: &[Work],
        title: &str,
        tools: &[Tool],
        run: impl Fn(&Work) -> Result<Vec<Section>>,
    ) -> Result<()> {
        let works = if works.is_empty() { Work::value_variants() } else { works };
        let (mut sections, mut failed) = (Vec::new(), Vec::new());
        for work in works {
            let name = work.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            say(format_args!("{name}:"));
            match run(work) {
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
        if let Some(path) = &self.report {
            let text = machine::head(&format!("{title} side by side"), machine::OF_RACES, tools)
                + &sections.concat();
            std::fs::write(path, text).with_context(|| format!("can't write `{}`", path.display()))?;
        }
        if failed.is_empty() { Ok(()) } else { bail!("not done: {}", failed.join(", ")) }
    }
}

impl Setting {
    /// Whether a contender takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_named = |word: &String| name.contains(word.as_str());
        self.only.is_empty() || name.starts_with("peerage") || self.only.iter().any(is_named)
    }
}

/// The binary that was given, or one built from this source as users have it.
pub(crate) fn binary(given: Option<&Path>) -> Result<PathBuf> {
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
