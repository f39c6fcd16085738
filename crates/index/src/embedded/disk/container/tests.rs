//! Containers written and read again: whole, cut at every byte, damaged at every byte, and how fast.

use std::fs;
use std::time::Instant;

use super::*;

fn parts() -> Vec<(&'static str, Vec<u8>)> {
    let long: Vec<u8> = (0..2 * BLOCK_BYTES_MAX + 5).map(|at| at.to_le_bytes()[at % 3]).collect();
    let full = long[..BLOCK_BYTES_MAX].to_vec();
    vec![("empty", vec![]), ("short", vec![1, 2, 3]), ("long", long), ("full", full), ("none", vec![])]
}

fn write(store: &StoreDir, file: StoreFile, parts: &[(&str, Vec<u8>)]) -> PathBuf {
    let mut writer = ContainerWriter::begin(store, file).unwrap();
    for (name, bytes) in parts {
        let mut section = writer.section(name).unwrap();
        bytes.chunks(300_001).for_each(|chunk| section.write_all(chunk).unwrap());
    }
    writer.finish().unwrap();
    store.path_of(file)
}

fn read(store: &StoreDir, file: StoreFile) -> DiskResult<Vec<(String, Vec<u8>)>> {
    let container = Container::open(store, file)?;
    let read = |section: &Section| Ok((section.name.clone(), container.section(&section.name)?.rest()?));
    container.sections().iter().map(read).collect()
}

fn store() -> (tempfile::TempDir, StoreDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreDir::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn sections_come_back_as_they_were() {
    let (_dir, store) = store();
    let (parts, file) = (parts(), StoreFile::Snapshot(4));
    write(&store, file, &parts);
    let found = read(&store, file).unwrap();
    let found: Vec<_> = found.iter().map(|(name, bytes)| (&**name, bytes.clone())).collect();
    assert!(found == parts);
    assert_eq!(store.snapshots().unwrap(), [4]);
    let container = Container::open(&store, file).unwrap();
    assert!(matches!(container.section("other"), Err(DiskError::Damaged { .. })));
    let mut long = container.section("long").unwrap();
    let mut some = [0; 3];
    long.read_exact(&mut some).unwrap();
    assert_eq!((&some[..], long.left()), (&parts[2].1[..3], parts[2].1.len() as u64 - 3));
}

#[test]
fn a_section_has_one_name() {
    let (_dir, store) = store();
    let mut writer = ContainerWriter::begin(&store, StoreFile::Snapshot(1)).unwrap();
    writer.section("a").unwrap();
    assert!(writer.section("a").is_err());
    assert!(writer.section(&"b".repeat(NAME_BYTES_MAX + 1)).is_err());
    drop(writer);
    assert!(store.snapshots().unwrap().is_empty(), "never finished, never there");
}

#[test]
fn a_file_of_one_section_is_whole_or_not_there() {
    let (_dir, store) = store();
    let file = StoreFile::Segment(9);
    let failing = store.write_file(file, |_| Err(io::Error::other("no more")));
    assert!(failing.unwrap_err().to_string().contains("no more"));
    assert!(store.segments().unwrap().is_empty());
    store.write_file(file, |into| into.write_all(b"text")).unwrap();
    assert_eq!(store.read_file(file).unwrap(), b"text");
}

#[test]
fn a_cut_or_changed_byte_anywhere_is_found() {
    let (_dir, store) = store();
    let file = StoreFile::Snapshot(1);
    let path = write(&store, file, &[("a", vec![7; 40]), ("b", vec![8; 3])]);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        fs::write(&path, &whole[..at]).unwrap();
        assert!(matches!(read(&store, file), Err(DiskError::Damaged { .. })), "cut at {at}");
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let error = read(&store, file).unwrap_err();
            assert!(matches!(&error, DiskError::Damaged { file, .. } if *file == path), "byte {at}: {error}");
        }
    }
}

#[test]
fn a_block_at_anothers_place_is_found() {
    let (_dir, store) = store();
    let file = StoreFile::Snapshot(1);
    let path = write(&store, file, &[("a", vec![7; 40]), ("b", vec![8; 40])]);
    let mut bytes = fs::read(&path).unwrap();
    let size = BLOCK_HEAD_BYTES + 40;
    let (one, other) = bytes[HEAD_BYTES..HEAD_BYTES + 2 * size].split_at_mut(size);
    one.swap_with_slice(other);
    fs::write(&path, &bytes).unwrap();
    let mut reader = Container::open(&store, file).unwrap().section("a").unwrap();
    assert_eq!(reader.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(reader.read(&mut [0; 9]).is_err(), "nothing comes after an error");
    assert!(reader.error(Damaged("")).to_string().contains("a block is not what was written"));
}

#[test]
#[ignore = "a measurement, not a check: run it alone, in release, with --nocapture"]
fn how_fast_a_section_is_read() {
    let (_dir, store) = store();
    let file = StoreFile::Snapshot(1);
    write(&store, file, &[("a", vec![7; 1 << 30])]);
    for _ in 0..3 {
        let mut reader = Container::open(&store, file).unwrap().section("a").unwrap();
        let start = Instant::now();
        let mut bytes = vec![0; 64 << 10];
        let mut total = 0;
        loop {
            match reader.read(&mut bytes).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        println!("{:.2} GB/s", total as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
}
