//! The fixture of the end-to-end tests: the real binary as index, peers and client, on free ports, in its own folder.
//!
//! Invariants: whatever was started is killed when its handle goes; readiness is read from what a process prints or
//! asked of it, never slept for; a wait that never ends fails with what the process said.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the fixture")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A test that waits longer than this for anything has failed; far above what any step takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One index and what belongs to it.
pub struct Net {
    pub dir: TempDir,
    pub url: String,
    index: Option<Running>,
}

impl Net {
    /// An index on a free port.
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("peerage-test-").unwrap();
        let mut net = Self { dir, url: String::new(), index: None };
        net.url = net.start_index("127.0.0.1:0");
        net
    }

    fn start_index(&mut self, listen: &str) -> String {
        let index = Running::start(self.index_command(&["--listen", listen]));
        let line = index.wait_for("index ready at ");
        let url = line.split_whitespace().last().unwrap().to_owned();
        self.index = Some(index);
        url
    }

    /// `peerage index` with these arguments in the index's own home.
    pub fn index_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&["index"]);
        command.args(args).env("PEERAGE_HOME", self.index_home());
        command
    }

    /// Where the index keeps what it knows.
    pub fn index_home(&self) -> PathBuf {
        self.dir.path().join("home of the index")
    }

    /// Stops the index as Ctrl-C does; its exit code.
    pub fn stop_index(&mut self) -> Option<i32> {
        self.index.take().unwrap().interrupt()
    }

    /// Takes away what the index kept, as a new disk would.
    pub fn lose_store(&self) {
        let _ = std::fs::remove_dir_all(self.index_home().join("index"));
    }

    /// What the index answers to `GET`, without its headers, and the status.
    pub fn get(&self, path: &str) -> (u16, String) {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Kills the index as a power cut would.
    pub fn kill_index(&mut self) {
        self.index.take().unwrap().kill();
    }

    /// Starts an index over the same store at the same address as before.
    pub fn restart_index(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        assert_eq!(self.start_index(&address), self.url);
    }

    pub fn index(&self) -> &Running {
        self.index.as_ref().unwrap()
    }

    /// The binary with arguments, in the net's folder, with a home of its own and nothing from outside.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PEERAGE_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("PEERAGE_HOME", self.dir.path().join("home of the client")).env("NO_COLOR", "1");
        if !self.url.is_empty() && args.first() != Some(&"index") {
            command.env("PEERAGE_INDEX", &self.url);
        }
        command
    }

    /// A folder in the net's own, made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A peer that shares a folder, once all of it is registered.
    pub fn share(&self, name: &str, dir: &Path) -> Running {
        let peer = self.share_with(name, &[dir.to_str().unwrap()]);
        peer.wait_for("registered ");
        peer
    }

    /// A peer with these arguments, not waited for.
    pub fn share_with(&self, name: &str, args: &[&str]) -> Running {
        let home = self.dir.path().join(format!("home of {name}"));
        let mut command = self.command(&["share", "--name", name, "--listen", "127.0.0.1:0"]);
        command.args(args).env("PEERAGE_HOME", home);
        Running::start(command)
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs to the end, which must be a good one; what it put out.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs to an end with this exit code; what it said to the person.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    /// The JSON lines of a command.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        lines(&self.ok(args))
    }

    /// Waits until a search finds (or no longer finds) something.
    pub fn wait_until_found(&self, words: &str, is_found: bool) {
        wait_until(&format!("`{words}` found: {is_found}"), || {
            let output = self.run(&["search", words, "--json"]);
            match output.status.code() {
                Some(0) => is_found,
                Some(3) => !is_found,
                _ => panic!("{}", told(&output)),
            }
        });
    }
}

pub fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Asks again, in short steps, until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20)); // the step of a poll, not a wait for something to be over
    }
}

/// `count` bytes that are the same for the same seed and compress to nothing less.
pub fn noise(seed: u8, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// Bytes really written below a folder (a part has holes).
pub fn allocated(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// A process that runs beside the test.
pub struct Running {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    streams_ended: u8,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new((Mutex::default(), Condvar::new()));
        listen(child.stdout.take().unwrap(), Arc::clone(&said));
        listen(child.stderr.take().unwrap(), Arc::clone(&said));
        Self { child, said }
    }

    /// The first line, so far or to come, that has this in it.
    pub fn wait_for(&self, words: &str) -> String {
        let (said, news) = &*self.said;
        let mut said = said.lock().unwrap();
        let started = Instant::now();
        loop {
            if let Some(line) = said.lines.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            assert!(
                !left.is_zero() && said.streams_ended < 2,
                "`{words}` was not said:\n{}",
                said.lines.join("\n")
            );
            said = news.wait_timeout(said, left).unwrap().0;
        }
    }

    pub fn everything_said(&self) -> String {
        self.said.0.lock().unwrap().lines.join("\n")
    }

    /// Where a peer serves.
    pub fn address(&self) -> String {
        let line = self.wait_for("serving at ");
        line.split_whitespace().nth(2).unwrap().to_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// As a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As Ctrl-C does; its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::INT);
        self.wait()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end:\n{}", self.everything_said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, said: Arc<(Mutex<Said>, Condvar)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.0.lock().unwrap().lines.push(line);
            said.1.notify_all();
        }
        said.0.lock().unwrap().streams_ended += 1;
        said.1.notify_all();
    });
}
