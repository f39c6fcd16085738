//! The certificates a peer shows: its own, and another for browsers, which know no Ed25519.
//!
//! Invariant: whoever can verify an Ed25519 signature, as every peer can, is shown the peer's own key and nothing else.

use std::sync::{Arc, OnceLock};

use peerage_wire::PeerId;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, SignatureScheme};

use crate::identity::Identity;

/// The peer's certificate and its key.
pub(super) fn own(
    identity: &Identity,
) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), Error> {
    let key = PrivatePkcs8KeyDer::from(identity.to_pkcs8());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).map_err(failed)?;
    Ok((self_signed(identity.peer_id(), &pair)?, key))
}

/// For browsers: a key of this process, which proves nothing. Their person has to accept it as any that no authority knows.
fn for_browsers(peer: PeerId, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    CertifiedKey::from_der(vec![self_signed(peer, &pair)?], key, provider)
}

fn self_signed(peer: PeerId, pair: &rcgen::KeyPair) -> Result<CertificateDer<'static>, Error> {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).map_err(failed)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, peer.to_string());
    Ok(parameters.self_signed(pair).map_err(failed)?.der().clone())
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn failed(error: rcgen::Error) -> Error {
    Error::General(format!("can't make a certificate: {error}"))
}

/// Chooses by what the other end can verify.
#[derive(Debug)]
pub(super) struct Shown {
    peer: PeerId,
    provider: Arc<CryptoProvider>,
    own: Arc<CertifiedKey>,
    /// Made when the first browser comes.
    for_browsers: OnceLock<Option<Arc<CertifiedKey>>>,
}

impl Shown {
    pub(super) fn new(identity: &Identity, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let (certificate, key) = own(identity)?;
        let own = Arc::new(CertifiedKey::from_der(vec![certificate], key.into(), &provider)?);
        Ok(Self { peer: identity.peer_id(), provider, own, for_browsers: OnceLock::new() })
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.signature_schemes().contains(&SignatureScheme::ED25519) {
            return Some(Arc::clone(&self.own));
        }
        let made = || for_browsers(self.peer, &self.provider).map(Arc::new);
        let told = |error: &Error| tracing::warn!(%error, "browsers can't be served");
        self.for_browsers.get_or_init(|| made().inspect_err(told).ok()).clone()
    }
}
