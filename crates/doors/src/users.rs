//! Who may log in at a door with a name and a password, and which shares they are given.
//!
//! Kept in the home's `ftp-users.toml` (0600), a table for each name; passwords only as argon2id hashes (RFC 9106) in the
//! PHC format. Invariants: the file is read anew at each login, so a change holds at once; a name that is not there takes as
//! long to refuse as a wrong password; one password is looked at at a time, in memory that is used again and again; two
//! commands that change the file at once do so one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use peerage_peer::catalogue::Viewer;
use peerage_wire::shown;
use serde::{Deserialize, Serialize};

/// The file's name within the home.
pub const USERS_FILE: &str = "ftp-users.toml";
/// Bytes of the file that are read: some thousand users.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of a password: more than anybody types, less than a line.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Blocks of a KiB that looking at a password may take: more than ours do, so that no line of the file takes all memory.
const BLOCKS_MAX: usize = 64 << 10;

/// Why a user can't be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file can't be read or written.
    #[error("can't use `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("`{}` can be read by others (mode {mode:03o})\nhint: run `chmod 600 {}`", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what this wrote.
    #[error("`{}` is damaged: {why}\nhint: mend it, or move it away and add the users again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The name can't be one.
    #[error(
        "`{}` can't be a user's name\nhint: 1 to {NAME_BYTES_MAX} bytes without blanks, slashes or control characters; `anonymous` and `ftp` are everybody",
        shown(name)
    )]
    Name {
        /// As it was given.
        name: String,
    },
    /// The password can't be one.
    #[error(
        "that password is too short, too long or has a line end in it\nhint: a password is 8 to {PASSWORD_BYTES_MAX} bytes"
    )]
    Password,
    /// There is no such user.
    #[error("there is no user `{}`\nhint: `peerage ftp-user list` shows who there is", shown(name))]
    Unknown {
        /// As it was given.
        name: String,
    },
    /// The password can't be hashed.
    #[error("can't hash the password: {0}")]
    Hash(String),
}

/// A user, as the file keeps one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    password: String,
    /// The shares given; all of them where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<BTreeSet<String>>,
}

/// The users of a home. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Users {
    path: Arc<Path>,
    /// What looking at a password takes: 19 MiB once somebody logs in, and some 20 ms of a core each time.
    memory: Arc<Mutex<Vec<Block>>>,
}

/// Whether a name stands for everybody.
pub(crate) fn is_anonymous(name: &str) -> bool {
    name.eq_ignore_ascii_case("anonymous") || name.eq_ignore_ascii_case("ftp")
}

impl Users {
    /// Those of the home at `home`.
    #[must_use]
    pub fn of_home(home: &Path) -> Self {
        Self { path: home.join(USERS_FILE).into(), memory: Arc::default() }
    }

    /// Everybody who is known, by name.
    ///
    /// # Errors
    /// [`UsersError`]; a file that is not there is nobody.
    pub fn list(&self) -> Result<BTreeMap<String, User>, UsersError> {
        let failed = |source| UsersError::Io { path: self.path.to_path_buf(), source };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(UsersError::Permissions { path: self.path.to_path_buf(), mode });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let damaged = |error: toml::de::Error| UsersError::Damaged {
            path: self.path.to_path_buf(),
            why: error.message().to_owned(),
        };
        toml::from_str(&text).map_err(damaged)
    }

    /// Adds a user, or gives one another password and other shares.
    ///
    /// # Errors
    /// [`UsersError`].
    pub fn add(
        &self,
        name: &str,
        password: &str,
        shares: Option<BTreeSet<String>>,
    ) -> Result<(), UsersError> {
        check_name(name)?;
        let has_line_end = password.contains(['\n', '\r', '\0']);
        if !(8..=PASSWORD_BYTES_MAX).contains(&password.len()) || has_line_end {
            return Err(UsersError::Password);
        }
        let _lock = self.locked()?;
        let mut users = self.list()?;
        users.insert(name.to_owned(), User { password: hash(password)?, shares });
        self.write(&users)
    }

    /// Takes a user out.
    ///
    /// # Errors
    /// [`UsersError`].
    pub fn remove(&self, name: &str) -> Result<(), UsersError> {
        let _lock = self.locked()?;
        let mut users = self.list()?;
        if users.remove(name).is_none() {
            return Err(UsersError::Unknown { name: name.to_owned() });
        }
        self.write(&users)
    }

    /// After a crash at any point the file has either its old text or its new one.
    fn write(&self, users: &BTreeMap<String, User>) -> Result<(), UsersError> {
        let failed = |source| UsersError::Io { path: self.path.to_path_buf(), source };
        let text = toml::to_string(users).map_err(|error| failed(io::Error::other(error)))?;
        let fresh = self.path.with_extension("new");
        // What a crash left there may have another mode.
        let _ = fs::remove_file(&fresh);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&fresh, &self.path).map_err(failed)?;
        let home = self.path.parent().unwrap_or(Path::new("."));
        File::open(home).and_then(|home| home.sync_all()).map_err(failed)
    }

    /// What somebody may see who says this name and password; `None` for nobody that is known.
    pub(crate) async fn check(&self, name: String, password: String) -> Option<Viewer> {
        let users = self.clone();
        let checked = tokio::task::spawn_blocking(move || users.check_now(&name, &password));
        checked.await.ok().flatten()
    }

    fn check_now(&self, name: &str, password: &str) -> Option<Viewer> {
        let users = self.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "nobody can log in at the FTP door");
            BTreeMap::new()
        });
        let user = users.get(name);
        // A hash that fits nothing, so that a name which is not there takes as long.
        const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let kept = user.map_or(NOBODY, |user| user.password.as_str());
        let is_right = password.len() <= PASSWORD_BYTES_MAX && self.is_hash_of(kept, password) == Some(true);
        user.filter(|_| is_right).map(|user| match &user.shares {
            Some(shares) => Viewer::Given(Arc::new(shares.clone())),
            None => Viewer::Everything,
        })
    }
}

impl Users {
    /// Whether a hash in the PHC format is that of a password; `None` where it is none.
    fn is_hash_of(&self, kept: &str, password: &str) -> Option<bool> {
        let hash = PasswordHash::new(kept).ok()?;
        let (algorithm, params) =
            (Algorithm::try_from(hash.algorithm.as_str()).ok()?, Params::try_from(&hash).ok()?);
        let (salt, expected) = (hash.salt?, hash.hash?);
        if params.block_count() > BLOCKS_MAX {
            return None;
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.resize(params.block_count(), Block::default());
        let mut found = vec![0; expected.len()];
        let argon2 = Argon2::new(algorithm, Version::V0x13, params);
        argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut found, &mut *memory).ok()?;
        Some(Output::new(&found).ok()? == expected) // compared in the same time wherever they differ
    }

    /// Held while the file is changed.
    fn locked(&self) -> Result<File, UsersError> {
        let failed = |source| UsersError::Io { path: self.path.to_path_buf(), source };
        let mut options = OpenOptions::new();
        let lock = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.with_extension("lock"));
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(lock)
    }
}

fn hash(password: &str) -> Result<String, UsersError> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|error| UsersError::Hash(error.to_string()))
}

fn check_name(name: &str) -> Result<(), UsersError> {
    let is_fit = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/' || c == '\\')
        && !is_anonymous(name);
    if is_fit { Ok(()) } else { Err(UsersError::Name { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn users() -> (tempfile::TempDir, Users) {
        let home = tempfile::tempdir().unwrap();
        let users = Users::of_home(home.path());
        (home, users)
    }

    #[tokio::test]
    async fn who_knows_the_password_sees_what_was_given() {
        let (home, users) = users();
        let music = BTreeSet::from(["music".to_owned()]);
        users.add("anna", "correct horse", Some(music.clone())).unwrap();
        users.add("zoë", "battery staple", None).unwrap();
        let check = |name: &str, password: &str| users.check(name.to_owned(), password.to_owned());
        assert_eq!(check("anna", "correct horse").await, Some(Viewer::Given(Arc::new(music))));
        assert_eq!(check("zoë", "battery staple").await, Some(Viewer::Everything));
        for (name, password) in
            [("anna", "correct hors"), ("anna", ""), ("nobody", "correct horse"), ("", "")]
        {
            assert_eq!(check(name, password).await, None, "{name}");
        }
        let text = fs::read_to_string(home.path().join(USERS_FILE)).unwrap();
        assert!(text.contains("$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains("horse"), "{text}");
        users.add("anna", "another one", None).unwrap();
        assert_eq!(check("anna", "correct horse").await, None);
        users.remove("anna").unwrap();
        assert_eq!(check("anna", "another one").await, None);
        assert!(matches!(users.remove("anna"), Err(UsersError::Unknown { .. })));
    }

    #[test]
    fn a_file_that_others_read_or_that_is_damaged_is_told() {
        let (home, users) = users();
        assert!(users.list().unwrap().is_empty());
        users.add("anna", "correct horse", None).unwrap();
        let file = home.path().join(USERS_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(users.list().unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "[anna]\npasswort = \"x\"\n").unwrap();
        assert!(users.list().unwrap_err().to_string().contains("is damaged"));
    }

    #[test]
    fn names_and_passwords_that_could_not_be_sent_are_refused() {
        let (_home, users) = users();
        for name in ["", "a b", "a/b", "a\nb", "Anonymous", "ftp", &"x".repeat(65)] {
            assert!(
                matches!(users.add(name, "correct horse", None), Err(UsersError::Name { .. })),
                "{name:?}"
            );
        }
        for password in ["", "short", "with a\nline end", &"x".repeat(1_025)] {
            assert!(matches!(users.add("anna", password, None), Err(UsersError::Password)), "{password:?}");
        }
    }
}
