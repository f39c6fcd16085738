//! vsftpd, plain FTP without encryption or proof, with curl or lftp as its client.
//!
//! Configuration: anonymous, `sendfile`, no log, no limits; its system-call filter is off, for it ends sessions on
//! newer kernels.

use std::net::SocketAddr;

use anyhow::Result;

use super::client::Ftp;
use super::{Contender, Serving, Stage, loopback};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// vsftpd with one of its clients.
pub(crate) struct Vsftpd(pub(crate) Ftp);

/// vsftpd itself.
pub(crate) fn tool() -> Tool {
    Tool::vsftpd()
}

impl Contender for Vsftpd {
    fn name(&self) -> &'static str {
        match self.0 {
            Ftp::Curl => "vsftpd + curl",
            Ftp::Lftp => "vsftpd + lftp",
        }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![tool(), self.0.tool()]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (server, address) = server(stage, "vsftpd")?;
        self.0.serving(stage, vec![server], format!("ftp://{address}/"))
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
