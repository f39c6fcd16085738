//! Where a share's bytes are: in a folder of this machine, or on a server.

use std::sync::Arc;

use super::remote::Server;
use super::root::{FileKey, Root};

/// Where the bytes of a share's files are read from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A folder, held open.
    Folder(Arc<Root>),
    /// A folder on an FTP server.
    Server(Arc<Server>),
}

impl Origin {
    /// The share's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Folder(root) => root.name(),
            Self::Server(server) => server.name(),
        }
    }

    /// The cache's key for the file at `disk`, a path below the share.
    pub(super) fn key(&self, disk: &str) -> FileKey {
        match self {
            Self::Folder(root) => root.key(disk),
            Self::Server(server) => server.key(disk),
        }
    }

    /// Whether it is this very one, and not another that was put in its place.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => Arc::ptr_eq(one, other),
            (Self::Server(one), Self::Server(other)) => Arc::ptr_eq(one, other),
            (Self::Folder(_), Self::Server(_)) | (Self::Server(_), Self::Folder(_)) => false,
        }
    }
}

impl From<Arc<Root>> for Origin {
    fn from(root: Arc<Root>) -> Self {
        Self::Folder(root)
    }
}
