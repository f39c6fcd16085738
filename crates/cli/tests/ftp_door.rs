//! The FTP door of a real peer: announced, shown in results, shared with the native door, and not to be worn down.

#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use support::{Net, Running, noise, told, wait_until};

fn curl(args: &[&str]) -> Output {
    Command::new("curl").args(["-sS"]).args(args).output().unwrap()
}

/// Where the door is, `ftp://ADDRESS`.
fn url_of(peer: &Running) -> String {
    let line = peer.wait_for("ftp door open at ");
    line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned()
}

fn share(net: &Net, name: &str, flags: &[&str]) -> Running {
    let dir = net.folder(name);
    let peer = net.share_with(name, &[&[dir.to_str().unwrap(), "--ftp", "127.0.0.1:0"], flags].concat());
    peer.wait_for("registered ");
    peer
}

#[test]
fn results_say_where_a_file_is_fetched_by_ftp() {
    let net = Net::start();
    let content = noise(1, 100_000);
    fs::write(net.folder("music").join("Blue Note #1.flac"), &content).unwrap();
    fs::write(net.folder("copies").join("other name.flac"), &content).unwrap();
    let peer = share(&net, "music", &["--audience", "public"]);
    let copies = net.folder("copies");
    let _plain = net.share("plain", &copies);
    let hit = net.json(&["search", "blue", "note", "--json"]).remove(0);
    let sources = hit["sources"].as_array().unwrap();
    let urls: Vec<&str> = sources.iter().filter_map(|source| source["ftp"].as_str()).collect();
    assert_eq!(
        urls,
        [format!("{}/music/Blue%20Note%20%231.flac", url_of(&peer))],
        "of two sources one has the door"
    );
    assert!(curl(&["-f", urls[0]]).stdout == content);
    let shown = net.ok(&["search", "blue", "note"]);
    assert!(shown.contains(urls[0]), "{shown}");
}

#[test]
fn members_log_in_and_everybody_else_sees_nothing() {
    let net = Net::start();
    fs::write(net.folder("papers").join("report.txt"), "quarterly").unwrap();
    let peer = share(&net, "papers", &[]);
    peer.wait_for("nobody sees anything at the FTP door");
    let url = url_of(&peer);
    assert_eq!(curl(&["-f", &format!("{url}/")]).stdout, b"");
    assert_eq!(curl(&[&format!("{url}/papers/report.txt")]).status.code(), Some(9));
    // Added while the door is open, by another process of the same home.
    let user = |args: &[&str], password: &str| {
        let mut command = net.command(&[&["ftp-user"], args].concat());
        command
            .env("PEERAGE_HOME", net.dir.path().join("home of papers"))
            .stdin(std::process::Stdio::piped());
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let added = user(&["add", "anna", "--share", "papers", "--password-file", "-"], "correct horse\n");
    assert!(added.status.success(), "{}", told(&added));
    let file = format!("{url}/papers/report.txt");
    assert_eq!(curl(&["-f", "-u", "anna:correct horse", &file]).stdout, b"quarterly");
    assert_eq!(curl(&["-fk", "--ssl-reqd", "-u", "anna:correct horse", &file]).stdout, b"quarterly");
    assert_eq!(curl(&["-u", "anna:wrong", &file]).status.code(), Some(67));
    assert_eq!(user(&["list"], "").stdout, b"anna: papers\n");
    for (args, password, code) in [
        (&["add", "b b", "--password-file", "-"][..], "correct horse\n", 2),
        (&["add", "bert", "--password-file", "-"], "short\n", 2),
        (&["add", "bert"], "", 2),
        (&["add", "bert", "--password-file", "nowhere"], "", 1),
        (&["remove", "bert"], "", 3),
    ] {
        let output = user(args, password);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
    }
    assert!(user(&["remove", "anna"], "").status.success());
    assert_eq!(curl(&["-u", "anna:correct horse", &file]).status.code(), Some(67));
    // Other peers find and fetch it all the same.
    net.ok(&["get", "report.txt", "-o", "out"]);
    assert_eq!(fs::read(net.dir.path().join("out/report.txt")).unwrap(), b"quarterly");
}

#[test]
fn a_taken_port_and_flags_without_a_door_are_told() {
    let net = Net::start();
    let dir = net.folder("shared");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = dir.to_str().unwrap();
    let said = net.fails(1, &["share", folder, "--ftp", &address]);
    assert!(said.contains(&format!("can't serve FTP on {address}")) && said.contains("hint: "), "{said}");
    let said = net.fails(2, &["share", folder, "--ftp-tls", "off"]);
    assert!(said.contains("there is no FTP door") && said.contains("hint: "), "{said}");
    for flags in
        [["--ftp", "nowhere"], ["--ftp-passive", "9-1"], ["--ftp-advertise", "::1"], ["--ftp-tls", "maybe"]]
    {
        net.fails(2, &["share", folder, flags[0], flags[1]]);
    }
}

/// A session with the door, logged in.
fn session(url: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(url.trim_start_matches("ftp://")).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut session = BufReader::new(stream);
    reply(&mut session);
    ask(&mut session, "USER anonymous");
    ask(&mut session, "PASS x");
    session
}

fn ask(session: &mut BufReader<TcpStream>, line: &str) -> String {
    session.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    reply(session)
}

fn reply(session: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    session.read_line(&mut line).unwrap();
    line
}

/// A transfer that was begun and is not read on.
fn stalled(url: &str, path: &str) -> (BufReader<TcpStream>, TcpStream) {
    let mut session = session(url);
    let epsv = ask(&mut session, "EPSV");
    let port: u16 = epsv.split('|').nth(3).unwrap().parse().unwrap();
    let mut data = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let begun = ask(&mut session, &format!("RETR {path}"));
    assert!(begun.starts_with("150 "), "{begun}");
    data.read_exact(&mut [0; 1_000]).unwrap();
    (session, data)
}

#[test]
fn the_slots_of_all_doors_are_the_same() {
    let net = Net::start();
    fs::write(net.folder("big").join("big.bin"), noise(2, 32 << 20)).unwrap();
    let peer = share(&net, "big", &["--audience", "public"]);
    let hash = net.json(&["search", "big", "--json"])[0]["hash"].as_str().unwrap().to_owned();
    let url = url_of(&peer);
    let held: Vec<_> = (0..4).map(|_| stalled(&url, "big/big.bin")).collect();
    let native = format!("https://{}/v1/blobs/{hash}", peer.address().replace("0.0.0.0", "127.0.0.1"));
    let status = ["-k", "-o", "/dev/null", "-w", "%{http_code}", "-r", "0-9", &native];
    assert_eq!(curl(&status).stdout, b"503", "four FTP transfers of this address hold its four slots");
    drop(held);
    wait_until("the slots come back", || curl(&status).stdout == b"206");
}

#[test]
fn a_gibibyte_without_a_line_end_leaves_memory_flat() {
    let net = Net::start();
    let peer = share(&net, "quiet", &["--audience", "public"]);
    let url = url_of(&peer);
    session(&url);
    let before = resident_kib(&peer);
    let (chunk, mut sent, mut most) = (vec![b'x'; 1 << 20], 0, before);
    // Each session is ended after 4 KiB, so the gibibyte takes many.
    while sent < 1 << 30 {
        let mut stream = TcpStream::connect(url.trim_start_matches("ftp://")).unwrap();
        while let Ok(taken) = stream.write(&chunk) {
            sent += taken;
        }
        most = most.max(resident_kib(&peer));
    }
    assert!(most < before + (16 << 10), "it grew from {before} to {most} KiB");
    assert!(ask(&mut session(&url), "NOOP").starts_with("200 "));
}

fn resident_kib(peer: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
