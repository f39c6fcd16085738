//! A peer's key: made on the first run, kept in the home's `identity.key`, never shown.
//!
//! Invariants: the file is one line of 64 hex digits (the Ed25519 seed), readable by its owner alone, and is
//! written whole or not at all; processes that start at once on a fresh home end with one key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer, SigningKey};
use peerage_wire::PeerId;
use rustix::fs::OFlags;

use crate::part::rename_new;

/// The key's file name within the home.
pub const KEY_FILE: &str = "identity.key";

/// Bytes of the key's file that are read: 64 digits, a line end, and some to tell that it is too long.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Why a peer has no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Others may read the key.
    #[error(
        "`{}` can be read by others (mode {mode:03o})\nhint: run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    Permissions {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else than a key.
    #[error(
        "`{}` is damaged: it should be one line of 64 hex digits\nhint: put a copy back, or move it away to \
         become a new peer",
        path.display()
    )]
    Damaged {
        /// The key's file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("can't read or make `{}`: {source}", path.display())]
    Io {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An Ed25519 key pair (RFC 8032): who this peer is.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// Reads the key of a home, making the folder and the key where they are missing.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load_or_create(home_dir: &Path) -> Result<Self, IdentityError> {
        let path = home_dir.join(KEY_FILE);
        match read(&path) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(home_dir).map_err(|source| IdentityError::Io { path: path.clone(), source })?;
                // Read back, since another process may have been first.
                read(&path)
            }
            result => result,
        }
    }

    /// A new key that is kept nowhere.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::from)?;
        Ok(Self { key: SigningKey::from_bytes(&seed) })
    }

    /// The public half.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.key.verifying_key().to_bytes())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// The key as PKCS#8 (RFC 8410, section 7), which is how the TLS library takes it.
    pub(crate) fn to_pkcs8(&self) -> Vec<u8> {
        /// A sequence of version 0, the algorithm 1.3.101.112, and the seed as an octet string in another.
        const HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
        [&HEAD[..], self.key.as_bytes()].concat()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish()
    }
}

fn read(path: &Path) -> Result<Identity, IdentityError> {
    let io_error = |source| IdentityError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Permissions { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    let damaged = || IdentityError::Damaged { path: path.to_owned() };
    match file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => parse(&text).ok_or_else(damaged),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged()),
        Err(error) => Err(io_error(error)),
    }
}

fn parse(text: &str) -> Option<Identity> {
    let seed = HEXLOWER_PERMISSIVE.decode(text.trim_end().as_bytes()).ok()?;
    let seed: [u8; 32] = seed.try_into().ok()?;
    Some(Identity { key: SigningKey::from_bytes(&seed) })
}

/// Writes a new key under a name of its own and then gives it the real one, unless that is taken by now.
fn create(home_dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home_dir)?;
    let home = File::open(home_dir)?;
    let identity = Identity::generate()?;
    let temporary = format!("{KEY_FILE}.{}.new", identity.peer_id().short());
    let temporary_path = home_dir.join(&temporary);
    let written = write(&temporary_path, &identity).and_then(|()| rename_new(&home, &temporary, KEY_FILE));
    match written {
        Ok(()) => home.sync_all(),
        Err(error) => {
            // Left over it would be a key that nobody uses; that it may be gone already is fine.
            let _ = std::fs::remove_file(&temporary_path);
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        }
    }
}

fn write(path: &Path, identity: &Identity) -> io::Result<()> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(no_follow).open(path)?;
    file.write_all(format!("{}\n", HEXLOWER.encode(identity.key.as_bytes())).as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let home = tempfile::tempdir().unwrap();
        let home_dir = home.path().join("new/home");
        let first = Identity::load_or_create(&home_dir).unwrap();
        let again = Identity::load_or_create(&home_dir).unwrap();
        assert_eq!(first.peer_id(), again.peer_id());
        let mode = home_dir.join(KEY_FILE).metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&home_dir).unwrap().count(), 1, "nothing is left beside the key");
    }

    #[test]
    fn all_who_start_at_once_get_the_same_key() {
        for _ in 0..20 {
            let home = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(8);
            let ids: Vec<PeerId> = std::thread::scope(|scope| {
                let racer = || {
                    start.wait();
                    Identity::load_or_create(home.path()).unwrap().peer_id()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(racer)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let home = tempfile::tempdir().unwrap();
        Identity::load_or_create(home.path()).unwrap();
        let path = home.path().join(KEY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Identity::load_or_create(home.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Permissions { mode: 0o640, .. }));
        assert!(error.to_string().ends_with(&format!("hint: run `chmod 600 {}`", path.display())), "{error}");
    }

    #[test]
    fn a_damaged_key_is_named_and_left_alone() {
        for damage in [&b""[..], b"abc", &[b'0'; 63], &[b'0'; 65], &[0xff; 64], &[b'g'; 64]] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(KEY_FILE);
            std::fs::write(&path, damage).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let error = Identity::load_or_create(home.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{damage:?}: {error}");
            assert_eq!(std::fs::read(&path).unwrap(), damage);
        }
    }

    #[test]
    fn a_signature_verifies_under_the_peer_id() {
        let identity = Identity::generate().unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(&identity.sign(b"message"));
        let key = ed25519_dalek::VerifyingKey::from_bytes(identity.peer_id().as_bytes()).unwrap();
        assert!(key.verify_strict(b"message", &signature).is_ok());
        assert!(key.verify_strict(b"another", &signature).is_err());
    }
}
