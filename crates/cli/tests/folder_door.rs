//! The folder door as programs that others wrote use it: wget, rclone, aria2 and curl, over TLS and without.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{Net, Running, noise, told};

/// A peer with a public folder.
struct Shared {
    net: Net,
    peer: Running,
    dir: PathBuf,
}

impl Shared {
    fn start() -> Self {
        let net = Net::start();
        let dir = net.folder("Music");
        for (name, bytes) in files() {
            std::fs::create_dir_all(dir.join(&name).parent().unwrap()).unwrap();
            std::fs::write(dir.join(&name), bytes).unwrap();
            // A date is told once its second is over.
            let file = std::fs::File::options().write(true).open(dir.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
        }
        let args = [dir.to_str().unwrap(), "--audience", "public", "--http", "127.0.0.1:0"];
        let peer = net.share_with("studio", &args);
        peer.wait_for("registered ");
        Self { net, peer, dir }
    }

    /// The address of the root of all shares, without TLS.
    fn http(&self) -> String {
        let line = self.peer.wait_for("folder door open at ");
        line.strip_prefix("folder door open at ").unwrap().to_owned()
    }

    /// The same with TLS.
    fn https(&self) -> String {
        format!("https://{}/v1/shares/", self.peer.address())
    }

    /// Runs a program to a good end.
    fn run(&self, program: &str, args: &[&str]) -> Vec<u8> {
        let output = Command::new(program).args(args).current_dir(self.net.dir.path()).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", told(&output));
        output.stdout
    }
}

/// Names and bytes below the share.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("Coltrane/Blue Train/01 Blue Train.flac".to_owned(), noise(1, 3 << 20)),
        ("Coltrane/Blue Train/100% #1?.txt".to_owned(), noise(2, 1_000)),
        ("Coltrane/-rf & 'quotes\"".to_owned(), noise(3, 10)),
        ("été/日本 🎷;a=b,c.txt".to_owned(), noise(4, 70_000)),
        ("empty".to_owned(), Vec::new()),
    ]);
    files.extend((0..700_u32).map(|number| (format!("many/{number:03}.txt"), number.to_be_bytes().to_vec())));
    files
}

/// What lies below a folder, but for the pages that wget keeps.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "index.html" {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>) {
    let expected = files();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(&expected));
    assert!(*found == expected, "every byte");
}

/// Whether a program is here. Where `scripts/test` could have installed it, it must be.
fn has(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let must_be = std::env::var_os("CI").is_some() || rustix::process::geteuid().is_root();
    assert!(is_here || !must_be, "`{program}` is missing: scripts/test installs it");
    is_here
}

#[test]
fn wget_mirrors_a_share() {
    if !has("wget") {
        return;
    }
    let shared = Shared::start();
    for (url, out) in [(shared.http(), "plain"), (shared.https(), "tls")] {
        let url = format!("{url}Music/");
        let args = ["-q", "-r", "-np", "-nH", "--cut-dirs=3", "--no-check-certificate", "-P", out, &url];
        shared.run("wget", &args);
        assert_same(&tree(&shared.net.dir.path().join(out)));
    }
}

#[test]
fn rclone_copies_a_share_and_copies_nothing_twice() {
    if !has("rclone") {
        return;
    }
    let shared = Shared::start();
    for (url, out) in [(shared.http(), "plain"), (shared.https(), "tls")] {
        let copy = |more: &[&str]| {
            let args =
                ["copy", ":http:Music", out, "--http-url", &url, "--no-check-certificate", "--config="];
            shared.run("rclone", &[&args, more].concat())
        };
        copy(&[]);
        let out = shared.net.dir.path().join(out);
        assert_same(&tree(&out));
        let time = |path: PathBuf| {
            let modified = path.metadata().unwrap().modified().unwrap();
            modified.duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        assert_eq!(time(out.join("empty")), time(shared.dir.join("empty")), "times come along");
        std::fs::write(out.join("empty"), b"x").unwrap();
        copy(&["--ignore-existing"]);
        assert_eq!(std::fs::read(out.join("empty")).unwrap(), b"x");
    }
}

#[test]
fn aria2_fetches_a_file_over_four_connections_and_goes_on_where_it_stopped() {
    if !has("aria2c") {
        return;
    }
    let shared = Shared::start();
    let (folder, expected) =
        ("Music/Coltrane/Blue%20Train/", &files()["Coltrane/Blue Train/01 Blue Train.flac"]);
    for (url, out) in [(shared.http(), "plain"), (shared.https(), "tls")] {
        let url = format!("{url}{folder}01%20Blue%20Train.flac");
        let args = ["-q", "-x4", "-s4", "-k1M", "--check-certificate=false", "--no-conf", "-d", out, &url];
        shared.run("aria2c", &args);
        let file = shared.net.dir.path().join(out).join("01 Blue Train.flac");
        assert!(std::fs::read(&file).unwrap() == *expected, "{url}");
        std::fs::write(&file, &expected[..1_000_000]).unwrap();
        shared.run("aria2c", &[&["-c"], &args[..]].concat());
        assert!(std::fs::read(&file).unwrap() == *expected, "continued");
    }
}

#[test]
fn curl_gets_pages_rows_files_and_parts() {
    let shared = Shared::start();
    for url in [shared.http(), shared.https()] {
        let get = |args: &[&str]| {
            String::from_utf8_lossy(&shared.run("curl", &[&["-skf"], args].concat())).into_owned()
        };
        let root = url.strip_suffix("v1/shares/").unwrap();
        assert!(get(&["-L", root]).contains("<a href=\"Music/\">"));
        let music = format!("{url}Music/");
        assert!(get(&["-L", &format!("{url}Music")]).contains("<bdi>Coltrane</bdi>"));
        let rows: serde_json::Value =
            serde_json::from_str(&get(&["-H", "Accept: application/json", &music])).unwrap();
        let names: Vec<_> = rows["hits"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(names, ["Coltrane", "empty", "many", "été"]);
        assert_eq!(rows["hits"][1]["hash"], blake3::hash(b"").to_string());
        let part = shared.run("curl", &["-skf", "-r", "1-3", &format!("{music}many/258.txt")]);
        assert_eq!(part, [0, 1, 2]);
        let nowhere = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is"];
        for path in ["Music/../../../etc/passwd", "Music/%2e%2e/%2e%2e/etc/passwd", "Music/empty/", "Other/"]
        {
            let code = shared.run("curl", &[&nowhere[..], &[&format!("{url}{path}")]].concat());
            assert_eq!(code, b"404", "{path}");
        }
    }
}

#[test]
fn plain_http_stays_on_this_machine() {
    let net = Net::start();
    let dir = net.folder("Music");
    let dir = dir.to_str().unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let said = net.fails(2, &["share", dir, "--http", address]);
        assert!(said.contains("plain HTTP is for this machine only"), "{said}");
    }
    let said = net.fails(2, &["share", "--http", dir]);
    assert!(said.contains("folders go before `--http`"), "{said}");
    let hidden = net.share_with("hidden", &[dir, "--http=127.0.0.1:0"]);
    hidden.wait_for("nobody sees anything at the folder door");
    let silent = net.share_with("silent", &[dir]);
    silent.wait_for("registered ");
    assert!(!silent.everything_said().contains("folder door"), "it is open only where it was asked for");
}

#[test]
fn two_peers_each_find_a_port_for_plain_http() {
    let net = Net::start();
    let dir = net.folder("Music");
    let peers = ["one", "two"].map(|name| net.share_with(name, &[dir.to_str().unwrap(), "--http"]));
    let [one, two] = peers.each_ref().map(|peer| peer.wait_for("folder door open at http://127.0.0.1:"));
    assert_ne!(one, two);
}
