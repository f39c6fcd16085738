//! The certificate of servers that have none by themselves: self-signed, with a key on P-256, made by openssl.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::Stage;
use crate::daemon::tail;
use crate::tools::Tool;

/// Where a server finds its certificate.
pub(crate) struct Certificate {
    /// The certificate, in PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, in PEM.
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one in the contender's own folder.
    ///
    /// # Errors
    /// When openssl does not.
    pub(crate) fn new(stage: &Stage) -> Result<Self> {
        let made = Self { certificate: stage.own.join("cert.pem"), key: stage.own.join("key.pem") };
        let log = stage.log("openssl");
        let output = std::fs::File::create(&log)?;
        let status = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "30", "-subj", "/CN=localhost", "-keyout"])
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        ensure!(status.success(), "no certificate: {}", tail(&log));
        Ok(made)
    }
}

/// The program that makes it.
pub(crate) fn tool() -> Tool {
    Tool::new("openssl", "version")
}
