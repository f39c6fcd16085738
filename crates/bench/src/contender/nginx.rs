//! nginx over https with curl: TLS 1.3 with AES-128-GCM, HTTP/1.1, as many workers as cores. No proof.

use std::net::SocketAddr;

use anyhow::Result;

use super::certificate::{self, Certificate};
use super::client::{Fate, curl_tool, https};
use super::{Contender, Serving, Stage, loopback};
use crate::daemon::Daemon;
use crate::tools::Tool;

/// nginx, and what the client does with what it gets.
pub(crate) struct Nginx(pub(crate) Fate);

impl Contender for Nginx {
    fn name(&self) -> &'static str {
        "nginx https + curl"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("nginx", "-v"), curl_tool(), certificate::tool()]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let address = loopback()?;
        let path = stage.own.join("nginx.conf");
        std::fs::write(&path, config(stage, address, &Certificate::new(stage)?))?;
        let mut command = crate::tools::command("nginx");
        command.arg("-p").arg(stage.own).arg("-c").arg(&path).args(["-e", "stderr"]);
        let mut server = Daemon::start(&mut command, &stage.log("nginx"))?;
        server.listening(address)?;
        https(stage, vec![server], &format!("https://{address}/"), self.0)
    }
}

fn config(stage: &Stage, address: SocketAddr, own_certificate: &Certificate) -> String {
    let own = stage.own.display();
    let user = if rustix::process::geteuid().is_root() { "user nobody nogroup;\n" } else { "" };
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {own}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nworker_processes auto;\npid {own}/nginx.pid;\nerror_log stderr crit;\n{user}\
         events {{ worker_connections 512; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n{scratch}\
           server {{\n    listen {address} ssl;\n    root {};\n\
             ssl_certificate {};\n    ssl_certificate_key {};\n\
             ssl_protocols TLSv1.3;\n    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n  }}\n}}\n",
        stage.material.dir.display(),
        own_certificate.certificate.display(),
        own_certificate.key.display(),
    )
}
