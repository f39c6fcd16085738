//! Us: the release binary as index, as one or more sources, and as the client.
//!
//! Invariant: every process has a home of its own, so nothing is known from before unless a work wants it so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Contender, Serving, Simple, Stage};
use crate::daemon::{Daemon, READY_WAIT};
use crate::tools::Tool;

/// The folder that an index has for a home, below its owner's own.
pub(crate) const INDEX_HOME: &str = "home of the index";

/// Peerage with so many sources.
pub(crate) struct Peerage {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// The binary.
    pub(crate) program: PathBuf,
    /// Peers that share the same folder.
    pub(crate) sources: usize,
}

impl Contender for Peerage {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(&self.program, "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (index, url) = index(&self.program, "127.0.0.1:0", stage.own)?;
        let mut servers = vec![index];
        for number in 0..self.sources {
            let share = Share {
                home: stage.folder(&format!("home {number}"))?,
                name: format!("source{number}"),
                index: url.clone(),
                listen: "127.0.0.1:0",
            };
            servers.push(share.start(&self.program, stage, &[])?);
        }
        let what = match stage.material.only() {
            Ok((_, content)) => content.hash.to_hex().to_string(),
            Err(_) => "source0/material".to_owned(),
        };
        let (program, home) = (self.program.clone(), stage.folder("home of the client")?);
        let client = move |into: &Path| get(&program, &home, &url, &what, into);
        Ok(Box::new(Simple { servers, client, limit: stage.limit, log: stage.log("client") }))
    }
}

/// A running index and its URL.
///
/// # Errors
/// When it does not start.
pub(crate) fn index(program: &Path, listen: &str, own: &Path) -> Result<(Daemon, String)> {
    index_with(program, listen, own, &[])
}

/// The same with more arguments.
///
/// # Errors
/// As with [`index`].
pub(crate) fn index_with(
    program: &Path,
    listen: &str,
    own: &Path,
    more: &[&str],
) -> Result<(Daemon, String)> {
    let mut command = command(program, &own.join(INDEX_HOME));
    command.args(["index", "--listen", listen]).args(more);
    let mut index = Daemon::start(&mut command, &own.join("index.log"))?;
    let line = index.line("index ready at ", READY_WAIT)?;
    let url = line.split_whitespace().last().context("no address")?.to_owned();
    Ok((index, url))
}

/// How a peer shares.
pub(crate) struct Share {
    /// Its home.
    pub(crate) home: PathBuf,
    /// Its name.
    pub(crate) name: String,
    /// The index's URL.
    pub(crate) index: String,
    /// Where it serves.
    pub(crate) listen: &'static str,
}

impl Share {
    /// Starts `peerage share` of the stage's material, with more flags, and returns once all of it is registered.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn start(&self, program: &Path, stage: &Stage, flags: &[&str]) -> Result<Daemon> {
        let mut command = self.command(program, &stage.material.dir);
        let mut source = Daemon::start(command.args(flags), &stage.log(&self.name))?;
        source.line("registered ", stage.limit)?;
        Ok(source)
    }

    /// `peerage share` of one folder, under the name `material`.
    pub(crate) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = command(program, &self.home);
        command.args(["share", "--name", &self.name, "--listen", self.listen, "--index", &self.index]);
        command.arg(format!("material={}", dir.display()));
        command
    }
}

/// Where a source's own door is.
///
/// # Errors
/// When it does not say so.
pub(crate) fn door_of(source: &mut Daemon) -> Result<SocketAddr> {
    let line = source.line("serving at ", READY_WAIT)?;
    line.split_whitespace()
        .nth(2)
        .context("no address")?
        .parse()
        .with_context(|| format!("no address in `{line}`"))
}

/// `peerage get`.
pub(crate) fn get(program: &Path, home: &Path, url: &str, what: &str, into: &Path) -> Command {
    let mut command = command(program, home);
    command.args(["get", what, "--index", url, "--output"]).arg(into);
    command
}

/// Without anything from outside.
fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PEERAGE_") {
            command.env_remove(name);
        }
    }
    command.env("PEERAGE_HOME", home).env("NO_COLOR", "1");
    command
}
