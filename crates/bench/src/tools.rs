//! Which programs are here, and in which version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program and how to ask for its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    program: PathBuf,
    version: Version,
}

/// Who knows a program's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// The program, asked with this flag.
    Said(&'static str),
    /// The program, which writes it to the connection that it believes it was given as input.
    SaidToInput(&'static str),
    /// Only the package it came in.
    Packaged,
}

impl Tool {
    /// By name (looked up in `PATH`) or path.
    pub(crate) fn new(program: impl AsRef<Path>, version_flag: &'static str) -> Self {
        Self { program: program.as_ref().to_owned(), version: Version::Said(version_flag) }
    }

    /// vsftpd, which takes its input for a connection.
    pub(crate) fn vsftpd() -> Self {
        Self { program: "vsftpd".into(), version: Version::SaidToInput("-v") }
    }

    /// A program that does not know its version; its Debian package has the same name.
    pub(crate) fn packaged(name: &str) -> Self {
        Self { program: name.into(), version: Version::Packaged }
    }

    /// The program's name.
    pub(crate) fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where it lies.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        if self.program.components().count() > 1 {
            return self.program.is_file().then(|| self.program.clone());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(OTHER_FOLDERS.map(PathBuf::from));
        folders.map(|dir| dir.join(&self.program)).find(|path| path.is_file())
    }

    /// The first line it says about its version.
    pub(crate) fn version(&self) -> Option<String> {
        let mut program = Command::new(self.find()?);
        let text = match self.version {
            Version::Said(flag) => said(program.arg(flag).stdin(Stdio::null())),
            Version::SaidToInput(flag) => said_to_input(program.arg(flag)),
            Version::Packaged => said(command("dpkg-query").args(["-W", "-f", "${Version}", &self.name()])),
        }?;
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

/// Where servers lie, which may not be in the path of people.
const OTHER_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A command of a program by name, also where it is not in the path.
pub(crate) fn command(program: &str) -> Command {
    Command::new(Tool::new(program, "").find().unwrap_or_else(|| PathBuf::from(program)))
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn said_to_input(command: &mut Command) -> Option<String> {
    let file = tempfile::NamedTempFile::new().ok()?;
    command.stdin(file.reopen().ok()?).output().ok()?;
    std::fs::read_to_string(file.path()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_or_not() {
        let cp = Tool::new("cp", "--version");
        assert!(cp.find().is_some_and(|path| path.ends_with("cp")));
        assert!(cp.version().is_some_and(|line| line.contains("cp")));
        assert_eq!(Tool::new("no-such-program", "-v").version(), None);
        assert_eq!(Tool::new("/no/such/program", "-v").find(), None);
    }
}
