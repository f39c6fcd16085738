//! A folder as JSON, a page at a time: the shape of the index's lists.
//!
//! Invariant: a cursor names the last child, not a number of them, so no row is skipped or seen twice because others come
//! and go. It is not signed: whoever makes one up begins somewhere else in a folder that they may read anyway.

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use peerage_wire::api::{FolderRow, Page, RowKind, Total};
use peerage_wire::{SharePath, limits};
use serde::Deserialize;

use super::VIEWER;
use crate::catalogue::{Catalogue, Child, Listing, Node};
use crate::serve::refusal::Refusal;

/// What a page may be asked for with.
#[derive(Debug, Default, Deserialize)]
struct Params {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The page that a query asks for.
pub(super) fn page(
    catalogue: &Catalogue,
    folder: Option<&SharePath>,
    query: Option<&str>,
) -> Result<Bytes, Refusal> {
    let params: Params = serde_urlencoded::from_str(query.unwrap_or_default())
        .map_err(|_| Refusal::bad_request("the query can't be read", "it may have `limit` and `cursor`"))?;
    let limit = params.limit.unwrap_or(limits::PAGE_ROWS_DEFAULT).clamp(1, limits::PAGE_ROWS_MAX);
    let mut listing = from(catalogue.list(VIEWER, folder), params.cursor.as_deref())?;
    let mut children = listing.next_children(catalogue, limit + 1);
    let has_more = children.len() > limit;
    children.truncate(limit);
    let cursor = children.last().filter(|_| has_more).map(cursor_of);
    let hits = children.into_iter().map(row).collect();
    let total = count(catalogue, catalogue.list(VIEWER, folder));
    let page = Page { total, hits, cursor, matched: None };
    serde_json::to_vec(&page).map(Bytes::from).map_err(|_| Refusal::unreadable())
}

fn from(listing: Listing, cursor: Option<&str>) -> Result<Listing, Refusal> {
    let Some(cursor) = cursor else { return Ok(listing) };
    let name = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().and_then(|name| String::from_utf8(name).ok());
    let name = name.filter(|name| name.len() <= limits::COMPONENT_BYTES_MAX + 1);
    let name = name.ok_or_else(|| Refusal::bad_request("that is no cursor", "begin without one"))?;
    Ok(match name.strip_suffix('/') {
        Some(folder) => listing.after(folder, true),
        None => listing.after(&name, false),
    })
}

fn cursor_of(child: &Child) -> String {
    let slash = if matches!(child.node, Node::Folder { .. }) { "/" } else { "" };
    BASE64URL_NOPAD.encode(format!("{}{slash}", child.name).as_bytes())
}

/// Counted exactly up to a limit, so that a page of a huge folder costs no more than a few.
fn count(catalogue: &Catalogue, mut listing: Listing) -> Total {
    let mut value = 0;
    loop {
        let more = listing.next_page(catalogue).len() as u64;
        value += more;
        if value > limits::TOTAL_EXACT_MAX {
            return Total { value: limits::TOTAL_EXACT_MAX, exact: false };
        }
        if more == 0 {
            return Total { value, exact: true };
        }
    }
}

fn row(child: Child) -> FolderRow {
    let Child { name, node } = child;
    match node {
        Node::Folder { modified } => {
            FolderRow { name, kind: RowKind::Folder, size: None, modified, hash: None }
        }
        Node::File(entry) => {
            let (size, hash) = (Some(entry.size), Some(entry.hash));
            FolderRow { name, kind: RowKind::File, size, modified: entry.modified, hash }
        }
    }
}
