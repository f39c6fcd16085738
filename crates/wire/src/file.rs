//! A registered file, and the kind of thing it is by its name.

use serde::{Deserialize, Serialize};

use crate::{ContentHash, SharePath};

/// One file of a share as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileEntry {
    /// Share name and path within it.
    pub path: SharePath,
    /// Bytes.
    pub size: u64,
    /// The content.
    pub hash: ContentHash,
    /// Last change on its owner's disk, in seconds since 1970 (UTC); shown, never compared between machines.
    pub modified: i64,
}

/// What a file is, told by the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Music and speech.
    Audio,
    /// Moving pictures.
    Video,
    /// Pictures.
    Image,
    /// Texts, tables, slides, books.
    Document,
    /// Packed files and disk images.
    Archive,
    /// What runs, and what it is made from.
    Program,
    /// Everything else.
    Data,
}

impl Kind {
    /// Every kind, in the order they are offered.
    pub const ALL: [Kind; 7] =
        [Kind::Audio, Kind::Video, Kind::Image, Kind::Document, Kind::Archive, Kind::Program, Kind::Data];

    /// The word used in queries, flags and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
            Kind::Image => "image",
            Kind::Document => "document",
            Kind::Archive => "archive",
            Kind::Program => "program",
            Kind::Data => "data",
        }
    }

    /// The kind that a file name's ending tells.
    #[must_use]
    pub fn of_name(file_name: &str) -> Kind {
        let Some((stem, ending)) = file_name.rsplit_once('.') else { return Kind::Data };
        let mut lower = [0; 12];
        let Some(lower) = lower.get_mut(..ending.len()).filter(|_| !stem.is_empty()) else {
            return Kind::Data;
        };
        lower.copy_from_slice(ending.as_bytes());
        lower.make_ascii_lowercase();
        match str::from_utf8(lower).unwrap_or_default() {
            "aac" | "aif" | "aiff" | "alac" | "ape" | "flac" | "m4a" | "m4b" | "mid" | "midi" | "mka"
            | "mp3" | "oga" | "ogg" | "opus" | "wav" | "wma" | "wv" => Kind::Audio,
            "3gp" | "avi" | "flv" | "m2ts" | "m4v" | "mkv" | "mov" | "mp4" | "mpeg" | "mpg" | "mts"
            | "mxf" | "ogv" | "vob" | "webm" | "wmv" => Kind::Video,
            "arw" | "avif" | "bmp" | "cr2" | "cr3" | "dng" | "exr" | "gif" | "heic" | "ico" | "jpeg"
            | "jpg" | "jxl" | "nef" | "png" | "psd" | "raw" | "svg" | "tga" | "tif" | "tiff" | "webp"
            | "xcf" => Kind::Image,
            "azw3" | "css" | "csv" | "djvu" | "doc" | "docx" | "epub" | "htm" | "html" | "key" | "md"
            | "mobi" | "odp" | "ods" | "odt" | "pdf" | "ppt" | "pptx" | "ps" | "rst" | "rtf" | "tex"
            | "tsv" | "txt" | "xls" | "xlsx" | "xml" => Kind::Document,
            "7z" | "bz2" | "cab" | "cpio" | "gz" | "img" | "iso" | "lz" | "lz4" | "lzma" | "qcow2"
            | "rar" | "tar" | "tgz" | "txz" | "vdi" | "vmdk" | "xz" | "zip" | "zst" => Kind::Archive,
            "apk" | "appimage" | "bat" | "c" | "cc" | "cpp" | "deb" | "dll" | "dmg" | "exe" | "flatpak"
            | "go" | "h" | "hpp" | "jar" | "java" | "js" | "jsx" | "lua" | "msi" | "php" | "pkg" | "pl"
            | "ps1" | "py" | "rb" | "rpm" | "rs" | "sh" | "so" | "ts" | "tsx" | "wasm" | "whl" => {
                Kind::Program
            }
            _ => Kind::Data,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(Kind::as_str).collect();
            format!("no such type, expected one of {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_the_kind() {
        let cases = [
            ("Song.FLAC", Kind::Audio),
            ("a.tar.gz", Kind::Archive),
            ("README", Kind::Data),
            (".mp3", Kind::Data),
            ("main.rs", Kind::Program),
            ("dump.bin", Kind::Data),
            ("x.", Kind::Data),
            ("x.AppImage", Kind::Program),
            ("x.mp3mp3mp3mp3", Kind::Data),
            ("x.mp3mp3mp3mp33", Kind::Data),
            ("x.mp\u{e9}", Kind::Data),
        ];
        for (name, kind) in cases {
            assert_eq!(Kind::of_name(name), kind, "{name}");
        }
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }
}
