//! An FTP server that runs no Peerage, brought in by a peer: found, fetched, gone, back, changed. A real vsftpd.
#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]
#![allow(clippy::print_stderr, reason = "what is not tried must be seen")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Net, noise, wait_until};

/// A server of a folder, until it is dropped.
struct Vsftpd {
    /// Where its folder, its settings and its log are.
    own: PathBuf,
    port: u16,
    more: String,
    process: Option<Child>,
}

impl Vsftpd {
    /// Serves `own/pub` on a free port, or nothing where vsftpd is not installed and need not be.
    fn start(net: &Net, name: &str, more: &str) -> Option<Self> {
        let (own, more) = (net.folder(name), more.to_owned());
        fs::create_dir_all(own.join("pub")).unwrap();
        let mut server = Self { own, port: 0, more, process: None };
        // A port that is free now may be another test's before vsftpd has it.
        for _ in 0..10 {
            server.port = free_port();
            match server.run() {
                Started::Yes => return Some(server),
                Started::NotInstalled => return None,
                Started::Taken => {}
            }
        }
        panic!("vsftpd: {}", fs::read_to_string(server.own.join("log")).unwrap());
    }

    fn folder(&self) -> PathBuf {
        self.own.join("pub")
    }

    fn url(&self, path: &str) -> String {
        format!("ftp://127.0.0.1:{}/{path}", self.port)
    }

    /// Starts it, at the port that it has.
    fn run(&mut self) -> Started {
        let is_root = rustix::process::geteuid().is_root();
        let user = if is_root { "" } else { "run_as_launching_user=YES\n" };
        let empty = self.own.join("empty");
        fs::create_dir_all(&empty).unwrap();
        let banner = self.own.display().to_string();
        let config = format!(
            "ftpd_banner={banner}\nlisten=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nanonymous_enable=YES\n\
             local_enable=NO\nno_anon_password=YES\nanon_root={}\nxferlog_enable=NO\nsecure_chroot_dir={}\n\
             seccomp_sandbox=NO\n{user}{}",
            self.port,
            self.own.display(),
            empty.display(),
            self.more,
        );
        let path = self.own.join("vsftpd.conf");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(self.own.join("log")).unwrap();
        let mut command = Command::new("/usr/sbin/vsftpd");
        command.arg(&path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let must = is_root || std::env::var_os("CI").is_some();
                assert!(!must, "vsftpd is not installed: apt-get install vsftpd");
                eprintln!("SKIPPED: vsftpd is not installed, so a foreign FTP server was not tried");
                return Started::NotInstalled;
            }
            Err(error) => panic!("{error}"),
        };
        let mut has_ended = false;
        wait_until("vsftpd listens", || {
            has_ended = process.try_wait().unwrap().is_some();
            has_ended || greeting(self.port).is_some_and(|greeting| greeting.contains(&banner))
        });
        self.process = Some(process);
        if has_ended { Started::Taken } else { Started::Yes }
    }

    /// Ends it and all its connections, as a power cut would.
    fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let mine: Vec<u32> = children(process.id());
        process.kill().unwrap();
        process.wait().unwrap();
        for child in mine {
            let child = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw).unwrap();
            // It may have ended with its connection.
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
    }

    /// Connections that clients have to it now, as the system knows them; one that a client has closed is none, though
    /// the server may not have noticed.
    fn connections(&self) -> usize {
        const ESTABLISHED: &str = "01";
        let to_us = format!(":{:04X}", self.port);
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.len() > 3 && row[2].ends_with(&to_us) && row[3] == ESTABLISHED).count()
    }
}

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
enum Started {
    Yes,
    Taken,
    NotInstalled,
}

/// What whoever listens there says first.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?; // somebody else may wait for us to speak
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

impl Drop for Vsftpd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Its paths, once there are so many: what fails at first for a passing reason is tried again.
fn listed(net: &Net, count: usize) -> Vec<String> {
    let rows = || net.json(&["list", "--json"]);
    wait_until(&format!("{count} files are registered"), || rows().len() == count);
    let mut paths: Vec<String> = rows().iter().map(|row| row["path"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    paths
}

/// A server's processes, children's children included: it forks for each connection, and once more for the login.
fn children(parent: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let own: Vec<u32> = list.split_whitespace().map(|id| id.parse().unwrap()).collect();
    own.iter().flat_map(|id| children(*id)).chain(own.clone()).collect()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file with a time long ago, so that nothing waits for it to settle.
fn write_old(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(86_400)).unwrap();
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[test]
fn a_server_that_knows_nothing_of_us_is_searched_fetched_and_followed() {
    let net = Net::start();
    let Some(mut server) = Vsftpd::start(&net, "old nas", "") else { return };
    let music = server.folder().join("music");
    write_old(&music.join("Blue Album/Été indien.flac"), &noise(1, 5 << 20));
    write_old(&music.join("Blue Album/live/-rf [x] 日本.flac"), &noise(2, 70_000));
    write_old(&music.join("Blue Album/empty.txt"), b"");
    write_old(&music.join("note.txt"), b"small");
    write_old(&music.join(".hidden"), b"not shared");
    write_old(&server.folder().join("other/secret.txt"), b"outside of what is shared");
    std::os::unix::fs::symlink("../other", music.join("link")).unwrap();
    std::os::unix::fs::symlink("../other/secret.txt", music.join("link.txt")).unwrap();

    let peer = net.share_with("nas", &[&server.url("pub/music"), "--poll-every", "1"]);
    let rows = listed(&net, 4);
    assert_eq!(
        rows,
        [
            "music/Blue Album/empty.txt",
            "music/Blue Album/live/-rf [x] 日本.flac",
            "music/Blue Album/Été indien.flac",
            "music/note.txt",
        ]
    );

    let large = hash(&noise(1, 5 << 20));
    assert_eq!(net.json(&["search", "ete", "indi", "--json"])[0]["hash"], large.as_str());
    net.ok(&["get", &large, "-o", "one"]);
    assert_eq!(fs::read(net.dir.path().join("one/Été indien.flac")).unwrap(), noise(1, 5 << 20));
    net.ok(&["get", "nas/music/Blue Album", "-o", "out"]);
    let mut diff = Command::new("diff");
    let compared = diff.arg("-r").arg(music.join("Blue Album")).arg(net.dir.path().join("out/Blue Album"));
    let compared = compared.output().unwrap();
    assert!(compared.status.success(), "{}", support::told(&compared));
    range_of(&net, &peer.address(), &large);

    server.kill();
    net.wait_until_found("note", false);
    peer.wait_for("can't be reached: its files are withdrawn until it is back");
    assert_eq!(server.run(), Started::Yes);
    net.wait_until_found("note", true);
    peer.wait_for("is back");
    net.ok(&["get", "note.txt", "-o", "back"]);

    fs::write(music.join("note.txt"), "other").unwrap();
    fs::remove_file(music.join("Blue Album/empty.txt")).unwrap();
    wait_until("the change is in the index", || {
        let rows = net.json(&["list", "--json"]);
        rows.iter().any(|row| row["hash"] == hash(b"other").as_str())
    });
    net.wait_until_found("empty", false);
    net.ok(&["get", "note.txt", "-o", "changed"]);
    assert_eq!(fs::read_to_string(net.dir.path().join("changed/note.txt")).unwrap(), "other");
    assert_eq!(peer.interrupt(), Some(0));
}

/// A range from the middle of a file, through the door that any program can use.
fn range_of(net: &Net, address: &str, hash: &str) {
    let url = format!("https://{address}/v1/blobs/{hash}");
    let mut curl = Command::new("curl");
    curl.args(["-sSfk", "-r", "1048570-2100000", &url]).current_dir(net.dir.path());
    assert!(curl.output().unwrap().stdout == noise(1, 5 << 20)[1_048_570..=2_100_000]);
}

#[test]
fn what_was_hashed_once_is_known_at_the_next_start() {
    let net = Net::start();
    let Some(server) = Vsftpd::start(&net, "server", "") else { return };
    for number in 0..40_u8 {
        write_old(&server.folder().join(format!("d{}/{number}.bin", number % 3)), &[number; 9]);
    }
    write_old(&server.folder().join("large.bin"), &noise(7, 3 << 20));
    let first = net.share_with("nas", &[&server.url("pub")]);
    first.wait_for("(41 hashed");
    assert_eq!(first.interrupt(), Some(0));
    let second = net.share_with("nas", &[&server.url("pub")]);
    second.wait_for("(0 hashed, 41 known from before)");
    net.ok(&["get", &hash(&noise(7, 3 << 20)), "-o", "out"]);
}

#[test]
fn a_server_with_tls_that_wants_its_sessions_resumed_is_served_through() {
    let net = Net::start();
    let made = rcgen::generate_simple_self_signed(["nas.local".to_owned()]).unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| net.dir.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let more = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nrequire_ssl_reuse=YES\n\
         rsa_cert_file={}\nrsa_private_key_file={}\n",
        certificate.display(),
        key.display()
    );
    let Some(server) = Vsftpd::start(&net, "server", &more) else { return };
    write_old(&server.folder().join("a/large.bin"), &noise(1, 5 << 20));
    write_old(&server.folder().join("a/small.txt"), b"small");
    let url = server.url("pub");
    let plain = net.share_with("plain", &[&url]);
    plain.wait_for("does not let us in"); // which shows that the other way is really another
    let peer = net.share_with("nas", &[&url.replacen("ftp", "ftps", 1), "--poll-every", "1"]);
    peer.wait_for("nobody vouches for the certificate");
    listed(&net, 2);
    net.ok(&["get", "nas/pub/a", "-o", "out"]);
    assert!(fs::read(net.dir.path().join("out/a/large.bin")).unwrap() == noise(1, 5 << 20));
    assert_eq!(fs::read_to_string(net.dir.path().join("out/a/small.txt")).unwrap(), "small");
}

#[test]
fn many_downloads_share_a_few_connections() {
    let net = Net::start();
    let Some(server) = Vsftpd::start(&net, "server", "anon_max_rate=3000000\n") else { return };
    for number in 0..6 {
        write_old(&server.folder().join(format!("{number}.bin")), &noise(number, 4 << 20));
    }
    let peer = net.share_with("nas", &[&server.url("pub")]);
    peer.wait_for("registered ");
    listed(&net, 6);
    let downloads: Vec<_> = (0..6_u8)
        .map(|number| {
            let out = format!("out{number}");
            let mut command = net.command(&["get", &hash(&noise(number, 4 << 20)), "-o", &out]);
            command.env("PEERAGE_HOME", net.dir.path().join(format!("home {number}")));
            support::Running::start(command)
        })
        .collect();
    let mut most = 0;
    for mut download in downloads {
        wait_until("a download ends", || {
            most = most.max(server.connections());
            download.has_ended()
        });
        assert_eq!(download.wait(), Some(0), "{}", download.everything_said());
    }
    assert!((1..=4).contains(&most), "{most} connections");
    for number in 0..6_u8 {
        let path = net.dir.path().join(format!("out{number}/{number}.bin"));
        assert!(fs::read(path).unwrap() == noise(number, 4 << 20));
    }
}

#[test]
fn a_password_belongs_into_the_settings_and_a_missing_server_is_waited_for() {
    let net = Net::start();
    let said = net.fails(2, &["share", "ftp://bob:secret@nas.local/music"]);
    assert!(said.contains("PEERAGE_FTP_PASSWORD") && !said.contains("secret"), "{said}");
    let said = net.fails(2, &["share", "ftp://nas.local/../music"]);
    assert!(said.contains("hint: "), "{said}");

    let nowhere = format!("ftp://127.0.0.1:{}/music", free_port());
    let peer = net.share_with("nas", &[&nowhere]);
    peer.wait_for("can't be reached: its files are not shared until it is back");
    peer.wait_for("registered 0 files");
    assert_eq!(peer.interrupt(), Some(0));
}
