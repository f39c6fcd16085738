//! What the system says of running processes: a tree's members, its CPU time, its memory.
//!
//! Invariants: nothing here waits or kills; a process that went in the meantime counts as gone, not as an error. What a
//! server forked and left behind (vsftpd does) becomes a child of this process and stays unreaped, so its CPU time can
//! still be read.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Readings of a tree's CPU time; a process between its end and its parent's notice is missed by one of them.
const CPU_READINGS: usize = 3;

/// The children that this process started itself.
static KNOWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// From now on this process inherits what its servers leave behind.
///
/// # Errors
/// When the kernel can't do that.
pub(crate) fn inherit_orphans() -> std::io::Result<()> {
    let own = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(own))?)
}

/// Takes note of a child that this process started itself.
pub(crate) fn know(pid: u32) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
}

/// CPU time of all that servers have left behind so far.
pub(crate) fn orphans_cpu() -> Duration {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let orphans: Vec<u32> =
        children(std::process::id()).into_iter().filter(|child| !known.contains(child)).collect();
    cpu(&orphans)
}

/// Every live (or not yet reaped) process of the trees below these, the roots with them.
pub(crate) fn members(roots: &[u32]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open: Vec<u32> = roots.to_vec();
    while let Some(pid) = open.pop() {
        if found.insert(pid) {
            open.extend(children(pid));
        }
    }
    found
}

/// CPU time, user and system, of these trees and of all their children that have ended.
pub(crate) fn cpu(roots: &[u32]) -> Duration {
    let once = || members(roots).into_iter().map(cpu_of).sum::<Duration>();
    (0..CPU_READINGS).map(|_| once()).max().unwrap_or_default()
}

/// The highest memory each live process of these trees ever held, added up.
pub(crate) fn peak_bytes(roots: &[u32]) -> u64 {
    members(roots).into_iter().filter_map(|pid| status_kib(pid, "VmHWM:")).sum::<u64>() << 10
}

/// What these trees hold in memory now.
pub(crate) fn resident_bytes(roots: &[u32]) -> u64 {
    members(roots).into_iter().filter_map(|pid| status_kib(pid, "VmRSS:")).sum::<u64>() << 10
}

/// Children by any of its threads.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let parse =
        |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>();
    lists.flat_map(parse).collect()
}

fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let millis = ticks(&stat) * 1_000 / ticks_per_second;
    Duration::from_millis(millis)
}

/// Fields 14 to 17 of `proc(5)`'s stat: utime, stime, cutime, cstime. The name before them may hold anything.
fn ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 10 20 0 0 100 20 3 4 20 0 1 0 55 1 2 3";
        assert_eq!(ticks(stat), 127);
        assert_eq!(ticks(""), 0);
    }

    #[test]
    fn this_process_is_a_tree_with_memory() {
        let here = std::process::id();
        assert!(members(&[here]).contains(&here));
        assert!(resident_bytes(&[here]) > 100 << 10);
        assert!(peak_bytes(&[here]) >= resident_bytes(&[here]) / 2);
    }

    #[test]
    fn the_cpu_time_of_an_ended_child_stays_with_its_parent() {
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let mut child = std::process::Command::new("sh")
            .args(["-c", &format!("sh -c '{script}'; read line")])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        let is_idle = || members(&[child.id()]).len() == 1 && cpu(&[child.id()]) >= Duration::from_millis(20);
        while !is_idle() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let used = cpu(&[child.id()]);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(used >= Duration::from_millis(20), "{used:?}");
    }
}
