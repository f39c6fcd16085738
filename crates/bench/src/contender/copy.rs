//! `cp -r`, which moves nothing over any network: what the file system itself costs.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Contender, Serving, Simple, Stage};
use crate::tools::Tool;

/// `cp -r`.
pub(crate) struct Copy;

impl Contender for Copy {
    fn name(&self) -> &'static str {
        "cp -r (reference)"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("cp", "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let from = stage.material.dir.join(".");
        let client = move |into: &Path| {
            let mut command = Command::new("cp");
            command.arg("-r").arg(&from).arg(into);
            command
        };
        Ok(Box::new(Simple { servers: Vec::new(), client, limit: stage.limit, log: stage.log("client") }))
    }
}
