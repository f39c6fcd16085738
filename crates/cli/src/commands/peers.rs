//! `peerage peers`: who is here.

use peerage_wire::api::{ListParams, PeerRow};
use peerage_wire::{format_bytes, limits, shown};

use crate::args::PeersArgs;
use crate::commands::client_of;
use crate::failure::Outcome;
use crate::print::{Column, Table, put_json, say};

pub(crate) async fn run(args: PeersArgs) -> Outcome {
    let client = client_of(&args.index)?;
    let mut params = ListParams { limit: Some(limits::PAGE_ROWS_MAX), ..ListParams::default() };
    let mut here = 0;
    loop {
        let page = client.peers(&params).await?;
        here += page.hits.len();
        if args.json {
            page.hits.iter().try_for_each(put_json)?;
        } else if !page.hits.is_empty() {
            table(&page.hits).put()?;
        }
        params.cursor = page.cursor;
        if params.cursor.is_none() {
            break;
        }
    }
    if here == 0 && !args.json {
        say("nobody is here yet; share a folder with `peerage share DIR`");
    }
    Ok(())
}

/// The peers as a table.
pub(crate) fn table(peers: &[PeerRow]) -> Table {
    let mut table = Table::new(&[
        (Column::Flex, "NAME"),
        (Column::Left, "ADDRESS"),
        (Column::Right, "FILES"),
        (Column::Right, "BYTES"),
        (Column::Left, "PEER"),
    ]);
    for row in peers {
        table.row([
            shown(row.name.as_str()).to_string(),
            row.address.to_string(),
            row.files.to_string(),
            format_bytes(row.bytes),
            row.peer.short(),
        ]);
    }
    table
}
