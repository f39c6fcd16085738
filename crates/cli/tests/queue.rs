//! The queue from the outside: many wants at once, what survives the end of a process, and who does whose downloads.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use support::{Net, Running, allocated, lines, noise, told, wait_until};

/// Large enough that a transfer can be interrupted half way, in an unoptimised build as well.
const LARGE_BYTES: usize = 192 << 20;

/// A net with one source of one large file, and where it goes.
struct Large {
    net: Net,
    source: Running,
    seed: u8,
}

impl Large {
    fn start(seed: u8) -> Self {
        let net = Net::start();
        let dir = net.folder("big");
        fs::write(dir.join("big.bin"), noise(seed, LARGE_BYTES)).unwrap();
        fs::write(dir.join("small.txt"), "words").unwrap();
        let source = net.share("studio", &dir);
        Self { net, source, seed }
    }

    fn get(&self, args: &[&str]) -> Running {
        Running::start(self.net.command(&[&["get"], args].concat()))
    }

    fn out(&self) -> PathBuf {
        self.net.dir.path().join("out")
    }

    /// Waits until a good part is there and holds the source then, so that nothing is over too early.
    fn hold_half_way(&self, get: &Running) {
        wait_until(&format!("a good part comes; it said: {}", get.everything_said()), || {
            allocated(&self.out()) > LARGE_BYTES as u64 / 8
        });
        self.source.signal(Signal::STOP);
        assert!(!self.out().join("big.bin").exists(), "it was over before it could be interrupted");
    }

    fn go_on(&self) {
        self.source.signal(Signal::CONT);
    }

    fn assert_whole(&self) {
        assert!(fs::read(self.out().join("big.bin")).unwrap() == noise(self.seed, LARGE_BYTES));
        let parts = fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(parts.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")), "no part is left");
    }

    fn waiting(&self) -> usize {
        self.net.json(&["get", "--queue", "--json"]).len()
    }
}

/// Whether a process holds an unfinished file open: then it is the one that fetches.
fn writes_a_part(pid: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|path| path.to_string_lossy().ends_with(".part"))
}

/// A peer that shares nothing much, in the home that the commands use.
fn taker(net: &Net) -> Running {
    let dir = net.folder("mine");
    let mut command = net.command(&["share", "--name", "taker", "--listen", "127.0.0.1:0"]);
    command.arg(dir);
    let taker = Running::start(command);
    taker.wait_for("registered ");
    taker
}

fn socket_of(net: &Net) -> PathBuf {
    net.dir.path().join("home of the client/control.sock")
}

#[test]
fn many_wants_are_fetched_at_once_and_what_fails_stops_no_other() {
    let net = Net::start();
    let dir = net.folder("many");
    for n in 0..60_u8 {
        fs::write(dir.join(format!("file-{n}.bin")), noise(n, 40_000 * usize::from(n))).unwrap();
    }
    let _peer = net.share("studio", &dir);
    let names: Vec<String> = (0..60).map(|n| format!("file-{n}.bin")).collect();
    let mut args = vec!["get", "-o", "out", "--json", "nowhere-to-be-found"];
    args.extend(names.iter().map(String::as_str));
    let output = net.run(&args);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`nowhere-to-be-found`") && said.contains("1 of 61"), "{said}");
    assert_eq!(lines(&String::from_utf8(output.stdout).unwrap()).len(), 60);
    for n in 0..60_u8 {
        let file = net.dir.path().join(format!("out/file-{n}.bin"));
        assert!(fs::read(file).unwrap() == noise(n, 40_000 * usize::from(n)), "file-{n}");
    }
    assert!(net.json(&["get", "--queue", "--json"]).is_empty(), "what can't be found is not kept");
    assert!(!socket_of(&net).exists(), "nobody is there to listen");
}

#[test]
fn what_a_killed_get_left_is_resumed() {
    let large = Large::start(11);
    let get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    get.kill();
    large.go_on();
    assert_eq!(large.waiting(), 1);
    assert!(socket_of(&large.net).exists(), "a killed process leaves its socket, which is no obstacle");
    // From another folder, for the output folder is kept too.
    let mut resume = large.net.command(&["get", "--resume"]);
    let output = resume.current_dir(large.net.folder("elsewhere")).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("were here from before"), "{}", told(&output));
    large.assert_whole();
    assert_eq!(large.waiting(), 0);
    let again = large.net.run(&["get", "--resume"]);
    assert!(again.status.success() && told(&again).contains("nothing waits"), "{}", told(&again));
}

#[test]
fn what_was_interrupted_is_resumed_or_forgotten() {
    let large = Large::start(12);
    let mut get = large.get(&["small.txt", "big.bin", "-o", "out"]);
    get.wait_for("out/small.txt");
    large.hold_half_way(&get);
    get.signal(Signal::INT);
    assert_eq!(get.wait(), Some(1));
    assert!(get.wait_for("hint: ").contains("peerage get --resume"));
    let waiting = large.net.json(&["get", "--queue", "--json"]);
    assert_eq!(waiting.len(), 1, "the small one was there: {waiting:?}");
    assert_eq!(waiting[0]["what"], "big.bin");
    assert_eq!(waiting[0]["output"], large.out().to_str().unwrap());
    assert!(large.net.ok(&["get", "--queue"]).contains("big.bin"));
    large.go_on();
    large.net.ok(&["get", "--resume"]);
    large.assert_whole();

    large.net.fails(3, &["get", "--forget", "big.bin"]);
    large.net.fails(2, &["get", "--forget", "--resume"]);
    large.net.ok(&["get", "--forget"]);
}

#[test]
fn a_want_that_is_out_of_reach_waits_and_means_the_same_later() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("gone.txt"), "words").unwrap();
    let peer = net.share("brief", &dir);
    peer.kill();
    let said = net.fails(4, &["get", "gone.txt"]);
    assert!(said.contains("trying again in") && said.contains("peerage get --resume"), "{said}");
    assert_eq!(net.json(&["get", "--queue", "--json"]).len(), 1);

    // Meanwhile there is another file that the words fit as well.
    let others = net.folder("others");
    fs::write(others.join("gone.txt"), "other words").unwrap();
    let _other = net.share("other", &others);
    let _back = net.share("brief", &dir);
    net.ok(&["get", "--resume"]);
    assert_eq!(fs::read_to_string(net.dir.path().join("downloads/gone.txt")).unwrap(), "words");
    assert!(net.json(&["get", "--queue", "--json"]).is_empty());
}

#[test]
fn a_running_peer_does_the_downloads_of_its_home() {
    let large = Large::start(13);
    let taker = taker(&large.net);
    let mut get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    assert!(writes_a_part(taker.id()) && !writes_a_part(get.id()), "the peer fetches, not the command");
    large.go_on();
    assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
    get.wait_for("fetched and proven: 192 MiB");
    get.wait_for("out/big.bin");
    large.assert_whole();
    let said = large.net.fails(3, &["get", "nowhere-to-be-found"]);
    assert!(said.contains("file not found"), "{said}");
    let said = large.net.fails(4, &["get", "x", "--index", "http://127.0.0.1:1"]);
    assert!(
        said.contains("hint: start one with `peerage index`"),
        "the command's own index is asked: {said}"
    );
    large.net.ok(&["get", "--forget"]);
    assert_eq!(taker.interrupt(), Some(0));
}

#[test]
fn ctrl_c_ends_what_was_handed_over() {
    let large = Large::start(14);
    let taker = taker(&large.net);
    let mut get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    get.signal(Signal::INT);
    assert_eq!(get.wait(), Some(1));
    wait_until("the peer lets go of the part", || !writes_a_part(taker.id()));
    assert_eq!(large.waiting(), 1);
    large.go_on();
    large.net.ok(&["get", "--resume"]);
    large.assert_whole();
    assert_eq!(large.waiting(), 0);
}

#[test]
fn a_download_goes_on_when_the_peer_that_did_it_dies() {
    let large = Large::start(15);
    let taker = taker(&large.net);
    let mut get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    taker.kill();
    large.go_on();
    assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
    get.wait_for("the peer that fetched this ended; another goes on");
    large.assert_whole();
    assert_eq!(large.waiting(), 0);
}

#[test]
fn of_two_gets_in_one_home_the_first_does_the_work_and_the_second_survives_it() {
    let large = Large::start(16);
    let mut first = large.get(&["small.txt", "big.bin", "-o", "out"]);
    large.hold_half_way(&first);
    let mut second = large.get(&["big.bin", "-o", "two"]);
    let two = large.net.dir.path().join("two");
    wait_until("the second's part is there", || fs::read_dir(&two).is_ok_and(|found| found.count() > 0));
    assert!(writes_a_part(first.id()) && !writes_a_part(second.id()), "it was handed over");
    first.signal(Signal::INT);
    assert_eq!(first.wait(), Some(1));
    large.go_on();
    assert_eq!(second.wait(), Some(0), "{}", second.everything_said());
    assert!(fs::read(two.join("big.bin")).unwrap() == noise(16, LARGE_BYTES));
    large.net.ok(&["get", "--resume"]);
    large.assert_whole();
}

#[test]
fn a_get_gives_the_home_to_a_peer_that_starts_and_hands_it_its_downloads() {
    let large = Large::start(20);
    let mut get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    let taker = taker(&large.net);
    get.wait_for("a peer starts in this home");
    wait_until("the peer goes on with it", || writes_a_part(taker.id()));
    large.go_on();
    assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
    large.assert_whole();
    assert_eq!(large.waiting(), 0);
    assert_eq!(taker.interrupt(), Some(0));
}

#[test]
fn a_stall_is_told_with_its_cause() {
    let large = Large::start(17);
    let mut get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    let line = get.wait_for("big.bin: ");
    // Which of the two depends on whether any answer had begun.
    let causes = ["studio sends slowly", "waiting for a slot at studio"];
    assert!(causes.iter().any(|cause| line.ends_with(cause)), "{line}");
    large.go_on();
    assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
    large.assert_whole();
}

#[test]
fn a_home_may_be_deep() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("deep.txt"), "words").unwrap();
    let home = net.dir.path().join("d".repeat(100)).join("e".repeat(100));
    let mut share = net.command(&["share", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let peer = Running::start({
        share.env("PEERAGE_HOME", &home);
        share
    });
    peer.wait_for("registered ");
    assert_eq!(mode_of(&home.join("control.sock")), 0o600);
    let mut get = net.command(&["get", "deep.txt"]);
    let output = get.env("PEERAGE_HOME", &home).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn no_nonsense_on_the_control_socket_does_harm() {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixStream;
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("fine.txt"), "words").unwrap();
    let _source = net.share("studio", &dir);
    let taker = taker(&net);
    assert_eq!(mode_of(&socket_of(&net)), 0o600);
    let answer = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(socket_of(&net)).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let _ = stream.write_all(bytes); // the other end may refuse before it has read everything
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    };
    let wants = |what: &str, output: &str| {
        format!(
            "{{\"ask\":\"fetch\",\"version\":1,\"resume\":false,\"wants\":[{{\"want\":0,\"again\":false,\"ask\":{{\"what\":\"{what}\",\
             \"output\":\"{output}\",\"overwrite\":false,\"index\":\"{}\"}}}}]}}\n",
            net.url
        )
    };
    let refused = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "can't read the request"),
        (noise(1, 100_000), "can't read the request"),
        (b"{\"version\":1".to_vec(), "ends early"),
        (b"{\"version\":1,\"wants\":7}\n".to_vec(), "can't read the request"),
        (
            wants("fine.txt", "/tmp").replace("\"want\":0", &format!("\"want\":{}", usize::MAX)).into_bytes(),
            "a number",
        ),
        (b"{\"version\":999,\"anything\":[]}\n".to_vec(), "version 1 of the control door, not 999"),
    ];
    for (bytes, words) in refused {
        let line = answer(&bytes);
        assert!(line.contains("\"refused\"") && line.contains(words), "{line}");
    }
    // Longer than any request: the door hangs up without keeping it.
    let mut stream = UnixStream::connect(socket_of(&net)).unwrap();
    let flood = vec![b'x'; 1 << 20];
    wait_until("the flood is refused", || stream.write_all(&flood).is_err());
    let _ = stream.read(&mut [0; 64]);
    // An output folder that depends on who reads it.
    let line = answer(wants("fine.txt", "relative").as_bytes());
    assert!(!line.contains("\"done\""), "{line}");
    assert!(!net.dir.path().join("relative").exists());

    net.ok(&["get", "fine.txt", "-o", "out"]);
    assert_eq!(taker.interrupt(), Some(0));
    assert!(!socket_of(&net).exists());
}

#[test]
fn a_damaged_want_is_named_and_set_aside() {
    let large = Large::start(18);
    let home = large.net.dir.path().join("home of the client");
    let get = large.get(&["big.bin", "-o", "out"]);
    large.hold_half_way(&get);
    get.kill();
    large.go_on();
    let queue = home.join("queue");
    fs::write(queue.join("0123.json"), "{\"half\":").unwrap();
    let mode = mode_of(&fs::read_dir(&queue).unwrap().next().unwrap().unwrap().path().with_file_name(""));
    assert_eq!(mode, 0o700);
    let output = large.net.run(&["get", "--resume"]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("note: ") && told(&output).contains("0123.json"), "{}", told(&output));
    large.assert_whole();
    assert!(queue.join("0123.damaged").exists() && !queue.join("0123.json").exists());
    large.net.ok(&["get", "--forget"]);
    assert_eq!(fs::read_dir(&queue).unwrap().count(), 0);
}

#[test]
fn the_shell_hands_its_downloads_over_as_well() {
    use std::io::Write;
    let large = Large::start(19);
    let taker = taker(&large.net);
    let mut command: Command = large.net.command(&["shell", "-o", "out"]);
    let mut shell =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"search big\ndownload 1\nquit\n").unwrap();
    wait_until("the peer fetches for the shell", || writes_a_part(taker.id()));
    assert!(shell.wait().unwrap().success());
    large.assert_whole();
}

#[test]
fn a_folder_of_small_and_large_files_comes_whole_around_what_is_there() {
    let net = Net::start();
    let dir = net.folder("mixed");
    for n in 0..600_u32 {
        let sub = dir.join(format!("sub {}", n % 7));
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join(format!("{n}.txt")), format!("file {n}").repeat(n as usize)).unwrap();
    }
    fs::write(dir.join("large.bin"), noise(30, 5 << 20)).unwrap();
    let _peer = net.share("studio", &dir);
    fs::create_dir_all(net.dir.path().join("out/mixed/sub 1")).unwrap();
    fs::write(net.dir.path().join("out/mixed/sub 1/1.txt"), "mine").unwrap();
    fs::copy(dir.join("sub 2/2.txt"), {
        fs::create_dir_all(net.dir.path().join("out/mixed/sub 2")).unwrap();
        net.dir.path().join("out/mixed/sub 2/2.txt")
    })
    .unwrap();
    let rows = net.json(&["get", "studio/mixed", "-o", "out", "--json"]);
    assert_eq!((rows.len(), &rows[601]["files"]), (602, &serde_json::json!(601)));
    assert_eq!(fs::read_to_string(net.dir.path().join("out/mixed/sub 1/1.txt")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(net.dir.path().join("out/mixed/sub 1/1 (2).txt")).unwrap(), "file 1");
    fs::rename(
        net.dir.path().join("out/mixed/sub 1/1 (2).txt"),
        net.dir.path().join("out/mixed/sub 1/1.txt"),
    )
    .unwrap();
    let mut diff = Command::new("diff");
    let compared = diff.args(["-r", "mixed", "out/mixed"]).current_dir(net.dir.path()).output().unwrap();
    assert!(compared.status.success(), "{}", told(&compared));
    let again = net.run(&["get", "studio/mixed", "-o", "out"]);
    assert!(told(&again).contains("601 were already here"), "{}", told(&again));
}

#[test]
fn a_download_that_lasts_is_a_source_for_others() {
    let net = Net::start();
    let dir = net.folder("slow");
    let content = noise(17, 20 << 20);
    fs::write(dir.join("slow.bin"), &content).unwrap();
    let seed = net.share_with("seed", &[dir.to_str().unwrap(), "--limit-up", "2M"]);
    seed.wait_for("registered ");
    let get = |name: &str| {
        let mut command = net.command(&["get", "slow.bin", "--json", "--name", name, "-o", name]);
        command.env("PEERAGE_HOME", net.dir.path().join(format!("home of {name}")));
        Running::start(command)
    };
    let mut first = get("first");
    let named = |name: &str| net.json(&["peers", "--json"]).iter().any(|peer| peer["name"] == name);
    wait_until("the download appears as a peer", || named("first"));
    let mut second = get("second");
    for (name, get) in [("first", &mut first), ("second", &mut second)] {
        assert_eq!(get.wait(), Some(0), "{}", get.everything_said());
        assert!(fs::read(net.dir.path().join(name).join("slow.bin")).unwrap() == content);
    }
    let row = &lines(&second.wait_for("sources_used"))[0];
    assert_eq!(row["sources_used"], 2, "the seed, and who had begun before");
    wait_until("a peer for a while is gone when it is done", || !named("first") && !named("second"));
    let third = get("third");
    wait_until("the download appears as a peer", || named("third"));
    assert_eq!(third.interrupt(), Some(1));
    assert!(!named("third"), "it left before it ended");
}
