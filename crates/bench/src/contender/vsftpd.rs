//! vsftpd, FTP with or without TLS and without proof, with curl or lftp as its client.
//!
//! Configuration: anonymous, `sendfile` (which does nothing with TLS), no log, no limits; its system-call filter is off,
//! for it ends sessions on newer kernels. With TLS it does not insist that the data connection resumes the session of
//! the command connection, which not every client does.

use std::net::SocketAddr;

use anyhow::Result;

use super::certificate::{self, Certificate};
use super::client::{Channel, Ftp};
use super::{Contender, Serving, Stage, loopback};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// vsftpd with one of its clients.
pub(crate) struct Vsftpd {
    /// Who fetches.
    pub(crate) client: Ftp,
    /// How.
    pub(crate) channel: Channel,
}

/// vsftpd itself.
pub(crate) fn tool() -> Tool {
    Tool::vsftpd()
}

impl Contender for Vsftpd {
    fn name(&self) -> &'static str {
        match (self.client, self.channel) {
            (Ftp::Curl, Channel::Plain) => "vsftpd + curl",
            (Ftp::Lftp, Channel::Plain) => "vsftpd + lftp",
            (Ftp::Curl, Channel::Tls) => "vsftpd ftps + curl",
            (Ftp::Lftp, Channel::Tls) => "vsftpd ftps + lftp",
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let mut tools = vec![tool(), self.client.tool()];
        if self.channel == Channel::Tls {
            tools.push(certificate::tool());
        }
        tools
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (server, address) = server(stage, "vsftpd", self.channel)?;
        self.client.serving(self.channel, stage, vec![server], format!("ftp://{address}/"))
    }
}

/// A server of the stage's material.
///
/// # Errors
/// When it does not start.
pub(crate) fn server(stage: &Stage, name: &str, channel: Channel) -> Result<(Daemon, SocketAddr)> {
    let address = loopback()?;
    let empty = stage.folder("empty")?;
    let user = if rustix::process::geteuid().is_root() { "" } else { "run_as_launching_user=YES\n" };
    let tls = match channel {
        Channel::Plain => String::new(),
        Channel::Tls => tls(&Certificate::new(stage)?),
    };
    let config = format!(
        "listen=YES\nlisten_address={}\nlisten_port={}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n\
         no_anon_password=YES\nanon_root={}\nuse_sendfile=YES\nxferlog_enable=NO\nmax_clients=0\nmax_per_ip=0\n\
         secure_chroot_dir={}\nseccomp_sandbox=NO\n{user}{tls}",
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

fn tls(own: &Certificate) -> String {
    format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
         require_ssl_reuse=NO\nrsa_cert_file={}\nrsa_private_key_file={}\n",
        own.certificate.display(),
        own.key.display(),
    )
}
