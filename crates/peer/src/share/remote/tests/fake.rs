//! An FTP server that does as it is told: files in memory, and any kind of misbehaviour.
//!
//! Everything ends when it is dropped; what it was asked is kept, so that a test can see that it was not asked again.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peerage_wire::ContentHash;

use crate::catalogue::Catalogue;
use crate::share::{Audience, FtpLogins, FtpUrl, Location, ShareOptions, ShareSpec, Sharing};

/// A whole minute: a loaded machine is slow, and a condition that holds returns at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub(super) struct Manners {
    /// Lists with `LIST` only, as old servers do.
    pub(super) has_no_mlsd: bool,
    /// Lines that are in each listing of the top folder, before those of the files.
    pub(super) listed: Vec<Vec<u8>>,
    /// Goes on listing for ever.
    pub(super) lists_for_ever: bool,
    /// Every folder has one more.
    pub(super) is_bottomless: bool,
    /// Says nothing once it has said hello.
    pub(super) is_mute: bool,
    /// Lets nobody in.
    pub(super) refuses_login: bool,
    /// Where it says that its data connections are.
    pub(super) points_to: Option<[u8; 4]>,
    /// Hangs up after so many bytes of a file.
    pub(super) breaks_after: Option<usize>,
    /// Takes no account of `REST`, and says it does.
    pub(super) forgets_offsets: bool,
    /// Sends nothing of a file's bytes until it is told to.
    pub(super) holds_back: bool,
}

/// A file.
#[derive(Debug, Clone)]
pub(super) struct FakeFile {
    pub(super) bytes: Vec<u8>,
    /// `20240102030405`.
    pub(super) time: &'static str,
}

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<String, FakeFile>>,
    manners: Mutex<Manners>,
    asked: Mutex<Vec<String>>,
    sockets: Mutex<Vec<TcpStream>>,
    controls: Mutex<Vec<TcpStream>>,
    open_most: AtomicUsize,
    is_over: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// The server.
pub(super) struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Shared {
    /// One connection more; those that the other end has closed are none, though nobody here has noticed.
    fn count(&self, stream: &TcpStream) {
        use rustix::net::{RecvFlags, recv};
        let is_open = |stream: &TcpStream| {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            recv(stream, &mut [0_u8; 1][..], flags)
                .map_or_else(|error| error == rustix::io::Errno::AGAIN, |(read, _)| read > 0)
        };
        let mut controls = self.controls.lock().unwrap();
        controls.retain(is_open);
        controls.push(stream.try_clone().unwrap());
        self.open_most.fetch_max(controls.len(), Ordering::SeqCst);
    }
}

impl Fake {
    pub(super) fn start(manners: Manners) -> Self {
        Self::start_with(manners, None)
    }

    /// The same under TLS, by `AUTH TLS`.
    pub(super) fn start_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Manners::default(), Some(tls))
    }

    fn start_with(manners: Manners, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let shared = Arc::new(Shared { manners: Mutex::new(manners), tls, ..Shared::default() });
        let mut fake = Self { shared, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        fake.open();
        fake
    }

    /// The same at another's address.
    pub(super) fn start_tls_at(tls: Arc<rustls::ServerConfig>, url: &FtpUrl) -> Self {
        let shared = Arc::new(Shared { tls: Some(tls), ..Shared::default() });
        let mut fake = Self { shared, address: SocketAddr::from(([127, 0, 0, 1], url.port())) };
        fake.open();
        fake
    }

    /// Listens, at the same port as before.
    pub(super) fn open(&mut self) {
        let shared = Arc::new(Shared {
            files: Mutex::new(self.shared.files.lock().unwrap().clone()),
            manners: Mutex::new(self.shared.manners.lock().unwrap().clone()),
            tls: self.shared.tls.clone(),
            ..Shared::default()
        });
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        self.shared = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    shared.sockets.lock().unwrap().push(stream.try_clone().unwrap());
                    shared.count(&stream);
                    // A connection that breaks is none of the server's business.
                    let _ =
                        Visit { shared: &shared, data: None, rest: 0, folder: "/".to_owned() }.serve(stream);
                });
            }
        });
    }

    /// Stops listening and ends every connection.
    pub(super) fn close(&self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        wait("the port is free", || TcpListener::bind(self.address).is_ok());
    }

    pub(super) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>, time: &'static str) -> ContentHash {
        let bytes = bytes.into();
        let hash = ContentHash::of(&bytes);
        self.shared.files.lock().unwrap().insert(path.to_owned(), FakeFile { bytes, time });
        hash
    }

    pub(super) fn remove(&self, path: &str) {
        self.shared.files.lock().unwrap().remove(path);
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().unwrap());
    }

    /// How often it was asked something that begins so.
    pub(super) fn asked(&self, command: &str) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|asked| asked.starts_with(command)).count()
    }

    /// The most connections it had at a time.
    pub(super) fn open_most(&self) -> usize {
        self.shared.open_most.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self) -> FtpUrl {
        let scheme = if self.shared.tls.is_some() { "ftps" } else { "ftp" };
        format!("{scheme}://{}", self.address).parse().unwrap()
    }

    /// Shares what it has as `s`.
    pub(super) fn share(&self, cache: Option<&std::path::Path>) -> Shares {
        self.share_as(self.url(), FtpLogins::default(), cache)
    }

    /// The same for somebody in particular.
    pub(super) fn share_as(&self, url: FtpUrl, logins: FtpLogins, cache: Option<&std::path::Path>) -> Shares {
        let location = Location::Server(url);
        let spec = ShareSpec { name: "s".to_owned(), location, audience: Audience::Members };
        let catalogue = Arc::new(Catalogue::new());
        let poll_every = Duration::from_millis(100);
        let options = ShareOptions {
            poll_every,
            cache: cache.map(ToOwned::to_owned),
            hashers: Some(1),
            logins,
            ..ShareOptions::default()
        };
        let sharing = Sharing::start(vec![spec], &options, Arc::clone(&catalogue)).unwrap();
        let notes = sharing.take_notes().unwrap();
        Shares { catalogue, sharing, notes, heard: String::new() }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a peer makes of it.
pub(super) struct Shares {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) sharing: Sharing,
    notes: tokio::sync::mpsc::Receiver<String>,
    heard: String,
}

impl Shares {
    pub(super) fn names(&self) -> Vec<String> {
        self.catalogue.resend_all();
        let changes = self.catalogue.take_changes(usize::MAX).into_iter();
        changes
            .filter_map(|change| match change {
                peerage_wire::api::Change::Add(entry) => Some(entry.path.as_str()[2..].to_owned()),
                peerage_wire::api::Change::Remove { .. } => None,
            })
            .collect()
    }

    pub(super) fn wait_names(&self, names: &[&str]) {
        wait(&format!("{names:?}, not {:?}", self.names()), || self.names() == names);
    }

    pub(super) fn wait_hash(&self, name: &str, hash: ContentHash) {
        let path = peerage_wire::SharePath::parse(&format!("s/{name}")).unwrap();
        wait(name, || self.catalogue.get(&path).is_some_and(|entry| entry.hash == hash));
    }

    pub(super) fn wait_note(&mut self, part: &str) {
        wait(part, || {
            while let Ok(note) = self.notes.try_recv() {
                self.heard += &(note + "\n");
            }
            self.heard.contains(part)
        });
    }

    pub(super) fn hashed(&self) -> u64 {
        self.sharing.progress().files_hashed.load(Ordering::Relaxed)
    }

    /// The bytes of a content, or what became of them.
    pub(super) fn read(&self, hash: &ContentHash, from: usize, len: usize) -> io::Result<Vec<u8>> {
        let opened = self.catalogue.open(hash).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        opened.content.read_exact_at(&mut bytes, from as u64)?;
        Ok(bytes)
    }
}

pub(super) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One connection.
struct Visit<'a> {
    shared: &'a Shared,
    data: Option<TcpListener>,
    rest: usize,
    folder: String,
}

impl Visit<'_> {
    fn serve(&mut self, mut tcp: TcpStream) -> io::Result<()> {
        tcp.write_all(b"220 hello\r\n")?;
        if self.manners().is_mute {
            return tcp.read_to_end(&mut Vec::new()).map(|_| ());
        }
        let Some(tls) = &self.shared.tls else { return self.talk(Box::new(tcp)) };
        let mut line = String::new();
        BufReader::new(tcp.try_clone()?).read_line(&mut line)?;
        assert_eq!(line, "AUTH TLS\r\n");
        tcp.write_all(b"234 go on\r\n")?;
        self.talk(Box::new(encrypted(tls, tcp)))
    }

    fn talk(&mut self, stream: Box<dyn Stream>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end_matches("\r\n").to_owned();
            self.shared.asked.lock().unwrap().push(line.clone());
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = self.answer(command, argument, stream.get_mut())?;
            stream.get_mut().write_all(format!("{answer}\r\n").as_bytes())?;
            stream.get_mut().flush()?;
        }
    }

    fn answer(&mut self, command: &str, argument: &str, control: &mut dyn Stream) -> io::Result<String> {
        let manners = self.manners();
        let file = self.shared.files.lock().unwrap().get(argument).cloned();
        Ok(match (command, file) {
            ("USER", _) => "331 and?".to_owned(),
            ("PASS", _) if manners.refuses_login => "530 not you".to_owned(),
            ("PASS" | "LOGIN", _) => "230 welcome".to_owned(),
            ("TYPE" | "OPTS" | "PBSZ" | "PROT" | "NOOP", _) => "200 as you like".to_owned(),
            ("FEAT", _) if manners.has_no_mlsd => "211-features\r\n MDTM\r\n SIZE\r\n211 end".to_owned(),
            ("FEAT", _) => "211-features\r\n MLST size*;modify*;type*;\r\n UTF8\r\n211 end".to_owned(),
            ("PWD", _) => "257 \"/\" it is".to_owned(),
            ("CWD", _) => {
                argument.clone_into(&mut self.folder);
                "250 there".to_owned()
            }
            ("MLST", Some(file)) => {
                format!(
                    "250-that\r\n type=file;size={};modify={}; {argument}\r\n250 end",
                    file.bytes.len(),
                    file.time
                )
            }
            ("SIZE", Some(file)) => format!("213 {}", file.bytes.len()),
            ("MDTM", Some(file)) => format!("213 {}", file.time),
            ("PASV", _) => self.passive(&manners)?,
            ("REST", _) => {
                self.rest = if manners.forgets_offsets { 0 } else { argument.parse().unwrap() };
                "350 and?".to_owned()
            }
            ("RETR", Some(file)) => self.send(control, |visit, data| {
                let end = manners.breaks_after.map_or(file.bytes.len(), |after| file.bytes.len().min(after));
                while visit.manners().holds_back && !visit.shared.is_over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                data.write_all(&file.bytes[visit.rest.min(end)..end])
            })?,
            ("MLSD" | "LIST", _) => {
                let folder = if command == "MLSD" { argument.to_owned() } else { self.folder.clone() };
                self.send(control, |visit, data| visit.list(&folder, &manners, data))?
            }
            _ => "550 no such thing".to_owned(),
        })
    }

    fn passive(&mut self, manners: &Manners) -> io::Result<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (port, [a, b, c, d]) =
            (listener.local_addr()?.port(), manners.points_to.unwrap_or([127, 0, 0, 1]));
        self.data = Some(listener);
        Ok(format!("227 at ({a},{b},{c},{d},{},{})", port >> 8, port & 255))
    }

    fn send(
        &mut self,
        control: &mut dyn Stream,
        write: impl FnOnce(&Self, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<String> {
        let (tcp, _) = self.data.take().unwrap().accept()?;
        self.shared.sockets.lock().unwrap().push(tcp.try_clone()?);
        control.write_all(b"150 here it comes\r\n")?;
        control.flush()?;
        let written = match &self.shared.tls {
            None => write(self, &mut &tcp),
            Some(tls) => {
                let mut data = encrypted(tls, tcp.try_clone()?);
                write(self, &mut data).and_then(|()| data.flush())
            }
        };
        self.rest = 0;
        tcp.shutdown(Shutdown::Both)?;
        Ok(if written.is_ok() { "226 that was it" } else { "426 you hung up" }.to_owned())
    }

    fn list(&self, folder: &str, manners: &Manners, data: &mut dyn Write) -> io::Result<()> {
        let inside = format!("{}/", folder.trim_end_matches('/'));
        if inside == "/" {
            for line in &manners.listed {
                data.write_all(&[line, &b"\r\n"[..]].concat())?;
            }
        }
        if manners.is_bottomless {
            data.write_all(b"type=dir; deeper\r\n")?;
        }
        if manners.lists_for_ever {
            let lines =
                (0_u64..).map(|number| format!("type=file;size=1;modify=20240102030405; {number}\r\n"));
            return lines.map(|line| data.write_all(line.as_bytes())).find(Result::is_err).unwrap_or(Ok(()));
        }
        let files = self.shared.files.lock().unwrap().clone();
        let mut folders = std::collections::BTreeSet::new();
        for (path, file) in &files {
            let Some(rest) = path.strip_prefix(&inside) else { continue };
            let (name, size) = (rest.split('/').next().unwrap(), file.bytes.len());
            let line = match (rest.contains('/'), manners.has_no_mlsd) {
                (true, _) if !folders.insert(name) => continue,
                (true, false) => format!("type=dir; {name}\r\n"),
                (true, true) => format!("drwxr-xr-x 1 0 0 4096 Jan 01 2020 {name}\r\n"),
                (false, false) => format!("type=file;size={size};modify={}; {name}\r\n", file.time),
                (false, true) => format!("-rw-r--r-- 1 0 0 {size} Jan 01 2020 {name}\r\n"),
            };
            data.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn manners(&self) -> Manners {
        self.shared.manners.lock().unwrap().clone()
    }
}

fn encrypted(
    tls: &Arc<rustls::ServerConfig>,
    tcp: TcpStream,
) -> rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::clone(tls)).unwrap(), tcp)
}
