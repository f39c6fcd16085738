//! One command, one file. Each takes its arguments and returns when it is done; this file starts the right one.

mod completions;
mod demo;
mod ftp_door;
mod ftp_user;
mod get;
mod index;
mod list;
mod peers;
mod search;
mod share;

use std::path::PathBuf;

use peerage_peer::index_client::IndexClient;

use crate::args::{Arguments, Command, Global, IndexUrl};
use crate::config;
use crate::failure::{Failure, Outcome};
use crate::shell;

pub(crate) use get::{Fetch, Fetched, Place};
pub(crate) use list::{check_known, table as file_table};
pub(crate) use peers::table as peer_table;
pub(crate) use search::results;
pub(crate) use share::{LiveShare, OtherDoors, specs_of};

/// Runs the command that was asked for; without one, the shell.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let home = home_of(&arguments.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("can't start: {error}")))?;
    let outcome = match arguments.command {
        Some(Command::Index(args)) => runtime.block_on(index::run(&home, args)),
        Some(Command::Share(args)) => runtime.block_on(share::run(&home, args)),
        Some(Command::Search(args)) => runtime.block_on(search::run(args)),
        Some(Command::List(args)) => runtime.block_on(list::run(args)),
        Some(Command::Get(args)) => runtime.block_on(get::run(&home, args)),
        Some(Command::Peers(args)) => runtime.block_on(peers::run(args)),
        Some(Command::FtpUser(args)) => ftp_user::run(&home, args),
        Some(Command::Demo(args)) => runtime.block_on(demo::run(args)),
        Some(Command::Completions { shell }) => completions::completions(shell),
        Some(Command::Man) => completions::man(),
        Some(Command::Shell(args)) => shell::run(&runtime, &home, args),
        None => shell::run(&runtime, &home, shell::default_arguments()?),
    };
    // What still runs on blocking threads (a read, a hash) is of no use any more and must not hold the process.
    runtime.shutdown_background();
    outcome
}

fn home_of(global: &Global) -> PathBuf {
    global.home.clone().unwrap_or_else(config::default_home)
}

/// The client for the index that was named.
pub(crate) fn client_of(index: &IndexUrl) -> Outcome<IndexClient> {
    Ok(IndexClient::new(&index.url)?)
}

/// Resolves on the first SIGINT or SIGTERM.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await; // without handlers the signals end the process by themselves
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
