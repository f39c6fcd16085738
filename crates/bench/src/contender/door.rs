//! Our doors for programs that we did not write: a share is fetched by FTP or from the folder door by their clients.
//!
//! Configuration: as it comes, on loopback, where FTP offers TLS and asks nobody for it; the share is for everyone. The
//! index runs beside it, since no peer is without one, and counts as serving.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::client::{Channel, Fate, Ftp, curl_tool, https};
use super::peerage::{Share, door_of, index};
use super::{Contender, Serving, Stage};
use crate::daemon::{Daemon, READY_WAIT};
use crate::tools::Tool;

/// One of our doors, and who comes through it.
pub(crate) struct Door {
    /// The binary.
    pub(crate) program: PathBuf,
    /// Which one.
    pub(crate) kind: Kind,
}

/// The doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// FTP.
    Ftp(Ftp, Channel),
    /// Folders over https, on the peer's own port, by curl.
    Folder(Fate),
}

impl Contender for Door {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ftp(Ftp::Curl, Channel::Plain) => "peerage ftp + curl",
            Kind::Ftp(Ftp::Lftp, Channel::Plain) => "peerage ftp + lftp",
            Kind::Ftp(Ftp::Curl, Channel::Tls) => "peerage ftps + curl",
            Kind::Ftp(Ftp::Lftp, Channel::Tls) => "peerage ftps + lftp",
            Kind::Folder(_) => "peerage https + curl",
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let client = match self.kind {
            Kind::Ftp(client, _) => client.tool(),
            Kind::Folder(_) => curl_tool(),
        };
        vec![Tool::new(&self.program, "--version"), client]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (index, url) = index(&self.program, "127.0.0.1:0", stage.own)?;
        let share = Share {
            home: stage.folder("home of the source")?,
            name: "source".to_owned(),
            index: url,
            listen: "127.0.0.1:0",
        };
        let flags: &[&str] = match self.kind {
            Kind::Ftp(..) => &["--audience", "public", "--ftp", "127.0.0.1:0"],
            Kind::Folder(_) => &["--audience", "public"],
        };
        let mut source = share.start(&self.program, stage, flags)?;
        match self.kind {
            Kind::Ftp(client, channel) => {
                let url = format!("ftp://{}/material/", ftp_door_of(&mut source)?);
                client.serving(channel, stage, vec![index, source], url)
            }
            Kind::Folder(fate) => {
                let url = format!("https://{}/v1/shares/material/", door_of(&mut source)?);
                https(stage, vec![index, source], &url, fate)
            }
        }
    }
}

/// Where a source's FTP door is.
fn ftp_door_of(source: &mut Daemon) -> Result<SocketAddr> {
    const BEFORE: &str = "ftp door open at ftp://";
    let line = source.line(BEFORE, READY_WAIT)?;
    let (_, rest) = line.split_once(BEFORE).context("no address")?;
    let address = rest.split('/').next().unwrap_or_default();
    address.parse().with_context(|| format!("no address in `{line}`"))
}
