//! One connection to an FTP server: logged in, in binary mode, and asked in the few words that sharing takes.
//!
//! Invariants: nothing here waits for ever: connecting takes at most [`CONNECT_TIMEOUT`], each wait for the server at most
//! [`IO_TIMEOUT`], an exchange of commands [`EXCHANGE_MAX`] in all, and what flows flows at [`PACE_BYTES`] a
//! [`IO_TIMEOUT`] or ends; any of it ends at once when its [`Sockets`] are cut. A data connection goes to the
//! server itself, whatever address it names. A line whose state is in doubt is not used again.

use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use suppaftp::types::FileType;
use suppaftp::{FtpError, FtpResult, ImplFtpStream, Mode, Status, TransferStream};

use super::entry::{Facts, facts_of};
use super::failure::Failure;
use super::login::Password;
use super::tls::{Connector, Session};
use super::url::FtpUrl;
use crate::share::Stamp;

/// Until a server takes a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until it says anything, or takes anything.
const IO_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest exchange of commands: one that dribbles its answers is not waited for.
const EXCHANGE_MAX: Duration = Duration::from_secs(60);
/// What flows in [`IO_TIMEOUT`] at least: 4 KiB a second, as little as any of our doors puts up with.
const PACE_BYTES: u64 = 120 << 10;
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

type Ftp = ImplFtpStream<Session>;

/// Whom to connect to, and how to get in.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) url: FtpUrl,
    pub(crate) user: String,
    pub(crate) password: Password,
    /// Where the server is asked for TLS.
    pub(crate) tls: Option<Connector>,
}

/// What the first connection finds out about the server, for all that come after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The shared folder's absolute path; empty for the root.
    folder: String,
    /// Whether it has `MLST` and `MLSD`, which tell exact sizes and times.
    pub(crate) has_mlsd: bool,
    /// Whether it wants to be told that names are UTF-8.
    wants_utf8: bool,
}

/// A line's sockets, from which it can be ended whatever it waits for.
#[derive(Debug)]
pub(crate) struct Sockets {
    control: TcpStream,
    data: Mutex<Option<TcpStream>>,
    is_cut: AtomicBool,
    /// Since when commands are being exchanged.
    busy_since: Mutex<Option<Instant>>,
}

/// A connection.
pub(crate) struct Line {
    ftp: Ftp,
    sockets: Arc<Sockets>,
    shape: Shape,
    is_sound: bool,
}

/// Bytes on their way from the server.
pub(crate) struct Flow {
    /// Gone once it has ended well.
    stream: Option<TransferStream<Session>>,
    sockets: Arc<Sockets>,
    pace: Pace,
}

impl Sockets {
    /// Ends the line: whoever waits for its server is told at once, and nobody will again.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        // What is closed already can't be closed better.
        let _ = self.control.shutdown(Shutdown::Both);
        if let Some(data) = &*lock(&self.data) {
            let _ = data.shutdown(Shutdown::Both);
        }
    }

    /// Ends the line if it has exchanged commands for too long.
    pub(crate) fn cut_if_late(&self) {
        if lock(&self.busy_since).is_some_and(|since| since.elapsed() > EXCHANGE_MAX) {
            self.cut();
        }
    }

    fn begin(&self) {
        *lock(&self.busy_since) = Some(Instant::now());
    }

    fn end(&self) {
        *lock(&self.busy_since) = None;
    }

    fn take_data(&self, data: &TcpStream) -> io::Result<()> {
        *lock(&self.data) = Some(data.try_clone()?);
        if self.is_cut.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Line {
    /// Connects and logs in. `seen` is given the sockets before anything is waited for.
    pub(crate) fn open(
        account: &Account,
        shape: Option<Shape>,
        seen: impl FnOnce(&Arc<Sockets>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let tcp = connect(account.url.host(), account.url.port())?;
        let peer = tcp.peer_addr()?.ip();
        let control = tcp.try_clone()?;
        let (data, is_cut, busy_since) = Default::default();
        let sockets = Arc::new(Sockets { control, data, is_cut, busy_since });
        seen(&sockets)?;
        sockets.begin();
        let mut ftp = log_in(account, tcp, peer, &sockets)?;
        let shape = match shape {
            Some(shape) => shape,
            None => find_out(&mut ftp, &account.url)?,
        };
        if shape.wants_utf8 {
            passing(ftp.opts("UTF8", Some("ON")))?;
        }
        sockets.end();
        Ok(Self { ftp, sockets, shape, is_sound: true })
    }

    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) const fn sockets(&self) -> &Arc<Sockets> {
        &self.sockets
    }

    /// Whether it can be used for something else.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound && !self.sockets.is_cut.load(Ordering::SeqCst)
    }

    /// Whether the shared folder is there.
    pub(crate) fn probe(&mut self) -> Result<(), Failure> {
        let folder = self.at("");
        self.exchange(|ftp| ftp.cwd(folder))
    }

    /// What tells whether the file at `disk`, a path below the shared folder, is still the one that was hashed.
    pub(crate) fn stamp(&mut self, disk: &str) -> Result<Stamp, Failure> {
        let path = self.at(disk);
        let facts = if self.shape.has_mlsd {
            let line = self.exchange(|ftp| ftp.mlst(Some(&path)))?;
            facts_of(line.split_once("; ").map_or(line.as_str(), |(facts, _)| facts))
        } else {
            let size = self.exchange(|ftp| ftp.size(&path))?;
            let time = self.exchange(|ftp| ftp.mdtm(&path)).map_err(|failure| match failure {
                Failure::Refused(words) if words.starts_with("50") => {
                    Failure::Unfit("the server tells no times of its files (neither `MLST` nor `MDTM`)")
                }
                failure => failure,
            })?;
            Some(Facts { size: size as u64, mtime: time.and_utc().timestamp() })
        };
        facts.map(stamp_of).ok_or(Failure::Unfit("the server tells no size or time of its files"))
    }

    /// Begins to list the folder at `disk`, a path below the shared one.
    pub(crate) fn list(&mut self, disk: &str) -> Result<Flow, Failure> {
        let path = self.at(disk);
        let command = if self.shape.has_mlsd {
            format!("MLSD {path}")
        } else {
            // An argument may be taken for a pattern or for flags; no argument is neither.
            self.exchange(|ftp| ftp.cwd(path))?;
            "LIST".to_owned()
        };
        self.flow(|ftp| Ok(ftp.custom_data_command(command, &[Status::AboutToSend, Status::AlreadyOpen])?.1))
    }

    /// Begins to read the file at `disk` from the byte at `offset`.
    pub(crate) fn read(&mut self, disk: &str, offset: u64) -> Result<Flow, Failure> {
        let path = self.at(disk);
        let offset = usize::try_from(offset).map_err(|_| Failure::Unfit("the file is too large here"))?;
        self.flow(|ftp| {
            ftp.resume_transfer(offset)?;
            ftp.retr_as_stream(path)
        })
    }

    /// Ends what flowed, all of which has been read; the line can be used again if the server agrees.
    pub(crate) fn finish(&mut self, mut flow: Flow) -> Result<(), Failure> {
        let stream = flow.stream.take();
        // Ours is a second handle of the same connection, which servers with TLS wait to see closed.
        *lock(&self.sockets.data) = None;
        self.exchange(|_| stream.map_or(Ok(()), TransferStream::finish))?;
        self.is_sound = true;
        Ok(())
    }

    fn flow(
        &mut self,
        begin: impl FnOnce(&mut Ftp) -> FtpResult<TransferStream<Session>>,
    ) -> Result<Flow, Failure> {
        let stream = self.exchange(begin)?;
        self.is_sound = false; // until it is finished
        // Most servers send the last reply only when the first is acknowledged, for which a system takes 40 ms where it
        // has nothing else to say (RFC 1122, section 4.2.3.2, and RFC 896). Where it can't be hurried, it is slow.
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.sockets.control, true);
        Ok(Flow { stream: Some(stream), sockets: Arc::clone(&self.sockets), pace: Pace::default() })
    }

    fn exchange<T>(&mut self, run: impl FnOnce(&mut Ftp) -> FtpResult<T>) -> Result<T, Failure> {
        self.sockets.begin();
        let result = run(&mut self.ftp).map_err(Failure::from);
        self.sockets.end();
        if result.as_ref().is_err_and(Failure::is_lost) {
            self.is_sound = false;
        }
        result
    }

    /// The path on the server.
    fn at(&self, disk: &str) -> String {
        match disk {
            "" if self.shape.folder.is_empty() => "/".to_owned(),
            "" => self.shape.folder.clone(),
            disk => format!("{}/{disk}", self.shape.folder),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.sockets.cut();
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Read for Flow {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let begun = Instant::now();
        let read = loop {
            match stream.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.pace.add(begun.elapsed(), read as u64)?;
        Ok(read)
    }
}

/// A flow that was not finished is broken off: the server may have any amount more to send.
impl Drop for Flow {
    fn drop(&mut self) {
        if self.stream.is_some() {
            self.sockets.cut();
        }
    }
}

/// How fast bytes come, counting only the time that they are waited for.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn add(&mut self, waited: Duration, bytes: u64) -> io::Result<()> {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited >= IO_TIMEOUT {
            if self.bytes < PACE_BYTES {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server sends next to nothing"));
            }
            *self = Self::default();
        }
        Ok(())
    }
}

pub(super) const fn stamp_of(facts: Facts) -> Stamp {
    Stamp { size: facts.size, mtime_ns: facts.mtime.saturating_mul(1_000_000_000), inode: 0 }
}

fn connect(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let mut last = Failure::Lost("its name has no address".to_owned());
    for address in (host, port).to_socket_addrs()?.take(ADDRESSES_MAX) {
        match connect_to(&address) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn connect_to(address: &SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
    tcp.set_read_timeout(Some(IO_TIMEOUT))?;
    tcp.set_write_timeout(Some(IO_TIMEOUT))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn log_in(account: &Account, tcp: TcpStream, peer: IpAddr, sockets: &Arc<Sockets>) -> Result<Ftp, Failure> {
    let mut ftp = Ftp::connect_with_stream(tcp)?;
    if let Some(tls) = &account.tls {
        ftp = ftp.into_secure(tls.clone(), account.url.host()).map_err(|error| match error {
            FtpError::UnexpectedResponse(_) => {
                Failure::Unfit("it offers no TLS; `ftp://` goes without, unencrypted")
            }
            error => error.into(),
        })?;
    }
    let sockets = Arc::clone(sockets);
    ftp = ftp.passive_stream_builder(move |address| {
        // Only the port is the server's to say, so that it can't send us to anybody else (RFC 2577, section 3).
        let data = connect_to(&SocketAddr::new(peer, address.port())).map_err(FtpError::ConnectionError)?;
        sockets.take_data(&data).map_err(FtpError::ConnectionError)?;
        Ok(data)
    });
    ftp.set_mode(if peer.is_ipv4() { Mode::Passive } else { Mode::ExtendedPassive });
    ftp.login(account.user.as_str(), account.password.reveal()).map_err(Failure::of_login)?;
    ftp.transfer_type(FileType::Binary)?;
    Ok(ftp)
}

fn find_out(ftp: &mut Ftp, url: &FtpUrl) -> Result<Shape, Failure> {
    let features = match ftp.feat() {
        // A server that knows no `FEAT` has none.
        Err(FtpError::UnexpectedResponse(_) | FtpError::BadResponse) => Default::default(),
        features => features?,
    };
    let has = |name: &str| features.keys().any(|feature| feature.eq_ignore_ascii_case(name));
    let login_dir = passing(ftp.pwd())?.unwrap_or_default();
    if login_dir.contains(char::is_control) {
        return Err(Failure::Unfit("the server leads to a folder whose name has control characters"));
    }
    Ok(Shape {
        folder: url.folder(&login_dir),
        has_mlsd: has("MLST") || has("MLSD"),
        wants_utf8: has("UTF8"),
    })
}

/// What may be refused.
fn passing<T>(result: FtpResult<T>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(FtpError::UnexpectedResponse(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dribble_is_no_flow_and_a_slow_reader_is_no_dribble() {
        let mut pace = Pace::default();
        let steps = (0..29).map(|_| pace.add(Duration::from_secs(1), 100)).filter(Result::is_err).count();
        assert_eq!(steps, 0);
        assert_eq!(pace.add(Duration::from_secs(1), 100).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut pace = Pace::default();
        assert!((0..90).all(|_| pace.add(Duration::from_secs(1), 4_200).is_ok()));
    }
}
