//! TLS towards an FTP server: any certificate at first, the same one from then on.
//!
//! Invariants: a server in somebody's cupboard has a certificate that nobody vouches for, so who it is is not proven; but
//! for as long as this peer runs it must be the same one on every connection, for commands and for data, and the
//! handshake's signature is always verified. TLS 1.2 is spoken too, since such servers are old.
//!
//! Sessions are resumed: many servers take a data connection only if it resumes the session of its commands.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
};
use suppaftp::{FtpError, FtpResult, TlsConnector, TlsStream};

/// Makes the TLS connections to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connector(Arc<ClientConfig>);

impl Connector {
    /// For a server that is not known yet.
    ///
    /// # Errors
    /// Where the library has no cipher for a version.
    pub(crate) fn new() -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            SameServer { seen: Mutex::default(), algorithms: provider.signature_verification_algorithms };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl TlsConnector for Connector {
    type Stream = Session;

    fn connect(&self, domain: &str, mut tcp: TcpStream) -> FtpResult<Session> {
        let failed = |error: &dyn std::fmt::Display| FtpError::SecureError(error.to_string());
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| failed(&error))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name).map_err(|error| failed(&error))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(|error| failed(&error))?;
        }
        Ok(Session(Encrypted { tls, tcp }))
    }
}

/// A TLS connection as the FTP library wants it.
#[derive(Debug)]
pub(crate) struct Session(Encrypted);

/// What is read and written is encrypted on its way.
#[derive(Debug)]
pub(crate) struct Encrypted {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl TlsStream for Session {
    type InnerStream = Encrypted;

    fn tcp_stream(self) -> FtpResult<TcpStream> {
        self.0.tcp.try_clone().map_err(FtpError::ConnectionError)
    }

    fn get_ref(&self) -> &TcpStream {
        &self.0.tcp
    }

    fn mut_ref(&mut self) -> &mut Encrypted {
        &mut self.0
    }
}

/// Says that it is over, as TLS has it; some servers take a plain end for a broken one.
impl Drop for Encrypted {
    fn drop(&mut self) {
        self.tls.send_close_notify();
        // Whoever has gone already need not be told.
        let _ = self.tls.write_tls(&mut self.tcp);
    }
}

impl Read for Encrypted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match rustls::Stream::new(&mut self.tls, &mut self.tcp).read(bytes) {
            // Many servers just hang up after the last byte. Whether it was the last they say on the other connection,
            // and how many there must be is known.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.tls, &mut self.tcp).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(&mut self.tls, &mut self.tcp).flush()
    }
}

/// Takes the first certificate it sees, and from then on no other.
#[derive(Debug)]
struct SameServer {
    seen: Mutex<Option<blake3::Hash>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SameServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = blake3::hash(end_entity);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen.get_or_insert(shown) == shown {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
