//! What the store reads, from bytes instead of files.
//!
//! Invariants: as [`crate::fuzzing`].

use std::io::{Cursor, Read};
use std::path::PathBuf;

use super::container::read_table;
use super::{Record, SectionReader, frame};

/// A record; what decodes is encoded to the same again.
pub fn record(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let mut encoded = Vec::new();
    record.encode(&mut encoded);
    assert_eq!(Record::decode(&encoded).as_ref(), Ok(&record), "the record survives the trip");
}

/// A log file. Checksums are made right first where they can be, so that what is behind them is reached as well.
pub fn log(bytes: &[u8]) {
    scan(bytes);
    scan(&sealed(bytes));
}

fn scan(bytes: &[u8]) {
    let mut seen = 0;
    let scanned = frame::scan(&mut Cursor::new(bytes), bytes.len() as u64, |_, payload| {
        seen += 1;
        Record::decode(payload).map(drop)
    });
    let Ok(scan) = scanned else { return };
    assert_eq!(scan.next - scan.head.first, seen, "every record is seen once");
    assert!(scan.marked <= scan.end && scan.end <= bytes.len() as u64, "{scan:?}");
    assert_eq!(scan.broken.is_none(), scan.end == bytes.len() as u64, "{scan:?}");
}

/// The first byte says how many records the rest is cut into, and where a byte of the log is changed.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let (salt, first) = (1, 1);
    let Some((control, payload)) = bytes.split_first() else { return Vec::new() };
    let mut log = frame::Head { salt, first }.encode().to_vec();
    let size = payload.len() / (usize::from(control & 3) + 1) + 1;
    for (number, record) in (first..).zip(payload.chunks(size)) {
        log.extend_from_slice(&frame::Seal::of(record).head(salt, number));
        log.extend_from_slice(record);
        log.extend_from_slice(&frame::mark(salt, number));
    }
    let at = usize::from(control >> 2) * 7;
    if let Some(byte) = log.get_mut(at) {
        *byte ^= control & 4;
    }
    log
}

/// A container; every section is read to its end or to the first damage.
pub fn snapshot(bytes: &[u8]) {
    let Ok(Ok(sections)) = read_table(&mut Cursor::new(bytes), bytes.len() as u64) else { return };
    for section in sections {
        let Ok(mut reader) = SectionReader::new(Cursor::new(bytes), PathBuf::new(), &section) else { return };
        assert!(reader.left() <= bytes.len() as u64, "no more than the file");
        let mut piece = [0; 100];
        let mut total = 0;
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            total += count as u64;
        }
        assert!(total <= section.bytes, "{section:?}");
    }
}
