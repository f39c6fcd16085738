//! The shell and the demo: the report's five words by script, and the whole job in one command.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use support::{Net, Running, told};

fn shell(net: &Net, script: &str) -> std::process::Output {
    let mut command = net.command(&["shell", "--listen", "127.0.0.1:0"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_five_words_do_the_job() {
    let net = Net::start();
    let theirs = net.folder("theirs");
    fs::write(theirs.join("blue note.txt"), "la la").unwrap();
    fs::write(theirs.join("blue sky.txt"), "la").unwrap();
    let peer = net.share("studio", &theirs);
    let mine = net.folder("My Own");
    fs::write(mine.join("mine.txt"), "me").unwrap();

    let script = format!(
        "/register \"{}\"\nsearch mine\n/search blue note\ndownload 1\nlist\npeers\nhelp\nquit\n",
        mine.to_str().unwrap()
    );
    let output = shell(&net, &script);
    assert!(output.status.success(), "{}", told(&output));
    let put = String::from_utf8(output.stdout).unwrap();
    assert!(put.contains("file found: 1 result"), "{put}");
    assert!(put.contains("My Own/mine.txt") && put.contains("theirs/blue note.txt"), "{put}");
    assert!(put.contains("studio") && put.contains(&peer.address()), "{put}");
    assert_eq!(fs::read_to_string(net.dir.path().join("downloads/blue note.txt")).unwrap(), "la la");
    net.wait_until_found("mine", false);
}

#[test]
fn what_is_not_found_is_said_and_the_shell_goes_on() {
    let net = Net::start();
    let output = shell(&net, "search nothing\ndwonload 1\ndownload 9\npeers\n");
    let put = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(put.contains("file not found"), "{put}");
    assert!(said.contains("no command `dwonload`") && said.contains("no result 9"), "{said}");
    assert!(put.contains("nobody is here yet"), "{put}");
    assert_eq!(output.status.code(), Some(3), "the last failure's");
}

#[test]
fn the_demo_does_the_whole_job_once() {
    let net = Net::start();
    let dir = net.folder("tree");
    fs::create_dir_all(dir.join("sub")).unwrap();
    for n in 0..5 {
        fs::write(dir.join(format!("sub/file {n}.txt")), support::noise(n, 10_000 * usize::from(n))).unwrap();
    }
    let said = net.ok(&["demo", dir.to_str().unwrap(), "--once"]);
    for words in ["an index runs at", "5 files", "file 4.txt", "equals the original", "5 files, each equal"] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    assert!(net.fails(3, &["demo", net.folder("empty").to_str().unwrap(), "--once"]).contains("no file"));
}

#[test]
fn the_demo_stays_up_until_it_is_interrupted() {
    let net = Net::start();
    let dir = net.folder("tree");
    fs::write(dir.join("a.txt"), "a").unwrap();
    let demo = Running::start(net.command(&["demo", dir.to_str().unwrap()]));
    let line = demo.wait_for("the index can be reached at");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    assert_eq!(net.json(&["peers", "--json", "--index", &url]).len(), 2);
    assert_eq!(demo.interrupt(), Some(0));
}
