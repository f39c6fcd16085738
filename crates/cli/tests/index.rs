//! The index as its operator meets it: one a home, proven, restarted, watched.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use support::{Net, Running, lines, told, wait_until};

/// What `index --check` says, with its exit code.
fn check(net: &Net, code: i32, args: &[&str]) -> Output {
    let output = net.index_command(&["--check"]).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn one_index_a_home() {
    let net = Net::start();
    let second = net.index_command(&["--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = stderr(&second);
    let expected = format!("error: this home's index already runs as process {}", net.index().id());
    assert!(said.contains(&expected) && said.contains("hint: "), "{said}");
    assert!(!said.contains("index ready"), "{said}");
    fs::create_dir_all(net.index_home().join("index")).unwrap();
    let said = stderr(&check(&net, 1, &[]));
    assert!(said.contains("already runs") && said.contains("hint: "), "{said}");
}

#[test]
fn a_home_without_an_index_has_nothing_to_prove_and_stays_as_it_is() {
    let mut net = Net::start();
    assert_eq!(net.stop_index(), Some(0));
    fs::remove_dir_all(net.index_home()).unwrap();
    for args in [&[][..], &["--json"]] {
        let output = check(&net, 3, args);
        let said = stderr(&output);
        assert!(said.contains("no index is kept in") && said.contains("hint: "), "{said}");
        assert!(output.stdout.is_empty());
    }
    assert!(!net.index_home().exists());
    // A disk that is not mounted leaves such a folder.
    let store = net.index_home().join("index");
    fs::create_dir_all(store.join("lost+found")).unwrap();
    let said = stderr(&check(&net, 3, &[]));
    assert!(said.contains("no index is kept in") && said.contains("hint: is its disk mounted?"), "{said}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
}

#[test]
fn a_running_index_is_ready_counted_and_says_what_it_needs() {
    let net = Net::start();
    assert_eq!(net.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(net.get("/readyz"), (200, "ready\n".to_owned()));
    let dir = net.folder("x");
    fs::write(dir.join("song.mp3"), "la").unwrap();
    let _peer = net.share("anna", &dir);

    let (status, text) = net.get("/metrics");
    assert_eq!(status, 200);
    for line in ["peerage_ready 1", "peerage_peers 1", "peerage_files 1", "peerage_shared_bytes 2"] {
        assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("route=\"/api/v1/peers/{id}/files\",method=\"POST\",status=\"200\"} 1"), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");

    let (status, text) = net.get("/api/v1/stats");
    let stats: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &stats["peers"], &stats["files"]), (200, &Value::from(1), &Value::from(1)));
    for part in ["contents", "names", "text", "sources", "shares", "peers", "total"] {
        assert!(stats["memory"][format!("{part}_bytes")].is_u64(), "{part} is missing in {text}");
    }
}

#[test]
fn a_stop_by_signal_is_a_clean_end() {
    let mut net = Net::start();
    assert_eq!(net.stop_index(), Some(0));
    let mut index = Running::start(net.index_command(&["--listen", "127.0.0.1:0"]));
    index.wait_for("index ready at ");
    index.signal(rustix::process::Signal::TERM);
    assert_eq!(index.wait(), Some(0), "{}", index.everything_said());
}

/// How often the index answered this, by its own count since it started.
fn answered(net: &Net, route: &str, method: &str) -> u64 {
    let (_, text) = net.get("/metrics");
    let begin = format!("peerage_http_requests_total{{route=\"{route}\",method=\"{method}\"");
    let counts = text.lines().filter(|line| line.starts_with(&begin));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_restarted_index_has_its_registrations_with_one_heartbeat() {
    let mut net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("kept.txt"), "words").unwrap();
    let _peer = net.share("loyal", &dir);
    for round in 0..2 {
        if round == 0 {
            net.kill_index();
        } else {
            assert_eq!(net.stop_index(), Some(0));
        }
        let proof = &lines(&String::from_utf8(check(&net, 0, &["--json"]).stdout).unwrap())[0];
        assert_eq!((&proof["peers"], &proof["files"]), (&Value::from(1), &Value::from(1)), "{proof}");
        net.restart_index();
        net.wait_until_found("kept", true);
        assert!(answered(&net, "/api/v1/peers/{id}/heartbeat", "POST") > 0);
        assert_eq!(answered(&net, "/api/v1/peers/{id}", "PUT"), 0, "announced again");
        assert_eq!(answered(&net, "/api/v1/peers/{id}/files", "POST"), 0, "sent again");
    }
}

#[test]
fn an_empty_store_is_whole() {
    let mut net = Net::start();
    assert_eq!(net.stop_index(), Some(0));
    let text = String::from_utf8(check(&net, 0, &[]).stdout).unwrap();
    assert!(text.contains("is whole") && text.contains("peers"), "{text}");
    let proof = &lines(&String::from_utf8(check(&net, 0, &["--json"]).stdout).unwrap())[0];
    for key in ["peers", "files", "contents", "names", "log_records", "torn_bytes"] {
        assert_eq!(proof[key], 0, "{key} in {proof}");
    }
    assert!(proof["store"].as_str().unwrap().ends_with("/index") && proof["snapshot_bytes"].is_u64());
}

#[test]
fn a_damaged_store_is_told_with_code_6_and_not_opened() {
    let mut net = Net::start();
    let dir = net.folder("x");
    (0..200).for_each(|n| fs::write(dir.join(format!("{n}.txt")), n.to_string()).unwrap());
    let peer = net.share("loyal", &dir);
    assert_eq!(net.stop_index(), Some(0));
    drop(peer);
    damage(&largest_file(net.index_home().join("index")));
    let said = stderr(&check(&net, 6, &[]));
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
    let mut index = Running::start(net.index_command(&["--listen", "127.0.0.1:0"]));
    assert_eq!(index.wait(), Some(6), "{}", index.everything_said());
    let said = index.wait_for("error: ");
    assert!(said.contains("can't be opened"), "{said}");
    index.wait_for("hint: ");
    assert!(!index.everything_said().contains("index ready"));
}

#[test]
fn a_store_of_a_newer_program_is_not_called_damaged() {
    let mut net = Net::start();
    assert_eq!(net.stop_index(), Some(0));
    let format = net.index_home().join("index/FORMAT");
    let newer = fs::read_to_string(&format).unwrap().replace("format 1", "format 2");
    fs::write(&format, newer).unwrap();
    let said = stderr(&check(&net, 1, &[]));
    assert!(said.contains("is of format 2") && said.contains("hint: use the newer program"), "{said}");
}

fn largest_file(folder: PathBuf) -> PathBuf {
    let (mut folders, mut files) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                files.push((metadata.len(), entry.path()));
            }
        }
    }
    files.into_iter().max().unwrap().1
}

/// Turns every bit of a byte in the middle.
fn damage(path: &PathBuf) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[!byte[0]], middle).unwrap();
}

#[test]
fn a_full_index_goes_on_answering_and_its_peers_say_so_once() {
    let mut net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("kept.txt"), "words").unwrap();
    let _peer = net.share("first", &dir);
    assert_eq!(net.stop_index(), Some(0));
    let address = net.url.trim_start_matches("http://").to_owned();
    let index = Running::start(net.index_command(&["--listen", &address, "--memory-max", "1"]));
    index.wait_for("warning: a ceiling of 1 B leaves room for hardly any files");
    index.wait_for("index ready at ");
    net.wait_until_found("kept", true);
    let more = net.folder("more");
    fs::write(more.join("late.txt"), "more words").unwrap();
    let late = net.share_with("second", &[more.to_str().unwrap()]);
    let said = late.wait_for("is full");
    assert!(said.contains("warning: "), "{said}");
    // It is asked again, and says nothing more.
    let refused = "status=\"507\"} ";
    wait_until("it was asked twice", || {
        let (_, text) = net.get("/metrics");
        let counts = text.lines().filter_map(|line| line.split_once(refused)?.1.parse::<u64>().ok());
        counts.sum::<u64>() >= 2
    });
    assert_eq!(late.everything_said().matches("is full").count(), 1, "{}", late.everything_said());
    net.wait_until_found("kept", true);
    net.wait_until_found("late", false);
}
