//! One timed run: how long, how much CPU and memory, for the side that serves and the side that fetches.
//!
//! Invariants: only what happens between start and end is timed; a run has a time limit and is killed at it. A
//! program's CPU time is read while it is ended but not yet reaped, so none of it is lost.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::daemon::{kill_tree, tail};
use crate::process;

/// How often memory is looked at. The kernel keeps each process's peak, so only the last growth of one that ends
/// between two looks is missed.
const LOOK: Duration = Duration::from_millis(50);

/// What one side used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all its processes.
    pub(crate) cpu: Duration,
    /// The peaks of all its processes that ran at the same time, added up.
    pub(crate) peak_bytes: u64,
}

/// One run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// From start to end.
    pub(crate) time: Duration,
    /// The side that had it.
    pub(crate) server: Usage,
    /// The side that wanted it.
    pub(crate) client: Usage,
}

/// Runs a program to its end, which must be a good one. Its output goes to `log`.
///
/// # Errors
/// When it can't be started, ends badly or not within `limit`.
pub(crate) fn run(command: &mut Command, servers: &[u32], limit: Duration, log: &Path) -> Result<Sample> {
    run_all(std::slice::from_mut(command), servers, limit, log)
}

/// Runs several programs at once until the last has ended.
///
/// # Errors
/// As with [`run`], for any of them.
pub(crate) fn run_all(
    commands: &mut [Command],
    servers: &[u32],
    limit: Duration,
    log: &Path,
) -> Result<Sample> {
    let output = std::fs::File::create(log)?;
    for command in commands.iter_mut() {
        command.stdin(std::process::Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    }
    let mut meter = Meter::new(servers);
    let started = Instant::now();
    let mut children = Vec::new();
    for command in commands {
        match command.spawn() {
            Ok(child) => {
                process::know(child.id());
                children.push(child);
            }
            Err(error) => {
                children.iter().for_each(|child| kill_tree(child.id()));
                bail!("can't start `{}`: {error}", command.get_program().display());
            }
        }
    }
    meter.watch(children.iter().map(std::process::Child::id).collect(), limit);
    children.iter().for_each(|child| wait_unreaped(child.id()));
    let sample = meter.finish(started.elapsed());
    let mut failed = None;
    for mut child in children {
        let status = child.wait()?;
        failed = failed.or((!status.success()).then_some(status));
    }
    if sample.time >= limit {
        bail!("not done within {} s", limit.as_secs());
    }
    if let Some(status) = failed {
        bail!("{status}: {}", tail(log));
    }
    Ok(sample)
}

/// Times something that goes on in processes which do not end with it, until `is_done` says so. `start` gives the
/// processes that it started, in addition to the clients that ran before.
///
/// # Errors
/// When `start` fails, or it is not done within `limit`.
pub(crate) fn until(
    servers: &[u32],
    clients: &[u32],
    limit: Duration,
    start: impl FnOnce() -> Result<Vec<u32>>,
    mut is_done: impl FnMut() -> Result<bool>,
) -> Result<Sample> {
    let mut meter = Meter::new(servers);
    let before = process::cpu(clients);
    let started = Instant::now();
    let started_too = start()?;
    meter.watch([clients, &started_too].concat(), Duration::MAX);
    while !is_done()? {
        if started.elapsed() > limit {
            bail!("not done within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
    let mut sample = meter.finish(started.elapsed());
    sample.client.cpu = sample.client.cpu.saturating_sub(before);
    Ok(sample)
}

/// The step of a poll: a five-hundredth of the shortest run that is measured this way.
const POLL: Duration = Duration::from_millis(2);

/// Returns once a child has ended, and leaves it to be reaped.
fn wait_unreaped(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    while let Err(rustix::io::Errno::INTR) =
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {}
}

/// The peaks of both sides, in bytes.
type Peaks = (u64, u64);

/// Reads CPU before and after, and looks at memory in between.
struct Meter {
    servers: Vec<u32>,
    clients: Vec<u32>,
    cpu_before: Duration,
    looker: Option<(Sender<()>, JoinHandle<Peaks>)>,
}

impl Meter {
    fn new(servers: &[u32]) -> Self {
        let cpu_before = process::cpu(servers) + process::orphans_cpu();
        Self { servers: servers.to_vec(), clients: Vec::new(), cpu_before, looker: None }
    }

    fn watch(&mut self, clients: Vec<u32>, limit: Duration) {
        self.clients.clone_from(&clients);
        let servers = self.servers.clone();
        let (stop, stopped) = channel();
        let looker = std::thread::spawn(move || look(&servers, &clients, limit, &stopped));
        self.looker = Some((stop, looker));
    }

    fn finish(mut self, time: Duration) -> Sample {
        let client_cpu = process::cpu(&self.clients);
        let server_cpu =
            (process::cpu(&self.servers) + process::orphans_cpu()).saturating_sub(self.cpu_before);
        let (server_peak, client_peak) = self.stop();
        Sample {
            time,
            server: Usage { cpu: server_cpu, peak_bytes: server_peak },
            client: Usage { cpu: client_cpu, peak_bytes: client_peak },
        }
    }

    fn stop(&mut self) -> Peaks {
        let Some((stop, looker)) = self.looker.take() else { return (0, 0) };
        drop(stop);
        looker.join().unwrap_or_default()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn look(servers: &[u32], clients: &[u32], limit: Duration, stopped: &Receiver<()>) -> Peaks {
    let started = Instant::now();
    let mut peaks = (0, 0);
    loop {
        peaks.0 = peaks.0.max(process::peak_bytes(servers));
        peaks.1 = peaks.1.max(process::peak_bytes(clients));
        if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
            return peaks;
        }
        if started.elapsed() > limit {
            clients.iter().for_each(|pid| kill_tree(*pid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_is_timed_and_its_failure_told() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let limit = Duration::from_secs(60);
        let sample = run(&mut shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"), &[], limit, &log);
        let sample = sample.unwrap();
        assert!(sample.client.cpu >= Duration::from_millis(10), "{sample:?}");
        assert!(sample.client.peak_bytes > 100 << 10, "{sample:?}");
        let error = run(&mut shell("echo no such file; exit 3"), &[], limit, &log).unwrap_err().to_string();
        assert!(error.contains('3') && error.contains("no such file"), "{error}");
    }

    #[test]
    fn a_run_that_hangs_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(100);
        let error = run(&mut shell("sleep 600 & wait"), &[], limit, &dir.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("not done"), "{error}");
    }
}
