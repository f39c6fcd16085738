//! A source that plays a trick, over a real socket.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use peerage_wire::api::Source;
use peerage_wire::bundle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{MIB, list_of, source};
use crate::identity::Identity;
use crate::tls;

/// What a dishonest or broken source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// None: what it has is the content, in full.
    Honest,
    /// One bit of this byte is flipped.
    WrongByte(usize),
    /// The list is another content's.
    WrongList,
    /// Promises everything and closes after this many bytes of each answer.
    CutAfter(usize),
    /// Answers fewer bytes than were asked for, and says so.
    Short,
    /// Answers more bytes than were asked for, and says so.
    Long,
    /// Sends this many bytes of each answer and then waits for ever.
    StallAfter(usize),
    /// One byte now and then.
    Dribble,
    /// Takes the request and never answers.
    Silent,
    /// Is gone for good once it has sent this many bytes in all.
    VanishAfter(usize),
    /// Turns the first so many requests away.
    BusyFor(usize),
    /// Has never heard of it.
    Empty,
    /// Speaks something else.
    Garbage,
    /// Sends each piece once and then never again, to nobody.
    Once,
    /// Says in too few bits which pieces it has.
    ShortHave,
}

/// A source that plays a trick.
pub(crate) struct Trickster {
    pub(crate) source: Source,
    served: Arc<Served>,
    task: AbortHandle,
}

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

struct Served {
    content: Vec<u8>,
    trick: Trick,
    sent_bytes: AtomicU64,
    requests: AtomicUsize,
    /// Pieces that are not sent again.
    given: Mutex<BTreeSet<usize>>,
}

impl Trickster {
    pub(crate) async fn start(content: &[u8], trick: Trick) -> Self {
        let identity = Identity::generate().unwrap();
        let config = tls::server_config(&identity).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = source(&identity, listener.local_addr().unwrap());
        let served = Arc::new(Served {
            content: content.to_vec(),
            trick,
            sent_bytes: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            given: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(config), Arc::clone(&served)));
        Self { source, served, task: task.abort_handle() }
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.served.sent_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.served.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Trickster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, served: Arc<Served>) {
    let mut connections = JoinSet::new();
    while !served.has_vanished() {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let (acceptor, served) = (acceptor.clone(), Arc::clone(&served));
                connections.spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        while served.answer(&mut stream).await.is_some() {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Served {
    fn has_vanished(&self) -> bool {
        let sent = self.sent_bytes.load(Ordering::Relaxed);
        matches!(self.trick, Trick::VanishAfter(bytes) if sent >= bytes as u64)
    }

    /// Whether none of these bytes was given before; from now on they were.
    fn gives(&self, bytes: Range<usize>) -> bool {
        let mut given = self.given.lock().unwrap();
        let pieces: Vec<usize> = (bytes.start / MIB..bytes.end.div_ceil(MIB)).collect();
        let is_new = pieces.iter().all(|piece| !given.contains(piece));
        if is_new {
            given.extend(pieces);
        }
        is_new
    }

    /// Answers one request; `None` ends the connection.
    async fn answer(&self, stream: &mut TlsStream<TcpStream>) -> Option<()> {
        let request = read_request(stream).await?;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let size = self.content.len();
        let head = match self.trick {
            Trick::Silent => std::future::pending().await,
            Trick::Garbage => "220 Welcome to the file transfer service\r\n".to_owned(),
            Trick::Empty => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Trick::BusyFor(requests) if number < requests => BUSY.to_owned(),
            _ if request.starts_with("POST ") => return self.send_bundle(stream, &request).await,
            _ if request.contains("/pieces ") => {
                let mut list = list_of(&self.content).to_bytes();
                if self.trick == Trick::WrongList {
                    list[0] ^= 1;
                }
                stream.write_all(head("200 OK", list.len(), None).as_bytes()).await.ok()?;
                return stream.write_all(&list).await.ok();
            }
            _ if request.contains("/have ") => {
                let missing = usize::from(self.trick == Trick::ShortHave);
                let have = vec![0xff; size.div_ceil(MIB).div_ceil(8) - missing];
                stream.write_all(head("200 OK", have.len(), None).as_bytes()).await.ok()?;
                return stream.write_all(&have).await.ok();
            }
            Trick::Once if !self.gives(range_of(&request, size)) => BUSY.to_owned(),
            _ => return self.send(stream, range_of(&request, size)).await,
        };
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.flush().await.ok()
    }

    async fn send(&self, stream: &mut TlsStream<TcpStream>, asked: Range<usize>) -> Option<()> {
        let mut bytes = self.content[asked.clone()].to_vec();
        match self.trick {
            Trick::WrongByte(at) if asked.contains(&at) => bytes[at - asked.start] ^= 0x10,
            Trick::Short => bytes.truncate(bytes.len() / 2),
            Trick::Long => bytes.extend_from_slice(&[0; 100]),
            _ => {}
        }
        let is_part = asked != (0..self.content.len());
        let range =
            is_part.then(|| format!("bytes {}-{}/{}", asked.start, asked.end - 1, self.content.len()));
        let status = if is_part { "206 Partial Content" } else { "200 OK" };
        stream.write_all(head(status, bytes.len(), range).as_bytes()).await.ok()?;
        for (at, chunk) in bytes.chunks(16 << 10).enumerate() {
            let sent = at * (16 << 10);
            match self.trick {
                Trick::CutAfter(bytes) if sent >= bytes => return None,
                Trick::StallAfter(bytes) if sent >= bytes => std::future::pending().await,
                Trick::Dribble => self.dribble(stream, chunk).await?,
                _ if self.has_vanished() => return None,
                _ => stream.write_all(chunk).await.ok()?,
            }
            self.sent_bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        stream.flush().await.ok()
    }

    /// Its content for every hash that is asked for, with one byte wrong where that is its trick.
    async fn send_bundle(&self, stream: &mut TlsStream<TcpStream>, request: &str) -> Option<()> {
        let (_, body) = request.split_once("\r\n\r\n")?;
        let mut entry = [&(self.content.len() as u64).to_be_bytes()[..], &self.content].concat();
        if let Trick::WrongByte(at) = self.trick {
            entry[bundle::LENGTH_BYTES + at] ^= 0x10;
        }
        let bytes = entry.repeat(body.lines().count());
        stream.write_all(head("200 OK", bytes.len(), None).as_bytes()).await.ok()?;
        let sent = if self.trick == Trick::CutAfter(0) { &bytes[..bytes.len() / 2] } else { &bytes };
        stream.write_all(sent).await.ok()?;
        stream.flush().await.ok()?;
        (self.trick != Trick::CutAfter(0)).then_some(())
    }

    async fn dribble(&self, stream: &mut TlsStream<TcpStream>, chunk: &[u8]) -> Option<()> {
        for byte in chunk {
            stream.write_all(&[*byte]).await.ok()?;
            stream.flush().await.ok()?;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Some(())
    }
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).ok()?;
    let len = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(text + &String::from_utf8(body).ok()?)
}

fn range_of(request: &str, size: usize) -> Range<usize> {
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return 0..size };
    first.parse().unwrap()..last.parse::<usize>().unwrap() + 1
}

fn head(status: &str, len: usize, range: Option<String>) -> String {
    let range = range.map(|range| format!("Content-Range: {range}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{range}\r\n")
}
