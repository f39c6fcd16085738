//! What goes wrong while files are moved: killed, lying and vanishing processes, and an index that forgets.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{Net, Running, allocated, noise};

/// Large enough that a transfer can be interrupted half way, in an unoptimised build as well.
const LARGE_BYTES: usize = 192 << 20;

#[test]
fn a_source_killed_half_way_is_replaced_by_the_others() {
    let net = Net::start();
    let dir = net.folder("big");
    fs::write(dir.join("big.bin"), noise(4, LARGE_BYTES)).unwrap();
    let mut peers: Vec<Running> = ["one", "two", "three"].map(|name| net.share(name, &dir)).into();
    let mut get = Running::start(net.command(&["get", "big.bin", "-o", "out", "--json"]));
    wait_until_half_way(&net.dir.path().join("out"), &get);
    peers.remove(0).kill();
    assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
    assert!(fs::read(net.dir.path().join("out/big.bin")).unwrap() == noise(4, LARGE_BYTES));
}

#[test]
fn a_killed_download_goes_on_where_it_was() {
    let net = Net::start();
    let dir = net.folder("big");
    fs::write(dir.join("big.bin"), noise(5, LARGE_BYTES)).unwrap();
    let _peer = net.share("one", &dir);
    let get = Running::start(net.command(&["get", "big.bin", "-o", "out"]));
    wait_until_half_way(&net.dir.path().join("out"), &get);
    get.kill();
    assert!(!net.dir.path().join("out/big.bin").exists(), "there is no file before it is whole");
    let before = allocated(&net.dir.path().join("out"));
    let again = net.run(&["get", "big.bin", "-o", "out"]);
    assert!(again.status.success(), "{}", support::told(&again));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        said.contains("were here from before"),
        "it did not start over ({before} bytes were there): {said}"
    );
    assert!(fs::read(net.dir.path().join("out/big.bin")).unwrap() == noise(5, LARGE_BYTES));
    assert_eq!(fs::read_dir(net.dir.path().join("out")).unwrap().count(), 1, "no part is left");
}

fn wait_until_half_way(folder: &Path, get: &Running) {
    let started = Instant::now();
    while allocated(folder) < LARGE_BYTES as u64 / 8 {
        assert!(started.elapsed() < support::PATIENCE, "no good part comes:\n{}", get.everything_said());
        std::thread::sleep(Duration::from_millis(5)); // a poll's step
    }
    assert!(!folder.join("big.bin").exists(), "the transfer was over before it could be interrupted");
}

/// Changes one byte so that nothing but the bytes tells: the size, the time and the inode stay.
fn corrupt(file: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_modified(modified).unwrap();
}

/// A file that was not touched for an hour: a peer looks twice at one that was written just before it was hashed.
fn write_long_ago(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

#[test]
fn a_source_with_one_wrong_byte_is_found_out() {
    let net = Net::start();
    let (bad_dir, good_dir) = (net.folder("bad"), net.folder("good"));
    let content = noise(6, 9_000_000);
    write_long_ago(&bad_dir.join("film.mkv"), &content);
    let bad = net.share("liar", &bad_dir);
    corrupt(&bad_dir.join("film.mkv"), 4_500_000);

    let said = net.fails(6, &["get", "film.mkv", "-o", "alone"]);
    assert!(said.contains("liar") && said.contains("hint:"), "{said}");
    assert!(!net.dir.path().join("alone/film.mkv").exists());

    fs::write(good_dir.join("film.mkv"), &content).unwrap();
    let _good = net.share("honest", &good_dir);
    net.ok(&["get", "film.mkv", "-o", "both"]);
    assert!(fs::read(net.dir.path().join("both/film.mkv")).unwrap() == content);
    drop(bad);
}

#[test]
fn a_small_wrong_file_is_found_out_too() {
    let net = Net::start();
    let dir = net.folder("bad");
    write_long_ago(&dir.join("small.txt"), b"some words");
    let _liar = net.share("liar", &dir);
    corrupt(&dir.join("small.txt"), 3);
    net.fails(6, &["get", "small.txt", "-o", "out"]);
    assert!(!net.dir.path().join("out/small.txt").exists());
}

#[test]
fn a_vanished_source_is_told_as_unreachable() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("gone.txt"), "words").unwrap();
    let peer = net.share("brief", &dir);
    peer.kill();
    let said = net.fails(4, &["get", "gone.txt"]);
    assert!(said.contains("brief") && said.contains("hint:"), "{said}");
}

#[test]
fn an_index_that_comes_back_empty_is_filled_again_by_itself() {
    let mut net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("kept.txt"), "words").unwrap();
    let peer = net.share("loyal", &dir);
    net.kill_index();
    let said = net.fails(4, &["search", "kept"]);
    assert!(said.contains("peerage index"), "{said}");
    net.lose_store();
    net.restart_index();
    // Within two heartbeats, with nobody's hand on it.
    let started = Instant::now();
    net.wait_until_found("kept", true);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    drop(peer);
}

#[test]
fn a_killed_peer_leaves_the_answers_when_its_lease_ends() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("leased.txt"), "words").unwrap();
    let peer = net.share("mortal", &dir);
    peer.kill();
    let started = Instant::now();
    while net.run(&["search", "leased"]).status.code() == Some(0) {
        assert!(started.elapsed() < Duration::from_secs(95), "its lease was over long ago");
        std::thread::sleep(Duration::from_millis(500)); // a poll's step
    }
}

#[test]
fn garbage_on_either_port_harms_nobody() {
    use std::io::{Read, Write};
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("fine.txt"), "words").unwrap();
    let peer = net.share("calm", &dir);
    let index = net.url.trim_start_matches("http://").to_owned();
    for address in [index, peer.address()] {
        for seed in 0..4 {
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
            let _ = stream.write_all(&noise(seed, 100_000));
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    net.ok(&["get", "fine.txt", "-o", "out"]);
}
