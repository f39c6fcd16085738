//! sendme: iroh's QUIC with BLAKE3, encrypted and proven. Without relays, for the bench must not need the Internet.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Contender, Serving, Simple, Stage};
use crate::daemon::Daemon;
use crate::tools::{Tool, command};

/// sendme.
pub(crate) struct Sendme;

const QUIET: [&str; 3] = ["--relay", "disabled", "--no-progress"];

impl Contender for Sendme {
    fn name(&self) -> &'static str {
        "sendme"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("sendme", "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let file = stage.material.dir.join(stage.material.only()?.0);
        let mut sender = command("sendme");
        sender.arg("send").args(QUIET).arg(file).current_dir(stage.folder("sender")?);
        let mut sender = Daemon::start(&mut sender, &stage.log("sendme"))?;
        let line = sender.line("sendme receive ", stage.limit)?;
        let ticket = line.split_whitespace().last().context("no ticket")?.to_owned();
        let client = move |into: &Path| receive(&ticket, into);
        Ok(Box::new(Simple { servers: vec![sender], client, limit: stage.limit, log: stage.log("client") }))
    }
}

/// It receives into the current folder.
fn receive(ticket: &str, into: &Path) -> Command {
    let mut command = command("sendme");
    command.arg("receive").args(QUIET).arg(ticket).current_dir(into);
    command
}
