//! `peerage get`: what was asked for becomes files.
//!
//! The home's queue does the work, in this process or in the one that holds the home; `watch` tells how it goes. What
//! can't be fetched is told, the rest is fetched all the same, and the exit code is the first failure's.

mod waiting;
mod watch;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerage_peer::home::Home;
use peerage_peer::identity::Identity;
use peerage_peer::index_client::IndexClient;
use peerage_peer::queue::{self, Ask, News, Passing, Queue, Request, VERSION, WANTS_MAX, Wanted};
use peerage_peer::rate::RateLimits;
use peerage_wire::PeerName;
use tokio::sync::mpsc;

use crate::args::GetArgs;
use crate::commands::share::peer_name;
use crate::commands::{client_of, interrupted};
use crate::failure::{Failure, Outcome};
use crate::print::say;

pub(crate) use watch::Fetched;
use watch::Watch;

/// News between the queue and the screen.
const NEWS_MAX: usize = 256;

/// How long leaving the index may take when the command ends.
const LEAVE_WAIT: Duration = Duration::from_secs(2);

pub(crate) async fn run(home: &Path, args: GetArgs) -> Outcome {
    let home = Home::open(home).map_err(Failure::failed)?;
    if args.queue {
        return waiting::list(&home, args.json);
    }
    if args.forget {
        return waiting::forget(&home, &args.what);
    }
    client_of(&args.index)?;
    let (here, mut left) = mpsc::channel(1);
    let fetch = Fetch {
        place: Place::Home(home),
        index: args.index.url,
        output: args.output,
        overwrite: args.overwrite,
        json: args.json,
        limits: args.limits.into(),
        name: args.name,
        here,
    };
    let outcome = tokio::select! {
        outcome = fetch.run(&args.what, args.resume) => {
            if outcome?.is_empty() {
                say("nothing waits");
            }
            Ok(())
        }
        () = interrupted() => Err(Failure::failed("interrupted").hint("`peerage get --resume` goes on: what was fetched is kept")),
    };
    drop(fetch);
    // A download that was a source leaves the index first, so that nobody is sent to a door that is closed.
    let _ = tokio::time::timeout(LEAVE_WAIT, left.recv()).await;
    outcome
}

/// What every download of one command has in common.
pub(crate) struct Fetch {
    pub(crate) place: Place,
    /// The index's address.
    pub(crate) index: String,
    /// The folder everything goes to.
    pub(crate) output: PathBuf,
    pub(crate) overwrite: bool,
    pub(crate) json: bool,
    /// For downloads of this process's own, in which it goes by `name`.
    pub(crate) limits: RateLimits,
    pub(crate) name: Option<PeerName>,
    /// Held for as long as the index knows this process.
    pub(crate) here: mpsc::Sender<()>,
}

/// Whose queue it is.
pub(crate) enum Place {
    /// A home's: this process's for the time being, or that of the process that holds it.
    Home(Home),
    /// That of a peer in this process.
    Peer(Queue),
}

impl Fetch {
    /// Fetches each of `what`, several at once, and with `resume` what is left from before; what came of those that
    /// went well, in their order.
    pub(crate) async fn run(&self, what: &[String], resume: bool) -> Outcome<Vec<Fetched>> {
        let output = std::path::absolute(&self.output).map_err(|error| {
            Failure::usage(format!("can't use `{}` as output folder: {error}", self.output.display()))
        })?;
        let watch = Watch::new(&output, &self.output, self.json);
        let request = self.request(what, &output, resume)?;
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let (done, watched) = tokio::join!(self.send(request, sender), watch.watch(news));
        done?;
        watched
    }

    fn request(&self, what: &[String], output: &Path, resume: bool) -> Outcome<Request> {
        if what.len() > WANTS_MAX {
            return Err(Failure::usage(format!("more than {WANTS_MAX} wants at once"))
                .hint("ask for fewer at a time, or for the folder they are in"));
        }
        let ask = |what: &String| Ask {
            what: what.clone(),
            output: output.to_owned(),
            overwrite: self.overwrite,
            index: self.index.clone(),
        };
        let mut named = HashSet::new();
        let once = what.iter().filter(|what| named.insert(what.as_str()));
        let wants = once.enumerate().map(|(want, what)| Wanted { want, ask: ask(what), again: false });
        Ok(Request { version: VERSION, wants: wants.collect(), resume })
    }

    /// What this process is for others while it downloads.
    fn passing(&self) -> Outcome<Passing> {
        let index = IndexClient::new(&self.index)?;
        let (name, here) = (peer_name(self.name.as_ref()), self.here.clone());
        Ok(Passing { index, name, limits: self.limits.clone(), here })
    }

    async fn send(&self, request: Request, news: mpsc::Sender<News>) -> Outcome {
        match &self.place {
            Place::Peer(queue) => queue.run(request, news).await,
            Place::Home(home) => {
                let identity = Identity::load_or_create(home.path()).map_err(Failure::failed)?;
                queue::fetch(home, Arc::new(identity), request, self.passing()?, news).await?;
            }
        }
        Ok(())
    }
}
