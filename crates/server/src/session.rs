//! The book of sessions: which token speaks for which peer, and until when. Pure; time is passed in.
//!
//! Invariants: a token is kept only as its BLAKE3. A proof opens one session and no second. A flood from one
//! address fills that address's share of the book and no more; nothing is ever evicted to make room for another
//! peer. `tokens` holds exactly the tokens listed in `peers`, and `by_origin` counts exactly its entries.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use peerage_wire::{PeerId, limits};

use crate::address::Origin;
use crate::challenge::{Challenge, Proof};

/// Peers with a session in all: all of Napster at its peak, and a third more. About 300 bytes each.
const PEERS_MAX: usize = 2 << 20;
/// Peers with a session that came from this machine, where a proxy may stand in front of everybody.
const PEERS_LOOPBACK_MAX: usize = PEERS_MAX / 2;
/// Peers with a session that came from one address: a large site behind one address translator.
const PEERS_PER_ORIGIN_MAX: usize = 1_024;
/// Tokens of one peer: the process that runs, the one before it that crashed, and two to spare. The one that ends
/// first makes room.
const TOKENS_PER_PEER_MAX: usize = 4;
/// Sessions one peer may open within the life of a challenge, since each must be remembered to be refused again.
const PROOFS_PER_PEER_MAX: usize = 16;

/// A bearer token as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// What a token's text is kept as; `None` where it can't be a token.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let token: [u8; 32] = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()?;
        Some(Self::of(&token))
    }

    fn of(token: &[u8; 32]) -> Self {
        Self(*blake3::hash(token).as_bytes())
    }
}

/// Why no session was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The challenge was answered before.
    #[error("the challenge was used before")]
    Replay,
    /// The peer opens sessions too fast.
    #[error("this peer opened {PROOFS_PER_PEER_MAX} sessions in {} s", limits::CHALLENGE.as_secs())]
    Busy,
    /// Too many other peers came from the same address.
    #[error("too many peers have a session from this address")]
    Crowd,
    /// The book is full.
    #[error("the index has as many sessions as it can hold")]
    Full,
}

/// The book.
#[derive(Default)]
pub(crate) struct Sessions {
    peers: HashMap<PeerId, Held>,
    tokens: HashMap<TokenHash, PeerId>,
    by_origin: HashMap<Origin, usize>,
    /// When to look at a peer again, soonest first but for those that were looked at and had not ended.
    sweeps: VecDeque<(Duration, PeerId)>,
}

/// What is kept for one peer.
struct Held {
    origin: Origin,
    tokens: Vec<(TokenHash, Duration)>,
    used: Vec<(Challenge, Duration)>,
}

impl Sessions {
    /// Opens a session and tells the token's text. `random` becomes the token.
    pub(crate) fn open(
        &mut self,
        proof: &Proof,
        origin: Origin,
        random: [u8; 32],
        now: Duration,
    ) -> Result<String, Refusal> {
        if !self.peers.contains_key(&proof.peer) {
            self.admit(proof.peer, origin, now)?;
        }
        let Some(held) = self.peers.get_mut(&proof.peer) else { return Err(Refusal::Full) };
        held.note_used(proof, now)?;
        if held.tokens.len() == TOKENS_PER_PEER_MAX
            && let Some(dropped) = held.drop_soonest()
        {
            self.tokens.remove(&dropped);
        }
        let token = TokenHash::of(&random);
        held.tokens.push((token, now + limits::TOKEN));
        self.tokens.insert(token, proof.peer);
        Ok(HEXLOWER.encode(&random))
    }

    /// Whom a token speaks for.
    pub(crate) fn peer_of(&self, token: &TokenHash, now: Duration) -> Option<PeerId> {
        let peer = self.tokens.get(token)?;
        let (_, ends) = self.peers.get(peer)?.tokens.iter().find(|(held, _)| held == token)?;
        (now < *ends).then_some(*peer)
    }

    /// Makes a token good for another [`limits::TOKEN`]; nothing happens where it is not good any more.
    pub(crate) fn renew(&mut self, token: &TokenHash, now: Duration) {
        let Some(held) = self.tokens.get(token).and_then(|peer| self.peers.get_mut(peer)) else { return };
        for (_, ends) in held.tokens.iter_mut().filter(|(held, ends)| held == token && now < *ends) {
            *ends = now + limits::TOKEN;
        }
    }

    /// How many peers have a session.
    pub(crate) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Forgets what ended. Each peer is looked at once in [`limits::TOKEN`], so this is cheap at any size.
    pub(crate) fn sweep(&mut self, now: Duration) {
        while let Some((_, peer)) = self.sweeps.front().copied().filter(|(due, _)| *due <= now) {
            self.sweeps.pop_front();
            let Some(held) = self.peers.get_mut(&peer) else { continue };
            let ended = held.tokens.extract_if(.., |(_, ends)| *ends <= now);
            for (token, _) in ended {
                self.tokens.remove(&token);
            }
            if held.tokens.is_empty() {
                self.forget(&peer);
            } else {
                self.sweeps.push_back((now + limits::TOKEN, peer));
            }
        }
    }

    fn admit(&mut self, peer: PeerId, origin: Origin, now: Duration) -> Result<(), Refusal> {
        let here = self.by_origin.entry(origin).or_default();
        let here_max = if origin == Origin::Loopback { PEERS_LOOPBACK_MAX } else { PEERS_PER_ORIGIN_MAX };
        if *here >= here_max {
            return Err(Refusal::Crowd);
        }
        if self.peers.len() >= PEERS_MAX {
            self.by_origin.retain(|_, peers| *peers > 0); // the entry above may be new
            return Err(Refusal::Full);
        }
        *here += 1;
        self.peers.insert(peer, Held { origin, tokens: Vec::new(), used: Vec::new() });
        self.sweeps.push_back((now + limits::TOKEN, peer));
        Ok(())
    }

    fn forget(&mut self, peer: &PeerId) {
        let Some(held) = self.peers.remove(peer) else { return };
        if let Some(here) = self.by_origin.get_mut(&held.origin) {
            *here -= 1;
            if *here == 0 {
                self.by_origin.remove(&held.origin);
            }
        }
    }
}

impl Held {
    fn note_used(&mut self, proof: &Proof, now: Duration) -> Result<(), Refusal> {
        self.used.retain(|(_, ends)| now < *ends); // an ended challenge is refused as late
        if self.used.iter().any(|(challenge, _)| *challenge == proof.challenge) {
            return Err(Refusal::Replay);
        }
        if self.used.len() >= PROOFS_PER_PEER_MAX {
            return Err(Refusal::Busy);
        }
        self.used.push((proof.challenge, proof.ends));
        Ok(())
    }

    fn drop_soonest(&mut self) -> Option<TokenHash> {
        let (position, _) = self.tokens.iter().enumerate().min_by_key(|(_, (_, ends))| *ends)?;
        Some(self.tokens.swap_remove(position).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(10);
    const MILLI: Duration = Duration::from_millis(1);

    fn proof(peer: u32, challenge: u8, now: Duration) -> Proof {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&peer.to_be_bytes());
        let ends = now + limits::CHALLENGE;
        Proof { peer: PeerId::from_bytes(id), challenge: [challenge; 32], ends }
    }

    fn net(last: u8) -> Origin {
        Origin::of([192, 0, 2, last].into())
    }

    fn open(sessions: &mut Sessions, number: u8, now: Duration) -> TokenHash {
        let text = sessions.open(&proof(1, number, now), net(1), [number; 32], now).unwrap();
        TokenHash::of_text(&text).unwrap()
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_renewed() {
        let mut sessions = Sessions::default();
        let token = open(&mut sessions, 1, START);
        let peer = Some(proof(1, 0, START).peer);
        let nearly = START + limits::TOKEN - MILLI;
        assert_eq!(sessions.peer_of(&token, nearly), peer);
        assert_eq!(sessions.peer_of(&token, START + limits::TOKEN), None);
        sessions.renew(&token, nearly);
        sessions.sweep(START + limits::TOKEN);
        assert_eq!(sessions.peer_of(&token, nearly + limits::TOKEN - MILLI), peer);
        sessions.renew(&token, nearly + limits::TOKEN);
        assert_eq!(sessions.peer_of(&token, nearly + limits::TOKEN), None, "an ended token stays ended");
    }

    #[test]
    fn a_challenge_opens_one_session() {
        let mut sessions = Sessions::default();
        let used = proof(1, 1, START);
        sessions.open(&used, net(1), [1; 32], START).unwrap();
        let last = START + limits::CHALLENGE - MILLI;
        for number in 2..8 {
            open(&mut sessions, number, START); // also when its own token was dropped long ago
        }
        assert_eq!(sessions.open(&used, net(2), [9; 32], last), Err(Refusal::Replay));
    }

    #[test]
    fn a_peer_has_a_few_tokens_and_the_oldest_goes() {
        let mut sessions = Sessions::default();
        let tokens: Vec<_> = (0..5).map(|n| open(&mut sessions, n, START + MILLI * u32::from(n))).collect();
        let known = |token| sessions.peer_of(token, START + MILLI * 9).is_some();
        assert_eq!(tokens.iter().map(known).collect::<Vec<_>>(), [false, true, true, true, true]);
        assert_eq!(sessions.tokens.len(), TOKENS_PER_PEER_MAX);
    }

    #[test]
    fn a_peer_that_opens_too_fast_waits() {
        let mut sessions = Sessions::default();
        for number in 0..16 {
            open(&mut sessions, number, START);
        }
        let next = proof(1, 99, START);
        assert_eq!(sessions.open(&next, net(1), [99; 32], START), Err(Refusal::Busy));
        let later = START + limits::CHALLENGE;
        let next = proof(1, 99, later);
        assert!(sessions.open(&next, net(1), [99; 32], later).is_ok());
    }

    #[test]
    fn a_crowd_at_one_address_keeps_nobody_else_out() {
        let mut sessions = Sessions::default();
        let mut come = |peer: u32, origin, now| {
            let mut random = [0; 32];
            random[..4].copy_from_slice(&peer.to_be_bytes());
            sessions.open(&proof(peer, 1, now), origin, random, now).map(|_| ())
        };
        for peer in 0..1_024 {
            assert_eq!(come(peer, net(1), START), Ok(()));
        }
        assert_eq!(come(5_000, net(1), START), Err(Refusal::Crowd));
        assert_eq!(come(5_000, net(2), START), Ok(()));
        assert_eq!(come(5_001, Origin::Loopback, START), Ok(()));

        sessions.sweep(START + limits::TOKEN);
        assert!(sessions.peers.is_empty() && sessions.tokens.is_empty() && sessions.by_origin.is_empty());
        assert!(sessions.sweeps.is_empty());
    }

    #[test]
    fn only_a_tokens_text_is_read() {
        for text in ["", "zz", "é", &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(TokenHash::of_text(text), None, "{text}");
        }
        assert_eq!(TokenHash::of_text(&"00".repeat(32)), Some(TokenHash::of(&[0; 32])));
    }
}
