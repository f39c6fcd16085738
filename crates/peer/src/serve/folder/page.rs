//! A folder as a page, made piece by piece while it is sent, so that it may have any number of files.
//!
//! Invariants: of a page at most a chunk and one look at the catalogue are in memory; a stranger's text is only ever text
//! (`wire::html`) or a percent-encoded address; nothing is loaded and nothing runs, so a page says all there is to it.

use std::fmt::Write;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use peerage_wire::html::text;
use peerage_wire::{Kind, SharePath, format_bytes, percent};

use super::VIEWER;
use super::time::Utc;
use crate::catalogue::{Catalogue, Child, Listing, Node};
use crate::serve::body::DoorBody;
use crate::serve::refusal::Refusal;

/// The style sheet, within each page: it looks the same where `wget` saved it.
const STYLE: &str = include_str!("style.css");

/// Nothing may be loaded or run, nothing framed or sent; the style sheet is known by its hash.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-DoSs68TwM58AP6FMwh4QTD2dYhhJcu4664QiKVqnqpA='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Bytes of a page that are made at a time.
const CHUNK_BYTES: usize = 32 << 10;
/// A folder of fewer children is shown in the order that people expect; a larger one in the catalogue's, by bytes.
const SORTED_MAX: usize = 1_000;

/// A folder's page, chunk by chunk.
pub(super) struct Pages {
    catalogue: Arc<Catalogue>,
    /// What is not looked at yet; `None` once all was.
    listing: Option<Listing>,
    /// What was looked at and is not shown yet.
    children: vec::IntoIter<Child>,
    /// What stands before the first child, until it is sent.
    head: Option<String>,
    is_root: bool,
    shown: Shown,
}

/// What a page has shown so far.
#[derive(Debug, Default)]
struct Shown {
    folders: u64,
    files: u64,
    bytes: u64,
}

impl Pages {
    /// Of a folder, or of the root.
    pub(super) fn new(catalogue: Arc<Catalogue>, folder: Option<&SharePath>) -> Self {
        let mut listing = catalogue.list(VIEWER, folder);
        let mut children = listing.next_children(&catalogue, SORTED_MAX);
        let is_whole = children.len() < SORTED_MAX;
        if is_whole {
            // Folders first, then as a dictionary has it.
            children
                .sort_by_cached_key(|child| (matches!(child.node, Node::File(_)), child.name.to_lowercase()));
        }
        let head = Some(head(folder));
        let (listing, children) = ((!is_whole).then_some(listing), children.into_iter());
        Self { catalogue, listing, children, head, is_root: folder.is_none(), shown: Shown::default() }
    }

    fn next_child(&mut self) -> Option<Child> {
        if let Some(child) = self.children.next() {
            return Some(child);
        }
        let listing = self.listing.as_mut()?;
        self.children = listing.next_page(&self.catalogue).into_iter();
        let child = self.children.next();
        if child.is_none() {
            self.listing = None;
        }
        child
    }
}

impl Iterator for Pages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut html = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        html.push_str(&self.head.take()?);
        while html.len() < CHUNK_BYTES {
            let Some(child) = self.next_child() else {
                html.push_str(&foot(self.is_root, &self.shown));
                return Some(html.into());
            };
            self.shown.row(&mut html, &child);
        }
        self.head = Some(String::new());
        Some(html.into())
    }
}

impl Shown {
    fn row(&mut self, html: &mut String, child: &Child) {
        let (href, name) = (percent::encode(&child.name), text(&child.name));
        // Writing to a string does not fail.
        let _ = match &child.node {
            Node::Folder { .. } => {
                self.folders += 1;
                writeln!(html, "<tr class=folder><td><a href=\"{href}/\"><bdi>{name}</bdi>/</a><td><td>")
            }
            Node::File(entry) => {
                self.files += 1;
                self.bytes += entry.size;
                let (kind, size) = (Kind::of_name(&child.name), format_bytes(entry.size));
                let _ = write!(
                    html,
                    "<tr class={kind}><td><a href=\"{href}\"><bdi>{name}</bdi></a><td>{size}<td>"
                );
                match Utc::of(entry.modified) {
                    Some(time) => writeln!(html, "<time datetime=\"{time:#}\">{time}</time>"),
                    None => writeln!(html),
                }
            }
        };
    }
}

/// What begins every page.
fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n",
        text(title)
    )
}

fn head(folder: Option<&SharePath>) -> String {
    const TABLE: &str = "<table>\n<thead><tr><th scope=\"col\">Name<th scope=\"col\">Size\
        <th scope=\"col\">Changed (UTC)\n<tbody>\n";
    let Some(folder) = folder else {
        return begin("Shared folders") + "<main>\n<h1>Shared folders</h1>\n" + TABLE;
    };
    let mut head = begin(folder.as_str()) + "<nav aria-label=\"Folders above\"><ol>";
    let depth = folder.components().count();
    let above = folder.components().take(depth - 1).map(text).map(|name| format!("<bdi>{name}</bdi>"));
    for (up, name) in (1..=depth).rev().zip(std::iter::once("Shared folders".to_owned()).chain(above)) {
        let _ = write!(head, "<li><a href=\"{}\">{name}</a>", "../".repeat(up));
    }
    let name = text(folder.file_name());
    let up = "<tr class=up><td><a href=\"../\" aria-label=\"Up one folder\">..</a><td><td>\n";
    let _ = write!(head, "</ol></nav>\n<main>\n<h1><bdi>{name}</bdi></h1>\n{TABLE}{up}");
    head
}

fn foot(is_root: bool, shown: &Shown) -> String {
    let Shown { folders, files, bytes } = *shown;
    let count = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let told = match (folders, files) {
        (0, _) if is_root => "Nothing is public here. Its owner can change that: \
             <code>peerage share … --audience public</code>"
            .to_owned(),
        (folders, 0) => count(folders, "folder"),
        (0, files) => format!("{}, {}", count(files, "file"), format_bytes(bytes)),
        (folders, files) => {
            let (folders, files) = (count(folders, "folder"), count(files, "file"));
            format!("{folders} and {files}, {} in the files here", format_bytes(bytes))
        }
    };
    format!("</table>\n<p>{told}</p>\n</main>\n</html>\n")
}

/// Why there is no page, as one.
pub(super) fn refusal(refusal: &Refusal) -> Response<DoorBody> {
    let mut message = refusal.message.clone();
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let (message, hint) = (text(&message), text(refusal.hint));
    let html = format!(
        "{}<main>\n<h1>{message}</h1>\n<p>{hint}</p>\n<p><a href=\"/v1/shares/\">Shared folders</a></p>\n</main>\n</html>\n",
        begin(refusal.status.as_str()),
    );
    let mut response = refusal.around(html.into_bytes(), "text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Hashed, ShareId};
    use crate::share::{Audience, Root, Stamp};
    use peerage_wire::ContentHash;

    #[test]
    fn a_page_of_any_length_is_made_in_small_chunks() {
        let (folder, catalogue) = (tempfile::tempdir().unwrap(), Arc::new(Catalogue::new()));
        let root = Arc::new(Root::open("s", &folder.path().canonicalize().unwrap()).unwrap());
        let (share, stamp) = (ShareId(0), Stamp { size: 7, mtime_ns: 0, inode: 1 });
        let origin = crate::share::Origin::from(root);
        catalogue.set_origin(share, Some(origin.clone()));
        catalogue.admit("s", Audience::Public);
        let hash = ContentHash::of(b"");
        for number in 0..30_000 {
            let disk = format!("{number:05}{}", "\"".repeat(200));
            let path = SharePath::parse(&format!("s/{disk}")).unwrap();
            catalogue.put(&Hashed { share, origin: &origin, path: &path, disk: &disk, hash, stamp });
        }
        let (mut rows, mut last) = (0, Bytes::new());
        for chunk in Pages::new(catalogue, Some(&SharePath::parse("s").unwrap())) {
            assert!(chunk.len() < CHUNK_BYTES + (4 << 10), "{}", chunk.len());
            rows += std::str::from_utf8(&chunk).unwrap().matches("<tr class=data>").count();
            last = chunk;
        }
        assert_eq!(rows, 30_000);
        assert!(last.ends_with(b"</html>\n") && !last.is_empty());
    }

    #[test]
    fn the_policy_knows_the_style_sheet() {
        let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let sha256 = suite.tls13().unwrap().common.hash_provider.hash(STYLE.as_bytes());
        let hash = data_encoding::BASE64.encode(sha256.as_ref());
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "it is sha256-{hash} by now");
        assert!(!STYLE.contains("</"), "it would end where it must not");
    }
}
