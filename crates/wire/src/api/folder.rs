//! What a peer's folder door says of a folder as JSON: a [`Page`](super::Page) of these.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ContentHash;

/// Something in a shared folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderRow {
    /// Its name there; percent-encoded (and a folder's with a slash behind it) it is its address below the folder's.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: RowKind,
    /// Bytes of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Last change of a file, or of the first by name in a folder, in seconds since 1970 (UTC).
    pub modified: i64,
    /// A file's content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ContentHash>,
}

/// What stands in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// Another folder.
    Folder,
    /// A file.
    File,
}
