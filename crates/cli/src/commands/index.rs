//! `peerage index`: runs the index over the store of its home until it is asked to stop, or proves that store.
//!
//! Invariants: one process a home is its index, or checks it. `index ready at …` is said once everything that was kept is
//! read, never before. A store that fails ends the process with what to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use peerage_index::{Checked, Error as IndexError, Index, Options};
use peerage_peer::home::{Home, HomeError, IndexLock};
use peerage_server::{Config, Opening, RunError, Standing};
use peerage_wire::format_bytes;

use crate::args::IndexArgs;
use crate::commands::interrupted;
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{put, put_json, say};

/// The store's folder in the home.
const STORE: &str = "index";
/// Bytes below which a ceiling is more likely a number whose unit was forgotten: some thousand files fit.
const MEMORY_USEFUL_MIN: u64 = 1 << 20;
/// How often a long opening is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(home: &Path, args: IndexArgs) -> Outcome {
    if args.check {
        return check(home, args.json);
    }
    // Who hangs up while it is answered must not end the index (see `large_pages`).
    let _caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe());
    let listener = bind(args.listen).await?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let home = Home::open(home).map_err(of_home)?;
    let _lock = lock(&home)?;
    let store = home.state_file(STORE);
    if let Some(bytes) = args.memory_max.filter(|bytes| *bytes < MEMORY_USEFUL_MIN) {
        say(format_args!(
            "warning: a ceiling of {} leaves room for hardly any files\nhint: `--memory-max 14G` is 14 GiB",
            format_bytes(bytes)
        ));
    }
    let options = Options { memory_max_bytes: args.memory_max, ..Options::default() };
    say(format_args!("reading the index in `{}`", store.display()));
    let opening = Opening::new(move |progress| Index::open(&store, &options, progress));
    let standing = opening.standing();
    let config = Config { allowed_hosts: args.allowed_hosts, ..Config::default() };
    let mut serving =
        std::pin::pin!(peerage_server::run(listener, opening, config, asked_to_stop(standing.clone())));
    let served = tokio::select! {
        served = &mut serving => served,
        () = tell(standing.clone(), address) => serving.await,
    };
    served.map_err(|error| of_run(error, *standing.borrow()))?;
    say("index stopped");
    Ok(())
}

/// Resolves when the index is to stop; when it is asked once more, the process ends without a last snapshot. Says what it
/// does where that takes a while.
async fn asked_to_stop(standing: watch::Receiver<Standing>) {
    interrupted().await;
    tokio::spawn(async move {
        let telling = async {
            tokio::time::sleep(TELL_EVERY).await;
            if *standing.borrow() == Standing::Ready {
                say("index stopping: it writes what is registered, so that it starts quickly");
            } else {
                say("index stopping when it has read what it keeps");
            }
            say("stop it again to end at once; nothing is lost by it");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = interrupted() => {}
            () = telling => {}
        }
        say("index stopped at once; what was acknowledged is on disk");
        std::process::exit(Exit::Failed as i32);
    });
}

/// Says how far the opening is, and once that is over where the index is.
async fn tell(mut standing: watch::Receiver<Standing>, address: SocketAddr) {
    let mut told = Instant::now();
    loop {
        let now = *standing.borrow_and_update();
        match now {
            Standing::Ready => break,
            Standing::Reading(_) if told.elapsed() >= TELL_EVERY => {
                say(now);
                told = Instant::now();
            }
            Standing::Opening | Standing::Reading(_) => {}
        }
        if standing.changed().await.is_err() {
            return; // it could not be opened, or was stopped before it was
        }
    }
    say(format_args!("index ready at http://{address}"));
    if !address.ip().is_loopback() {
        say(
            "note: what peers tell this index, and what it answers, is not encrypted; use it on networks you trust",
        );
    }
    say("share a folder with `peerage share DIR`; Ctrl-C stops the index");
}

fn lock(home: &Home) -> Outcome<IndexLock> {
    home.lock_index().map_err(of_home)
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn of_home(error: HomeError) -> Failure {
    let failure = Failure::failed(&error);
    match error {
        HomeError::Busy { .. } => {
            failure.hint("stop that one, or give this index another home with `--home DIR`")
        }
        HomeError::Folder { .. } | HomeError::File { .. } => failure,
    }
}

fn of_run(error: RunError, last: Standing) -> Failure {
    let what = if last == Standing::Ready { "the index stopped" } else { "the index can't be opened" };
    match error {
        RunError::Store { message, hint, is_damaged } => {
            Failure::new(of_store(is_damaged), format!("{what}: {message}")).hint(hint)
        }
        RunError::Io(error) => Failure::failed(format!("{what}: {error}")),
    }
}

async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::failed(format!("can't listen on {address}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure
                .hint("an index may run there already; give another port with `--listen 127.0.0.1:PORT`"),
            std::io::ErrorKind::PermissionDenied => {
                failure.hint("ports below 1024 need rights; give a higher one")
            }
            _ => failure.hint("give an address of this machine with `--listen ADDR:PORT`"),
        }
    })
}

/// What `--check --json` prints.
#[derive(Serialize)]
struct Proof {
    store: PathBuf,
    peers: u64,
    files: u64,
    contents: u64,
    names: u64,
    snapshot_bytes: u64,
    log_bytes: u64,
    log_records: u64,
    torn_bytes: u64,
}

/// Whether any of a folder's files is a store's: a disk that is not mounted leaves an empty one, a fresh one `lost+found`.
fn has_store(files: std::fs::ReadDir) -> bool {
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.any(|name| {
        name == "FORMAT" || ["log-", "snapshot-", "segment-"].iter().any(|kind| name.starts_with(kind))
    })
}

/// Proves the store; makes nothing where there is none.
fn check(home: &Path, json: bool) -> Outcome {
    let store = home.join(STORE);
    match std::fs::read_dir(&store).map(has_store) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Failure::new(Exit::NotFound, format!("no index is kept in `{}`", store.display()))
                .hint("is its disk mounted? `peerage index` makes an index; name another home with `--home DIR`"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::new(Exit::NotFound, format!("no index is kept in `{}`", home.display()))
                .hint("`peerage index` makes one; name another home with `--home DIR`"));
        }
        Err(error) => return Err(Failure::failed(format!("can't read `{}`: {error}", store.display()))),
    }
    let _lock = lock(&Home::open(home).map_err(of_home)?)?;
    let found = Index::check(&store).map_err(of_check)?;
    let Checked { peers, files, contents, names, snapshot_bytes, log_bytes, log_records, torn_bytes } = found;
    if json {
        return put_json(&Proof {
            store,
            peers,
            files,
            contents,
            names,
            snapshot_bytes,
            log_bytes,
            log_records,
            torn_bytes,
        });
    }
    put(format_args!("`{}` is whole", store.display()))?;
    for (what, value) in [
        ("peers", peers.to_string()),
        ("files", files.to_string()),
        ("contents", contents.to_string()),
        ("names", names.to_string()),
        ("snapshot", format_bytes(snapshot_bytes)),
        ("log", format_bytes(log_bytes)),
        ("log records after it", log_records.to_string()),
        ("torn at the log's end", format_bytes(torn_bytes)),
    ] {
        put(format_args!("{what:<22}{value:>12}"))?;
    }
    if torn_bytes > 0 {
        say(
            "note: what was torn is cut off now: it was being written when the index ended and was never acknowledged, unless the file lost bytes since",
        );
    }
    Ok(())
}

/// How a command ends that a store stopped.
fn of_store(is_damaged: bool) -> Exit {
    if is_damaged { Exit::Corrupt } else { Exit::Failed }
}

fn of_check(error: IndexError) -> Failure {
    match error {
        IndexError::Store { message, hint, is_damaged } => {
            Failure::new(of_store(is_damaged), message).hint(hint)
        }
        other => Failure::failed(other),
    }
}
