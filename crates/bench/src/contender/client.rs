//! The clients that several servers have: curl, and lftp.
//!
//! Invariant: they do what they are told here, whatever whoever runs this has set up for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Serving, Simple, Stage};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// Whether an FTP client asks for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// No, also where it is offered.
    Plain,
    /// Yes, for commands and for data, or it fails.
    Tls,
}

/// A program that fetches by FTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ftp {
    /// `curl` of a file, one connection.
    Curl,
    /// `lftp pget -n 4` for a file, `mirror --parallel=8` for a folder.
    Lftp,
}

impl Ftp {
    /// The program.
    pub(crate) fn tool(self) -> Tool {
        match self {
            Self::Curl => curl_tool(),
            Self::Lftp => Tool::new("lftp", "--version"),
        }
    }

    /// Fetches the stage's material from these servers, who have it below a URL that ends with a slash.
    ///
    /// # Errors
    /// When it can't fetch that.
    pub(crate) fn serving(
        self,
        channel: Channel,
        stage: &Stage,
        servers: Vec<Daemon>,
        url: String,
    ) -> Result<Box<dyn Serving>> {
        let (limit, log) = (stage.limit, stage.log("client"));
        Ok(match self {
            Self::Curl => {
                let name = stage.material.only()?.0.to_owned();
                let client = move |into: &Path| {
                    let mut command = curl(&format!("{url}{name}"), &into.join(&name));
                    if channel == Channel::Tls {
                        command.arg("--ssl-reqd").args(CIPHER);
                    }
                    command
                };
                Box::new(Simple { servers, client, limit, log })
            }
            Self::Lftp => {
                let name = stage.material.only().ok().map(|(name, _)| name.to_owned());
                let home = stage.folder("home")?;
                let client = move |into: &Path| lftp(channel, &url, name.as_deref(), into, &home);
                Box::new(Simple { servers, client, limit, log })
            }
        })
    }
}

/// What `curl` does with what it fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Writes it to a file.
    Kept,
    /// Writes it to `/dev/null`: making a file of it, even in memory, can take it longer than any server needs.
    Discarded,
}

/// `curl` of the stage's one file over https, by HTTP/1.1, from these servers, who have it below a URL that ends with a
/// slash.
///
/// # Errors
/// When there are several files.
pub(crate) fn https(stage: &Stage, servers: Vec<Daemon>, url: &str, fate: Fate) -> Result<Box<dyn Serving>> {
    let name = stage.material.only()?.0.to_owned();
    let url = format!("{url}{name}");
    let client = move |into: &Path| {
        let output = match fate {
            Fate::Kept => into.join(&name),
            Fate::Discarded => PathBuf::from("/dev/null"),
        };
        let mut command = curl(&url, &output);
        command.arg("--http1.1").args(CIPHER);
        command
    };
    Ok(Box::new(Simple { servers, client, limit: stage.limit, log: stage.log("client") }))
}

/// For curl, which prefers AES-256 otherwise: everyone is to encrypt alike, whoever of the two would choose.
const CIPHER: [&str; 2] = ["--tls13-ciphers", "TLS_AES_128_GCM_SHA256"];

/// `curl`.
pub(crate) fn curl_tool() -> Tool {
    Tool::new("curl", "--version")
}

/// `curl` of one file, without looking at any certificate.
fn curl(url: &str, into: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--fail", "--insecure", "--noproxy", "*"]);
    command.args(["--output"]).arg(into).arg(url);
    command
}

/// `lftp`, which decides by itself otherwise whether it takes TLS where it is offered.
fn lftp(channel: Channel, url: &str, name: Option<&str>, into: &Path, home: &Path) -> Command {
    let settings = match channel {
        Channel::Plain => "set ftp:ssl-allow no",
        Channel::Tls => {
            "set ftp:ssl-allow-anonymous yes; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \
             set ssl:verify-certificate no"
        }
    };
    let what = match name {
        Some(name) => format!("pget -n 4 -O '{}' {url}{name}", into.display()),
        None => format!("open {url}; mirror --parallel=8 . '{}'", into.display()),
    };
    let mut command = Command::new("lftp");
    command.args(["--norc", "-c", &format!("{settings}; {what}")]).env("HOME", home).env_remove("ftp_proxy");
    command
}
