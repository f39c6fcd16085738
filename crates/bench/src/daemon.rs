//! Processes that run beside the measurement: started, waited for until they are ready, and killed with all theirs.
//!
//! Invariants: a [`Daemon`] and everything it started is dead once it is dropped; what it says goes to a log, whose end
//! is told when it fails.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process;

/// The step of a poll.
const POLL: Duration = Duration::from_millis(5);
/// How long a server may take to listen: all of them need less than a second.
pub(crate) const READY_WAIT: Duration = Duration::from_secs(20);
/// Bytes of a log that are told when something fails.
const TAIL_BYTES: usize = 300;

/// A running process and its log.
pub(crate) struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; `log` is made anew.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("can't write `{}`", log.display()))?;
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("can't start `{name}`"))?;
        process::know(child.id());
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types into it.
    ///
    /// # Errors
    /// When it is no longer there.
    pub(crate) fn put(&mut self, text: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("its input is closed")?;
        input.write_all(text.as_bytes())?;
        Ok(input.flush()?)
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for a whole line that contains `words` and gives it.
    ///
    /// # Errors
    /// When it ends before, or takes longer than `limit`.
    pub(crate) fn line(&mut self, words: &str, limit: Duration) -> Result<String> {
        let mut line = None;
        self.wait(&format!("`{words}`"), limit, |said| {
            let whole = said.rfind('\n').map_or("", |end| &said[..end]);
            line = whole.lines().find(|line| line.contains(words)).map(str::to_owned);
            line.is_some()
        })?;
        line.context("no such line")
    }

    /// Waits until it accepts connections.
    ///
    /// # Errors
    /// When it ends before, or does not within [`READY_WAIT`].
    pub(crate) fn listening(&mut self, address: SocketAddr) -> Result<()> {
        self.wait(&format!("a connection to {address}"), READY_WAIT, |_| TcpStream::connect(address).is_ok())
    }

    /// Waits until what it has said satisfies `is_ready`.
    ///
    /// # Errors
    /// When it ends before, or takes longer than `limit`.
    pub(crate) fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_ready: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        while !is_ready(&self.said()) {
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status}: {}", self.name, tail(&self.log));
            }
            if started.elapsed() > limit {
                bail!("waited for {what} of `{}` in vain: {}", self.name, tail(&self.log));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends it in its own way (`SIGINT`), and waits for that.
    ///
    /// # Errors
    /// When it does not end within [`READY_WAIT`].
    pub(crate) fn stop(mut self) -> Result<()> {
        signal(self.id(), Signal::INT);
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            if started.elapsed() > READY_WAIT {
                bail!("`{}` does not end", self.name);
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}

/// Process ids of several daemons.
pub(crate) fn ids(daemons: &[Daemon]) -> Vec<u32> {
    daemons.iter().map(Daemon::id).collect()
}

/// Kills a process of ours, not yet reaped, and all below it.
pub(crate) fn kill_tree(root: u32) {
    for pid in process::members(&[root]) {
        signal(pid, Signal::KILL);
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal); // it may have ended by itself
    }
}

/// A free port on loopback. Another process may take it before it is used; then that contender fails and says so.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The end of a log on one line.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}
