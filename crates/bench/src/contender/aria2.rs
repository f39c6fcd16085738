//! aria2 with four connections, to one vsftpd or to four of them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::client::Channel;
use super::{Contender, Serving, Simple, Stage, vsftpd};
use crate::tools::Tool;

/// aria2 and its servers.
pub(crate) struct Aria2 {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// FTP servers; four connections in all.
    pub(crate) servers: usize,
}

impl Contender for Aria2 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tools(&self) -> Vec<Tool> {
        vec![vsftpd::tool(), Tool::new("aria2c", "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let name = stage.material.only()?.0.to_owned();
        let (mut servers, mut urls) = (Vec::new(), Vec::new());
        for number in 0..self.servers {
            let (server, address) = vsftpd::server(stage, &format!("vsftpd-{number}"), Channel::Plain)?;
            servers.push(server);
            urls.push(format!("ftp://{address}/{name}"));
        }
        let per_server = format!("-x{}", 4 / self.servers.clamp(1, 4));
        let client = move |into: &Path| {
            let mut command = Command::new("aria2c");
            command.args(["--no-conf=true", "--quiet=true", "--file-allocation=none", "-s4", "-k1M"]);
            command.arg(&per_server).arg("-d").arg(into).args(["-o", &name]).args(&urls);
            command
        };
        Ok(Box::new(Simple { servers, client, limit: stage.limit, log: stage.log("client") }))
    }
}
