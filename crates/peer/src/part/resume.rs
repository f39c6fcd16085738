//! Hashing files that are already on the disk, on every core: a part to be resumed, a file that may be the one.
//!
//! Invariant: memory is one buffer a core, whatever the file's size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use peerage_wire::{ContentHash, PIECE_BYTES, PieceHasher, PieceList, piece_count, piece_len};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::room::Room;

/// Bytes read at a time: they stay in the core's own cache until they are hashed.
const READ_BYTES: usize = 256 << 10;

/// A piece's number and its value.
type Value = (u64, [u8; 32]);

/// For each piece of `list` whether `file` holds it. Only the first `found_bytes` are looked at, holes not at all.
pub(super) fn prove(file: &File, list: &PieceList, found_bytes: u64) -> io::Result<Vec<bool>> {
    let candidates = written_pieces(file, found_bytes.min(list.size()));
    let mut proven = vec![false; usize::try_from(list.count()).map_err(io::Error::other)?];
    for (index, value) in hash_pieces(file, list.size(), &candidates)? {
        if let Ok(position) = usize::try_from(index) {
            proven[position] = list.is_proven(index, &value);
        }
    }
    Ok(proven)
}

/// The content hash of a file of `size` bytes.
pub(super) fn hash(file: &File, size: u64) -> io::Result<ContentHash> {
    let all: Vec<u64> = (0..piece_count(size)).collect();
    let mut values = hash_pieces(file, size, &all)?;
    values.sort_unstable_by_key(|(index, _)| *index);
    let values = values.into_iter().map(|(_, value)| value).collect();
    Ok(PieceList::from_values(size, values).map_err(io::Error::other)?.hash())
}

/// The pieces below `end_byte` that have at least one byte written, in order.
fn written_pieces(file: &File, end_byte: u64) -> Vec<u64> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < end_byte {
        let (start, end) = next_data(file, from, end_byte);
        if start >= end_byte {
            break;
        }
        let first = (start / PIECE_BYTES).max(pieces.last().map_or(0, |last| last + 1));
        pieces.extend(first..end.div_ceil(PIECE_BYTES));
        from = end.max(from + 1);
    }
    pieces
}

/// The next stretch of written bytes at or after `from`; the whole rest where the file system can't tell.
fn next_data(file: &File, from: u64, end_byte: u64) -> (u64, u64) {
    let start = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return (end_byte, end_byte),
        Err(_) => return (from, end_byte),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(end_byte);
    (start, end.clamp(start, end_byte.max(start)))
}

fn hash_pieces(file: &File, size: u64, pieces: &[u64]) -> io::Result<Vec<Value>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = Room::new(READ_BYTES);
        let mut values = Vec::new();
        while let Some(index) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            values.push((*index, hash_piece(file, size, *index, &mut buffer)?));
        }
        Ok(values)
    };
    if pieces.len() < 2 {
        return work();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    let parts: io::Result<Vec<Vec<Value>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("a hashing thread ended early")))
        };
        workers.into_iter().map(join).collect()
    });
    Ok(parts?.concat())
}

fn hash_piece(file: &File, size: u64, index: u64, buffer: &mut [u8]) -> io::Result<[u8; 32]> {
    let mut hasher = PieceHasher::new(size, index);
    let mut at = index * PIECE_BYTES;
    let mut left = piece_len(size, index);
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..step], at)?;
        hasher.update(&buffer[..step]);
        at += step as u64;
        left -= step as u64;
    }
    Ok(hasher.finish())
}
