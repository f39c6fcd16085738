//! `peerage share`: a peer that serves folders until it is asked to stop, and what it tells the person meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use peerage_peer::peer::{Peer, PeerConfig, PeerError};
use peerage_peer::queue::Queue;
use peerage_peer::register::Registration;
use peerage_peer::serve::HttpListen;
use peerage_peer::share::{ShareArg, ShareOptions, ShareSpec, resolve_names};
use peerage_wire::{PeerName, format_bytes, limits, shown};
use std::sync::atomic::Ordering::Relaxed;

use crate::args::{HttpSwitch, PeerArgs, ShareArgs};
use crate::commands::ftp_door::{FtpPort, RunningFtp, is_any_public, reached_at};
use crate::commands::{client_of, interrupted};
use crate::config;
use crate::failure::{Failure, Outcome};
use crate::print::say;
use crate::progress::{ShareLine, ShareLook};

/// How often the state is looked at: often enough for a smooth line.
const LOOK: Duration = Duration::from_millis(200);
/// Without a terminal, how often a long hashing is told in a plain line.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn run(home: &Path, args: ShareArgs) -> Outcome {
    let audience = args.audience.into();
    let specs: Vec<_> = specs_of(&args.dirs)?.into_iter().map(|spec| spec.with_audience(audience)).collect();
    client_of(&args.index)?;
    let logins = config::ftp_logins(home)?;
    let options = ShareOptions {
        exclude: args.exclude,
        poll_every: args.poll_every,
        logins,
        ..ShareOptions::default()
    };
    let http = args.http.and_then(|HttpSwitch(http)| http);
    let doors = OtherDoors { http, ftp: FtpPort::open(home, &args.ftp).await? };
    let mut share = LiveShare::start(home, &args.index.url, &args.peer, specs, options, doors).await?;
    tokio::select! {
        () = share.watch() => {}
        () = interrupted() => {}
    }
    say("leaving the index");
    share.stop().await;
    Ok(())
}

/// The folders of the command line, each readable, with distinct names.
pub(crate) fn specs_of(dirs: &[String]) -> Outcome<Vec<ShareSpec>> {
    let args = dirs.iter().map(|dir| ShareArg::parse(dir.as_ref())).collect::<Result<_, _>>();
    args.and_then(resolve_names).map_err(Failure::usage)
}

/// The name that was given, or the machine's.
pub(crate) fn peer_name(given: Option<&PeerName>) -> PeerName {
    given
        .cloned()
        .unwrap_or_else(|| PeerName::from_host(&rustix::system::uname().nodename().to_string_lossy()))
}

/// A running peer that tells a person how it is doing.
pub(crate) struct LiveShare {
    peer: Peer,
    ftp: Option<RunningFtp>,
    line: ShareLine,
    started: Instant,
    told: Told,
}

/// The doors beside the native one.
#[derive(Default)]
pub(crate) struct OtherDoors {
    http: Option<HttpListen>,
    ftp: Option<FtpPort>,
}

/// What was said last, so that only news is said.
#[derive(Default)]
struct Told {
    is_online: bool,
    is_complete: bool,
    is_full: bool,
    offline: Option<String>,
    /// When, and with which words, without a terminal.
    plain: Option<(Instant, String)>,
    /// Whether everything was registered before: what took how long is told of the first time.
    was_complete: bool,
}

impl LiveShare {
    /// Starts the peer and says where it serves.
    pub(crate) async fn start(
        home: &Path,
        index: &str,
        peer: &PeerArgs,
        shares: Vec<ShareSpec>,
        options: ShareOptions,
        doors: OtherDoors,
    ) -> Outcome<Self> {
        let name = peer_name(peer.name.as_ref());
        for spec in &shares {
            say(shared_as(spec));
        }
        let index = peerage_peer::index_client::IndexClient::new(index)?;
        let config = PeerConfig {
            home: home.to_owned(),
            index,
            name: name.clone(),
            listen: peer.listen,
            limits: peer.limits.clone().into(),
            http: doors.http,
            ftp: doors.ftp.as_ref().map(|port| port.announced(&shares)),
            shares: shares.clone(),
            options,
        };
        let running = Peer::start(config).await.map_err(of_peer)?;
        let address = running.address();
        if peer.listen.is_none() && address.port() != limits::PEER_PORT {
            say(format_args!(
                "port {} is taken, so this peer serves on {}",
                limits::PEER_PORT,
                address.port()
            ));
        }
        tell_of_folders(&running, doors.http, &shares);
        say(format_args!("serving at {address} as {} (peer {})", shown(name.as_str()), running.id().short()));
        let ftp = doors.ftp.map(|port| port.run(&running, &shares)).transpose()?;
        let (line, started, told) = (ShareLine::new(), Instant::now(), Told::default());
        Ok(Self { peer: running, ftp, line, started, told })
    }

    /// The peer's downloads.
    pub(crate) const fn queue(&self) -> &Queue {
        self.peer.queue()
    }

    /// Shares one more folder and says so.
    pub(crate) fn add(&mut self, dir: &str) -> Outcome {
        let arg = ShareArg::parse(dir.as_ref()).map_err(Failure::usage)?;
        let spec = self.peer.add(arg).map_err(Failure::usage)?;
        self.line.say(&shared_as(&spec));
        self.told.is_complete = false;
        Ok(())
    }

    /// Tells what happens, for as long as it is polled.
    pub(crate) async fn watch(&mut self) {
        loop {
            self.step().await;
        }
    }

    /// Tells what happens until everything is registered for the first time.
    pub(crate) async fn until_registered(&mut self) -> Outcome {
        while !self.told.is_complete {
            self.step().await;
            if self.told.offline.is_some() || self.told.is_full {
                return Ok(()); // it is told, and goes on by itself
            }
        }
        Ok(())
    }

    /// Leaves the index and stops serving.
    pub(crate) async fn stop(self) {
        self.line.clear();
        let ftp = async {
            if let Some(ftp) = self.ftp {
                ftp.close().await;
            }
        };
        tokio::join!(self.peer.stop(), ftp);
    }

    async fn step(&mut self) {
        tokio::select! {
            note = self.peer.note() => self.line.say(&note_lines(&note)),
            () = tokio::time::sleep(LOOK) => {}
        }
        let registration = self.peer.registration().borrow().clone();
        let look = self.look(&registration);
        let is_busy = !self.told.is_complete;
        if is_busy && self.line.is_drawn() {
            self.line.show(&look);
        } else if is_busy {
            self.tell_plainly(&look);
        }
        self.tell(&registration, &look);
    }

    fn look(&self, registration: &Registration) -> ShareLook {
        let progress = self.peer.progress();
        let registered_files = match registration {
            Registration::Registered { files, .. } | Registration::Full { files, .. } => *files,
            _ => 0,
        };
        ShareLook {
            found_files: progress.files_found.load(Relaxed),
            found_bytes: progress.bytes_found.load(Relaxed),
            ready_files: progress.files_known.load(Relaxed) + progress.files_hashed.load(Relaxed),
            to_hash_bytes: progress
                .bytes_found
                .load(Relaxed)
                .saturating_sub(progress.bytes_known.load(Relaxed)),
            hashed_bytes: progress.bytes_hashed.load(Relaxed),
            registered_files,
            elapsed: self.started.elapsed(),
        }
    }

    fn tell_plainly(&mut self, look: &ShareLook) {
        let (last, said) = self.told.plain.get_or_insert_with(|| (Instant::now(), String::new()));
        let words = look.to_string();
        if last.elapsed() >= PLAIN_EVERY && *said != words {
            say(&words);
            (*last, *said) = (Instant::now(), words);
        }
    }

    fn tell(&mut self, registration: &Registration, look: &ShareLook) {
        match registration {
            Registration::Connecting => {}
            Registration::Registered { address, .. } => {
                if !self.told.is_online {
                    self.line.say(&announced(*address, self.peer.address()));
                }
                self.told.is_online = true;
                self.told.offline = None;
                if self.peer.is_registered() && !self.told.is_complete {
                    self.told.is_complete = true;
                    self.told.is_full = false;
                    self.line.clear();
                    say(self.summary(look));
                    self.told.was_complete = true;
                }
            }
            Registration::Full { files, why, hint } => {
                if !self.told.is_full {
                    self.line.say(&format!(
                        "warning: {}: {files} files of this peer are registered, the others wait\nhint: {}; trying again \
                         by itself",
                        shown(why),
                        shown(hint)
                    ));
                }
                self.told.is_full = true;
                self.told.is_complete = false;
                self.told.offline = None;
            }
            Registration::Offline { why, hint } => {
                if self.told.offline.as_ref() != Some(why) {
                    self.line.say(&format!(
                        "warning: {}\nhint: {}; trying again by itself",
                        shown(why),
                        shown(hint)
                    ));
                }
                self.told.is_online = false;
                self.told.is_complete = false;
                self.told.offline = Some(why.clone());
            }
        }
    }

    fn summary(&self, look: &ShareLook) -> String {
        let (files, bytes) = self.peer.catalogue().counts();
        let what = format!("{files} {}, {}", if files == 1 { "file" } else { "files" }, format_bytes(bytes));
        if self.told.was_complete {
            return format!("registered {what} in all");
        }
        let progress = self.peer.progress();
        let seconds = look.elapsed.as_secs_f64();
        format!(
            "registered {what}, in {seconds:.1} s ({} hashed, {} known from before)",
            progress.files_hashed.load(Relaxed),
            progress.files_known.load(Relaxed)
        )
    }
}

/// Whom the index sends where to reach this peer, and whether it listens there. The index goes by the address that it sees;
/// a peer of its own machine is told to others with the index's address.
fn announced(seen: SocketAddr, listens: SocketAddr) -> String {
    let (seen_ip, listens_ip) = (seen.ip().to_canonical(), listens.ip().to_canonical());
    let is_anywhere = listens_ip.is_unspecified();
    match (seen_ip.is_loopback(), listens_ip.is_loopback()) {
        (true, true) if seen_ip == listens_ip => {
            format!("announced: this machine alone reaches this peer, at {seen}")
        }
        (true, _) if is_anywhere => {
            let port = seen.port();
            format!(
                "announced: this machine reaches this peer at {seen}, others at port {port} of the index's address"
            )
        }
        (false, _) if is_anywhere || seen_ip == listens_ip => {
            format!("announced: others reach this peer at {seen}")
        }
        (is_local, _) => format!(
            "warning: the index sends {} to {seen}, but this peer listens at {listens} alone\nhint: share with `--listen \
             0.0.0.0:{}`, or reach the index by its address in that network",
            if is_local { "programs of this machine" } else { "others" },
            listens.port()
        ),
    }
}

fn shared_as(spec: &ShareSpec) -> String {
    format!("sharing `{}` as `{}`", spec.location, shown(&spec.name))
}

/// Where browsers and the like look.
fn tell_of_folders(peer: &Peer, asked: Option<HttpListen>, shares: &[ShareSpec]) {
    let is_public = is_any_public(shares);
    if let Some(http) = peer.http_address() {
        if asked == Some(HttpListen::USUAL) && http.port() != limits::HTTP_PORT {
            say(format_args!("port {} is taken, so plain HTTP gets another", limits::HTTP_PORT));
        }
        say(format_args!("folder door open at http://{http}/v1/shares/"));
        if !is_public {
            say("note: nobody sees anything at the folder door\nhint: `--audience public`");
        }
    }
    if is_public {
        say(format_args!("public shares at https://{}/v1/shares/", reached_at(peer.address())));
    }
}

/// A note may have a hint on a line of its own.
fn note_lines(note: &str) -> String {
    let lines: Vec<String> = note.lines().map(|line| shown(line).to_string()).collect();
    format!("note: {}", lines.join("\n"))
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn of_peer(error: PeerError) -> Failure {
    match &error {
        PeerError::Home(peerage_peer::home::HomeError::Busy { .. }) => {
            Failure::failed(&error).hint("stop that one, or give this peer another home with `--home DIR`")
        }
        PeerError::Share(_) => Failure::usage(&error),
        _ => Failure::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_where_nobody_is_sent_is_warned() {
        let told = |seen: &str, listens: &str| announced(seen.parse().unwrap(), listens.parse().unwrap());
        let (nas, local, any) = ("192.0.2.2:18965", "127.0.0.1:18965", "[::]:18965");
        assert_eq!(told(nas, any), "announced: others reach this peer at 192.0.2.2:18965");
        assert_eq!(
            told(nas, nas),
            told("[::ffff:192.0.2.2]:18965", nas).replace("[::ffff:192.0.2.2]", "192.0.2.2")
        );
        assert!(told(local, local).contains("this machine alone"));
        assert!(told(local, any).contains("others at port 18965 of the index's address"));
        let this_machine = "programs of this machine";
        for (seen, listens, whom) in
            [(local, nas, this_machine), (local, "[::1]:18965", this_machine), (nas, local, "others")]
        {
            let warning = told(seen, listens);
            assert!(warning.starts_with(&format!("warning: the index sends {whom} to {seen}")), "{warning}");
            assert!(warning.contains("hint: share with `--listen 0.0.0.0:18965`"), "{warning}");
        }
    }
}
