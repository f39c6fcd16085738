//! The rsync daemon: no encryption; it checks a whole file with a hash of its own (xxh128 or MD5).

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Contender, Serving, Simple, Stage, loopback};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// rsync.
pub(crate) struct Rsync;

impl Contender for Rsync {
    fn name(&self) -> &'static str {
        "rsync daemon"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("rsync", "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let address = loopback()?;
        let config = format!(
            "use chroot = no\npid file = {}\n[material]\npath = {}\nread only = yes\n",
            stage.own.join("rsyncd.pid").display(),
            stage.material.dir.display()
        );
        let path = stage.own.join("rsyncd.conf");
        std::fs::write(&path, config)?;
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach", "--log-file=/dev/null", "--address", "127.0.0.1"]);
        command.arg(format!("--port={}", address.port())).arg(format!("--config={}", path.display()));
        let mut server = Daemon::start(&mut command, &stage.log("rsyncd"))?;
        server.listening(address)?;
        let client = move |into: &Path| {
            let mut command = Command::new("rsync");
            command.args(["--recursive", "--times"]).arg(format!("rsync://{address}/material/")).arg(into);
            command
        };
        Ok(Box::new(Simple { servers: vec![server], client, limit: stage.limit, log: stage.log("client") }))
    }
}
