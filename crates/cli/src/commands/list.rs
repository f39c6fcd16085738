//! `peerage list`: everything that is registered, a page at a time, so that any number of files can be listed.

use peerage_wire::api::{FileRow, ListParams, Page};
use peerage_wire::{format_bytes, limits, shown};

use crate::args::ListArgs;
use crate::commands::client_of;
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{Column, Table, put_json, say};

pub(crate) async fn run(args: ListArgs) -> Outcome {
    let client = client_of(&args.index)?;
    if let Some(peer) = &args.peer {
        check_known(&client, peer).await?;
    }
    let mut params =
        ListParams { peer: args.peer, limit: Some(limits::PAGE_ROWS_MAX), ..ListParams::default() };
    let mut listed = 0;
    loop {
        let page = client.files(&params).await?;
        put_page(&page, args.json)?;
        listed += page.hits.len();
        params.cursor = page.cursor;
        if params.cursor.is_none() {
            break;
        }
    }
    if listed == 0 && !args.json {
        say("nothing is registered yet; share a folder with `peerage share DIR`");
    }
    Ok(())
}

/// Tells a peer that is not here from one that shares nothing.
pub(crate) async fn check_known(client: &peerage_peer::index_client::IndexClient, peer: &str) -> Outcome {
    let params = ListParams { peer: Some(peer.to_owned()), limit: Some(1), ..ListParams::default() };
    if client.peers(&params).await?.hits.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("no peer `{}` is here", shown(peer)))
            .hint("`peerage peers` shows who is"));
    }
    Ok(())
}

fn put_page(page: &Page<FileRow>, json: bool) -> Outcome {
    if json {
        return page.hits.iter().try_for_each(put_json);
    }
    if page.hits.is_empty() {
        return Ok(());
    }
    table(&page.hits).put()
}

/// The files as a table.
pub(crate) fn table(files: &[FileRow]) -> Table {
    let mut table = Table::new(&[
        (Column::Flex, "NAME"),
        (Column::Right, "SIZE"),
        (Column::Left, "TYPE"),
        (Column::Left, "OWNER"),
        (Column::Spare, "HASH"),
    ]);
    for row in files {
        table.row([
            shown(row.file.path.as_str()).to_string(),
            format_bytes(row.file.size),
            peerage_wire::Kind::of_name(row.file.path.file_name()).to_string(),
            shown(row.name.as_str()).to_string(),
            row.file.hash.short(),
        ]);
    }
    table
}
