//! vsftpd, plain FTP without encryption or proof, with curl or lftp as its client.
//!
//! Configuration: anonymous, `sendfile`, no log, no limits; its system-call filter is off, for it ends sessions on
//! newer kernels.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Contender, Serving, Simple, Stage, loopback};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// vsftpd with one of its clients.
pub(crate) enum Vsftpd {
    /// `curl`, one connection.
    Curl,
    /// `lftp pget -n 4` for a file, `mirror --parallel=8` for a folder.
    Lftp,
}

/// vsftpd itself.
pub(crate) fn tool() -> Tool {
    Tool::vsftpd()
}

impl Contender for Vsftpd {
    fn name(&self) -> &'static str {
        match self {
            Self::Curl => "vsftpd + curl",
            Self::Lftp => "vsftpd + lftp",
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let client = match self {
            Self::Curl => Tool::new("curl", "--version"),
            Self::Lftp => Tool::new("lftp", "--version"),
        };
        vec![tool(), client]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (server, address) = server(stage, "vsftpd")?;
        let servers = vec![server];
        let (limit, log) = (stage.limit, stage.log("client"));
        Ok(match self {
            Self::Curl => {
                let name = stage.material.only()?.0.to_owned();
                let client = move |into: &Path| curl(&format!("ftp://{address}/{name}"), &into.join(&name));
                Box::new(Simple { servers, client, limit, log })
            }
            Self::Lftp => {
                let name = stage.material.only().ok().map(|(name, _)| name.to_owned());
                let home = stage.folder("home")?;
                let client = move |into: &Path| lftp(address, name.as_deref(), into, &home);
                Box::new(Simple { servers, client, limit, log })
            }
        })
    }
}

/// A server of the stage's material.
///
/// # Errors
/// When it does not start.
pub(crate) fn server(stage: &Stage, name: &str) -> Result<(Daemon, SocketAddr)> {
    let address = loopback()?;
    let empty = stage.folder("empty")?;
    let user = if rustix::process::geteuid().is_root() { "" } else { "run_as_launching_user=YES\n" };
    let config = format!(
        "listen=YES\nlisten_address={}\nlisten_port={}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n\
         no_anon_password=YES\nanon_root={}\nuse_sendfile=YES\nxferlog_enable=NO\nmax_clients=0\nmax_per_ip=0\n\
         secure_chroot_dir={}\nseccomp_sandbox=NO\n{user}",
        address.ip(),
        address.port(),
        stage.material.dir.display(),
        empty.display(),
    );
    let path = stage.own.join(format!("{name}.conf"));
    std::fs::write(&path, config)?;
    let mut server = Daemon::start(crate::tools::command("vsftpd").arg(&path), &stage.log(name))?;
    server.listening(address)?;
    Ok((server, address))
}

/// `curl` of one file, without looking at any certificate.
pub(crate) fn curl(url: &str, into: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--fail", "--insecure", "--noproxy", "*"]);
    command.args(["--output"]).arg(into).arg(url);
    command
}

fn lftp(address: SocketAddr, name: Option<&str>, into: &Path, home: &Path) -> Command {
    let what = match name {
        Some(name) => format!("pget -n 4 -O '{}' ftp://{address}/{name}", into.display()),
        None => format!("open ftp://{address}/; mirror --parallel=8 / '{}'", into.display()),
    };
    let mut command = Command::new("lftp");
    command.args(["--norc", "-c", &what]).env("HOME", home).env_remove("ftp_proxy");
    command
}
