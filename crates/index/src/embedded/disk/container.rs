//! A file of named sections, for snapshots and segments: written once, as a whole, and checked as it is read.
//!
//! ```text
//! file   magic (8) | format u32 | crc32 of these | blocks | table | table's place u64 | table's bytes u32 | crc32 | magic (8)
//! block  length u32 | crc32 of payload and the block's place in the file | payload, at most 1 MiB
//! table  count, then of each section: name, place of its first block, its bytes in all
//! ```
//!
//! A section is a run of blocks, all but its last full. The end of the file is written last and checked first, so a
//! file that was cut is told at once; a block at another place than it was written to is damage as any other.
//!
//! Invariants: nothing is given to a reader before its checksum was right. Reading never panics, and allocates no more
//! than a block and the table, neither larger than the file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::bytes::{Reader, put_bytes, put_number};
use super::files::Output;
use super::sections::SectionReader;
use super::{Damaged, DiskError, DiskResult, StoreDir, StoreFile};

/// Bytes of a block's payload: large enough that its checksum and its read cost next to nothing each.
pub(crate) const BLOCK_BYTES_MAX: usize = 1 << 20;
pub(crate) const BLOCK_HEAD_BYTES: usize = 8;
/// Sections of a file: one for each kind of thing in memory, and some to grow.
pub(crate) const SECTIONS_MAX: usize = 1_024;
/// Bytes of a section's name.
pub(crate) const NAME_BYTES_MAX: usize = 64;

const MAGIC: [u8; 8] = *b"PEERBOX\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 16;
const END_BYTES: usize = 24;
/// Bytes of the table: as many sections as are allowed, each with two numbers.
const TABLE_BYTES_MAX: usize = SECTIONS_MAX * (NAME_BYTES_MAX + 24);

/// A section's entry in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Where its first block is in the file.
    pub(crate) start: u64,
    /// Bytes of its payload.
    pub(crate) bytes: u64,
}

impl Section {
    /// Where it ends in the file; `None` where no file is so long.
    fn end(&self) -> Option<u64> {
        let blocks = self.bytes.div_ceil(BLOCK_BYTES_MAX as u64);
        self.start.checked_add(self.bytes)?.checked_add(blocks * BLOCK_HEAD_BYTES as u64)
    }
}

/// A file being written. It has its name once [`ContainerWriter::finish`] returned; dropped before, it never was.
#[derive(Debug)]
pub(crate) struct ContainerWriter {
    store: StoreDir,
    file: StoreFile,
    output: Output,
    sections: Vec<Section>,
    /// A block's head, to be filled in, and what there is of its payload.
    block: Vec<u8>,
    /// Bytes written to the file.
    written: u64,
    /// What a write failed with: nothing is written after it, and the file never gets its name.
    failed: Option<DiskError>,
}

impl ContainerWriter {
    pub(crate) fn begin(store: &StoreDir, file: StoreFile) -> DiskResult<Self> {
        let output = store.begin(file)?;
        output.write(&head())?;
        let block = Vec::with_capacity(BLOCK_HEAD_BYTES + BLOCK_BYTES_MAX);
        let mut writer = Self {
            store: store.clone(),
            file,
            output,
            sections: Vec::new(),
            block,
            written: HEAD_BYTES as u64,
            failed: None,
        };
        writer.begin_block();
        Ok(writer)
    }

    /// Ends the section before, if any, and begins one of that name.
    ///
    /// # Errors
    /// What the system says; a name that was used before or is too long, or too many of them.
    pub(crate) fn section(&mut self, name: &str) -> DiskResult<SectionWriter<'_>> {
        self.end_block()?;
        let is_new = self.sections.iter().all(|section| section.name != name);
        if !is_new || name.len() > NAME_BYTES_MAX || self.sections.len() == SECTIONS_MAX {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "no section can have that name");
            return Err(DiskError::io("write", self.output.path())(error));
        }
        self.sections.push(Section { name: name.to_owned(), start: self.written, bytes: 0 });
        Ok(SectionWriter { container: self })
    }

    /// Bytes written so far.
    pub(crate) const fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Writes the end, syncs the file, gives it its name and syncs that.
    pub(crate) fn finish(mut self) -> DiskResult<()> {
        self.end_block()?;
        self.output.write(&end(&self.sections, self.written))?;
        self.store.finish(&mut self.output, self.file)
    }

    fn begin_block(&mut self) {
        self.block.clear();
        self.block.resize(BLOCK_HEAD_BYTES, 0);
    }

    fn end_block(&mut self) -> DiskResult<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let payload = &self.block[BLOCK_HEAD_BYTES..];
        if payload.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let crc = block_crc(self.written, payload);
        self.block[..4].copy_from_slice(&length.to_le_bytes());
        self.block[4..BLOCK_HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        if let Err(error) = self.output.write(&self.block) {
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.written += self.block.len() as u64;
        self.begin_block();
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> DiskResult<usize> {
        if self.block.len() == BLOCK_HEAD_BYTES + BLOCK_BYTES_MAX {
            self.end_block()?;
        }
        let room = BLOCK_HEAD_BYTES + BLOCK_BYTES_MAX - self.block.len();
        let taken = bytes.len().min(room);
        self.block.extend_from_slice(&bytes[..taken]);
        if let Some(section) = self.sections.last_mut() {
            section.bytes += taken as u64;
        }
        Ok(taken)
    }
}

impl Drop for ContainerWriter {
    /// One that was not finished gives its room back: it may be what fills the disk.
    fn drop(&mut self) {
        if self.output.path() != self.store.path_of(self.file) {
            let _ = self.store.remove_path(self.output.path()); // the next start does it
        }
    }
}

/// Writes into the section that was begun last. Needs no buffer around it, and no end.
#[derive(Debug)]
pub(crate) struct SectionWriter<'a> {
    container: &'a mut ContainerWriter,
}

impl Write for SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.container.add(bytes).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is there: its table, by which its sections are read.
#[derive(Debug)]
pub(crate) struct Container {
    path: PathBuf,
    sections: Vec<Section>,
}

impl Container {
    pub(crate) fn open(store: &StoreDir, file: StoreFile) -> DiskResult<Self> {
        let path = store.path_of(file);
        let opened = File::open(&path).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
        let (length, mut opened) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DiskError::Gone { file: path });
            }
            opened => opened.map_err(DiskError::io("open", &path))?,
        };
        match read_table(&mut opened, length) {
            Ok(Ok(sections)) => Ok(Self { path, sections }),
            Ok(Err((offset, damaged))) => Err(damaged.at(&path, offset)),
            Err(error) => Err(DiskError::io("read", &path)(error)),
        }
    }

    #[cfg(test)]
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Reads a section from its beginning, through a handle of its own: several may be read at once.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] where there is none of that name; what the system says. Damage within the section is an
    /// error of the reading; [`SectionReader::error`] tells it with the file's name.
    pub(crate) fn section(&self, name: &str) -> DiskResult<SectionReader<File>> {
        let found = self.sections.iter().find(|section| section.name == name);
        let section = found.ok_or_else(|| Damaged("a part of it is missing").at(&self.path, 0))?;
        let opened = File::open(&self.path).map_err(DiskError::io("open", &self.path))?;
        SectionReader::new(opened, self.path.clone(), section).map_err(DiskError::io("read", &self.path))
    }
}

/// The sections of a file of `length` bytes, or what is wrong where.
pub(crate) fn read_table(
    file: &mut (impl Read + Seek),
    length: u64,
) -> io::Result<Result<Vec<Section>, (u64, Damaged)>> {
    let Some(end_at) = length.checked_sub(END_BYTES as u64).filter(|end| *end >= HEAD_BYTES as u64) else {
        return Ok(Err((length, Damaged("it is cut off"))));
    };
    let mut found = [0; HEAD_BYTES];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut found)?;
    if found != head() {
        return Ok(Err((0, Damaged("its beginning is not what was written"))));
    }
    let mut end = [0; END_BYTES];
    file.seek(SeekFrom::Start(end_at))?;
    file.read_exact(&mut end)?;
    let mut fields = Reader::new(&end);
    let fields = (fields.array().map(u64::from_le_bytes), fields.array().map(u32::from_le_bytes));
    let (Ok(start), Ok(bytes)) = fields else { return Ok(Err((end_at, Damaged("it is cut off")))) };
    let is_end = end[16..] == MAGIC && bytes as usize <= TABLE_BYTES_MAX;
    if !is_end || start.checked_add(bytes.into()) != Some(end_at) {
        return Ok(Err((end_at, Damaged("it is cut off, or its end is not what was written"))));
    }
    let mut table = vec![0; bytes as usize];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut table)?;
    if end_crc(&table, &end[..12]).to_le_bytes() != end[12..16] {
        return Ok(Err((start, Damaged("its table is not what was written"))));
    }
    Ok(decode_table(&table, start).map_err(|damaged| (start, damaged)))
}

/// Sections stand one after the other without gaps and fill what is before the table.
fn decode_table(table: &[u8], table_at: u64) -> Result<Vec<Section>, Damaged> {
    const NONSENSE: Damaged = Damaged("its table does not agree with itself");
    let mut reader = Reader::new(table);
    let count: usize = reader.number_as()?;
    if count > SECTIONS_MAX {
        return Err(NONSENSE);
    }
    let mut sections = Vec::new();
    let mut expected = HEAD_BYTES as u64;
    for _ in 0..count {
        let name = reader.text()?.to_owned();
        let section = Section { name, start: reader.number()?, bytes: reader.number()? };
        if section.start != expected || section.name.len() > NAME_BYTES_MAX {
            return Err(NONSENSE);
        }
        expected = section.end().ok_or(NONSENSE)?;
        sections.push(section);
    }
    reader.end()?;
    if expected == table_at { Ok(sections) } else { Err(NONSENSE) }
}

fn head() -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn end(sections: &[Section], start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(sections.len() as u64, &mut bytes);
    for section in sections {
        put_bytes(section.name.as_bytes(), &mut bytes);
        put_number(section.start, &mut bytes);
        put_number(section.bytes, &mut bytes);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut fields = start.to_le_bytes().to_vec();
    fields.extend_from_slice(&length.to_le_bytes());
    let crc = end_crc(&bytes, &fields);
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&MAGIC);
    bytes
}

fn end_crc(table: &[u8], fields: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(table);
    hasher.update(fields);
    hasher.finalize()
}

pub(crate) fn block_crc(at: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload);
    hasher.update(&at.to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests;
