//! ncdc over a uhub: Direct Connect, with TLS between clients and a Tiger tree as proof.
//!
//! ncdc is made for a person at a terminal, so `script` gives it one and its commands are typed. Each round has a new
//! client, which is connected and has found the file when the time starts: with the key that asks for it. It ends when
//! the finished file is in its folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Contender, Serving, Stage, loopback};
use crate::daemon::Daemon;
use crate::measure::{Sample, until};
use crate::process;
use crate::tools::{Tool, command};

/// ncdc.
pub(crate) struct Ncdc;

/// How long a search may be made again and again.
const SEARCH_WAIT: Duration = Duration::from_secs(20);
/// How long a search may go without an answer before it is made again.
const SEARCH_AGAIN: Duration = Duration::from_secs(2);
/// Alt-2: to the hub's tab, for a tab of results takes letters as commands.
const TO_HUB: &str = "\x1b2";
/// A client that takes less CPU time than this between two looks only draws its clock.
const QUIET_CPU: Duration = Duration::from_millis(30);
const QUIET_LOOK: Duration = Duration::from_millis(700);
/// Quiet looks in a row that show that it has nothing to do.
const QUIET_LOOKS: u32 = 3;
/// The step of a poll.
const POLL: Duration = Duration::from_millis(20);

impl Contender for Ncdc {
    fn name(&self) -> &'static str {
        "ncdc over uhub"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new("ncdc", "--version"), Tool::new("uhub", "-V"), Tool::new("script", "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (name, content) = stage.material.only()?;
        let hub_address = loopback()?;
        let config = stage.own.join("uhub.conf");
        let text = format!("server_port={}\nserver_bind_addr=127.0.0.1\ntls_enable=no\n", hub_address.port());
        std::fs::write(&config, text)?;
        let mut hub = Daemon::start(command("uhub").arg("-c").arg(&config), &stage.log("uhub"))?;
        hub.listening(hub_address)?;
        let mut seed = client(stage.own, "seed", &[])?;
        seed.put(&format!("/share files {}\n", stage.material.dir.display()))?;
        seed.put(&format!("/open hub adc://{hub_address}\n"))?;
        rest(&seed, stage.limit)?;
        Ok(Box::new(Hub {
            hub,
            hub_address,
            seed,
            own: stage.own.to_owned(),
            name: name.to_owned(),
            size: content.size,
            limit: stage.limit,
            round: 0,
        }))
    }
}

struct Hub {
    hub: Daemon,
    hub_address: SocketAddr,
    seed: Daemon,
    own: PathBuf,
    name: String,
    size: u64,
    limit: Duration,
    round: usize,
}

impl Serving for Hub {
    fn fetch(&mut self, into: &Path) -> Result<Sample> {
        let mut client = self.connected(into)?;
        let (servers, pid) = ([self.hub.id(), self.seed.id()], client.id());
        let (file, size) = (into.join(&self.name), self.size);
        let ask = || client.put("d").map(|()| Vec::new());
        until(&servers, &[pid], self.limit, ask, || Ok(super::has_arrived(&file, size)))
    }
}

impl Hub {
    /// A new client that has found the file and would put it there.
    fn connected(&mut self, into: &Path) -> Result<Daemon> {
        self.round += 1;
        let unfinished = self.own.join(format!("unfinished {}", self.round));
        std::fs::create_dir_all(&unfinished)?;
        let folders = [
            format!("/set download_dir {}", into.display()),
            format!("/set incoming_dir {}", unfinished.display()),
        ];
        let mut client = client(&self.own, &format!("client{}", self.round), &folders)?;
        client.put(&format!("/open hub adc://{}\n", self.hub_address))?;
        self.find(&mut client)?;
        Ok(client)
    }

    /// Searches until the seed answers. Only the row of a found file shows its whole path.
    fn find(&self, client: &mut Daemon) -> Result<()> {
        let (started, row) = (Instant::now(), format!("/files/{}", self.name));
        let mut searched: Option<Instant> = None;
        while !client.said().contains(&row) {
            if started.elapsed() > SEARCH_WAIT {
                bail!("the search finds nothing within {} s", SEARCH_WAIT.as_secs());
            }
            if searched.is_none_or(|last| last.elapsed() > SEARCH_AGAIN) {
                client.put(&format!("{TO_HUB}/search {}\n", self.name))?;
                searched = Some(Instant::now());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

/// Waits until the seed has hashed its share, which must not go on beside others: until it takes no more CPU time.
fn rest(seed: &Daemon, limit: Duration) -> Result<()> {
    let started = Instant::now();
    let (mut quiet, mut last) = (0, process::cpu(&[seed.id()]));
    while quiet < QUIET_LOOKS {
        if started.elapsed() > limit {
            bail!("the seed still hashes after {} s", limit.as_secs());
        }
        std::thread::sleep(QUIET_LOOK);
        let now = process::cpu(&[seed.id()]);
        quiet = if now.saturating_sub(last) < QUIET_CPU { quiet + 1 } else { 0 };
        last = now;
    }
    Ok(())
}

/// A client in a terminal of its own, reachable by others.
fn client(own: &Path, nick: &str, settings: &[String]) -> Result<Daemon> {
    let session = own.join(nick);
    let run = format!("stty rows 50 cols 160; exec ncdc -c '{}'", session.display());
    let mut terminal = command("script");
    terminal.args(["-q", "-f", "-c", &run, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut client = Daemon::start(&mut terminal, &own.join(format!("{nick}.log")))?;
    client.wait("`Welcome`", crate::daemon::READY_WAIT, |said| said.contains("Welcome"))?;
    let port = crate::daemon::free_port()?;
    let usual = [format!("/set nick {nick}"), "/set active_ip 127.0.0.1".to_owned()];
    let active = [format!("/set active_port {port}"), "/set active true".to_owned()];
    for line in usual.iter().chain(&active).chain(settings) {
        client.put(&format!("{line}\n"))?;
    }
    Ok(client)
}
