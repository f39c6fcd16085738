//! `peerage demo`: the whole job on one machine, in plain words: an index, two peers, a search, a file, a folder.
//!
//! Invariant: nothing of it is staged. The index, the peers and the downloads are those of every other command, over
//! real sockets; the proof reads the fetched files again and compares them with the originals, byte by byte. What it
//! makes lies in one temporary folder, which goes when it ends.

mod pick;
mod proof;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use peerage_index::Index;
use peerage_peer::index_client::IndexClient;
use peerage_peer::peer::{Peer, PeerConfig};
use peerage_peer::rate::RateLimits;
use peerage_peer::share::{ShareArg, ShareOptions, resolve_names};
use peerage_wire::api::{ListParams, SearchParams};
use peerage_wire::{FileEntry, Link, format_bytes, limits, shown};

use super::{Fetch, Fetched, Place, interrupted};
use crate::args::DemoArgs;
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{put, say};

/// Folders of a source tree that hold what was built from it, not the tree itself.
const BUILT: [&str; 3] = ["target", "node_modules", "downloads"];
/// How long the demo waits for the folder to be hashed; a larger one is shown with what is registered by then.
const REGISTER_WAIT: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: DemoArgs) -> Outcome {
    let (dir, options) = folder(args.dir.as_deref())?;
    let scratch = TempDir::with_prefix("peerage-demo-")
        .map_err(|error| Failure::failed(format!("can't make a temporary folder: {error}")))?;
    tokio::select! {
        outcome = perform(&dir, options, scratch.path(), args.once) => outcome,
        () = interrupted() => {
            say("interrupted: the demo's folder is removed");
            Ok(())
        }
    }
}

async fn perform(dir: &Path, options: ShareOptions, scratch: &Path, once: bool) -> Outcome {
    let (url, index) = start_index().await?;
    let client = IndexClient::new(&url)?;
    let alice = start_peer(&client, "alice", dir, &scratch.join("alice"), options).await?;
    let files = registered(&client, &alice, dir).await?;
    let inbox = scratch.join("bob's downloads");
    std::fs::create_dir_all(&inbox).map_err(Failure::failed)?;
    let bob = start_peer(&client, "bob", &inbox, &scratch.join("bob"), ShareOptions::default()).await?;

    let place = Place::Peer(bob.queue().clone());
    let (limits, name, here) = (RateLimits::default(), None, mpsc::channel(1).0);
    let fetch =
        Fetch { place, index: url.clone(), output: inbox, overwrite: false, json: false, limits, name, here };
    let words = fetch_file(&client, &fetch, &files, dir).await?;
    fetch_folder(&fetch, &files, dir).await?;
    put("\neverything that was fetched is proven, and bob serves it now as well")?;
    if !once {
        invite(&url, &words)?;
        index.wait().await;
    }
    bob.stop().await;
    alice.stop().await;
    Ok(())
}

/// What is shared: the folder that was named, or this program's own source, or the current folder.
fn folder(given: Option<&Path>) -> Outcome<(PathBuf, ShareOptions)> {
    if let Some(dir) = given {
        let found = dir.canonicalize().map_err(|error| {
            Failure::usage(format!("can't share `{}`: {error}", dir.display()))
                .hint("name a folder with some files")
        })?;
        return Ok((found, ShareOptions::default()));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok();
    let source = source.filter(|root| root.join("Cargo.toml").is_file());
    let dir = source.or_else(|| std::env::current_dir().ok());
    let dir = dir.ok_or_else(|| {
        Failure::failed("can't find the current folder").hint("name one: `peerage demo DIR`")
    })?;
    let exclude = BUILT.iter().map(ToString::to_string).collect();
    Ok((dir, ShareOptions { exclude, ..ShareOptions::default() }))
}

/// An index in this process; it ends with the handle.
struct RunningIndex {
    served: tokio::task::JoinHandle<Result<(), peerage_server::RunError>>,
    _stop: oneshot::Sender<()>,
}

impl RunningIndex {
    /// Until it ends, which by itself it does not.
    async fn wait(self) {
        let _ = self.served.await;
    }
}

async fn start_index() -> Outcome<(String, RunningIndex)> {
    let usual = SocketAddr::from(([127, 0, 0, 1], limits::INDEX_PORT));
    let listener = match TcpListener::bind(usual).await {
        Ok(listener) => listener,
        Err(error) => {
            say(format_args!(
                "note: port {} can't be used ({error}), so the index takes a free one",
                usual.port()
            ));
            TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
                .await
                .map_err(|error| Failure::failed(format!("no port can be opened on 127.0.0.1: {error}")))?
        }
    };
    let url = format!("http://{}", listener.local_addr().map_err(Failure::failed)?);
    let (stop, stopped) = oneshot::channel();
    let ended = async {
        let _ = stopped.await;
    };
    let served = tokio::spawn(peerage_server::run(
        listener,
        Index::embedded(),
        peerage_server::Config::default(),
        ended,
    ));
    put(format_args!("1. an index runs at {url}"))?;
    Ok((url, RunningIndex { served, _stop: stop }))
}

async fn start_peer(
    index: &IndexClient,
    name: &str,
    dir: &Path,
    home: &Path,
    options: ShareOptions,
) -> Outcome<Peer> {
    let shares = resolve_names(vec![ShareArg::folder(dir)]).map_err(Failure::usage)?;
    let config = PeerConfig {
        home: home.to_owned(),
        index: index.clone(),
        name: name.parse().map_err(Failure::failed)?,
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        limits: RateLimits::default(),
        http: None,
        ftp: None,
        shares,
        options,
    };
    Peer::start(config).await.map_err(Failure::failed)
}

/// Waits until a peer's folder is registered, tells it, and gives what the index lists of it.
async fn registered(client: &IndexClient, peer: &Peer, dir: &Path) -> Outcome<Vec<FileEntry>> {
    let mut registration = peer.registration();
    let complete = async {
        while !peer.is_registered() {
            // Woken by the registration, and looked at again in case something else was the last to come.
            let _ = tokio::time::timeout(Duration::from_millis(50), registration.changed()).await;
        }
    };
    let is_complete = tokio::time::timeout(REGISTER_WAIT, complete).await.is_ok();
    let params = ListParams {
        peer: Some(peer.id().to_string()),
        limit: Some(limits::PAGE_ROWS_MAX),
        ..ListParams::default()
    };
    let page = client.files(&params).await?;
    if page.hits.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no file to share in `{}`", dir.display()),
        )
        .hint("hidden files are left out; name a folder with others: `peerage demo DIR`"));
    }
    let so_far = if is_complete { "" } else { " so far" };
    let bytes = format_bytes(peer.catalogue().counts().1);
    put(format_args!(
        "2. alice shares `{}`: {} files, {bytes}, hashed and registered{so_far}",
        shown(&dir.to_string_lossy()),
        page.total.value
    ))?;
    Ok(page.hits.into_iter().map(|row| row.file).collect())
}

async fn fetch_file(client: &IndexClient, fetch: &Fetch, files: &[FileEntry], dir: &Path) -> Outcome<String> {
    let (file, words) = pick::file(files).ok_or_else(|| Failure::failed("no file can be picked"))?;
    put(format_args!("3. bob asks the index for `{words}`:"))?;
    let page = client.search(&SearchParams { q: words.clone(), ..SearchParams::default() }).await?;
    super::results(&page.hits).put()?;
    if !page.hits.iter().any(|hit| hit.hash == file.hash) {
        return Err(Failure::failed(format!(
            "the index does not find `{}` by `{words}`",
            shown(file.path.as_str())
        )));
    }
    put(format_args!(
        "4. bob fetches `{}` straight from alice, over TLS 1.3 with her key:",
        shown(file.path.file_name())
    ))?;
    let link = Link { hash: file.hash, name: Some(file.path.file_name().to_owned()), size: Some(file.size) };
    let fetched = fetch_one(fetch, link.to_string()).await?;
    proof::file(&fetched.path, &proof::original(dir, &file.path), &file.hash)?;
    put(format_args!(
        "   its BLAKE3 is {}, the one that was registered, and it equals the original",
        file.hash.short()
    ))?;
    Ok(words)
}

async fn fetch_folder(fetch: &Fetch, files: &[FileEntry], dir: &Path) -> Outcome {
    let Some(folder) = pick::folder(files) else {
        return put("5. there is no folder of a few files here, so none is fetched");
    };
    put(format_args!("5. bob fetches the folder `{}`:", shown(folder.as_str())))?;
    let fetched = fetch_one(fetch, format!("alice/{folder}")).await?;
    let compared = proof::folder(&fetched.path, files, &folder, dir)?;
    put(format_args!("   {compared} files, each equal to its original"))
}

async fn fetch_one(fetch: &Fetch, what: String) -> Outcome<Fetched> {
    let mut fetched = fetch.run(&[what], false).await?;
    fetched.pop().ok_or_else(|| Failure::failed("nothing was fetched"))
}

/// What to try next, as it can be typed here.
fn invite(url: &str, words: &str) -> Outcome {
    let command = if std::env::var_os("CARGO").is_some() { "cargo run --release --" } else { "peerage" };
    let usual = format!("http://127.0.0.1:{}", limits::INDEX_PORT);
    let index = if url == usual { String::new() } else { format!(" --index {url}") };
    put(format_args!(
        "\nthe index can be reached at {url} (a browser shows it too); try in another terminal:"
    ))?;
    put(format_args!("  {command} search {words}{index}"))?;
    put(format_args!("  {command} peers{index}"))?;
    put(format_args!("  {command} shell{index}"))?;
    put("Ctrl-C ends the demo")
}
