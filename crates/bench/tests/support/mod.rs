//! The bench as a program, run with small sizes in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A place to run it in.
pub(crate) struct Bench {
    /// Where everything of this test is.
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap(); // servers give up their rights
        let bench = Self { dir };
        fs::create_dir(bench.scratch()).unwrap();
        bench
    }

    /// Where the bench works.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dir.path().join("scratch")
    }

    /// A smoke run of some works of a family: its report, and what it said.
    pub(crate) fn run(
        &self,
        family: &str,
        works: &str,
        more: &[&str],
        path: Option<&Path>,
    ) -> (String, Output) {
        let (report, scratch) = (self.dir.path().join("report.md"), self.scratch());
        let mut command = Command::new(env!("CARGO_BIN_EXE_peerage-bench"));
        command.args([family, "--smoke", "--work", works]).args(more);
        command.arg("--peerage").arg(peerage()).arg("--report").arg(&report);
        command.arg("--scratch").arg(&scratch);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let output = command.output().unwrap();
        let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
        (text, output)
    }
}

/// The binary of the same build, which is made where only this package was built.
pub(crate) fn peerage() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_peerage-bench")).with_file_name("peerage");
    if !built.is_file() {
        let build = ["build", "--quiet", "--locked", "--package", "peerage-cli"];
        let status = Command::new(env!("CARGO")).args(build).status().unwrap();
        assert!(status.success(), "the binary can't be built");
    }
    built
}

/// How it ended, with all it said.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
