//! `peerage index`: runs the index until it is asked to stop.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use peerage_index::Index;
use peerage_server::Config;

use crate::args::IndexArgs;
use crate::commands::interrupted;
use crate::failure::{Failure, Outcome};
use crate::print::say;

pub(crate) async fn run(args: IndexArgs) -> Outcome {
    let listener = bind(args.listen).await?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    say(format_args!("index ready at http://{address}"));
    if !address.ip().is_loopback() {
        say(
            "note: what peers tell this index, and what it answers, is not encrypted; use it on networks you trust",
        );
    }
    say("share a folder with `peerage share DIR`; Ctrl-C stops the index");
    let config = Config { allowed_hosts: args.allowed_hosts, ..Config::default() };
    let served = peerage_server::run(listener, Index::embedded(), config, interrupted()).await;
    served.map_err(|error| Failure::failed(format!("the index stopped: {error}")))?;
    say("index stopped");
    Ok(())
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
