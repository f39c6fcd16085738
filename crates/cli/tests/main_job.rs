//! The main job from the outside: share, search, list, fetch a file and a folder, quit.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Net, noise, wait_until};

#[test]
fn what_one_shares_another_finds_and_fetches() {
    let net = Net::start();
    let music = net.folder("Music");
    fs::create_dir_all(music.join("Blue Album/live")).unwrap();
    fs::write(music.join("Blue Album/Été indien.flac"), noise(1, 3 << 20)).unwrap();
    fs::write(music.join("Blue Album/live/-rf 日本.flac"), noise(2, 70_000)).unwrap();
    fs::write(music.join("Blue Album/empty.txt"), "").unwrap();
    let studio = net.share("studio", &music);

    let hits = net.json(&["search", "ete", "indi", "--json"]);
    assert_eq!(hits.len(), 1);
    let hash = blake3::hash(&noise(1, 3 << 20)).to_hex().to_string();
    assert_eq!(hits[0]["hash"], hash.as_str());
    assert_eq!(hits[0]["size"], 3 << 20);
    assert_eq!(hits[0]["type"], "audio");
    assert_eq!(hits[0]["source_count"], 1);
    assert_eq!(hits[0]["names"], serde_json::json!(["Music/Blue Album/Été indien.flac"]));
    assert_eq!(hits[0]["highlights"], serde_json::json!([[[17, 20], [21, 25]]]));
    assert_eq!(hits[0]["sources"][0]["name"], "studio");
    assert_eq!(hits[0]["sources"][0]["address"], studio.address().as_str());

    let table = net.ok(&["search", "indien"]);
    for cell in
        ["Music/Blue Album/Été indien.flac", "3.0 MiB", "audio", "studio", &studio.address(), &hash[..10]]
    {
        assert!(table.contains(cell), "{cell} is not in\n{table}");
    }

    let got = net.json(&["get", &hash, "--json"]);
    let last = got.last().unwrap();
    assert_eq!((&last["size"], &last["hash"]), (&Value::from(3 << 20), &Value::from(hash.as_str())));
    assert_eq!(last["sources_used"], 1);
    assert!(last["seconds"].as_f64().unwrap() > 0.0);
    let path = net.dir.path().join(last["path"].as_str().unwrap());
    assert_eq!(path, net.dir.path().join("downloads/Été indien.flac"));
    assert_eq!(fs::read(path).unwrap(), noise(1, 3 << 20));

    net.ok(&["get", "studio/Music/Blue Album", "-o", "out"]);
    let mut diff = Command::new("diff");
    let compared =
        diff.args(["-r", "Music/Blue Album", "out/Blue Album"]).current_dir(net.dir.path()).output().unwrap();
    assert!(compared.status.success(), "{}", support::told(&compared));

    let link = format!("peerage:{hash}?name=renamed.flac");
    net.ok(&["get", &link, "-o", "out"]);
    assert!(net.dir.path().join("out/renamed.flac").is_file());
}

#[test]
fn a_real_tree_is_listed_whole_and_a_second_start_hashes_nothing() {
    let net = Net::start();
    // Real names, duplicates and empty files, but not so many that a slow machine takes minutes.
    let docs = Path::new("/usr/share/doc");
    let docs = if docs.is_dir() { docs } else { Path::new(env!("CARGO_MANIFEST_DIR")) };
    let files = visible_files(docs);
    let first = net.share("docs", docs);
    assert_listed(&net, &files);
    assert_eq!(first.interrupt(), Some(0));
    assert!(net.json(&["list", "--json"]).is_empty(), "one that quits leaves at once");

    let second = net.share("docs", docs);
    let summary = second.wait_for("registered ");
    assert!(summary.contains("(0 hashed"), "{summary}");
    assert_listed(&net, &files);
}

fn assert_listed(net: &Net, files: &BTreeSet<String>) {
    let rows = net.json(&["list", "--peer", "docs", "--json"]);
    let listed: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            for key in ["path", "size", "hash", "peer", "name"] {
                assert!(!row[key].is_null(), "{key} is missing in {row}");
            }
            row["path"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
        })
        .collect();
    assert_eq!(rows.len(), files.len());
    assert_eq!(&listed, files);
}

/// Regular files without a hidden component, relative to `root`; what `find -type f` prints.
fn visible_files(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

#[test]
fn curl_and_b3sum_agree_with_the_index() {
    let net = Net::start();
    let dir = net.folder("data");
    fs::write(dir.join("blob.bin"), noise(3, 5_000_000)).unwrap();
    let peer = net.share("curled", &dir);
    let hash = net.json(&["search", "blob", "--json"])[0]["hash"].as_str().unwrap().to_owned();
    let url = format!("https://{}/v1/blobs/{hash}", peer.address());
    let mut curl = Command::new("curl").args(["-sSfk", &url]).stdout(Stdio::piped()).spawn().unwrap();
    let sum = Command::new("b3sum").stdin(curl.stdout.take().unwrap()).output().unwrap();
    assert!(curl.wait().unwrap().success());
    assert_eq!(String::from_utf8(sum.stdout).unwrap().split_whitespace().next(), Some(hash.as_str()));

    let range = Command::new("curl").args(["-sSfk", "-r", "1048570-1048579", &url]).output().unwrap();
    assert_eq!(range.stdout, noise(3, 5_000_000)[1_048_570..1_048_580]);
}

#[test]
fn shares_have_distinct_names_and_nothing_leaves_through_a_symlink() {
    let net = Net::start();
    let (one, two) = (net.folder("a/photos"), net.folder("b/photos"));
    let secret = net.folder("secret");
    fs::write(secret.join("secret.txt"), "not shared").unwrap();
    fs::write(one.join("one.jpg"), "1").unwrap();
    fs::write(two.join("two.jpg"), "2").unwrap();
    fs::write(two.join(".hidden"), "h").unwrap();
    fs::write(two.join("half.part"), "p").unwrap();
    fs::write(two.join("draft.tmp"), "t").unwrap();
    symlink(secret.join("secret.txt"), two.join("link.txt")).unwrap();
    symlink(&secret, two.join("linked")).unwrap();
    let scans = format!("Scans={}", net.folder("c").to_str().unwrap());
    fs::write(net.dir.path().join("c/three.jpg"), "3").unwrap();
    let dirs = [one.to_str().unwrap(), two.to_str().unwrap(), scans.as_str(), "--exclude", "*.tmp"];
    let peer = net.share_with("camera", &dirs);
    peer.wait_for("registered ");
    let rows = net.json(&["list", "--json"]);
    let paths: BTreeSet<&str> = rows.iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, BTreeSet::from(["Scans/three.jpg", "photos/one.jpg", "photos-2/two.jpg"]));
}

#[test]
fn two_peers_on_one_machine_just_work() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("same.txt"), "the same").unwrap();
    let (one, two) = (net.share("one", &dir), net.share("two", &dir));
    assert_ne!(one.address(), two.address());
    let hit = &net.json(&["search", "same", "--json"])[0];
    assert_eq!(hit["source_count"], 2);
    let peers = net.json(&["peers", "--json"]);
    assert_eq!(peers.len(), 2);
    for (key, value) in [("files", 1), ("bytes", 8)] {
        assert!(peers.iter().all(|peer| peer[key] == value), "{peers:?}");
    }
    let busy = net.share_with("one", &[dir.to_str().unwrap()]);
    let line = busy.wait_for("error: ");
    assert!(line.contains("already runs"), "{line}");
}

#[test]
fn nothing_is_overwritten_and_the_same_file_is_not_fetched_twice() {
    let net = Net::start();
    let dir = net.folder("x");
    fs::write(dir.join("note.txt"), "new").unwrap();
    let _peer = net.share("one", &dir);
    let out = net.folder("out");
    fs::write(out.join("note.txt"), "mine, and older").unwrap();
    assert_eq!(net.ok(&["get", "note.txt", "-o", "out"]).trim(), "out/note (2).txt");
    assert_eq!(fs::read_to_string(out.join("note.txt")).unwrap(), "mine, and older");
    assert_eq!(fs::read_to_string(out.join("note (2).txt")).unwrap(), "new");
    net.ok(&["get", "note.txt", "-o", "out", "--overwrite"]);
    assert_eq!(fs::read_to_string(out.join("note.txt")).unwrap(), "new");
    net.ok(&["get", "note.txt", "-o", "out"]);
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_changing_folder_is_followed() {
    let net = Net::start();
    let dir = net.folder("live");
    let peer = net.share("live", &dir);
    fs::write(dir.join("fresh.txt"), "one").unwrap();
    net.wait_until_found("fresh", true);
    fs::create_dir(dir.join("sub")).unwrap();
    fs::rename(dir.join("fresh.txt"), dir.join("sub/moved.txt")).unwrap();
    net.wait_until_found("moved", true);
    net.wait_until_found("fresh", false);
    fs::write(dir.join("sub/moved.txt"), "changed").unwrap();
    let changed = blake3::hash(b"changed").to_hex().to_string();
    wait_until("the change is in the index", || {
        net.json(&["list", "--json"]).first().is_some_and(|row| row["hash"] == changed.as_str())
    });
    fs::remove_dir_all(dir.join("sub")).unwrap();
    net.wait_until_found("moved", false);
    assert_eq!(peer.interrupt(), Some(0));
}
