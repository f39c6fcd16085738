//! A TLS connection to a peer, read by the very thread that proves what comes.
//!
//! Invariants: bytes are received into memory that begins a page, up to [`RECEIVE_BYTES`] at a time, decrypted in
//! place and handed on from there; nothing is handed on that was not authenticated; a line that failed once is of
//! no more use. Calls block; a [`Cutter`] ends them from any other thread.
//!
//! This is rustls's unbuffered interface, because the buffered one receives 4 KiB at a time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::RecvFlags;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, client::ClientConnectionData};

use crate::rate::RateLimit;
use crate::room::Room;

/// Bytes received at a time: what a core's own cache holds until they are proven.
const RECEIVE_BYTES: usize = 256 << 10;
/// The longest record: 2^14 bytes, with its head and what encryption may add (RFC 8446, section 5.2).
const RECORD_BYTES_MAX: usize = (16 << 10) + 256 + 5;
/// What rustls adds to a short message.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// Why a line is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("it was closed")]
    Closed,
}

/// A connection whose handshake is done.
pub(crate) struct Line {
    stream: Arc<TcpStream>,
    tls: UnbufferedClientConnection,
    inbox: Inbox,
    /// Encrypted, not sent yet.
    outbox: Vec<u8>,
    /// Decrypted, and left by who took the bytes before.
    rest: Vec<u8>,
    limit: Option<RateLimit>,
    leash: Leash,
}

/// What is to be done with a line.
enum Aim<'a> {
    Shake,
    Send(&'a [u8]),
    Receive(&'a mut dyn FnMut(&[u8]) -> usize),
}

/// How far one step came.
enum Step {
    Done,
    Again,
    Starved,
}

impl Line {
    /// Does the handshake over a connected, blocking stream.
    pub(crate) fn open(
        stream: Arc<TcpStream>,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        limit: Option<RateLimit>,
    ) -> Result<Self, LineError> {
        let tls = UnbufferedClientConnection::new(config, name)?;
        let (outbox, rest) = (Vec::new(), Vec::new());
        let leash = Leash::default();
        let mut line = Self { stream, tls, inbox: Inbox::new(), outbox, rest, limit, leash };
        line.achieve(Aim::Shake)?;
        Ok(line)
    }

    /// Sends all of `bytes`, a short message.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        self.achieve(Aim::Send(bytes))
    }

    /// Hands the next bytes, at least one, to `take`, which says how many of them it took. Waits until some have come.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> Result<(), LineError> {
        if self.rest.is_empty() {
            return self.achieve(Aim::Receive(&mut take));
        }
        let taken = take(&self.rest).min(self.rest.len());
        self.rest.drain(..taken);
        Ok(())
    }

    /// Whether nothing has come that nobody took, and the other side has not hung up.
    pub(crate) fn is_quiet(&self) -> bool {
        let peeked = rustix::net::recv(&*self.stream, &mut [0; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.rest.is_empty()
            && self.inbox.is_empty()
            && peeked.is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }

    /// Ends whatever call waits, from another thread. One at a time: an earlier one has no hold any more.
    pub(crate) fn cutter(&mut self) -> Cutter {
        self.release();
        let cutter = Cutter::new(Arc::clone(&self.stream));
        self.leash = Arc::clone(&cutter.0);
        cutter
    }

    /// From here on no cutter has a hold on it: it is for somebody else now.
    pub(crate) fn release(&self) {
        unleash(&self.leash);
    }

    fn achieve(&mut self, mut aim: Aim<'_>) -> Result<(), LineError> {
        loop {
            match self.step(&mut aim)? {
                Step::Done => return Ok(()),
                Step::Again => {}
                Step::Starved => self.wait()?,
            }
        }
    }

    /// Waits for more bytes, and where there is a limit until they are within it.
    fn wait(&mut self) -> Result<(), LineError> {
        let most = self.limit.as_ref().map_or(RECEIVE_BYTES, |limit| limit.step(RECEIVE_BYTES));
        let bytes = self.inbox.receive(&self.stream, most)?;
        if let Some(limit) = &self.limit {
            std::thread::sleep(limit.pay(bytes));
        }
        Ok(())
    }

    fn step(&mut self, aim: &mut Aim<'_>) -> Result<Step, LineError> {
        let Self { stream, tls, inbox, outbox, rest, .. } = self;
        let UnbufferedStatus { discard, state } = tls.process_tls_records(inbox.filled());
        let step = match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                let mut is_taken = false;
                while let Some(record) = traffic.next_record() {
                    let payload = record?.payload;
                    let taken = match aim {
                        Aim::Receive(take) if !is_taken && rest.is_empty() => {
                            take(payload).min(payload.len())
                        }
                        _ => 0,
                    };
                    is_taken = true;
                    rest.extend_from_slice(&payload[taken..]);
                }
                if matches!(aim, Aim::Receive(_)) && is_taken { Step::Done } else { Step::Again }
            }
            ConnectionState::EncodeTlsData(mut data) => {
                encode(&mut data, outbox)?;
                Step::Again
            }
            ConnectionState::TransmitTlsData(transmit) => {
                flush(stream, outbox)?;
                transmit.done();
                Step::Again
            }
            ConnectionState::WriteTraffic(mut traffic) => match aim {
                Aim::Shake => Step::Done,
                Aim::Receive(_) => Step::Starved,
                Aim::Send(bytes) => {
                    let start = outbox.len();
                    outbox.resize(
                        start + bytes.len() + RECORD_OVERHEAD_BYTES * (1 + bytes.len() / RECORD_BYTES_MAX),
                        0,
                    );
                    let written = traffic.encrypt(bytes, &mut outbox[start..]).map_err(unencrypted)?;
                    outbox.truncate(start + written);
                    flush(stream, outbox)?;
                    Step::Done
                }
            },
            ConnectionState::BlockedHandshake => Step::Starved,
            _ => return Err(LineError::Closed),
        };
        inbox.discard(discard);
        Ok(step)
    }
}

fn encode(data: &mut EncodeTlsData<'_, ClientConnectionData>, outbox: &mut Vec<u8>) -> Result<(), LineError> {
    let start = outbox.len();
    outbox.resize(start + RECORD_BYTES_MAX, 0);
    let encoded = match data.encode(&mut outbox[start..]) {
        Err(EncodeError::InsufficientSize(error)) => {
            outbox.resize(start + error.required_size, 0);
            data.encode(&mut outbox[start..])
        }
        encoded => encoded,
    };
    outbox.truncate(start + encoded.map_err(io::Error::other)?);
    Ok(())
}

fn unencrypted(error: EncryptError) -> LineError {
    LineError::Io(io::Error::other(error))
}

fn flush(mut stream: &TcpStream, outbox: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(outbox)?;
    outbox.clear();
    Ok(())
}

/// Bytes received and not decrypted yet.
struct Inbox {
    room: Room,
    start: usize,
    end: usize,
}

impl Inbox {
    fn new() -> Self {
        Self { room: Room::new(RECEIVE_BYTES + RECORD_BYTES_MAX), start: 0, end: 0 }
    }

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn filled(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.end]
    }

    fn discard(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Waits for more, at most so many bytes; how many came.
    fn receive(&mut self, mut stream: &TcpStream, most: usize) -> Result<usize, LineError> {
        if self.start > 0 {
            // At most a record that has not come whole.
            self.room.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let end = self.room.len().min(self.end + most);
        loop {
            match stream.read(&mut self.room[self.end..end]) {
                Ok(0) => return Err(LineError::Closed),
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Cuts a line when it is dropped, unless it was told to spare it or the line has been given back.
pub(crate) struct Cutter(Leash);

/// What a cutter holds a line by.
type Leash = Arc<Mutex<Option<Arc<TcpStream>>>>;

impl Cutter {
    /// For a connection that is no line yet.
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// Leaves the line alone.
    pub(crate) fn spare(self) {
        unleash(&self.0);
    }
}

fn unleash(leash: &Leash) -> Option<Arc<TcpStream>> {
    leash.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Drop for Cutter {
    fn drop(&mut self) {
        if let Some(stream) = unleash(&self.0) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
