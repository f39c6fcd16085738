//! `peerage get`: what was asked for becomes files.
//!
//! `resolve` turns words into wanted contents by asking the index; `run` fetches them, several at once. What can't be
//! fetched is told, the rest is fetched all the same, and the exit code is the first failure's.

mod resolve;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_peer::identity::Identity;
use peerage_peer::index_client::IndexClient;

use crate::args::GetArgs;
use crate::commands::{client_of, identity_of, interrupted};
use crate::failure::{Failure, Outcome};
use crate::print::say;

pub(crate) use resolve::resolve;
pub(crate) use run::fetch;

pub(crate) async fn run(home: &Path, args: GetArgs) -> Outcome {
    let fetch = Fetch {
        client: client_of(&args.index)?,
        identity: Arc::new(identity_of(home)?),
        output: args.output,
        overwrite: args.overwrite,
        json: args.json,
    };
    tokio::select! {
        outcome = fetch_all(&fetch, &args.what) => outcome,
        () = interrupted() => Err(Failure::failed("interrupted").hint("run the same command again: what was fetched is kept")),
    }
}

/// What every download of one command has in common.
pub(crate) struct Fetch {
    pub(crate) client: IndexClient,
    pub(crate) identity: Arc<Identity>,
    /// The folder everything goes to.
    pub(crate) output: PathBuf,
    pub(crate) overwrite: bool,
    pub(crate) json: bool,
}

/// Fetches each of `what`, one after the other.
pub(crate) async fn fetch_all(fetch_with: &Fetch, what: &[String]) -> Outcome {
    let mut failures = Vec::new();
    for what in what {
        let outcome = match resolve(&fetch_with.client, what).await {
            Ok(order) => fetch(fetch_with, order).await.map(drop),
            Err(failure) => Err(failure),
        };
        failures.extend(outcome.err());
    }
    let mut failures = failures.into_iter();
    match failures.next() {
        Some(first) => {
            failures.for_each(say);
            Err(first)
        }
        None => Ok(()),
    }
}
