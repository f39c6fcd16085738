//! TLS between peers: version 1.3 only, both ends known by their Ed25519 keys and by nothing else. Browsers know no such
//! keys and are shown another, which proves nothing to them or to anybody.
//!
//! Invariants: names, dates and issuers in a certificate mean nothing here; a client goes on only with the key
//! it was told to expect; the handshake's signature is always verified, so a certificate that somebody copied
//! proves nothing. Where keys are asked for there is no session resumption: a resumed session would carry over an identity that was
//! checked in another connection and skip the check in this one, and a full handshake costs about a
//! millisecond once for each kept connection.

mod certificate;

use std::sync::Arc;

use peerage_wire::PeerId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::identity::Identity;

/// The only protocol spoken.
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Sessions that may be resumed at a door without client keys, some 200 bytes each: four for every connection it takes.
const SESSIONS_KEPT: usize = 256;

/// What precedes the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];

/// For a door: shows this peer's key, and asks for the other's without insisting, so that `curl` gets in too.
///
/// # Errors
/// When the certificate can't be made.
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let provider = provider();
    let verifier = Arc::new(AnyPeer { algorithms: provider.signature_verification_algorithms });
    let mut config = shown_by(identity, provider, verifier)?;
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// For a door that speaks another protocol than HTTP: shows this peer's key, and asks for none. Since nobody is known by
/// a key here, sessions may be resumed: FTP makes a connection for every file.
///
/// # Errors
/// When the certificate can't be made.
pub fn plain_server_config(identity: &Identity) -> Result<Arc<ServerConfig>, Error> {
    let mut config = shown_by(identity, provider(), Arc::new(NoClientAuth {}))?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_KEPT);
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn shown_by(
    identity: &Identity,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, Error> {
    let shown = certificate::Shown::new(identity, Arc::clone(&provider))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(shown));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// For a connection to the peer `expected`: shows this peer's key, and goes on with that other key only.
///
/// # Errors
/// When the certificate can't be made.
pub fn client_config(identity: &Identity, expected: PeerId) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let verifier = OnlyPeer { expected, algorithms: provider.signature_verification_algorithms };
    let (certificate, key) = certificate::own(identity)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![certificate], key.into())?;
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// The peer that a certificate speaks of, when its key is an Ed25519 key.
#[must_use]
pub fn peer_id_of(certificate: &CertificateDer<'_>) -> Option<PeerId> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let spki = certificate.subject_public_key_info();
    let key: [u8; 32] = spki.strip_prefix(&SPKI_HEAD)?.try_into().ok()?;
    Some(PeerId::from_bytes(key))
}

/// The ciphers that this processor does fast, in that order; all else from aws-lc-rs.
///
/// Where a processor has wide AES instructions but not AVX-512 (AMD's Zen 3, Intel's desktops), ring's AES-GCM takes half
/// of aws-lc-rs's time, which has no code for just those; elsewhere aws-lc-rs is at least as fast.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let (aes_128, aes_256, chacha) = if has_wide_aes_only() {
        use rustls::crypto::ring::cipher_suite as suite;
        (
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        )
    } else {
        use aws_lc_rs::cipher_suite as suite;
        (
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
        )
    };
    provider.cipher_suites =
        if has_aes() { vec![aes_128, aes_256, chacha] } else { vec![chacha, aes_128, aes_256] };
    Arc::new(provider)
}

#[cfg(target_arch = "x86_64")]
fn has_wide_aes_only() -> bool {
    std::arch::is_x86_feature_detected!("vaes")
        && std::arch::is_x86_feature_detected!("vpclmulqdq")
        && std::arch::is_x86_feature_detected!("avx2")
        && !std::arch::is_x86_feature_detected!("avx512bw")
}

#[cfg(not(target_arch = "x86_64"))]
const fn has_wide_aes_only() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn has_aes() -> bool {
    false
}

/// The client's side: one key, and no other.
#[derive(Debug)]
struct OnlyPeer {
    expected: PeerId,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OnlyPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match peer_id_of(end_entity) {
            Some(found) if found == self.expected => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
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
        vec![SignatureScheme::ED25519]
    }
}

/// The door's side: whoever holds an Ed25519 key, or nobody.
#[derive(Debug)]
struct AnyPeer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyPeer {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match peer_id_of(end_entity) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
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
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ClientConnection, ServerConnection};

    fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Option<PeerId>, Error> {
        let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
        let mut client = ClientConnection::new(client, name)?;
        let mut server = ServerConnection::new(server)?;
        for _ in 0..4 {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut &flight[..]).unwrap();
            server.process_new_packets()?;
            flight.clear();
            server.write_tls(&mut flight).unwrap();
            client.read_tls(&mut &flight[..]).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(server.peer_certificates().and_then(|chain| peer_id_of(&chain[0])))
    }

    #[test]
    fn both_ends_know_who_speaks() {
        let (seeker, source) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let client = client_config(&seeker, source.peer_id()).unwrap();
        let asker = shake(client, server_config(&source).unwrap()).unwrap();
        assert_eq!(asker, Some(seeker.peer_id()));
    }

    #[test]
    fn another_key_than_the_expected_is_refused() {
        let (seeker, source) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let client = client_config(&seeker, seeker.peer_id()).unwrap();
        let error = shake(client, server_config(&source).unwrap()).unwrap_err();
        assert_eq!(error, CertificateError::ApplicationVerificationFailure.into());
    }

    #[test]
    fn a_copied_certificate_does_not_get_in() {
        let (seeker, source) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let impostor = Identity::generate().unwrap();
        let (certificate, _) = certificate::own(&source).unwrap();
        let stolen = StolenCertificate(Arc::new(rustls::sign::CertifiedKey::new(
            vec![certificate],
            aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(impostor.to_pkcs8())).unwrap(),
        )));
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(stolen));
        let client = client_config(&seeker, source.peer_id()).unwrap();
        let error = shake(client, Arc::new(server)).unwrap_err();
        assert_eq!(error, CertificateError::BadSignature.into());
    }

    #[derive(Debug)]
    struct StolenCertificate(Arc<rustls::sign::CertifiedKey>);

    impl rustls::server::ResolvesServerCert for StolenCertificate {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    #[test]
    fn who_shows_no_certificate_is_nobody() {
        let source = Identity::generate().unwrap();
        let verifier =
            OnlyPeer { expected: source.peer_id(), algorithms: provider().signature_verification_algorithms };
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        client.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        assert_eq!(shake(Arc::new(client), server_config(&source).unwrap()).unwrap(), None);
    }

    /// A browser: it verifies what browsers can, and its person waves the warning away.
    #[derive(Debug)]
    struct Browser(WebPkiSupportedAlgorithms);

    impl ServerCertVerifier for Browser {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            assert_eq!(peer_id_of(end_entity), None, "it says nothing of who this is");
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            unreachable!("version 1.3 only")
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.0)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
        }
    }

    #[test]
    fn a_browser_gets_in_with_what_it_knows() {
        let source = Identity::generate().unwrap();
        let verifier = Browser(provider().signature_verification_algorithms);
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        assert_eq!(shake(Arc::new(client), server_config(&source).unwrap()).unwrap(), None);
    }

    #[test]
    fn garbage_is_nobody() {
        for bytes in [&b""[..], b"garbage", &[0x30; 400]] {
            assert_eq!(peer_id_of(&CertificateDer::from(bytes)), None);
        }
    }
}
