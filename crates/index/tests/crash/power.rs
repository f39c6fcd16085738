//! A file system in a file, whose power can be cut: ext4 on a loop device, told to stop at once and to write nothing more.
//!
//! What was not synced by then is gone, as it is when a machine loses its power (`FS_IOC_SHUTDOWN` without flushing the
//! log). It is Perl that asks for it, which every Debian has, since this project has no unsafe code to do it with.
//!
//! Invariant: what was mounted is unmounted when this is dropped, and its loop device goes with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::round::{self, End};

const IMAGE_BYTES: u64 = 64 << 20;
/// `FS_IOC_SHUTDOWN` with `FS_SHUTDOWN_FLAGS_NOLOGFLUSH`.
const CUT: &str = "open(my $dir, '<', $ARGV[0]) or die $!; my $flags = pack('L', 2); \
    open(my $journal, '>>', $ARGV[1]) or die $!; syswrite($journal, qq(\"Cut\"\n)) or die $!; \
    ioctl($dir, 0x8004587d, $flags) or die $!";

pub(crate) struct Mount {
    dir: TempDir,
    at: PathBuf,
}

impl Mount {
    /// An empty file system; the reason where that is not possible here.
    pub(crate) fn new() -> Result<Self, String> {
        let dir = round::scratch();
        let (image, at) = (dir.path().join("image"), dir.path().join("mounted"));
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(IMAGE_BYTES).map_err(|error| error.to_string())?;
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        call(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mount = Self { dir, at };
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> Result<(), String> {
        call(Command::new("mount").args(["-o", "loop"]).arg(self.dir.path().join("image")).arg(&self.at))
    }

    fn unmount(&self) -> Result<(), String> {
        call(Command::new("umount").arg(&self.at))
    }
}

impl End for Mount {
    fn dir(&self) -> &Path {
        &self.at
    }

    fn end(&mut self, child: &mut Child, journal: &Path) {
        call(Command::new("perl").args(["-e", CUT]).arg(&self.at).arg(journal)).unwrap();
        // What it is told now must not be what the disk can't keep.
        std::thread::sleep(std::time::Duration::from_millis(5));
        round::kill(child);
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    fn disk_fails(&self) -> bool {
        true
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            let _ = call(Command::new("umount").arg("--lazy").arg(&self.at));
        }
    }
}

fn call(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", said.trim())) }
}
