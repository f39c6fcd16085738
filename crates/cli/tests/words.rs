//! What a person reads: help with examples, errors with a cause, a hint and the right exit code.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::net::TcpListener;

use support::Net;

#[test]
fn every_command_has_help_with_an_example() {
    let net = Net::start();
    let commands =
        ["index", "share", "search", "list", "get", "peers", "shell", "demo", "completions", "man"];
    for command in commands {
        let help = net.ok(&[command, "--help"]);
        assert!(
            help.contains("Example") && help.contains(&format!("  peerage {command}")),
            "{command}:\n{help}"
        );
    }
    assert!(net.ok(&["--help"]).contains("Exit codes"));
}

#[test]
fn completions_and_the_manual_are_printed() {
    let net = Net::start();
    assert!(net.ok(&["completions", "bash"]).contains("_peerage"));
    assert!(net.ok(&["man"]).contains(".TH peerage"));
}

#[test]
fn before_any_index_is_up_the_hint_says_what_to_start() {
    let net = Net::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for args in [&["search", "x"][..], &["list"], &["peers"], &["get", "x"]] {
        let mut args = args.to_vec();
        args.extend(["--index", &url]);
        let said = net.fails(4, &args);
        assert!(said.contains("error: ") && said.contains("hint: start one with `peerage index`"), "{said}");
    }
    for url in ["https://nas", "not a url", "ftp://nas"] {
        let said = net.fails(2, &["peers", "--index", url]);
        assert!(said.contains("hint: give it as `http://HOST:18964`"), "{said}");
    }
}

#[test]
fn what_answers_but_is_no_index_is_told() {
    let net = Net::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stranger = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    });
    let said = net.fails(4, &["peers", "--index", &url]);
    assert!(said.contains("is not an index"), "{said}");
    stranger.join().unwrap();
}

#[test]
fn an_index_that_is_starting_is_told() {
    let net = Net::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let starting = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let body = r#"{"error":{"code":"starting","message":"the index is starting: reading the snapshot, 43 %",
            "hint":"try again in a few seconds"}}"#;
        let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    let said = net.fails(4, &["search", "x", "--index", &url]);
    assert!(said.contains("error: the index is starting: reading the snapshot, 43 %"), "{said}");
    assert!(said.contains("hint: try again in a few seconds"), "{said}");
    starting.join().unwrap();
}

#[test]
fn what_is_not_there_is_told_with_code_3() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("report one.txt"), "1").unwrap();
    fs::write(dir.join("report two.txt"), "2").unwrap();
    assert!(net.fails(3, &["search", "report"]).contains("hint: nobody is here yet"));
    let _peer = net.share("office", &dir);
    let said = net.fails(3, &["search", "nowhere-to-be-found"]);
    assert!(said.contains("file not found") && said.contains("hint: try fewer words"), "{said}");
    assert!(net.fails(3, &["get", "nowhere-to-be-found"]).contains("file not found"));
    assert!(net.fails(3, &["get", &"0".repeat(64)]).contains("nobody here has"));
    assert!(net.fails(3, &["list", "--peer", "nobody"]).contains("no peer `nobody`"));
    let said = net.fails(3, &["get", "report"]);
    assert!(said.contains("report one.txt") && said.contains("report two.txt"), "{said}");
    assert!(!net.dir.path().join("downloads/report one.txt").exists());
}

#[test]
fn a_name_is_fetched_whatever_a_query_would_make_of_it() {
    let net = Net::start();
    let dir = net.folder("x");
    let long = (0..20).map(|word| word.to_string()).collect::<Vec<_>>().join(" ");
    let names =
        ["-dash.txt", "live -demo.txt", "live demo.txt", "this OR that.txt", "a \"quote\".txt", &long];
    names.iter().for_each(|name| fs::write(dir.join(name), name).unwrap());
    let _peer = net.share("office", &dir);
    for name in names.into_iter().filter(|name| !name.contains('"')) {
        net.ok(&["get", "-o", "out", "--", name]);
        assert_eq!(fs::read_to_string(net.dir.path().join("out").join(name)).unwrap(), name);
    }
    let said = net.fails(1, &["get", "-o", "out", "--", names[4]]);
    assert!(said.contains("can't be stored on every system"), "{said}");
}

#[test]
fn bad_calls_are_told_with_code_2() {
    let net = Net::start();
    for args in [&["share"][..], &["search"], &["search", "x", "--min-size", "huge"], &["dance"], &["get"]] {
        net.fails(2, args);
    }
    let said = net.fails(2, &["share", "no such folder"]);
    assert!(said.contains("no such folder") && said.contains("hint:"), "{said}");
    let file = net.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let said = net.fails(2, &["share", file.to_str().unwrap()]);
    assert!(said.contains("hint:"), "{said}");
    let said = net.fails(2, &["search", "--", "-x"]);
    assert!(said.contains("hint:"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let net = Net::start();
    let address = net.url.trim_start_matches("http://").to_owned();
    let said = net.fails(1, &["index", "--listen", &address]);
    assert!(said.contains("can't listen") && said.contains("hint:"), "{said}");
    let dir = net.folder("x");
    let said = net.fails(1, &["share", dir.to_str().unwrap(), "--listen", &address]);
    assert!(said.contains("can't serve") && said.contains("hint:"), "{said}");
}

#[test]
fn an_output_folder_that_cannot_be_is_told() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("a.txt"), "1").unwrap();
    let _peer = net.share("office", &dir);
    fs::write(net.dir.path().join("file"), "").unwrap();
    let said = net.fails(1, &["get", "a.txt", "-o", "file/below"]);
    assert!(said.contains("file/below") && said.contains("hint:"), "{said}");
}

#[test]
fn a_name_that_not_every_system_can_store_is_not_written() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("what?.txt"), "1").unwrap();
    let _peer = net.share("office", &dir);
    let said = net.fails(1, &["get", "office/x/what?.txt", "-o", "out"]);
    assert!(said.contains("what?.txt") && said.contains("hint:"), "{said}");
    assert!(!net.dir.path().join("out/what?.txt").exists());
}

#[test]
fn settings_come_from_file_environment_and_flags_in_this_order() {
    let net = Net::start();
    let home = net.folder("home of the client");
    fs::write(home.join("config.toml"), "index = \"http://127.0.0.1:1\"\n").unwrap();
    let mut command = net.command(&["peers"]);
    assert_eq!(
        command.env_remove("PEERAGE_INDEX").output().unwrap().status.code(),
        Some(4),
        "the file's index"
    );
    net.ok(&["peers"]); // the environment's
    net.fails(4, &["peers", "--index", "http://127.0.0.1:1"]);
    fs::write(home.join("config.toml"), "indx = \"http://127.0.0.1:1\"\n").unwrap();
    assert!(net.fails(2, &["peers"]).contains("`indx`"));
}
