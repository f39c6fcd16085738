//! Reading one section of a container, block by block, each checked before any of it is given out.
//!
//! Invariants: what was read is what was written, up to the first error; after one there is nothing more. Errors are
//! those of [`io::Read`], with the file, the place and the hint of a [`DiskError`] inside.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::container::{BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, Section, block_crc};
use super::{Damaged, DiskError, DiskResult};

/// A section being read. Needs no buffer around it.
#[derive(Debug)]
pub(crate) struct SectionReader<F = File> {
    file: F,
    path: PathBuf,
    /// Where the next block is.
    at: u64,
    /// Bytes of the section after this block.
    left: u64,
    block: Vec<u8>,
    /// Bytes of the block that were given out.
    given: usize,
    error: Option<DiskError>,
}

impl<F: Read + Seek> SectionReader<F> {
    pub(super) fn new(mut file: F, path: PathBuf, section: &Section) -> io::Result<Self> {
        file.seek(SeekFrom::Start(section.start))?;
        let (at, left) = (section.start, section.bytes);
        Ok(Self { file, path, at, left, block: Vec::new(), given: 0, error: None })
    }

    /// Bytes not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.left + (self.block.len() - self.given) as u64
    }

    /// What is wrong where, after a read that failed; for the reader's own findings, the place up to which all was
    /// read.
    pub(crate) fn error(&self, otherwise: Damaged) -> DiskError {
        self.error.clone().unwrap_or_else(|| otherwise.at(&self.path, self.at))
    }

    /// The rest of the section in one piece. The file's own length bounds what that takes.
    pub(crate) fn rest(mut self) -> DiskResult<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.left()).unwrap_or(0));
        match self.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(self.error(Damaged("it can't be read"))),
        }
    }

    fn next_block(&mut self) -> DiskResult<()> {
        let mut head = [0; BLOCK_HEAD_BYTES];
        self.file.read_exact(&mut head).map_err(DiskError::io("read", &self.path))?;
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        if u64::from(length) != self.left.min(BLOCK_BYTES_MAX as u64) {
            return Err(Damaged("a block is not as long as it was").at(&self.path, self.at));
        }
        self.block.resize(length as usize, 0);
        self.file.read_exact(&mut self.block).map_err(DiskError::io("read", &self.path))?;
        if block_crc(self.at, &self.block) != u32::from_le_bytes(crc) {
            return Err(Damaged("a block is not what was written").at(&self.path, self.at));
        }
        self.given = 0;
        self.left -= u64::from(length);
        self.at += (BLOCK_HEAD_BYTES + self.block.len()) as u64;
        Ok(())
    }
}

impl<F: Read + Seek> BufRead for SectionReader<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == self.block.len() && self.left > 0 && self.error.is_none() {
            self.error = self.next_block().err();
        }
        match &self.error {
            Some(error) => {
                (self.given, self.left) = (0, 0);
                self.block.clear();
                Err(io::Error::new(io::ErrorKind::InvalidData, error.clone()))
            }
            None => Ok(&self.block[self.given..]),
        }
    }

    fn consume(&mut self, count: usize) {
        self.given = self.block.len().min(self.given + count);
    }
}

impl<F: Read + Seek> Read for SectionReader<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
