//! `peerage-bench`: Peerage beside its rivals on this machine, by real programs over real sockets.

mod contender;
mod corpus;
mod daemon;
mod doors;
mod family;
mod index;
mod latency;
mod load;
mod machine;
mod material;
mod measure;
mod net;
mod place;
mod process;
mod race;
mod report;
mod tools;
mod transfer;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

// As in `peerage`, so that the index here is as fast as there.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(name = "peerage-bench", version, about = "Peerage beside its rivals on this machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Move files: ours and every rival that is installed, in turn.
    Transfer(transfer::Args),
    /// Fetch by the same clients, from our FTP and folder doors and from servers of others.
    Doors(doors::Args),
    /// Fill the index engine in this process, search it while it is written, restart it; rivals beside it.
    Index(Box<index::Args>),
    /// Drive a real index over HTTP: sessions, registrations, searches, heartbeats of many peers.
    Load(load::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    place::clean_up_when_interrupted()?;
    process::inherit_orphans()?;
    match command {
        Command::Transfer(args) => transfer::run(args),
        Command::Doors(args) => doors::run(args),
        Command::Index(args) => {
            peerage_index::large_pages::begin_anew();
            index::run(args)
        }
        Command::Load(args) => load::run(args),
    }
}

/// A line on stderr: how it goes on.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text on stdout: results.
pub(crate) fn put(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
