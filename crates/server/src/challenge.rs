//! How a peer proves its key: a challenge is made, signed by the peer, and checked.
//!
//! Invariants: nothing is kept for a challenge that was not answered, so no flood of them fills or evicts anything:
//! a challenge carries its own time and a keyed hash over it, the peer and the host, under a key that lives as
//! long as this process. Only [`Challenger::verify`] makes a [`Proof`]; that a proof is used once is the book's
//! job ([`crate::session::Sessions::open`]).
//!
//! Form: 8 bytes milliseconds since the door opened, 8 random bytes, 16 bytes of keyed BLAKE3; in hex.

use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signature, VerifyingKey};
use peerage_wire::api::SessionAnswer;
use peerage_wire::{PeerId, limits, session};

/// A challenge as bytes.
pub(crate) type Challenge = [u8; 32];

/// Says that the holder of a peer's key answered a challenge in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) peer: PeerId,
    pub(crate) challenge: Challenge,
    /// When the challenge can't be answered any more.
    pub(crate) ends: Duration,
}

/// Why an answer proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unproven {
    /// Not a challenge of this process for this peer and host.
    #[error("the challenge was not made here for this peer and this `Host`")]
    Foreign,
    /// It waited too long.
    #[error("the challenge is older than {} s", limits::CHALLENGE.as_secs())]
    Late,
    /// The signature does not fit.
    #[error("the signature is not this peer's over the challenge and the `Host` of this request")]
    Signature,
}

/// Makes and checks challenges.
pub(crate) struct Challenger {
    key: [u8; 32],
}

impl Challenger {
    /// `key` must be unpredictable and new for each process.
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A challenge for `peer`, asked for under `host`.
    pub(crate) fn challenge(&self, peer: &PeerId, host: &str, nonce: [u8; 8], now: Duration) -> String {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut challenge = [0; 32];
        challenge[..8].copy_from_slice(&millis.to_be_bytes());
        challenge[8..16].copy_from_slice(&nonce);
        let seal = self.seal(&challenge, peer, host);
        challenge[16..].copy_from_slice(&seal);
        HEXLOWER.encode(&challenge)
    }

    /// Checks a peer's answer.
    pub(crate) fn verify(
        &self,
        peer: PeerId,
        host: &str,
        answer: &SessionAnswer,
        now: Duration,
    ) -> Result<Proof, Unproven> {
        let challenge = bytes::<32>(&answer.challenge).ok_or(Unproven::Foreign)?;
        if blake3::Hash::from_bytes(padded(self.seal(&challenge, &peer, host))) != padded(half(&challenge)) {
            return Err(Unproven::Foreign); // `blake3::Hash` compares in constant time
        }
        let ends = issued(&challenge) + limits::CHALLENGE;
        if now >= ends {
            return Err(Unproven::Late);
        }
        let message = session::message(host, &peer, &answer.challenge);
        let signature = bytes(&answer.signature).ok_or(Unproven::Signature)?;
        let key = VerifyingKey::from_bytes(peer.as_bytes()).map_err(|_| Unproven::Signature)?;
        key.verify_strict(&message, &Signature::from_bytes(&signature)).map_err(|_| Unproven::Signature)?;
        Ok(Proof { peer, challenge, ends })
    }

    fn seal(&self, challenge: &Challenge, peer: &PeerId, host: &str) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&challenge[..16]).update(peer.as_bytes());
        hasher.update(host.to_ascii_lowercase().as_bytes());
        half(hasher.finalize().as_bytes())
    }
}

fn issued(challenge: &Challenge) -> Duration {
    let mut millis = [0; 8];
    millis.copy_from_slice(&challenge[..8]);
    Duration::from_millis(u64::from_be_bytes(millis))
}

/// The second half: where a challenge has its seal.
fn half(bytes: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&bytes[16..]);
    half
}

fn padded(half: [u8; 16]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&half);
    bytes
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const HOST: &str = "index.example:18964";
    const NOW: Duration = Duration::from_secs(1_000);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn peer(key: &SigningKey) -> PeerId {
        PeerId::from_bytes(key.verifying_key().to_bytes())
    }

    fn sign(key: &SigningKey, host: &str, challenge: &str) -> SessionAnswer {
        let signature = key.sign(&session::message(host, &peer(key), challenge));
        SessionAnswer { challenge: challenge.to_owned(), signature: HEXLOWER.encode(&signature.to_bytes()) }
    }

    #[test]
    fn the_right_key_proves_itself_in_time() {
        let (challenger, key) = (Challenger::new([1; 32]), key());
        let challenge = challenger.challenge(&peer(&key), HOST, [0; 8], NOW);
        let answer = sign(&key, HOST, &challenge);
        let last = NOW + limits::CHALLENGE - Duration::from_millis(1);
        let proof = challenger.verify(peer(&key), "INDEX.example:18964", &answer, last);
        assert_eq!(proof.map(|proof| proof.peer), Ok(peer(&key)));
        let late = challenger.verify(peer(&key), HOST, &answer, NOW + limits::CHALLENGE);
        assert_eq!(late, Err(Unproven::Late));
    }

    #[test]
    fn another_host_key_process_or_peer_proves_nothing() {
        let (challenger, key) = (Challenger::new([1; 32]), key());
        let other = SigningKey::from_bytes(&[8; 32]);
        let challenge = challenger.challenge(&peer(&key), HOST, [0; 8], NOW);
        let verify = |peer, host: &str, answer: &SessionAnswer| challenger.verify(peer, host, answer, NOW);

        let wrong_host = sign(&key, "evil.example", &challenge);
        assert_eq!(verify(peer(&key), HOST, &wrong_host), Err(Unproven::Signature));
        assert_eq!(verify(peer(&key), "evil.example", &wrong_host), Err(Unproven::Foreign));
        let mut wrong_key = sign(&other, HOST, &challenge);
        assert_eq!(verify(peer(&key), HOST, &wrong_key), Err(Unproven::Signature));
        assert_eq!(verify(peer(&other), HOST, &wrong_key), Err(Unproven::Foreign));
        wrong_key.signature = "zz".into();
        assert_eq!(verify(peer(&key), HOST, &wrong_key), Err(Unproven::Signature));

        let restarted = Challenger::new([2; 32]);
        let answer = sign(&key, HOST, &challenge);
        assert_eq!(restarted.verify(peer(&key), HOST, &answer, NOW), Err(Unproven::Foreign));
    }

    #[test]
    fn a_changed_challenge_is_foreign() {
        let (challenger, key) = (Challenger::new([1; 32]), key());
        let challenge = challenger.challenge(&peer(&key), HOST, [9; 8], NOW);
        for digit in 0..challenge.len() {
            let mut changed = challenge.clone().into_bytes();
            changed[digit] = if changed[digit] == b'0' { b'1' } else { b'0' };
            let answer = sign(&key, HOST, &String::from_utf8(changed).unwrap());
            assert_eq!(challenger.verify(peer(&key), HOST, &answer, NOW), Err(Unproven::Foreign), "{digit}");
        }
        for text in ["", "00", "é", &"0".repeat(66)] {
            let answer = sign(&key, HOST, text);
            assert_eq!(challenger.verify(peer(&key), HOST, &answer, NOW), Err(Unproven::Foreign), "{text}");
        }
    }
}
