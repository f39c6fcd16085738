//! Programs we did not write fetch all of `/usr/share/doc` through the FTP door: what arrives is what was shared.
//!
//! Each test is one program. A program that is missing fails its test: `scripts/test` installs them.

#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Net, Running, noise, told, wait_until};

const DOC: &str = "/usr/share/doc";

/// A peer with an FTP door; what a fetch of its share must give is in the folder `expected`.
struct Door {
    net: Net,
    /// Kept for as long as it is shared.
    _folder: Option<tempfile::TempDir>,
    _peer: Running,
    port: String,
}

impl Door {
    /// Shares `dir` as `doc`.
    fn over(dir: &Path, more: &[&str]) -> Self {
        let net = Net::start();
        let shared = format!("doc={}", dir.display());
        let flags = [&[shared.as_str(), "--audience", "public", "--ftp", "127.0.0.1:0"], more].concat();
        let peer = net.share_with("nas", &flags);
        let line = peer.wait_for("ftp door open at ");
        let port = line.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
        peer.wait_for("registered ");
        let door = Self { net, _folder: None, _peer: peer, port };
        // What is never shared: links, hidden files, and folders without a file.
        door.sh(&format!(
            "cp -a '{}' expected && find expected -mindepth 1 -name '.*' -exec rm -rf {{}} + && \
             find expected ! -type f ! -type d -delete && find expected -type d -empty -delete",
            dir.display()
        ));
        door
    }

    fn doc() -> Self {
        Self::over(Path::new(DOC), &[])
    }

    fn url(&self) -> String {
        format!("ftp://127.0.0.1:{}", self.port)
    }

    /// Runs a shell's line in the net's folder; it must end well.
    fn sh(&self, line: &str) -> String {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", line])
            .current_dir(self.net.dir.path())
            .env("HOME", self.net.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `got` holds is what was shared.
    fn assert_equal(&self, got: &str) {
        let count = self.sh(&format!("find {got} -type f | wc -l"));
        assert_ne!(count.trim(), "0");
        self.sh(&format!("diff -r expected {got}"));
    }

    /// The first folders, of some 60 files together; only they are expected then. For programs that take their time
    /// whatever server they ask: `curl` rests for a tenth of a second between any two files, and a handshake for each
    /// costs lftp some 10 ms.
    fn first_folders(&self) -> Vec<String> {
        let (mut first, mut files) = (Vec::new(), 0);
        let folders = self.sh("cd expected && find . -mindepth 1 -maxdepth 1 -printf '%P\\n' | sort");
        for folder in folders.lines() {
            if files < 60 {
                files += self.files_of(folder).len();
                first.push(folder.to_owned());
            } else {
                self.sh(&format!("rm -r 'expected/{folder}'"));
            }
        }
        first
    }

    fn files_of(&self, folder: &str) -> Vec<String> {
        let found = self.sh(&format!("cd expected && find '{folder}' -type f"));
        found.lines().map(str::to_owned).collect()
    }

    /// A `curl` configuration that fetches the first folders.
    fn curl_config(&self) -> PathBuf {
        let mut text = String::new();
        for path in self.first_folders().iter().flat_map(|folder| self.files_of(folder)) {
            let url = peerage_wire::percent::encode_path(&path);
            text += &format!("url = \"{}/doc/{url}\"\noutput = \"got/{path}\"\n", self.url());
        }
        let file = self.net.dir.path().join("curl.config");
        fs::write(&file, text).unwrap();
        file
    }
}

#[test]
fn curl_lists_and_fetches() {
    let door = Door::doc();
    let listed = door.sh(&format!("curl -sSf {}/", door.url()));
    assert!(listed.starts_with("dr-xr-xr-x") && listed.trim_end().ends_with(" doc"), "{listed}");
    let config = door.curl_config();
    door.sh(&format!("curl -sSf --create-dirs -K '{}'", config.display()));
    door.assert_equal("got");
}

#[test]
fn curl_fetches_over_tls() {
    let door = Door::doc();
    let config = door.curl_config();
    door.sh(&format!("curl -sSfk --ssl-reqd --create-dirs -K '{}'", config.display()));
    door.assert_equal("got");
}

#[test]
fn lftp_mirrors() {
    let door = Door::doc();
    door.sh(&format!("lftp -e 'set ftp:ssl-allow no; mirror --parallel=8 doc got; quit' {}", door.url()));
    door.assert_equal("got");
}

#[test]
fn lftp_mirrors_over_tls_where_nothing_else_is_let_in() {
    let door = Door::over(Path::new(DOC), &["--ftp-tls", "required"]);
    let refused = Command::new("curl").args(["-sS", &format!("{}/", door.url())]).output().unwrap();
    assert_eq!(refused.status.code(), Some(67), "{}", told(&refused)); // login denied
    let mirrors: Vec<String> = door
        .first_folders()
        .iter()
        .map(|folder| format!("mirror --parallel=8 \"doc/{folder}\" \"got/{folder}\""))
        .collect();
    let tls = "set ftp:ssl-force yes; set ftp:ssl-allow-anonymous yes; set ssl:verify-certificate no";
    door.sh(&format!("mkdir got && lftp -e '{tls}; {}; quit' {}", mirrors.join("; "), door.url()));
    door.assert_equal("got");
}

#[test]
fn wget_fetches_recursively() {
    let door = Door::doc();
    door.sh(&format!("wget -q -r -l inf -nH {}/doc", door.url()));
    door.sh("find doc -name .listing -delete");
    door.assert_equal("doc");
}

#[test]
fn rclone_copies() {
    let door = Door::doc();
    let remote = format!(":ftp,host=127.0.0.1,port={},user=anonymous", door.port);
    door.sh(&format!("rclone -q copy \"{remote},pass=$(rclone obscure x):doc\" got"));
    door.assert_equal("got");
    door.sh(&format!("rclone -q check --download \"{remote},pass=$(rclone obscure x):doc\" expected"));
}

#[test]
fn pythons_ftplib_walks_and_fetches() {
    let door = Door::doc();
    let script = "\
import ftplib, os, sys
ftp = ftplib.FTP()
ftp.connect('127.0.0.1', int(sys.argv[1]))
ftp.login()
def fetch(remote, local):
    os.makedirs(local)
    for name, facts in list(ftp.mlsd(remote)):
        if facts['type'] == 'dir':
            fetch(remote + '/' + name, os.path.join(local, name))
        else:
            with open(os.path.join(local, name), 'wb') as out:
                ftp.retrbinary('RETR ' + remote + '/' + name, out.write)
fetch('/doc', 'got')
assert sorted(ftp.nlst()) == ['doc'], ftp.nlst()
ftp.quit()
";
    fs::write(door.net.dir.path().join("fetch.py"), script).unwrap();
    door.sh(&format!("python3 fetch.py {}", door.port));
    door.assert_equal("got");
}

/// A share of one large file and one small, and what the large one holds.
fn large() -> (Door, Vec<u8>) {
    let content = noise(1, 48 << 20);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large.bin"), &content).unwrap();
    fs::write(folder.path().join("small.txt"), "small").unwrap();
    let door = Door::over(folder.path(), &["--limit-up", "12M"]);
    (Door { _folder: Some(folder), ..door }, content)
}

#[test]
fn what_was_cut_in_the_middle_resumes() {
    let (door, content) = large();
    let url = format!("{}/doc/large.bin", door.url());
    let dir = door.net.dir.path();
    for (begin, resume, got) in [
        (format!("exec curl -sS -o curl.bin {url}"), format!("curl -sSf -C - -o curl.bin {url}"), "curl.bin"),
        (
            format!("exec lftp -e 'set ftp:ssl-allow no; get {url} -o lftp.bin; quit'"),
            format!("lftp -e 'set ftp:ssl-allow no; get -c {url} -o lftp.bin; quit'"),
            "lftp.bin",
        ),
    ] {
        let written = || fs::metadata(dir.join(got)).map_or(0, |file| file.len());
        let mut client = Command::new("bash").args(["-c", &begin]).current_dir(dir).spawn().unwrap();
        wait_until(&format!("{got} has begun"), || written() > 1 << 20);
        client.kill().unwrap();
        client.wait().unwrap();
        assert!(written() < content.len() as u64, "{got} was whole before it was cut");
        door.sh(&resume);
        assert!(fs::read(dir.join(got)).unwrap() == content, "{got}");
    }
}
