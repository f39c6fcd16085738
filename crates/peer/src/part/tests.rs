//! Parts on a real disk: made, resumed, finished, and everything that may stand in their way.

use super::*;
use peerage_wire::{PieceHasher, piece_count, piece_len};
use std::os::unix::fs::symlink;

const MIB: usize = 1 << 20;

fn content(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&bytes.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}

fn list_of(content: &[u8]) -> PieceList {
    let size = content.len() as u64;
    let values = (0..piece_count(size))
        .map(|index| {
            let mut hasher = PieceHasher::new(size, index);
            hasher.update(piece_of(content, index));
            hasher.finish()
        })
        .collect();
    PieceList::from_values(size, values).unwrap()
}

fn piece_of(content: &[u8], index: u64) -> &[u8] {
    let start = usize::try_from(index * PIECE_BYTES).unwrap();
    let len = usize::try_from(piece_len(content.len() as u64, index)).unwrap();
    &content[start..start + len]
}

fn path(text: &str) -> SharePath {
    SharePath::parse(text).unwrap()
}

struct Fixture {
    _temporary: tempfile::TempDir,
    root: PathBuf,
    folder: OutFolder,
}

fn fixture() -> Fixture {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path().join("downloads");
    let folder = OutFolder::open(&root).unwrap();
    Fixture { _temporary: temporary, root, folder }
}

impl Fixture {
    fn open(&self, place: &str, content: &[u8]) -> Result<Opened, DiskError> {
        Part::open(&self.folder, &path(place), (ContentHash::of(content), content.len() as u64), false)
    }

    fn part(&self, place: &str, content: &[u8]) -> Part {
        match self.open(place, content).unwrap() {
            Opened::Part(part) => part,
            Opened::AlreadyThere(path) => panic!("already there: {}", path.display()),
        }
    }

    fn finish(&self, place: &str, content: &[u8]) -> PathBuf {
        let part = self.part(place, content);
        for index in 0..piece_count(content.len() as u64) {
            part.write_piece(index, piece_of(content, index)).unwrap();
        }
        part.finish(false).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_part_becomes_the_file_in_folders_of_its_own() {
    let fixture = fixture();
    for bytes in [0, 1, MIB, 3 * MIB + 5] {
        let content = content(bytes);
        let place = format!("share/deep/er/{bytes}.bin");
        let path = fixture.finish(&place, &content);
        assert_eq!(path, fixture.root.join(place));
        assert_eq!(std::fs::read(path).unwrap(), content);
    }
    assert_eq!(std::fs::read_dir(fixture.root.join("share/deep/er")).unwrap().count(), 4);
}

#[test]
fn a_taken_name_gets_a_number_and_the_same_content_is_recognised() {
    let fixture = fixture();
    let (old, new) = (content(10), content(2 * MIB));
    assert_eq!(fixture.finish("a.txt", &old), fixture.root.join("a.txt"));
    assert_eq!(fixture.finish("a.txt", &new), fixture.root.join("a (2).txt"));
    for (content, name) in [(&old, "a.txt"), (&new, "a (2).txt")] {
        let opened = fixture.open("a.txt", content).unwrap();
        assert!(matches!(opened, Opened::AlreadyThere(path) if path == fixture.root.join(name)));
    }
    assert_eq!(std::fs::read(fixture.root.join("a.txt")).unwrap(), old);
    assert_eq!(fixture.names(), ["a (2).txt", "a.txt"]);
}

#[test]
fn overwriting_is_done_when_asked_for() {
    let fixture = fixture();
    fixture.finish("a.txt", b"old");
    let wanted = (ContentHash::of(b"new!"), 4);
    let Opened::Part(part) = Part::open(&fixture.folder, &path("a.txt"), wanted, true).unwrap() else {
        panic!("another content stands there")
    };
    part.write_piece(0, b"new!").unwrap();
    assert_eq!(part.finish(true).unwrap(), fixture.root.join("a.txt"));
    assert_eq!(std::fs::read(fixture.root.join("a.txt")).unwrap(), b"new!");
}

#[test]
fn only_pieces_that_are_right_survive_a_restart() {
    let fixture = fixture();
    let content = content(6 * MIB + 100);
    let list = list_of(&content);
    let part = fixture.part("big", &content);
    assert!(!part.is_resumed());
    for index in [1, 3, 6] {
        part.write_piece(index, piece_of(&content, index)).unwrap();
    }
    part.write_piece(4, &vec![7; MIB]).unwrap();
    part.write_piece(5, &piece_of(&content, 5)[..MIB / 2]).unwrap();
    drop(part);
    let part = fixture.part("big", &content);
    assert!(part.is_resumed());
    assert_eq!(part.prove(&list).unwrap(), [false, true, false, true, false, false, true]);
}

#[test]
fn a_part_that_is_too_long_or_too_short_is_still_of_use() {
    let fixture = fixture();
    let content = content(2 * MIB + 10);
    let name = part_name("f", ContentHash::of(&content));
    std::fs::write(fixture.root.join(&name), [&content[..], b"more"].concat()).unwrap();
    assert_eq!(fixture.part("f", &content).prove(&list_of(&content)).unwrap(), [true; 3]);
    std::fs::write(fixture.root.join(&name), &content[..MIB + 5]).unwrap();
    let part = fixture.part("f", &content);
    assert_eq!(part.prove(&list_of(&content)).unwrap(), [true, false, false]);
    part.write_piece(1, piece_of(&content, 1)).unwrap();
    part.write_piece(2, piece_of(&content, 2)).unwrap();
    assert_eq!(std::fs::read(part.finish(false).unwrap()).unwrap(), content);
}

#[test]
fn one_part_has_one_writer() {
    let fixture = fixture();
    let part = fixture.part("a", b"content");
    let error = fixture.open("a", b"content").err().unwrap();
    assert!(matches!(&error, DiskError::Locked { path } if *path == part.path()), "{error}");
    drop(part);
    fixture.part("a", b"content");
}

#[test]
fn planted_links_lead_nowhere() {
    let fixture = fixture();
    let outside = fixture.root.parent().unwrap().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "precious").unwrap();
    let part = part_name("a", ContentHash::of(b"x"));

    symlink(outside.join("victim"), fixture.root.join(&part)).unwrap();
    assert!(matches!(fixture.open("a", b"x"), Err(DiskError::InTheWay { .. })));
    std::fs::remove_file(fixture.root.join(&part)).unwrap();

    std::fs::hard_link(outside.join("victim"), fixture.root.join(&part)).unwrap();
    assert!(matches!(fixture.open("a", b"x"), Err(DiskError::InTheWay { .. })));
    std::fs::remove_file(fixture.root.join(&part)).unwrap();

    symlink(&outside, fixture.root.join("folder")).unwrap();
    assert!(matches!(fixture.open("folder/a", b"x"), Err(DiskError::InTheWay { .. })));

    symlink(outside.join("victim"), fixture.root.join("a")).unwrap();
    assert_eq!(fixture.finish("a", b"x"), fixture.root.join("a (2)"));

    assert_eq!(std::fs::read_to_string(outside.join("victim")).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_folder_or_a_fifo_in_the_way_is_named() {
    let fixture = fixture();
    let part = fixture.root.join(part_name("a", ContentHash::of(b"x")));
    std::fs::create_dir(&part).unwrap();
    let error = fixture.open("a", b"x").err().unwrap();
    assert!(matches!(&error, DiskError::InTheWay { path, .. } if *path == part), "{error}");
    std::fs::remove_dir(&part).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &part, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(matches!(fixture.open("a", b"x"), Err(DiskError::InTheWay { .. })));
    std::fs::write(fixture.root.join("plain"), "").unwrap();
    assert!(matches!(fixture.open("plain/a", b"x"), Err(DiskError::InTheWay { .. })));
}

#[test]
fn more_than_the_disk_holds_is_refused_before_the_first_byte() {
    let fixture = fixture();
    let wanted = (ContentHash::of(b"x"), limits::CONTENT_BYTES_MAX);
    let error = Part::open(&fixture.folder, &path("huge"), wanted, false).err().unwrap();
    let DiskError::Full { needed_bytes, free_bytes, .. } = error else { panic!("{error}") };
    assert_eq!(needed_bytes, limits::CONTENT_BYTES_MAX);
    assert!(free_bytes < needed_bytes);
    assert!(fixture.names().is_empty());
}

#[test]
fn a_name_of_255_bytes_still_has_a_part() {
    let fixture = fixture();
    let name = "n".repeat(255);
    let part = fixture.part(&name, b"x");
    assert_eq!(part.part_name, format!("{}.part", ContentHash::of(b"x").short()));
    part.write_piece(0, b"x").unwrap();
    assert_eq!(part.finish(false).unwrap(), fixture.root.join(name));
}

#[test]
fn a_discarded_part_leaves_nothing() {
    let fixture = fixture();
    fixture.part("a", b"x").discard();
    assert!(fixture.names().is_empty());
}

/// A file system of its own, taken away again on drop; `None` where this user may not mount.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path());
        let is_mounted =
            mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        is_mounted.then_some(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_is_told_with_figures_and_the_part_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a small disk needs root");
        return;
    };
    let folder = OutFolder::open(disk.folder.path()).unwrap();
    let content = content(3 * MIB);
    let wanted = (ContentHash::of(&content), content.len() as u64);
    let Opened::Part(part) = Part::open(&folder, &path("f"), wanted, false).unwrap() else {
        panic!("the disk is empty")
    };
    part.write_piece(0, piece_of(&content, 0)).unwrap();
    let filler = disk.folder.path().join("filler");
    std::fs::write(&filler, vec![1; 2 * MIB + MIB / 2]).unwrap();
    let error = part.write_piece(1, piece_of(&content, 1)).unwrap_err();
    let DiskError::Full { needed_bytes, free_bytes, .. } = error else { panic!("{error}") };
    assert!(free_bytes < MIB as u64 && needed_bytes > free_bytes, "{needed_bytes} needed, {free_bytes} free");

    let too_much = (ContentHash::of(b"more"), 8 * MIB as u64);
    let refused = Part::open(&folder, &path("more"), too_much, false);
    assert!(matches!(refused, Err(DiskError::Full { .. })), "before the first byte");

    std::fs::remove_file(filler).unwrap();
    for index in [1, 2] {
        part.write_piece(index, piece_of(&content, index)).unwrap();
    }
    assert_eq!(std::fs::read(part.finish(false).unwrap()).unwrap(), content);
}
