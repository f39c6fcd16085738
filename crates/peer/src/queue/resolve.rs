//! From what a person typed to contents and the places they go.
//!
//! A hash or a link names a content by itself. `PEER/share/path` names a file or a folder of one peer. Anything else is
//! searched for, and must be found once: where it is not, the candidates are told and nothing is fetched.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use peerage_wire::api::{Hit, ListParams, Matched, PeerRow, SearchParams, Source};
use peerage_wire::{ContentHash, FileEntry, Link, SharePath, limits, shown};

use super::trouble::{Cause, Trouble};
use crate::index_client::{IndexClient, IndexError};

/// Candidates shown when a name is found more than once.
const CANDIDATES_SHOWN: usize = 10;

/// One wanted content, where it goes, and who is known to have it.
#[derive(Debug, Clone)]
pub struct Item {
    /// The content.
    pub hash: ContentHash,
    /// Bytes, as the index says.
    pub size: u64,
    /// Below the output folder.
    pub path: SharePath,
    /// Who is known to have it; the files of a folder share one list.
    pub sources: Arc<[Source]>,
}

/// What one argument came to.
#[derive(Debug)]
pub struct Order {
    /// The folder's name below the output folder, when a folder was asked for.
    pub folder: Option<String>,
    /// The files.
    pub items: Vec<Item>,
}

impl Order {
    /// A link to the one file that was meant, which gives it the same place again.
    pub(super) fn pin(&self) -> Option<String> {
        match (&self.folder, self.items.as_slice()) {
            (None, [item]) => {
                let name = Some(item.path.file_name().to_owned());
                Some(Link { hash: item.hash, name, size: Some(item.size) }.to_string())
            }
            _ => None,
        }
    }
}

/// Finds out what is meant.
///
/// # Errors
/// [`Trouble`]: nothing or several things are called so, or the index gives no answer.
pub async fn resolve(client: &IndexClient, what: &str) -> Result<Order, Trouble> {
    if let Ok(hash) = ContentHash::from_str(what.trim()) {
        return content(client, hash, None).await;
    }
    if what.starts_with("peerage:") {
        let link = Link::from_str(what)
            .map_err(|error| Trouble::usage(format!("`{}` is no link: {error}", shown(what))))?;
        return content(client, link.hash, link.name).await;
    }
    if let Some((peer, path)) = what.split_once('/')
        && let Some(order) = of_peer(client, peer, path).await?
    {
        return Ok(order);
    }
    by_name(client, what).await
}

async fn content(client: &IndexClient, hash: ContentHash, name: Option<String>) -> Result<Order, Trouble> {
    match client.content(hash).await? {
        Some(hit) => one(hit, name.as_deref()),
        None => Err(Trouble::new(Cause::NotFound, format!("nobody here has {hash}"))
            .hint("its owner may be away: `peerage peers` shows who is here")),
    }
}

/// A single file, put directly into the output folder under its own or a given name.
fn one(hit: Hit, name: Option<&str>) -> Result<Order, Trouble> {
    let name = name.or_else(|| hit.names.first().map(SharePath::file_name)).unwrap_or_default();
    let path = SharePath::parse(name).or_else(|_| SharePath::parse(&hit.hash.to_string()));
    let path = path.map_err(Trouble::failed)?;
    let item = Item { hash: hit.hash, size: hit.size, path, sources: hit.sources.into() };
    Ok(Order { folder: None, items: vec![item] })
}

/// `PEER/share/path`, when there is such a peer and it has something there.
async fn of_peer(client: &IndexClient, peer: &str, path: &str) -> Result<Option<Order>, Trouble> {
    let Some(peer) = the_peer(client, peer).await? else { return Ok(None) };
    let path = path.trim_end_matches('/');
    let under = match path {
        "" => None,
        path => match SharePath::parse(path) {
            Ok(path) => Some(path),
            Err(_) => return Ok(None),
        },
    };
    let files = files_under(client, &peer, under.clone()).await?;
    let sources: Arc<[Source]> = [Source::from(peer)].into();
    let item = |file: FileEntry, path| Item {
        hash: file.hash,
        size: file.size,
        path,
        sources: Arc::clone(&sources),
    };
    let Some(under) = under else {
        let items: Vec<Item> = files
            .into_iter()
            .map(|file| (file.path.clone(), file))
            .map(|(path, file)| item(file, path))
            .collect();
        return Ok((!items.is_empty()).then_some(Order { folder: Some(String::new()), items }));
    };
    if let Some(file) = files.iter().find(|file| file.path == under) {
        let path = SharePath::parse(under.file_name()).map_err(Trouble::failed)?;
        return Ok(Some(Order { folder: None, items: vec![item(file.clone(), path)] }));
    }
    let folder = under.file_name().to_owned();
    let placed = files.into_iter().filter_map(|file| {
        let below = file.path.below(&under)?;
        let path = SharePath::parse(&format!("{folder}/{below}")).ok()?;
        Some(item(file, path))
    });
    let items: Vec<Item> = placed.collect();
    Ok((!items.is_empty()).then_some(Order { folder: Some(folder), items }))
}

/// The one live peer of that name or id.
async fn the_peer(client: &IndexClient, peer: &str) -> Result<Option<PeerRow>, Trouble> {
    if peer.is_empty() {
        return Ok(None);
    }
    let params =
        ListParams { peer: Some(peer.to_owned()), limit: Some(CANDIDATES_SHOWN), ..ListParams::default() };
    let mut peers = client.peers(&params).await?.hits;
    // Somebody else may go by nearly the same name; what is no peer's name may be a share's.
    peers.retain(|row| row.name.as_str() == peer || row.peer.to_string().starts_with(&peer.to_lowercase()));
    if peers.len() > 1 {
        let ids: Vec<String> =
            peers.iter().map(|row| format!("{} at {}", row.peer.short(), row.address)).collect();
        let message = format!("several peers are called `{}`:\n{}", shown(peer), ids.join("\n"));
        return Err(Trouble::new(Cause::NotFound, message).hint("say which by its id instead of its name"));
    }
    Ok(peers.pop())
}

async fn files_under(
    client: &IndexClient,
    peer: &PeerRow,
    under: Option<SharePath>,
) -> Result<Vec<FileEntry>, Trouble> {
    let mut params = ListParams {
        peer: Some(peer.peer.to_string()),
        under,
        limit: Some(limits::PAGE_ROWS_MAX),
        cursor: None,
    };
    let mut files = Vec::new();
    loop {
        let page = client.files(&params).await?;
        files.extend(page.hits.into_iter().map(|row| row.file));
        params.cursor = page.cursor;
        if params.cursor.is_none() {
            return Ok(files);
        }
    }
}

async fn by_name(client: &IndexClient, name: &str) -> Result<Order, Trouble> {
    let params =
        SearchParams { q: name.to_owned(), limit: Some(limits::HITS_DEFAULT), ..SearchParams::default() };
    let page = match client.search(&params).await {
        Ok(page) if called(&page.hits, name).next().is_some() => page,
        Err(error) if !is_of_the_query(&error) => return Err(error.into()),
        plain => {
            // What was given may read as a query and still be a name: `-x.mp3`, `this OR that.txt`, one of many words.
            let quoted = client.search(&SearchParams { q: quoted(name), ..params }).await;
            match quoted.ok().filter(|page| called(&page.hits, name).next().is_some()) {
                Some(page) => page,
                None => plain?,
            }
        }
    };
    let is_exact = page.matched.is_none_or(|matched| matched == Matched::Exact);
    let mut hits = page.hits;
    if let Some(named) = only_one_called(&hits, name) {
        return one(hits.swap_remove(named), Some(name.rsplit('/').next().unwrap_or(name)));
    }
    match hits.len() {
        0 => Err(nothing_called(name)),
        1 if is_exact && page.total.value == 1 => one(hits.swap_remove(0), None),
        _ => Err(ambiguous(name, &hits, page.total.value)),
    }
}

fn is_of_the_query(error: &IndexError) -> bool {
    matches!(error, IndexError::Refused { status, .. } if status.as_u16() == 400)
}

/// A query for a name whatever is in it: a phrase without its closing quote, so that it may be cut where it is too long. Of
/// a long path it is the file's own name.
fn quoted(name: &str) -> String {
    let is_long = name.len() >= limits::QUERY_BYTES_MAX;
    let name = if is_long { name.rsplit('/').next().unwrap_or(name) } else { name };
    let is_quote = |c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}');
    let inner = name.replace(is_quote, " ");
    let most = inner.len().min(limits::QUERY_BYTES_MAX - 1);
    let end = (0..=most).rev().find(|at| inner.is_char_boundary(*at)).unwrap_or(0);
    format!("\"{}", &inner[..end])
}

/// The contents that go by exactly this file name or path.
fn called<'a>(hits: &'a [Hit], name: &'a str) -> impl Iterator<Item = (usize, &'a Hit)> {
    let is_called =
        move |hit: &Hit| hit.names.iter().any(|path| path.as_str() == name || path.file_name() == name);
    hits.iter().enumerate().filter(move |(_, hit)| is_called(hit))
}

/// The only such content, if there is one.
fn only_one_called(hits: &[Hit], name: &str) -> Option<usize> {
    let mut called = called(hits, name);
    match (called.next(), called.next()) {
        (Some((position, _)), None) => Some(position),
        _ => None,
    }
}

fn nothing_called(name: &str) -> Trouble {
    let hint = if is_short_hash(name) {
        "a content is asked for by all 64 digits of its hash: `peerage search --json` prints them"
    } else {
        "`peerage search` with fewer words may find it"
    };
    Trouble::new(Cause::NotFound, format!("file not found: nothing is called `{}`", shown(name))).hint(hint)
}

/// What tables show of a hash.
fn is_short_hash(name: &str) -> bool {
    name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn ambiguous(name: &str, hits: &[Hit], total: u64) -> Trouble {
    let mut told = HashSet::new();
    let lines: Vec<String> = hits
        .iter()
        .take(CANDIDATES_SHOWN)
        .filter(|hit| told.insert(hit.hash))
        .map(|hit| {
            let name = hit.names.first().map(|name| shown(name.as_str()).to_string()).unwrap_or_default();
            format!("{}  {name}  ({})", hit.hash, peerage_wire::format_bytes(hit.size))
        })
        .collect();
    let more = total.saturating_sub(lines.len() as u64);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    let problem = if total == 1 { "the nearest there is" } else { "it fits several files" };
    let message = format!("nothing is just called `{}`; {problem}:\n{}{more}", shown(name), lines.join("\n"));
    Trouble::new(Cause::NotFound, message).hint("say which by its hash, or as PEER/share/path")
}
