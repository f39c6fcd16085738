//! One client's session: lines in, replies out, one transfer at a time.
//!
//! Invariants: nothing but logging in is possible before a login, and where TLS is required not even that before TLS; an
//! offset holds for the one transfer it was given for; a session has at most one data port open, and no session
//! outlives its limits: ten seconds to the first command, a minute to a login, five minutes between two commands.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerage_peer::catalogue::{Node, Viewer};
use peerage_peer::uploads::{Receiver, owner_of};
use peerage_wire::FileEntry;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::command::{self, Command, Epsv, Protection, Style};
use super::control::Control;
use super::data::Passive;
use super::line::{Line, Lines};
use super::listing;
use super::pattern::Pattern;
use super::place::Place;
use super::reply::Reply;
use super::transfer::{self, Shown, Trouble, Way};
use super::{FtpDoor, Tls};
use crate::users::is_anonymous;

/// From the greeting to the first command.
const FIRST_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// From the greeting to a login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// From one command to the next.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may take for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands that may be sent ahead during a transfer, 4 KiB each.
const PENDING_MAX: usize = 16;

/// A session.
pub(super) struct Session {
    door: Arc<FtpDoor>,
    control: Control,
    lines: Lines,
    local: IpAddr,
    client: IpAddr,
    login: Login,
    place: Place,
    offset: u64,
    protection: Protection,
    is_buffer_set: bool,
    is_epsv_only: bool,
    passive: Option<Passive>,
    /// Lines that came during a transfer, oldest first.
    pending: VecDeque<Vec<u8>>,
}

enum Login {
    /// Nobody yet.
    No,
    /// Who has said a name.
    Named(String),
    /// Who has been let in.
    In(Viewer),
}

impl Session {
    pub(super) fn new(door: Arc<FtpDoor>, stream: TcpStream, address: SocketAddr) -> io::Result<Self> {
        let local = stream.local_addr()?.ip().to_canonical();
        Ok(Self {
            door,
            control: Control::Plain(stream),
            lines: Lines::default(),
            local,
            client: address.ip().to_canonical(),
            login: Login::No,
            place: Place::default(),
            offset: 0,
            protection: Protection::Clear,
            is_buffer_set: false,
            is_epsv_only: false,
            passive: None,
            pending: VecDeque::new(),
        })
    }

    /// Until the client leaves, is too slow, or the door closes.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let begun = Instant::now();
        self.say(&Reply::new(220, "peerage: a door for reading; log in as `anonymous`")).await?;
        let mut until = begun + FIRST_COMMAND_TIMEOUT;
        loop {
            let line = tokio::select! {
                line = self.next_line(until) => line?,
                () = asked_to_stop(&mut stopped) => return self.leave("this door is closing").await,
            };
            match line {
                Line::Text(line) => {
                    if let Some(reply) = self.answer(&line).await? {
                        self.say(&reply).await?;
                        if reply.is_last() {
                            return self.control.shutdown().await;
                        }
                    }
                }
                Line::TooLong => return self.leave("a line is at most 4,096 bytes").await,
                Line::End => return Ok(()),
            }
            let idle = Instant::now() + IDLE_TIMEOUT;
            until = if matches!(self.login, Login::In(_)) { idle } else { idle.min(begun + LOGIN_TIMEOUT) };
        }
    }

    async fn next_line(&mut self, until: Instant) -> io::Result<Line> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Line::Text(line));
        }
        if Instant::now() >= until {
            // Whoever never stops sending would not be waited for.
            return self.leave("it took too long").await.map(|()| Line::End);
        }
        match tokio::time::timeout_at(until, self.lines.next(&mut self.control)).await {
            Ok(line) => line,
            Err(_) => self.leave("nothing came for too long").await.map(|()| Line::End),
        }
    }

    /// Says why the session is over, and ends it.
    async fn leave(&mut self, why: &str) -> io::Result<()> {
        self.say(&Reply::new(421, why)).await?;
        self.control.shutdown().await
    }

    async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        let bytes = reply.to_bytes();
        tokio::time::timeout(REPLY_TIMEOUT, async {
            self.control.write_all(&bytes).await?;
            self.control.flush().await
        })
        .await?
    }

    /// The reply to a line; none to one after which a handshake has been made.
    async fn answer(&mut self, line: &[u8]) -> io::Result<Option<Reply>> {
        match command::parse(line) {
            Ok(Command::AuthTls) => self.auth_tls().await,
            Ok(command) => self.obey(command).await.map(Some),
            Err(reply) => Ok(Some(reply)),
        }
    }

    /// What anybody may ask.
    async fn obey(&mut self, command: Command) -> io::Result<Reply> {
        Ok(match command {
            Command::User(name) => self.user(name),
            Command::Pass(password) => self.pass(password).await,
            Command::Pbsz => self.pbsz(),
            Command::Prot(protection) => self.prot(protection),
            Command::Quit => Reply::new(221, "goodbye"),
            Command::Noop | Command::Heard => Reply::new(200, "all right"),
            Command::Syst => Reply::new(215, "UNIX Type: L8"),
            Command::Help => help(),
            Command::Feat => self.feat(),
            Command::Opts(what) => opts(&what),
            command => match &self.login {
                Login::In(viewer) => {
                    let viewer = viewer.clone();
                    return self.obey_member(command, viewer).await;
                }
                Login::No | Login::Named(_) => Reply::new(530, "log in first: `USER` and `PASS`"),
            },
        })
    }

    /// What only who is logged in may ask.
    async fn obey_member(&mut self, command: Command, viewer: Viewer) -> io::Result<Reply> {
        Ok(match command {
            Command::Pwd => Reply::new(257, format!("\"{}\"", self.place.shown().replace('"', "\"\""))),
            Command::Cwd(path) => self.go(&viewer, &path),
            Command::Cdup => self.go(&viewer, ".."),
            Command::Type => Reply::new(200, "bytes are sent as they are, whatever the type"),
            Command::Mode(mode) => one_of("MODE", 'S', mode),
            Command::Stru(structure) => one_of("STRU", 'F', structure),
            Command::Pasv => self.pasv(),
            Command::Epsv(protocol) => self.epsv(protocol),
            Command::Rest(offset) => {
                self.offset = offset;
                Reply::new(350, format!("the next `RETR` begins at byte {offset}"))
            }
            Command::Retr(path) => return self.retr(&viewer, &path).await,
            Command::List(style, path) => return self.list(viewer, style, &path).await,
            Command::Size(path) => self.of_file(&viewer, &path, |file| file.size.to_string()),
            Command::Mdtm(path) => self.of_file(&viewer, &path, |file| listing::stamp(file.modified)),
            Command::Mlst(path) => self.mlst(&viewer, 250, &path),
            Command::Stat(path) if path.is_empty() => Reply::new(211, "reading only, bytes as they are"),
            Command::Stat(path) => self.mlst(&viewer, 213, &path),
            Command::Abor => Reply::new(226, "nothing is under way"),
            Command::Writing => Reply::new(550, "nothing can be changed through this door"),
            Command::Active => Reply::new(502, "this door connects to nobody: use `PASV` or `EPSV`"),
            _ => Reply::new(503, "not now"),
        })
    }
}

/// Logging in.
impl Session {
    fn user(&mut self, name: String) -> Reply {
        if self.door.config.tls == Tls::Required && !self.control.is_tls() {
            return Reply::new(530, "log in over TLS: `AUTH TLS` first");
        }
        let reply = match is_anonymous(&name) {
            true => Reply::new(331, "any password will do"),
            false => Reply::new(331, "and the password?"),
        };
        self.login = Login::Named(name);
        self.place = Place::default();
        self.offset = 0;
        reply
    }

    async fn pass(&mut self, password: String) -> Reply {
        let Login::Named(name) = std::mem::replace(&mut self.login, Login::No) else {
            return Reply::new(503, "`USER` comes first");
        };
        if is_anonymous(&name) {
            self.login = Login::In(Viewer::Anyone);
            return Reply::new(230, "welcome: this is what everybody may see");
        }
        let (guard, owner) = (&self.door.guard, owner_of(self.client));
        // One after the other, so that many at once are not many tries, and whoever is right is let in.
        let _turn = guard.turn().await;
        if let Some(wait) = guard.pause(owner, std::time::Instant::now()) {
            let secs = wait.as_secs() + 1;
            return Reply::new(421, format!("too many wrong passwords: come back in {secs} s"));
        }
        if let Some(viewer) = self.door.config.users.check(name, password).await {
            self.login = Login::In(viewer);
            return Reply::new(230, "welcome");
        }
        guard.failed(owner, std::time::Instant::now());
        match guard.pause(owner, std::time::Instant::now()) {
            Some(_) => Reply::new(421, "too many wrong passwords: come back in a minute"),
            None => Reply::new(530, "that name and that password do not go together"),
        }
    }

    async fn auth_tls(&mut self) -> io::Result<Option<Reply>> {
        let Some(acceptor) = self.door.acceptor.clone() else {
            return Ok(Some(Reply::new(502, "TLS is off at this door")));
        };
        if self.control.is_tls() {
            return Ok(Some(Reply::new(503, "this is TLS already")));
        }
        if self.lines.has_more() || !self.pending.is_empty() {
            // Whatever stands behind the command was not sent by who will shake hands (CVE-2011-0411).
            return Ok(Some(Reply::new(421, "nothing may be sent between `AUTH TLS` and the handshake")));
        }
        self.say(&Reply::new(234, "go on with the handshake")).await?;
        self.control.secure(&acceptor).await?;
        self.login = Login::No;
        Ok(None)
    }

    fn pbsz(&mut self) -> Reply {
        if !self.control.is_tls() {
            return Reply::new(503, "`AUTH TLS` comes first");
        }
        self.is_buffer_set = true;
        Reply::new(200, "PBSZ=0")
    }

    fn prot(&mut self, protection: Protection) -> Reply {
        if !self.control.is_tls() || !self.is_buffer_set {
            return Reply::new(503, "`AUTH TLS` and `PBSZ 0` come first");
        }
        if protection == Protection::Clear && self.door.config.tls == Tls::Required {
            return Reply::new(534, "data goes over TLS here");
        }
        self.protection = protection;
        Reply::new(200, "all right")
    }

    fn feat(&self) -> Reply {
        let mut features: Vec<String> = Vec::new();
        if self.door.acceptor.is_some() {
            features.extend(["AUTH TLS", "PBSZ", "PROT"].map(str::to_owned));
        }
        features.push(format!("MLST {}", listing::FACTS));
        let rest = ["EPSV", "MDTM", "PASV", "REST STREAM", "SIZE", "TVFS", "UTF8"];
        features.extend(rest.map(str::to_owned));
        Reply::of_lines(211, "Features", features)
    }
}

/// Looking around.
impl Session {
    /// What a path means from here, and what stands there.
    fn find(&self, viewer: &Viewer, path: &str) -> Option<(Place, Node)> {
        let place = self.place.join(path)?;
        let node = self.door.catalogue.look(viewer, place.path())?;
        Some((place, node))
    }

    fn go(&mut self, viewer: &Viewer, path: &str) -> Reply {
        match self.find(viewer, path) {
            Some((place, Node::Folder { .. })) => {
                self.place = place;
                Reply::new(250, "all right")
            }
            Some((_, Node::File(_))) => Reply::new(550, "that is a file"),
            None => transfer::absent(),
        }
    }

    fn of_file(&self, viewer: &Viewer, path: &str, tell: impl FnOnce(&FileEntry) -> String) -> Reply {
        match self.find(viewer, path) {
            Some((_, Node::File(file))) => Reply::new(213, tell(&file)),
            Some((_, Node::Folder { .. })) => Reply::new(550, "that is a folder"),
            None => transfer::absent(),
        }
    }

    fn mlst(&self, viewer: &Viewer, code: u16, path: &str) -> Reply {
        let Some((place, node)) = self.find(viewer, path) else { return transfer::absent() };
        Reply::of_lines(code, "Listing", [format!("{} {}", listing::facts(&node), place.shown())])
    }

    fn pasv(&mut self) -> Reply {
        if self.is_epsv_only {
            return Reply::new(503, "after `EPSV ALL` only `EPSV` is possible");
        }
        let IpAddr::V4(own) = self.local else {
            return Reply::new(425, "`PASV` is for IPv4: use `EPSV`");
        };
        match self.open_port() {
            Ok(port) => {
                let [a, b, c, d] = self.door.config.advertise.unwrap_or(own).octets();
                let [high, low] = port.to_be_bytes();
                Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})"))
            }
            Err(refusal) => refusal,
        }
    }

    fn epsv(&mut self, protocol: Epsv) -> Reply {
        match (protocol, self.local) {
            (Epsv::All, _) => {
                self.is_epsv_only = true;
                return Reply::new(200, "only `EPSV` from now on");
            }
            (Epsv::V4, IpAddr::V6(_)) => return Reply::new(522, "this connection is IPv6 (2)"),
            (Epsv::V6, IpAddr::V4(_)) => return Reply::new(522, "this connection is IPv4 (1)"),
            (Epsv::Same | Epsv::V4 | Epsv::V6, _) => {}
        }
        match self.open_port() {
            Ok(port) => Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)")),
            Err(refusal) => refusal,
        }
    }

    /// Opens a data port in place of the one before.
    fn open_port(&mut self) -> Result<u16, Reply> {
        self.passive = None;
        let range = self.door.config.passive.as_ref();
        let opened = Passive::open(self.local, self.client, range)
            .and_then(|passive| Ok((passive.address()?.port(), passive)));
        let (port, passive) = opened.map_err(|error| {
            tracing::warn!(%error, "no port is free for an FTP data connection");
            Reply::new(425, "no port is free for a data connection: come back later")
        })?;
        self.passive = Some(passive);
        Ok(port)
    }
}

/// Transfers.
impl Session {
    async fn retr(&mut self, viewer: &Viewer, path: &str) -> io::Result<Reply> {
        let offset = std::mem::take(&mut self.offset);
        let way = match self.way() {
            Ok(way) => way,
            Err(refusal) => return Ok(refusal),
        };
        let file = match self.find(viewer, path) {
            Some((_, Node::File(file))) => file,
            Some((_, Node::Folder { .. })) => return Ok(Reply::new(550, "that is a folder")),
            None => return Ok(transfer::absent()),
        };
        let opened = match transfer::open(&self.door.catalogue, file.hash).await {
            Ok(opened) => opened,
            Err(refusal) => return Ok(refusal),
        };
        if offset > opened.size {
            return Ok(Reply::new(554, format!("the file ends at byte {}", opened.size)));
        }
        let uploads = (self.door.uploads.clone(), Receiver::address(self.client));
        self.say(&Reply::new(150, format!("sending {} bytes", opened.size - offset))).await?;
        self.attend(transfer::send_file(way, opened, offset, uploads)).await
    }

    async fn list(&mut self, viewer: Viewer, style: Style, argument: &str) -> io::Result<Reply> {
        self.offset = 0;
        let way = match self.way() {
            Ok(way) => way,
            Err(refusal) => return Ok(refusal),
        };
        let Some((shown, prefix)) = self.shown(viewer, style, argument) else {
            return Ok(transfer::absent());
        };
        if style == Style::Mlsd && matches!(shown, Shown::File(_)) {
            return Ok(Reply::new(501, "that is a file: ask with `MLST`"));
        }
        self.say(&Reply::new(150, "here it comes")).await?;
        let catalogue = Arc::clone(&self.door.catalogue);
        self.attend(transfer::send_listing(way, catalogue, shown, style, prefix)).await
    }

    /// What an argument of `LIST`, `NLST` or `MLSD` asks for, and what bare names are given before them.
    fn shown(&self, viewer: Viewer, style: Style, argument: &str) -> Option<(Shown, String)> {
        let is_there = self.find(&viewer, argument).is_some();
        let path = if is_there || style == Style::Mlsd { argument } else { without_options(argument) };
        let folder = match path {
            "" | "." => String::new(),
            path if path.ends_with('/') => path.to_owned(),
            path => format!("{path}/"),
        };
        match self.find(&viewer, path) {
            Some((place, Node::Folder { .. })) => {
                Some((Shown::Folder(self.door.catalogue.list(viewer, place.path()), None), folder))
            }
            Some((place, node)) => {
                let name = place.path()?.file_name();
                let prefix = path.strip_suffix(name).unwrap_or_default().to_owned();
                Some((transfer::alone(name, node), prefix))
            }
            None => self.matching(viewer, path),
        }
    }

    /// The names in a folder that fit a pattern, as `mget *.txt` asks for them.
    fn matching(&self, viewer: Viewer, path: &str) -> Option<(Shown, String)> {
        let (folder, pattern) = match path.rsplit_once('/') {
            Some((folder, pattern)) => (format!("{folder}/"), pattern),
            None => (String::new(), path),
        };
        let pattern = Pattern::parse(pattern)?;
        match self.find(&viewer, &folder)? {
            (place, Node::Folder { .. }) => {
                let listing = self.door.catalogue.list(viewer, place.path());
                Some((Shown::Folder(listing, Some(pattern)), folder))
            }
            (_, Node::File(_)) => None,
        }
    }

    /// The data connection that the next transfer takes.
    fn way(&mut self) -> Result<Way, Reply> {
        if self.door.config.tls == Tls::Required && self.protection != Protection::Private {
            return Err(Reply::new(521, "data goes over TLS here: `PBSZ 0` and `PROT P` first"));
        }
        let passive = self.passive.take().ok_or_else(|| Reply::new(425, "`PASV` or `EPSV` comes first"))?;
        let acceptor = self.door.acceptor.clone().filter(|_| self.protection == Protection::Private);
        Ok(Way { passive, acceptor })
    }

    /// Sees a transfer through. The client may end it, or send some commands ahead.
    async fn attend(&mut self, work: impl Future<Output = Result<(), Trouble>>) -> io::Result<Reply> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return Ok(match outcome {
                    Ok(()) => Reply::new(226, "that is all of it"),
                    Err(trouble) => trouble.reply(),
                }),
                line = self.lines.next(&mut self.control), if self.pending.len() < PENDING_MAX => match line? {
                    Line::Text(line) if command::parse(&line) == Ok(Command::Abor) => {
                        self.say(&Reply::new(426, "ended, as you wish")).await?;
                        return Ok(Reply::new(226, "the transfer is over"));
                    }
                    Line::Text(line) => self.pending.push_back(line),
                    Line::TooLong => return Ok(Reply::new(421, "a line is at most 4,096 bytes")),
                    Line::End => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
            }
        }
    }
}

async fn asked_to_stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone can't ask any more: the same as being asked.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// `LIST -la path`: the options of `ls` mean nothing here.
fn without_options(argument: &str) -> &str {
    let mut rest = argument;
    while let Some(option) = rest.strip_prefix('-') {
        let (option, behind) = option.split_once(' ').unwrap_or((option, ""));
        if !option.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return rest;
        }
        rest = behind;
    }
    rest
}

fn one_of(verb: &str, known: char, asked: char) -> Reply {
    if asked == known {
        Reply::new(200, "all right")
    } else {
        Reply::new(504, format!("only `{verb} {known}` is known"))
    }
}

fn opts(what: &str) -> Reply {
    match what {
        "UTF8" | "UTF8 ON" | "UTF-8" | "UTF-8 ON" => Reply::new(200, "names are UTF-8"),
        "UTF8 OFF" => Reply::new(504, "names are UTF-8 here"),
        _ if what == "MLST" || what.starts_with("MLST ") => {
            Reply::new(200, format!("MLST OPTS {}", listing::FACTS.replace('*', "")))
        }
        _ => Reply::new(501, "that option is not known here"),
    }
}

fn help() -> Reply {
    const VERBS: [&str; 2] = [
        "ABOR AUTH CDUP CWD EPSV FEAT HELP LIST MDTM MLSD MLST MODE NLST NOOP OPTS",
        "PASS PASV PBSZ PROT PWD QUIT REST RETR SIZE STAT STRU SYST TYPE USER",
    ];
    Reply::of_lines(214, "Known here", VERBS.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ls_are_passed_over_and_names_are_not() {
        for (argument, path) in [
            ("", ""),
            ("-a", ""),
            ("-la music/A b", "music/A b"),
            ("-l -a x", "x"),
            ("--all x", "x"),
            ("-é x", "-é x"),
            ("a -l", "a -l"),
        ] {
            assert_eq!(without_options(argument), path, "{argument}");
        }
    }
}
