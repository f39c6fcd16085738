//! Transmission with opentracker: BitTorrent, proven by SHA-1, for one downloader or many.
//!
//! Each peer has a network namespace of its own, for Transmission does not talk to loopback nor to a peer at its own
//! address. A run lasts from the start of the downloaders until all have the whole file; the ten seconds that a new
//! peer may wait to be unchoked are part of the protocol, and so of the time.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Contender, Serving, Stage};
use crate::daemon::{Daemon, free_port};
use crate::measure::{Sample, until};
use crate::net::Net;
use crate::tools::{Tool, command};

/// Transmission.
pub(crate) struct Transmission {
    /// How many download at the same time; more than one get folders of their own.
    pub(crate) downloaders: u8,
    /// The rate of each link, or as fast as the machine.
    pub(crate) rate: Option<&'static str>,
}

/// As it comes, only that it talks to nobody but our tracker and the peers there.
const SETTINGS: &str = r#"{"rpc-enabled": false, "dht-enabled": false, "lpd-enabled": false,
"port-forwarding-enabled": false}"#;
/// The port every peer listens on.
const PEER_PORT: &str = "51413";
/// The step of a poll.
const POLL: Duration = Duration::from_millis(50);

impl Contender for Transmission {
    fn name(&self) -> &'static str {
        "transmission (BitTorrent)"
    }

    fn tools(&self) -> Vec<Tool> {
        let names = ["transmission-cli", "transmission-create", "transmission-show"];
        let mut tools = names.map(|name| Tool::new(name, "-V")).to_vec();
        tools.push(Tool::packaged("opentracker"));
        tools
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let net = Net::new(self.downloaders + 1, self.rate)?;
        let tracker = SocketAddr::new(IpAddr::V4(net.address()), free_port()?);
        let (name, content) = stage.material.only()?;
        let torrent = stage.own.join("material.torrent");
        let info = create(stage, &torrent, tracker, name)?;
        let mut opentracker = command("opentracker");
        let port = tracker.port().to_string();
        opentracker.args(["-i", &net.address().to_string(), "-p", &port, "-P", &port, "-w", "wanted"]);
        let mut servers =
            vec![Daemon::start(opentracker.arg("-d").arg(stage.own), &stage.log("opentracker"))?];
        servers[0].listening(tracker)?;
        let mut seed = peer(&stage.folder("seed")?, &torrent, &stage.material.dir)?;
        seed = net.on(0, &seed);
        servers.push(Daemon::start(&mut seed, &stage.log("seed"))?);
        wait_for_seed(tracker, &info, stage.limit)?;
        Ok(Box::new(Swarm {
            servers,
            net,
            torrent,
            own: stage.own.to_owned(),
            file: name.to_owned(),
            size: content.size,
            downloaders: self.downloaders,
            limit: stage.limit,
        }))
    }
}

struct Swarm {
    servers: Vec<Daemon>, // before the net, so that they end first
    net: Net,
    torrent: PathBuf,
    own: PathBuf,
    file: String,
    size: u64,
    downloaders: u8,
    limit: Duration,
}

impl Serving for Swarm {
    fn fetch(&mut self, into: &Path) -> Result<Sample> {
        let folders: Vec<PathBuf> = match self.downloaders {
            1 => vec![into.to_owned()],
            many => (0..many).map(|number| into.join(number.to_string())).collect(),
        };
        let (mut commands, mut peers) = (Vec::new(), Vec::new());
        for (host, folder) in (1..).zip(&folders) {
            let home = self.own.join(format!("peer {host}"));
            let _ = std::fs::remove_dir_all(&home); // of the round before
            std::fs::create_dir_all(folder)?;
            commands.push((self.net.on(host, &peer(&home, &self.torrent, folder)?), home.join("log")));
        }
        let start = || {
            for (command, log) in &mut commands {
                peers.push(Daemon::start(command, log)?);
            }
            Ok(crate::daemon::ids(&peers))
        };
        let is_done = || Ok(folders.iter().all(|into| super::has_arrived(&into.join(&self.file), self.size)));
        until(&crate::daemon::ids(&self.servers), &[], self.limit, start, is_done)
    }
}

/// Makes the torrent, lets the tracker know that it may track it, and gives its info hash in hex.
fn create(stage: &Stage, torrent: &Path, tracker: SocketAddr, name: &str) -> Result<String> {
    let mut create = command("transmission-create");
    create.arg("-t").arg(format!("http://{tracker}/announce")).arg("-o").arg(torrent);
    said(create.arg(stage.material.dir.join(name)))?;
    let shown = said(command("transmission-show").arg(torrent))?;
    let hash =
        shown.lines().find_map(|line| line.trim().strip_prefix("Hash:")).context("no info hash")?.trim();
    ensure!(hash.len() == 40 && hash.is_ascii(), "no info hash of 40 digits");
    std::fs::write(stage.own.join("wanted"), format!("{hash}\n"))?;
    Ok(hash.to_owned())
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "`{}` failed: {text}", command.get_program().display());
    Ok(text)
}

fn peer(home: &Path, torrent: &Path, folder: &Path) -> Result<Command> {
    std::fs::create_dir_all(home)?;
    std::fs::write(home.join("settings.json"), SETTINGS)?;
    let mut peer = command("transmission-cli");
    peer.arg("-g").arg(home).arg("-w").arg(folder).args(["-p", PEER_PORT, "-M"]).arg(torrent);
    peer.env("HOME", home).env_remove("http_proxy");
    Ok(peer)
}

/// The tracker counts a seed once that has checked its file and announced itself.
fn wait_for_seed(tracker: SocketAddr, info: &str, limit: Duration) -> Result<()> {
    let started = Instant::now();
    let mut hash = String::new();
    for digits in info.as_bytes().chunks(2) {
        let _ = write!(hash, "%{}", String::from_utf8_lossy(digits));
    }
    loop {
        let answer = scrape(tracker, &hash).unwrap_or_default();
        if answer.contains("completei1e") {
            return Ok(());
        }
        if started.elapsed() > limit {
            bail!("no seed at the tracker within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn scrape(tracker: SocketAddr, hash: &str) -> Result<String> {
    let mut stream = TcpStream::connect(tracker)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET /scrape?info_hash={hash} HTTP/1.0\r\nHost: {tracker}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
