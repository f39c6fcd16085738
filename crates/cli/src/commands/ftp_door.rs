//! The FTP door of `peerage share`: opened before the peer is announced, run beside it, closed with it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerage_doors::ftp::{self, FtpConfig, FtpDoor, Tls};
use peerage_doors::users::Users;
use peerage_peer::peer::Peer;
use peerage_peer::share::{Audience, ShareSpec};
use peerage_wire::{api, limits, shown};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::{FtpAddress, FtpArgs, FtpSwitch, FtpTls};
use crate::failure::{Failure, Outcome};
use crate::print::say;

/// A port that is open for the door.
pub(crate) struct FtpPort {
    listener: TcpListener,
    address: SocketAddr,
    config: FtpConfig,
}

/// A door that is served.
pub(crate) struct RunningFtp {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl FtpPort {
    /// Opens the port that was asked for, if one was.
    pub(crate) async fn open(home: &Path, args: &FtpArgs) -> Outcome<Option<Self>> {
        let Some(asked) = args.ftp.and_then(|FtpSwitch(asked)| asked) else {
            let is_idle =
                args.ftp_tls.is_none() && args.ftp_passive.is_none() && args.ftp_advertise.is_none();
            return if is_idle { Ok(None) } else { Err(without_door()) };
        };
        let listener = listen(asked).await?;
        let address = listener.local_addr().map_err(|error| cannot(asked.address, &error))?;
        let tls = match args.ftp_tls {
            Some(FtpTls::Required) => Tls::Required,
            Some(FtpTls::Optional) => Tls::Optional,
            Some(FtpTls::Off) => Tls::Off,
            None if address.ip().is_loopback() => Tls::Optional,
            None => Tls::Required,
        };
        let (passive, advertise, users) =
            (args.ftp_passive.clone(), args.ftp_advertise, Users::of_home(home));
        users.list().map_err(Failure::failed)?;
        Ok(Some(Self { listener, address, config: FtpConfig { tls, passive, advertise, users } }))
    }

    /// As the index is to name it.
    pub(crate) fn announced(&self, shares: &[ShareSpec]) -> api::FtpDoor {
        api::FtpDoor {
            port: self.address.port(),
            local: self.address.ip().is_loopback(),
            tls: self.config.tls == Tls::Required,
            login: !is_any_public(shares),
        }
    }

    /// Serves a peer, and says where and what.
    pub(crate) fn run(self, peer: &Peer, shares: &[ShareSpec]) -> Outcome<RunningFtp> {
        let Self { listener, address, config } = self;
        let (tls, users) = (config.tls, config.users.clone());
        let (catalogue, uploads) = (Arc::clone(peer.catalogue()), peer.uploads().clone());
        let door = FtpDoor::new(catalogue, uploads, peer.identity(), config);
        let door = door.map_err(|error| Failure::failed(format!("can't open the FTP door: {error}")))?;
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(ftp::run(listener, door, async move {
            // A handle that is gone can't ask any more: the same as being asked.
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        say(format_args!("ftp door open at ftp://{}/", reached_at(address)));
        if tls == Tls::Required {
            say(
                "note: FTP clients must use TLS, as `curl -k --ssl-reqd` or lftp's `set ftp:ssl-allow-anonymous yes` do\n\
                 hint: `wget` and `aria2c` can't; they fetch from the folder door, or with `--ftp-tls optional`",
            );
        }
        if tls == Tls::Off && !address.ip().is_loopback() {
            say("note: without TLS, names and passwords can be read on the way\nhint: `--ftp-tls required`");
        }
        tell_of_users(&users, shares);
        Ok(RunningFtp { stop, task })
    }
}

impl RunningFtp {
    /// Lets running transfers end for a moment.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(limits::DRAIN_TIMEOUT + Duration::from_secs(1), self.task).await;
    }
}

/// Whom the door is open to, where that is nobody, or somebody who is given what is not here.
fn tell_of_users(users: &Users, shares: &[ShareSpec]) {
    let users = users.list().unwrap_or_default();
    if users.is_empty() && !is_any_public(shares) {
        say(
            "note: nobody sees anything at the FTP door\nhint: `--audience public`, or `peerage ftp-user add NAME`",
        );
    }
    for (name, user) in users {
        let is_here = |given: &String| shares.iter().any(|spec| spec.name == *given);
        for given in user.shares.iter().flatten().filter(|given| !is_here(given)) {
            say(format_args!(
                "note: `{}` is given `{}`, and no share is called so here",
                shown(&name),
                shown(given)
            ));
        }
    }
}

/// Whether everybody sees something.
pub(crate) fn is_any_public(shares: &[ShareSpec]) -> bool {
    shares.iter().any(|spec| spec.audience == Audience::Public)
}

/// An address as others type it: every address of this machine goes by its name.
pub(crate) fn reached_at(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), address.port())
    } else {
        address.to_string()
    }
}

async fn listen(asked: FtpAddress) -> Outcome<TcpListener> {
    match TcpListener::bind(asked.address).await {
        Err(error) if !asked.is_port_given && error.kind() == io::ErrorKind::AddrInUse => {
            let any = SocketAddr::new(asked.address.ip(), 0);
            say(format_args!("port {} is taken, so the FTP door gets another", asked.address.port()));
            TcpListener::bind(any).await.map_err(|error| cannot(any, &error))
        }
        outcome => outcome.map_err(|error| cannot(asked.address, &error)),
    }
}

fn cannot(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::failed(format!("can't serve FTP on {address}: {error}"))
        .hint("give another address or port with `--ftp ADDR:PORT`")
}

fn without_door() -> Failure {
    Failure::usage("there is no FTP door for `--ftp-tls`, `--ftp-passive` or `--ftp-advertise`")
        .hint("add `--ftp`")
}
