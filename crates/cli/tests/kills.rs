//! `kill -9` at random moments, 200 rounds: of who downloads and of who sends. What is finished is right, and what was written
//! is not fetched again.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use support::{Net, Running, allocated, noise};

/// Rounds of each of two tests that kill who downloads.
const DOWNLOAD_ROUNDS: u64 = 75;
/// Rounds of each of two tests that kill who sends: each starts a peer again, which takes a moment.
const SOURCE_ROUNDS: u64 = 25;
/// Larger than what may be fetched again.
const FILE_BYTES: usize = 40 << 20;
/// What may be fetched again after a kill.
const AGAIN_BYTES_MAX: u64 = 16 << 20;
/// So that a download lasts about as long as the longest wait before a kill.
const LIMIT: &str = "64M";
const WAIT_MILLIS_MAX: u64 = 900;

/// A download that is killed and begun again until it is whole, then begun anew.
struct Rounds {
    net: Net,
    out: PathBuf,
    content: Vec<u8>,
    random: u64,
    finished: usize,
    killed: usize,
    resumed: usize,
}

impl Rounds {
    fn new(seed: u8) -> (Self, PathBuf) {
        let net = Net::start();
        let dir = net.folder("big");
        let content = noise(seed, FILE_BYTES);
        fs::write(dir.join("big.bin"), &content).unwrap();
        let out = net.dir.path().join("out");
        let random = u64::from(seed) << 32 | 0x9e37_79b9;
        (Self { net, out, content, random, finished: 0, killed: 0, resumed: 0 }, dir)
    }

    fn get(&self) -> Running {
        Running::start(self.net.command(&["get", "big.bin", "-o", "out", "--json", "--limit-down", LIMIT]))
    }

    /// The same for every run of the test, different for every round.
    fn wait(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(self.random % WAIT_MILLIS_MAX)
    }

    /// Lets a download end, and looks at what it says and what there is.
    fn finish(&mut self, mut get: Running, written_bytes: u64) {
        assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
        let row = &support::lines(&get.wait_for("\"resumed_bytes\""))[0];
        let resumed = row["resumed_bytes"].as_u64().unwrap();
        assert!(
            resumed + AGAIN_BYTES_MAX >= written_bytes,
            "{written_bytes} were written, {resumed} were of use"
        );
        assert!(fs::read(self.out.join("big.bin")).unwrap() == self.content, "a wrong file");
        assert_eq!(fs::read_dir(&self.out).unwrap().count(), 1, "something is left");
        fs::remove_dir_all(&self.out).unwrap();
        self.finished += 1;
        self.resumed += usize::from(resumed > 0);
    }

    /// What a kill may leave: nothing, a part, or the whole file.
    fn look(&self) -> u64 {
        if let Ok(found) = fs::read(self.out.join("big.bin")) {
            assert!(found == self.content, "a wrong file");
        }
        allocated(&self.out)
    }

    fn assert_told(&self) {
        assert!(self.finished > 0 && self.killed > 0 && self.resumed > 0, "nothing was tried");
    }
}

/// Kills the downloader at random; every fourth time it may go on to the end.
fn kill_downloads(seed: u8) {
    let (mut rounds, dir) = Rounds::new(seed);
    let _source = rounds.net.share("one", &dir);
    for round in 0..DOWNLOAD_ROUNDS {
        let written_bytes = rounds.look();
        let get = rounds.get();
        if round % 4 == 3 {
            rounds.finish(get, written_bytes);
        } else {
            std::thread::sleep(rounds.wait());
            get.kill();
            rounds.killed += 1;
        }
    }
    rounds.assert_told();
}

/// Kills the only source at random and starts it again; the download that waits for it goes on by itself or by a second
/// command.
fn kill_sources(seed: u8) {
    let (mut rounds, dir) = Rounds::new(seed);
    let mut source = rounds.net.share("one", &dir);
    for _ in 0..SOURCE_ROUNDS {
        let mut get = rounds.get();
        std::thread::sleep(rounds.wait());
        source.kill();
        rounds.killed += 1;
        source = rounds.net.share("one", &dir);
        let code = get.wait();
        let written_bytes = rounds.look();
        if code == Some(0) {
            fs::remove_dir_all(&rounds.out).unwrap();
            rounds.finished += 1;
        } else {
            assert_eq!(code, Some(4), "{}", get.everything_said());
            let again = rounds.get();
            rounds.finish(again, written_bytes);
        }
    }
    assert!(rounds.finished > 0);
}

#[test]
fn downloads_killed_at_random_end_right() {
    kill_downloads(1);
}

#[test]
fn downloads_killed_at_other_moments_end_right() {
    kill_downloads(2);
}

#[test]
fn a_source_killed_at_random_does_no_harm() {
    kill_sources(3);
}

#[test]
fn a_source_killed_at_other_moments_does_no_harm() {
    kill_sources(4);
}
