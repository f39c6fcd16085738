//! Where a measurement happens: a temporary folder that goes with everything in it.
//!
//! Invariants: nothing is left behind, also after Ctrl-C, when whoever asks for a place or a folder waits until the end, so
//! that no turn begins among what is being killed; servers that give up their rights can read the folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::process;

/// What Ctrl-C has to remove.
static PLACES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often a folder is emptied before it is left behind.
const REMOVE_TRIES: u8 = 20;

/// A temporary folder.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes one below `parent`.
    ///
    /// # Errors
    /// When `parent` can't be written.
    pub(crate) fn new(parent: &Path) -> Result<Self> {
        let mut places = places(); // first, so that none is made unnoted
        let dir = TempDir::with_prefix_in("peerage-bench-", parent)
            .with_context(|| format!("can't make a folder in `{}`", parent.display()))?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        places.push(dir.path().to_owned());
        Ok(Self { dir })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A folder in it, made where missing.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        let _places = places();
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let own = self.dir.path();
        places().retain(|path| path != own);
    }
}

fn places() -> MutexGuard<'static, Vec<PathBuf>> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C ends every process below this one, removes every place, and ends this one.
///
/// # Errors
/// When signals can't be had.
pub(crate) fn clean_up_when_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            leave();
        });
    });
    Ok(())
}

fn leave() -> ! {
    let own = std::process::id();
    let kill =
        || process::members(&[own]).into_iter().filter(|pid| *pid != own).for_each(crate::daemon::kill_tree);
    let places = places(); // kept to the end
    kill();
    std::thread::sleep(Duration::from_millis(50)); // what was being started when it was looked
    kill();
    crate::net::remove_all();
    for place in places.iter() {
        // What is dying may still make a file while its folder is emptied.
        let is_gone = |_: &u8| fs::remove_dir_all(place).is_ok() || !place.exists();
        let _ = (0..REMOVE_TRIES).find(is_gone);
    }
    std::process::exit(130)
}
