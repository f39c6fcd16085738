//! `transfer`: the same files between the same places, by us and by every rival, and what it cost each.

mod four_sources;
mod idle;
mod memory;
mod one_source;
mod one_to_eight;
mod share;
mod small_files;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};

use crate::family::{Flags, SMOKE_TREE, Setting};
use crate::material::Shape;
use crate::tools::Tool;

/// The flags of `transfer`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// What to do; everything when not given.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "NAME")]
    work: Vec<Work>,
    #[command(flatten)]
    flags: Flags,
    /// Where the file of `memory` goes, which may be too large for memory.
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    disk: PathBuf,
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

/// How much is moved by the works that only this family has.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Bytes of the large file that is shared.
    share_file: u64,
    /// The small files that are shared.
    share_tree: Shape,
    /// Bytes of the file for eight downloaders.
    swarm: u64,
    /// Bytes of the very large file.
    memory: u64,
    /// Idle connections.
    idle: usize,
}

impl Sizes {
    /// Those of the figures to reach.
    const FULL: Self = Self {
        share_file: 4 << 30,
        share_tree: Shape { files: 100_000, file_bytes: 10 << 10, folders: 1_000 },
        swarm: 256 << 20,
        memory: 20 << 30,
        idle: 500,
    };
    /// Enough to see that everything works.
    const SMOKE: Self =
        Self { share_file: 5 << 20, share_tree: SMOKE_TREE, swarm: 5 << 20, memory: 20 << 20, idle: 20 };
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let setting = args.flags.setting()?;
    let sizes =
        if args.flags.smoke { Sizes::SMOKE } else { Sizes { memory: args.memory_size, ..Sizes::FULL } };
    args.flags.perform(&args.work, "Transfers", &tools(&setting), |work| match work {
        Work::OneSource => one_source::run(&setting),
        Work::FourSources => four_sources::run(&setting),
        Work::SmallFiles => small_files::run(&setting),
        Work::Share => share::run(&setting, &sizes),
        Work::OneToEight => one_to_eight::run(&setting, sizes.swarm),
        Work::Memory => memory::run(&setting, &args.disk, sizes.memory),
        Work::Idle => idle::run(&setting, sizes.idle),
    })
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
