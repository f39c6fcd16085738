//! Hosts of our own: network namespaces on one bridge, each with a link of a given rate up and down.
//!
//! Invariants: everything is removed with the handle and after Ctrl-C; nothing of the machine's own network changes.
//! Only root can have them.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, bail, ensure};

/// The next free number for a net, which is in its names and addresses.
static NEXT: AtomicU8 = AtomicU8::new(0);
/// What Ctrl-C has to remove.
static NETS: Mutex<Vec<Names>> = Mutex::new(Vec::new());

/// Hosts on a bridge; this machine is on it as well, without any limit.
pub(crate) struct Net {
    names: Names,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    number: u8,
    hosts: u8,
}

impl Net {
    /// So many hosts; `rate` is what `tc` calls a rate, for either direction of each.
    ///
    /// # Errors
    /// When this is not root, or the kernel can't do it.
    pub(crate) fn new(hosts: u8, rate: Option<&str>) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "it needs network namespaces, which only root can make"
        );
        let names = Names { number: NEXT.fetch_add(1, Ordering::Relaxed), hosts };
        lock().push(names.clone());
        let net = Self { names };
        let bridge = net.names.bridge();
        run(&format!("ip link add {bridge} type bridge"))?;
        run(&format!("ip addr add {}/24 dev {bridge}", net.address()))?;
        run(&format!("ip link set {bridge} up"))?;
        (0..hosts).try_for_each(|host| net.connect(host, rate))?;
        Ok(net)
    }

    /// This machine's address on the bridge.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.names.address(0)
    }

    /// Makes a command run on a host.
    pub(crate) fn on(&self, host: u8, command: &Command) -> Command {
        let mut moved = Command::new("ip");
        moved
            .args(["netns", "exec", &self.names.host(host)])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => moved.env(name, value),
                None => moved.env_remove(name),
            };
        }
        moved
    }

    fn connect(&self, host: u8, rate: Option<&str>) -> Result<()> {
        let (bridge, name, link) = (self.names.bridge(), self.names.host(host), self.names.link(host));
        run(&format!("ip netns add {name}"))?;
        run(&format!("ip link add {link} type veth peer name eth0 netns {name}"))?;
        run(&format!("ip link set {link} master {bridge} up"))?;
        run(&format!("ip -n {name} addr add {}/24 dev eth0", self.names.address(host + 1)))?;
        run(&format!("ip -n {name} link set eth0 up"))?;
        run(&format!("ip -n {name} link set lo up"))?;
        let Some(rate) = rate else { return Ok(()) };
        // A burst of 128 KiB is two of the kernel's largest packets; 50 ms is the buffer of a home router.
        let limit = format!("root tbf rate {rate} burst 128kb latency 50ms");
        run(&format!("tc qdisc add dev {link} {limit}"))?;
        run(&format!("tc -n {name} qdisc add dev eth0 {limit}"))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.names.remove();
        lock().retain(|names| *names != self.names);
    }
}

/// Removes every net of this process.
pub(crate) fn remove_all() {
    lock().iter().for_each(Names::remove);
}

impl Names {
    fn host(&self, host: u8) -> String {
        format!("peerage-bench-{}-{}-{host}", std::process::id(), self.number)
    }

    /// Names of links have 15 bytes at most.
    fn link(&self, host: u8) -> String {
        format!("pb{:x}-{:x}-{host}", std::process::id(), self.number)
    }

    fn bridge(&self) -> String {
        format!("pb{:x}-{:x}", std::process::id(), self.number)
    }

    /// Within 10.0.0.0/8, away from where most machines have something.
    fn address(&self, host: u8) -> Ipv4Addr {
        let process = std::process::id().to_le_bytes()[0];
        Ipv4Addr::new(10, 200 + self.number % 50, process, host + 1)
    }

    fn remove(&self) {
        for host in 0..self.hosts {
            let _ = run(&format!("ip netns del {}", self.host(host)));
            let _ = run(&format!("ip link del {}", self.link(host))); // the kernel takes its time to do it by itself
        }
        let _ = run(&format!("ip link del {}", self.bridge()));
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Names>> {
    NETS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn run(line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("no command")?;
    let output =
        crate::tools::command(program).args(words).output().with_context(|| format!("can't run `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let names = Names { number: 3, hosts: 9 };
        assert!(names.link(8).len() <= 15, "{}", names.link(8));
        assert_ne!(names.link(0), names.bridge());
        assert_ne!(names.address(0), names.address(1));
    }
}
