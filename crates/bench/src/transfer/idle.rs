//! What an idle connection costs a source: many are opened, each is used once and then kept.
//!
//! Invariant: the figure counts only when every connection is still open after the memory was read, which a second
//! request on each shows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::contender::Stage;
use crate::contender::peerage::{Share, door_of, index};
use crate::daemon::Daemon;
use crate::family::Setting;
use crate::material::Material;
use crate::place::Place;
use crate::process::resident_bytes;
use crate::report::{Facts, Section, approximate};

/// Longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of the file that each connection asks for.
const SMALL_BYTES: u64 = 1 << 10;

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

pub(crate) fn run(setting: &Setting, connections: usize) -> Result<Vec<Section>> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::file(&place.folder("share")?, "small.bin", SMALL_BYTES)?;
    let (_index, url) = index(&setting.peerage, "127.0.0.1:0", place.path())?;
    let share =
        Share { home: place.folder("home")?, name: "source".to_owned(), index: url, listen: "127.0.0.1:0" };
    let stage = Stage { material: &material, own: place.path(), limit: setting.limit };
    let mut source = share.start(&setting.peerage, &stage, &[])?;
    let door = Door {
        address: door_of(&mut source)?,
        path: format!("/v1/blobs/{}", material.only()?.1.hash),
        tls: tls()?,
    };
    let rows = measure(&door, &source, connections)?;
    Ok(vec![Section::Facts(Facts {
        title: "idle".to_owned(),
        about: "Idle TLS connections to one source, each after one small request. Goal: at most 64 KiB each."
            .to_owned(),
        rows,
    })])
}

fn measure(door: &Door, source: &Daemon, count: usize) -> Result<Vec<(String, String)>> {
    let mut first = door.connect()?;
    door.ask(&mut first)?; // what the first one costs is not the price of each
    let before = resident_bytes(&[source.id()]);
    let started = Instant::now();
    let mut open = Vec::new();
    for number in 0..count {
        let mut connection = door.connect().with_context(|| format!("connection {number}"))?;
        door.ask(&mut connection).with_context(|| format!("connection {number}"))?;
        open.push(connection);
    }
    let after = resident_bytes(&[source.id()]);
    let opened_in = started.elapsed();
    let alive = open.iter_mut().filter_map(|connection| door.ask(connection).ok()).count();
    ensure!(alive == count, "only {alive} of {count} connections lived until the memory was read");
    let each = approximate(after.saturating_sub(before)) / approximate(count as u64) / 1024.0;
    Ok(vec![
        ("connections".to_owned(), count.to_string()),
        ("opened and used in".to_owned(), format!("{:.2} s", opened_in.as_secs_f64())),
        ("memory before".to_owned(), format!("{} KiB", before >> 10)),
        ("memory with all of them".to_owned(), format!("{} KiB", after >> 10)),
        ("each".to_owned(), format!("{each:.1} KiB")),
    ])
}

/// A source's door, and how to knock.
struct Door {
    address: SocketAddr,
    path: String,
    tls: Arc<ClientConfig>,
}

impl Door {
    fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let session = ClientConnection::new(Arc::clone(&self.tls), name)?;
        Ok(BufReader::new(StreamOwned::new(session, stream)))
    }

    fn ask(&self, connection: &mut Connection) -> Result<()> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.address);
        connection.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        connection.read_line(&mut status)?;
        ensure!(status.starts_with("HTTP/1.1 200"), "answered `{}`", status.trim());
        let mut length = None;
        loop {
            let mut line = String::new();
            ensure!(connection.read_line(&mut line)? > 0, "closed within an answer");
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        let length: usize = length.context("an answer without a length")?;
        Ok(connection.read_exact(&mut vec![0; length])?)
    }
}

fn tls() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { schemes }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Believes every certificate: only memory is measured here, of a source that was started a moment ago.
#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
