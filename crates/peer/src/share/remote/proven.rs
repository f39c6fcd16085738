//! A file on an FTP server whose every byte is proven before it is handed on.
//!
//! Invariant: what is read is the content that was hashed, whatever the server sends: one that takes no account of `REST`,
//! or changes a file under our hands, causes an error and never a wrong byte. At most one piece is in memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use peerage_wire::{PIECE_BYTES, PieceHasher, PieceList, piece_len};

use super::RemoteFile;

/// A file, read by whole pieces.
#[derive(Debug)]
pub struct ProvenFile {
    file: RemoteFile,
    list: Arc<PieceList>,
    /// The piece that was read last, and its number.
    piece: Mutex<Option<(u64, Vec<u8>)>>,
}

impl ProvenFile {
    pub(crate) fn new(file: RemoteFile, list: Arc<PieceList>) -> Self {
        Self { file, list, piece: Mutex::default() }
    }

    /// Fills `bytes` from `offset` on. Blocks on the network.
    ///
    /// # Errors
    /// As [`RemoteFile::read_at`]; [`io::ErrorKind::InvalidData`] where the server sends something else than was hashed, and
    /// [`io::ErrorKind::UnexpectedEof`] where the content ends before.
    pub(crate) fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        let mut kept = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            let index = offset / PIECE_BYTES;
            let (_, piece) = match kept.take().filter(|(kept, _)| *kept == index) {
                Some(piece) => kept.insert(piece),
                None => kept.insert((index, self.fetch(index)?)),
            };
            let from = usize::try_from(offset % PIECE_BYTES).unwrap_or(usize::MAX);
            let rest = piece.get(from..).filter(|rest| !rest.is_empty());
            let rest = rest.ok_or(io::ErrorKind::UnexpectedEof)?;
            let len = rest.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(len);
            now.copy_from_slice(&rest[..len]);
            (bytes, offset) = (later, offset + len as u64);
        }
        Ok(())
    }

    fn fetch(&self, index: u64) -> io::Result<Vec<u8>> {
        let size = self.list.size();
        if index >= self.list.count() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut piece = vec![0; usize::try_from(piece_len(size, index)).unwrap_or_default()];
        self.file.read_exact_at(&mut piece, index * PIECE_BYTES)?;
        let mut hasher = PieceHasher::new(size, index);
        hasher.update(&piece);
        if self.list.is_proven(index, &hasher.finish()) {
            return Ok(piece);
        }
        self.file.doubt();
        Err(io::Error::new(io::ErrorKind::InvalidData, "the server sends other bytes than were hashed"))
    }
}
