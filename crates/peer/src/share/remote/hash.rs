//! Hashing the files of a server, each streamed once: the content hash and the piece values in the same pass.
//!
//! Invariants: a file is registered only if the server told the same size and time of it before its first byte and after
//! its last. It tells whole seconds, so a file is not read before its stamp is [`COARSE_STEP`] old by our own clock: a write
//! while it is read then leaves another time, and the server's clock need not be right.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use peerage_wire::{PieceList, piece_count, piece_len};

use super::Server;
use super::failure::Failure;
use super::file::RemoteFile;
use super::pool::Purpose;
use crate::room::Room;
use crate::share::engine::Engine;
use crate::share::hash::{COARSE_STEP, READ_BYTES, read_piece};
use crate::share::queue::{Job, Task};
use crate::share::settle::Outcome;

/// One hashing thread, until the queue is closed.
pub(super) fn run(engine: &Engine, server: &Arc<Server>) {
    let buffer = &mut *Room::new(READ_BYTES);
    while let Some(task) = server.queue.next() {
        match task {
            Task::Small(jobs) => jobs.iter().for_each(|job| hash(engine, server, job, buffer)),
            Task::Open(job) => hash(engine, server, &job, buffer),
            // One connection reads one file from its beginning to its end, so none is cut into pieces.
            Task::Piece(..) => {}
        }
    }
}

fn hash(engine: &Engine, server: &Arc<Server>, job: &Job, buffer: &mut [u8]) {
    // What waits for a server that has gone is found again when it is back.
    let mut hashed_bytes = 0;
    let outcome = if server.is_here() && server.bell.sleep(job.found + COARSE_STEP) {
        read(engine, server, job, buffer, &mut hashed_bytes)
    } else {
        Outcome::Gone
    };
    if engine.is_stopping() {
        return; // what failed did so because we stop, and says nothing of the file
    }
    if !matches!(outcome, Outcome::Hashed { .. }) {
        engine.progress.unhashed_bytes(job, hashed_bytes);
    }
    // How long it took says more of the network than of the file.
    engine.settle(job, outcome, Duration::ZERO);
}

fn read(engine: &Engine, server: &Arc<Server>, job: &Job, buffer: &mut [u8], hashed: &mut u64) -> Outcome {
    let (size, stamp) = (job.stamp.size, job.stamp);
    let file = RemoteFile::new(server, job.disk(), stamp, Purpose::Hash);
    let mut values = Vec::new();
    for index in 0..piece_count(size) {
        match read_piece(|bytes, at| file.read_at(bytes, at), size, index, buffer) {
            Ok(value) => values.push(value),
            Err(error) => return ended(server, job, error),
        }
        let bytes = piece_len(size, index);
        engine.progress.hashed_bytes(job, bytes);
        *hashed += bytes;
    }
    match server.stamp(job.disk()) {
        Ok(after) if after == stamp => {}
        Ok(_) => return Outcome::Changed,
        Err(Failure::Refused(_)) => return Outcome::Gone,
        Err(_) => return Outcome::Later,
    }
    match PieceList::from_values(size, values) {
        Ok(list) => Outcome::Hashed { list, stamp, is_certain: true },
        Err(error) => Outcome::Unreadable(io::Error::new(io::ErrorKind::FileTooLarge, error)),
    }
}

/// What a failed read says of the file.
fn ended(server: &Server, job: &Job, error: io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Outcome::Changed,
        io::ErrorKind::PermissionDenied => match server.stamp(job.disk()) {
            Ok(stamp) => {
                server.refuse(job.disk(), stamp);
                Outcome::Unreadable(error)
            }
            Err(Failure::Refused(_)) => Outcome::Gone,
            Err(_) => Outcome::Later,
        },
        io::ErrorKind::Unsupported => Outcome::Unreadable(error),
        _ => Outcome::Later,
    }
}
