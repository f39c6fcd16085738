//! Who is measured: each contender in a file of its own, which says how to find it, serve with it and fetch with it;
//! what several have (clients, certificates) in files beside them.
//!
//! Invariants: a contender that is missing, fails or hangs harms no other; each has a fair and fast configuration, and
//! what it serves is the same folder on the same disk as everybody's.

pub(crate) mod aria2;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod copy;
pub(crate) mod door;
pub(crate) mod ncdc;
pub(crate) mod nginx;
pub(crate) mod peerage;
pub(crate) mod rsync;
pub(crate) mod sendme;
pub(crate) mod transmission;
pub(crate) mod vsftpd;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::material::Material;
use crate::measure::Sample;
use crate::tools::Tool;

/// A way to move files.
pub(crate) trait Contender {
    /// What it is called in tables.
    fn name(&self) -> &'static str;
    /// The programs it needs.
    fn tools(&self) -> Vec<Tool>;
    /// Starts whatever serves, and returns once it does.
    ///
    /// # Errors
    /// When it does not.
    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>>;
}

/// A contender whose servers run, until it is dropped.
pub(crate) trait Serving {
    /// Moves everything into an empty folder and says what that took.
    ///
    /// # Errors
    /// When it fails or takes too long.
    fn fetch(&mut self, into: &Path) -> Result<Sample>;
}

/// What a contender is given.
#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    /// What to move.
    pub(crate) material: &'a Material,
    /// A folder of its own for configuration, state and logs.
    pub(crate) own: &'a Path,
    /// After this a run has failed.
    pub(crate) limit: Duration,
}

impl Stage<'_> {
    /// A log in the contender's own folder.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.own.join(format!("{name}.log"))
    }

    /// A folder in the contender's own, made.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.own.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// A contender whose client is a program that ends when it is done: most of them.
pub(crate) struct Simple<F> {
    /// What must run meanwhile.
    pub(crate) servers: Vec<crate::daemon::Daemon>,
    /// The client that fetches into a folder.
    pub(crate) client: F,
    /// See [`Stage::limit`].
    pub(crate) limit: Duration,
    /// Where the client's words go.
    pub(crate) log: PathBuf,
}

impl<F: FnMut(&Path) -> Command> Serving for Simple<F> {
    fn fetch(&mut self, into: &Path) -> Result<Sample> {
        let servers = crate::daemon::ids(&self.servers);
        crate::measure::run(&mut (self.client)(into), &servers, self.limit, &self.log)
    }
}

/// A free address on loopback.
///
/// # Errors
/// When there is none.
pub(crate) fn loopback() -> Result<SocketAddr> {
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), crate::daemon::free_port()?))
}

/// Whether a file is there with all its bytes, for clients that go on after they are done.
pub(crate) fn has_arrived(file: &Path, size: u64) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.len() == size)
}
