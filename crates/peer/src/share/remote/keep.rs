//! A server's keeper: one thread that keeps the catalogue true to what the server has.
//!
//! Invariants: everything is listed every `poll_every`, or [`POLL_REST_FACTOR`] times as long as a listing takes where
//! that is more; in between the server is asked every `poll_every` whether it is there. One that can't be reached, lets us
//! not in or does not list twice in a row has its files withdrawn until it does; what was hashed is remembered, so they
//! come back without being read again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_wire::shown;

use super::Server;
use super::failure::Failure;
use super::line::Line;
use super::list::Walk;
use super::memory::Memory;
use super::pool::Purpose;
use super::standing::{News, Standing};
use crate::share::debounce::Look;
use crate::share::engine::{Engine, Holding};
use crate::share::keep::POLL_REST_FACTOR;
use std::sync::atomic::Ordering;

/// One thread's state.
pub(super) struct Keeper {
    engine: Arc<Engine>,
    holding: Holding,
    server: Arc<Server>,
    poll_every: Duration,
    standing: Standing,
    memory: Memory,
    next_listing: Instant,
    next_probe: Instant,
}

impl Keeper {
    pub(super) fn new(
        engine: Arc<Engine>,
        holding: Holding,
        server: Arc<Server>,
        poll_every: Duration,
    ) -> Self {
        let (standing, memory, now) = (Standing::default(), Memory::default(), Instant::now());
        Self { engine, holding, server, poll_every, standing, memory, next_listing: now, next_probe: now }
    }

    /// Until the bell is stopped.
    pub(super) fn run(mut self) {
        if !self.server.url.is_tls() {
            self.tell_of_trust(); // before a password goes out
        }
        while let Some(work) = self.server.bell.wait(self.next_listing.min(self.next_probe)) {
            let now = Instant::now();
            // After a failure only the next listing says more, and it comes when it is due.
            let is_steady = self.standing == Standing::Here { failures: 0 };
            if now >= self.next_listing || (is_steady && work.is_for_all) {
                self.list();
            } else if is_steady {
                let is_asked = work.is_for_probe || now >= self.next_probe;
                if !is_asked || self.probe() {
                    for disk in work.places {
                        self.look(&disk);
                    }
                }
            }
            self.engine.inbox.nudge();
        }
    }

    fn list(&mut self) {
        let begun = Instant::now();
        let (engine, server) = (Arc::clone(&self.engine), Arc::clone(&self.server));
        let (standing, holding) = (&mut self.standing, &self.holding);
        let walk = Walk::new(&engine, holding, &server, &mut self.memory);
        let result = walk.run(|| {
            if let Some(news) = standing.reached() {
                arrived(&engine, holding, &server, news);
            }
        });
        let rest = match result {
            Ok(()) => {
                self.tell_of_trust();
                self.poll_every.max(begun.elapsed().saturating_mul(POLL_REST_FACTOR))
            }
            Err(failure) => {
                self.failed(&failure);
                self.poll_every
            }
        };
        self.server.is_looked_at.store(true, Ordering::Release);
        (self.next_listing, self.next_probe) = (Instant::now() + rest, Instant::now() + self.poll_every);
    }

    /// Asks whether the server is there. Where it is not, a listing will tell.
    fn probe(&mut self) -> bool {
        let probed = self.server.pool.with(Purpose::Look, Line::probe);
        self.next_probe = Instant::now() + self.poll_every;
        if let Err(failure) = &probed {
            self.failed(failure);
            self.next_listing = self.next_listing.min(self.next_probe);
        }
        probed.is_ok()
    }

    /// Looks at one file.
    fn look(&mut self, disk: &str) {
        self.memory.forget(self.server.key(disk));
        match self.server.stamp(disk) {
            Ok(stamp) => {
                let reader = self.engine.cache.reader();
                self.engine.consider(&self.holding, disk, stamp, Look::IfChanged, &reader);
            }
            Err(Failure::Refused(_)) => {
                if let Ok(path) = self.holding.path(disk) {
                    self.engine.catalogue.remove(&path, disk);
                }
            }
            Err(_) => {} // the bell was rung to see about that
        }
    }

    fn failed(&mut self, failure: &Failure) {
        if matches!(failure, Failure::Stopped | Failure::Busy) || self.engine.is_stopping() {
            return;
        }
        let (url, why) = (self.server.url.to_string(), failure.to_string());
        let Some(news) = self.standing.failed() else { return };
        if news == News::Left {
            self.withdraw();
        }
        let (can_t, until) = match failure {
            Failure::Login(_) => ("does not let us in", "it does"),
            Failure::Refused(_) | Failure::Unfit(_) => ("can't be listed", "it can"),
            _ => ("can't be reached", "it is back"),
        };
        let mut note = match news {
            News::Left => format!("`{}` {can_t}: its files are withdrawn until {until}", shown(&url)),
            _ => format!("`{}` {can_t}: its files are not shared until {until}", shown(&url)),
        };
        note += &format!(" ({})", shown(&why));
        if matches!(failure, Failure::Login(_)) {
            note += match self.server.pool.has_password() {
                true => "\nhint: check the user, and the password in `PEERAGE_FTP_PASSWORD` or `config.toml`",
                false => {
                    "\nhint: put a user into the URL and the password into `PEERAGE_FTP_PASSWORD` or `config.toml`"
                }
            };
        }
        self.engine.notes.tell(&self.engine.progress, &subject(&self.server), &note);
    }

    fn withdraw(&self) {
        self.server.is_here.store(false, Ordering::Relaxed);
        self.engine.catalogue.set_origin(self.holding.share, None);
        if let Ok(path) = self.holding.path("") {
            self.engine.catalogue.clear_below(&path, "");
        }
        self.server.pool.forget();
    }

    /// What people should know of how far a server can be trusted.
    fn tell_of_trust(&self) {
        let url = self.server.url.to_string();
        let note = match (self.server.url.is_tls(), self.server.pool.has_password()) {
            (true, _) => format!(
                "nobody vouches for the certificate of `{}`: the first it shows is taken, and no other until this \
                 peer ends",
                shown(&url)
            ),
            (false, true) => format!(
                "the password for `{}` goes over the network unencrypted\nhint: use `ftps://` where the server has it",
                shown(&url)
            ),
            (false, false) => return,
        };
        self.engine.notes.tell(&self.engine.progress, &format!("trust {}", self.server.name), &note);
    }
}

/// A server's files may enter the catalogue from now on.
fn arrived(engine: &Engine, holding: &Holding, server: &Server, news: News) {
    engine.catalogue.set_origin(holding.share, Some(holding.origin.clone()));
    server.is_here.store(true, Ordering::Relaxed);
    if news == News::Returned {
        let note = format!("`{}` is back", shown(&server.url.to_string()));
        engine.notes.tell(&engine.progress, &subject(server), &note);
    }
}

fn subject(server: &Server) -> String {
    format!("server {}", server.name)
}
