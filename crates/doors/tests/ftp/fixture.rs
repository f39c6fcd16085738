//! A door over a real share, and a client that speaks FTP line by line.
//!
//! Invariant: the door, its share and its folder go when the fixture is dropped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peerage_doors::ftp::{FtpConfig, FtpDoor, Tls, run};
use peerage_doors::users::Users;
use peerage_peer::catalogue::Catalogue;
use peerage_peer::identity::Identity;
use peerage_peer::share::{Audience, Location, ShareOptions, ShareSpec, Sharing, Watching};
use peerage_peer::tls;
use peerage_peer::uploads::Uploads;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// A door and what it serves.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) users: Users,
    pub(crate) dir: PathBuf,
    identity: Arc<Identity>,
    door: AbortHandle,
    _sharing: Sharing,
    _temporary: tempfile::TempDir,
}

/// What a test may set.
pub(crate) struct Setting {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Tls,
    pub(crate) passive: Option<&'static str>,
    pub(crate) advertise: Option<[u8; 4]>,
    pub(crate) audience: Audience,
    pub(crate) uploads: Uploads,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: Tls::Optional,
            passive: None,
            advertise: None,
            audience: Audience::Public,
            uploads: Uploads::default(),
        }
    }
}

impl Fixture {
    /// Shares these files as `s`.
    pub(crate) async fn start(files: &[(&str, &[u8])]) -> Self {
        Self::start_with(files, Setting::default()).await
    }

    pub(crate) async fn start_with(files: &[(&str, &[u8])], setting: Setting) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let dir = root.join("shared");
        std::fs::create_dir(&dir).unwrap();
        for (name, bytes) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
        let spec = ShareSpec {
            name: "s".to_owned(),
            location: Location::Folder(dir.clone()),
            audience: setting.audience,
        };
        let catalogue = Arc::new(Catalogue::new());
        let options = ShareOptions { watching: Watching::Poll, hashers: Some(1), ..ShareOptions::default() };
        let sharing = Sharing::start(vec![spec], &options, Arc::clone(&catalogue)).unwrap();
        sharing.first_scan_done().await;
        let (identity, users) = (Arc::new(Identity::generate().unwrap()), Users::of_home(&root));
        let config = FtpConfig {
            tls: setting.tls,
            passive: setting.passive.map(|range| range.parse().unwrap()),
            advertise: setting.advertise.map(Into::into),
            users: users.clone(),
        };
        let door = FtpDoor::new(catalogue, setting.uploads, &identity, config).unwrap();
        let listener = TcpListener::bind(setting.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = tokio::spawn(run(listener, door, std::future::pending())).abort_handle();
        Self { address, users, dir, identity, door, _sharing: sharing, _temporary: temporary }
    }

    /// Connected and greeted.
    pub(crate) async fn connect(&self) -> Client {
        let mut client =
            Client::over(Box::new(TcpStream::connect(self.address).await.unwrap()), self.address);
        assert!(client.reply().await.starts_with("220 "));
        client
    }

    /// Logged in as everybody.
    pub(crate) async fn anonymous(&self) -> Client {
        let mut client = self.connect().await;
        client.log_in("anonymous", "x").await;
        client
    }

    /// Inside TLS, with this door's own key and no other.
    pub(crate) async fn connect_tls(&self) -> Client {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        for (send, expected) in [("", "220 "), ("AUTH TLS\r\n", "234 ")] {
            stream.write_all(send.as_bytes()).await.unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(stream.read_u8().await.unwrap());
            }
            assert!(line.starts_with(expected.as_bytes()), "{line:?}");
        }
        Client {
            tls: Some(self.connector()),
            ..Client::over(shaken(&self.connector(), stream).await, self.address)
        }
    }

    fn connector(&self) -> TlsConnector {
        let anybody = Identity::generate().unwrap();
        TlsConnector::from(tls::client_config(&anybody, self.identity.peer_id()).unwrap())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn shaken(connector: &TlsConnector, stream: TcpStream) -> Box<dyn Stream> {
    Box::new(connector.connect("localhost".try_into().unwrap(), stream).await.unwrap())
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An FTP client that hides nothing.
pub(crate) struct Client {
    pub(crate) stream: BufReader<Box<dyn Stream>>,
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Client {
    pub(crate) fn over(stream: Box<dyn Stream>, address: SocketAddr) -> Self {
        Self { stream: BufReader::new(stream), address, tls: None }
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// A whole reply; nothing once the connection is over. Its bytes are text and line ends, whatever it is about.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = Vec::new();
        loop {
            let start = reply.len();
            if self.stream.read_until(b'\n', &mut reply).await.unwrap_or(0) == 0 {
                break;
            }
            let line = &reply[start..];
            if line.len() > 3 && line[..3].iter().all(u8::is_ascii_digit) && line[3] == b' ' {
                break;
            }
        }
        let reply = String::from_utf8(reply).unwrap();
        assert!(!reply.replace("\r\n", "").contains(char::is_control), "{reply:?}");
        reply
    }

    /// A command and its reply.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.reply().await
    }

    pub(crate) async fn log_in(&mut self, name: &str, password: &str) -> String {
        assert!(self.ask(&format!("USER {name}")).await.starts_with("331 "));
        self.ask(&format!("PASS {password}")).await
    }

    /// A data connection by `EPSV`.
    pub(crate) async fn data(&mut self) -> Box<dyn Stream> {
        let reply = self.ask("EPSV").await;
        let port = reply.split('|').nth(3).unwrap_or_else(|| panic!("{reply}")).parse().unwrap();
        let stream = TcpStream::connect(SocketAddr::new(self.address.ip(), port)).await.unwrap();
        Box::new(stream)
    }

    /// A transfer: what came, and how it ended.
    pub(crate) async fn fetch(&mut self, command: &str) -> (Vec<u8>, String) {
        let mut data = self.data().await;
        let begun = self.ask(command).await;
        if !begun.starts_with("150 ") {
            return (Vec::new(), begun);
        }
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).await.unwrap();
        (bytes, self.reply().await)
    }

    /// The same with the data inside TLS.
    pub(crate) async fn fetch_tls(&mut self, command: &str) -> (Vec<u8>, String) {
        let reply = self.ask("EPSV").await;
        let port = reply.split('|').nth(3).unwrap().parse().unwrap();
        let stream = TcpStream::connect(SocketAddr::new(self.address.ip(), port)).await.unwrap();
        let begun = self.ask(command).await;
        if !begun.starts_with("150 ") {
            return (Vec::new(), begun);
        }
        let (mut data, mut bytes) = (shaken(self.tls.as_ref().unwrap(), stream).await, Vec::new());
        data.read_to_end(&mut bytes).await.unwrap();
        (bytes, self.reply().await)
    }

    /// A listing's lines. Its bytes are text and line ends.
    pub(crate) async fn lines(&mut self, command: &str) -> Vec<String> {
        let (bytes, end) = self.fetch(command).await;
        assert!(end.starts_with("226 "), "{command}: {end}");
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.replace("\r\n", "").contains(char::is_control), "{text:?}");
        text.lines().map(str::to_owned).collect()
    }
}
