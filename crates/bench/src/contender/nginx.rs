//! nginx over https with curl: TLS 1.3 with AES-128-GCM, HTTP/1.1, as many workers as cores. No proof.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::vsftpd::curl;
use super::{Contender, Serving, Simple, Stage, loopback};
use crate::daemon::{Daemon, tail};
use crate::tools::Tool;

/// nginx.
pub(crate) struct Nginx;

impl Contender for Nginx {
    fn name(&self) -> &'static str {
        "nginx https + curl"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("nginx", "-v"), Tool::new("curl", "--version"), Tool::new("openssl", "version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let address = loopback()?;
        let name = stage.material.only()?.0.to_owned();
        certificate(stage)?;
        let path = stage.own.join("nginx.conf");
        std::fs::write(&path, config(stage, &address.to_string()))?;
        let mut command = crate::tools::command("nginx");
        command.arg("-p").arg(stage.own).arg("-c").arg(&path).args(["-e", "stderr"]);
        let mut server = Daemon::start(&mut command, &stage.log("nginx"))?;
        server.listening(address)?;
        let url = format!("https://{address}/{name}");
        let client = move |into: &Path| {
            let mut command = curl(&url, &into.join(&name));
            command.arg("--http1.1");
            command
        };
        Ok(Box::new(Simple { servers: vec![server], client, limit: stage.limit, log: stage.log("client") }))
    }
}

fn config(stage: &Stage, address: &str) -> String {
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
             ssl_certificate {own}/cert.pem;\n    ssl_certificate_key {own}/key.pem;\n\
             ssl_protocols TLSv1.3;\n    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n  }}\n}}\n",
        stage.material.dir.display(),
    )
}

fn certificate(stage: &Stage) -> Result<()> {
    let (log, own) = (stage.log("openssl"), stage.own);
    let output = std::fs::File::create(&log)?;
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "30", "-subj", "/CN=localhost", "-keyout"])
        .arg(own.join("key.pem"))
        .arg("-out")
        .arg(own.join("cert.pem"))
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    ensure!(status.success(), "no certificate: {}", tail(&log));
    Ok(())
}
