//! `peerage search`: words in, a table of contents out.

use peerage_peer::index_client::IndexClient;
use peerage_wire::api::{FtpDoor, Hit, ListParams, Matched, Page, SearchParams};
use peerage_wire::{format_bytes, limits, shown};

use crate::args::SearchArgs;
use crate::commands::client_of;
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{Column, Table, put, put_json, say};

pub(crate) async fn run(args: SearchArgs) -> Outcome {
    let client = client_of(&args.index)?;
    let params = SearchParams {
        q: args.words.join(" "),
        kind: args.kind,
        min_size: args.min_size,
        max_size: args.max_size,
        peer: args.peer,
        sort: Some(args.sort.into()),
        limit: None,
        cursor: None,
    };
    let page = pages(&client, params.clone(), args.limit).await?;
    if page.hits.is_empty() {
        if let Some(peer) = &params.peer {
            super::check_known(&client, peer).await?;
        }
        let one = ListParams { limit: Some(1), ..ListParams::default() };
        let hint = if client.peers(&one).await.is_ok_and(|peers| peers.total.value == 0) {
            "nobody is here yet; after a start of the index peers are back within half a minute"
        } else {
            "try fewer words, or the beginning of a word; `peerage list` shows everything"
        };
        let message = format!("file not found: nothing matches `{}`", shown(&params.q));
        return Err(Failure::new(Exit::NotFound, message).hint(hint));
    }
    if args.json {
        return page.hits.iter().try_for_each(put_json);
    }
    results(&page.hits).put()?;
    for (number, url, door) in ftp_urls(&page.hits) {
        let how = match (door.tls, door.login) {
            (false, false) => "",
            (true, false) => "  (over TLS)",
            (false, true) => "  (for who may log in)",
            (true, true) => "  (over TLS, for who may log in)",
        };
        put(format_args!("{number}  {}{how}", shown(url)))?;
    }
    for remark in remarks(&page) {
        say(remark);
    }
    Ok(())
}

/// So many hits, asked for a page at a time, as one page.
async fn pages(client: &IndexClient, mut params: SearchParams, limit: usize) -> Outcome<Page<Hit>> {
    params.limit = Some(limit.min(limits::PAGE_ROWS_MAX));
    let mut all = client.search(&params).await?;
    while let Some(cursor) = all.cursor.take_if(|_| all.hits.len() < limit) {
        params.cursor = Some(cursor);
        params.limit = Some((limit - all.hits.len()).min(limits::PAGE_ROWS_MAX));
        let next = client.search(&params).await?;
        all.hits.extend(next.hits);
        all.cursor = next.cursor;
    }
    Ok(all)
}

/// The hits as a numbered table.
pub(crate) fn results(hits: &[Hit]) -> Table {
    let mut table = Table::new(&[
        (Column::Right, "#"),
        (Column::Flex, "NAME"),
        (Column::Right, "SIZE"),
        (Column::Left, "TYPE"),
        (Column::Right, "SOURCES"),
        (Column::Left, "OWNER"),
        (Column::Left, "ADDRESS"),
        (Column::Spare, "HASH"),
    ]);
    for (position, hit) in hits.iter().enumerate() {
        let owner = hit.sources.first();
        let (name, is_bold) = name(hit);
        table.row([
            (position + 1).to_string(),
            name,
            format_bytes(hit.size),
            hit.kind.to_string(),
            hit.source_count.to_string(),
            owner.map(|source| shown(source.name.as_str()).to_string()).unwrap_or_default(),
            owner.map(|source| source.address.to_string()).unwrap_or_default(),
            hit.hash.short(),
        ]);
        table.embolden(is_bold);
    }
    table
}

/// A hit's first name, and which of its characters the query's words matched.
fn name(hit: &Hit) -> (String, Vec<bool>) {
    let (mut name, mut is_matched) = (String::new(), Vec::new());
    for (piece, piece_is_matched) in hit.pieces(0) {
        let piece = shown(piece).to_string();
        is_matched.extend(piece.chars().map(|_| piece_is_matched));
        name.push_str(&piece);
    }
    (name, is_matched)
}

/// Where hits are fetched by FTP, by the number of their row: at the first source that has such a door.
fn ftp_urls(hits: &[Hit]) -> impl Iterator<Item = (usize, &str, FtpDoor)> {
    (1..).zip(hits).filter_map(|(number, hit)| {
        let (url, door) =
            hit.sources.iter().find_map(|source| Some((source.ftp.as_deref()?, source.doors.ftp?)))?;
        Some((number, url, door))
    })
}

fn remarks(page: &Page<Hit>) -> Vec<String> {
    let mut remarks = Vec::new();
    match page.matched {
        Some(Matched::Substring) => {
            remarks.push("nothing matches as written: these have the words inside others".into());
        }
        Some(Matched::Typo) => remarks.push("nothing matches as written: these are one typo away".into()),
        Some(Matched::Exact) | None => {}
    }
    let found = page.hits.len() as u64;
    if page.total.value > found || !page.total.exact {
        let bound = if page.total.exact { "" } else { "at least " };
        // Where the search was cut short, no larger page has more.
        let how = if page.cursor.is_some() { "more with `--limit`" } else { "more with a rarer word" };
        remarks.push(format!("{found} of {bound}{} shown; {how}", page.total.value));
    }
    remarks
}
