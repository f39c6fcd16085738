//! Names of every kind: listed as they are and fetched, or not there at all.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

use crate::fixture::Fixture;

/// Names that a disk holds, and as what they are listed.
const NAMES: [(&str, &str); 18] = [
    ("plain.txt", "plain.txt"),
    ("a b", "a b"),
    (" leading", " leading"),
    ("trailing ", "trailing "),
    ("two  blanks", "two  blanks"),
    ("50%", "50%"),
    ("%2e%2e", "%2e%2e"),
    ("#1", "#1"),
    ("what?", "what?"),
    ("a*b", "a*b"),
    ("[x]", "[x]"),
    ("\"quoted\"", "\"quoted\""),
    ("it's", "it's"),
    ("-rf", "-rf"),
    ("--help", "--help"),
    ("😀 emoji", "😀 emoji"),
    ("e\u{301}te\u{301}", "été"),
    ("a:b|c>d<e;f", "a:b|c>d<e;f"),
];

#[tokio::test]
async fn names_are_listed_as_they_are_and_fetched() {
    let longest = "x".repeat(255);
    let mut files: Vec<(String, &[u8])> =
        NAMES.iter().map(|(disk, _)| (format!("in/{disk}"), disk.as_bytes())).collect();
    files.push((format!("in/{longest}"), b"longest"));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let fixture = Fixture::start(&files).await;
    let mut client = fixture.anonymous().await;
    let mut expected: Vec<&str> = NAMES.iter().map(|(_, listed)| *listed).chain([longest.as_str()]).collect();
    expected.sort_unstable();
    client.ask("CWD s/in").await;
    assert_eq!(client.lines("NLST").await, expected);
    for (style, before) in [("MLSD", "; "), ("LIST", ":")] {
        let lines = client.lines(style).await;
        assert_eq!(lines.len(), expected.len());
        for (line, name) in lines.iter().zip(&expected) {
            assert!(line.ends_with(name) && line.contains(before), "{style}: {line}");
        }
    }
    for (disk, listed) in NAMES {
        for asked in
            [disk.to_owned(), listed.to_owned(), format!("/s/in/{listed}"), format!("./../in//{listed}")]
        {
            let (bytes, end) = client.fetch(&format!("RETR {asked}")).await;
            assert!(bytes == disk.as_bytes() && end.starts_with("226 "), "{asked:?}: {end}");
        }
        assert_eq!(client.lines(&format!("NLST {listed}")).await, [listed]);
        assert_eq!(client.ask(&format!("SIZE {listed}")).await, format!("213 {}\r\n", disk.len()));
    }
    assert_eq!(client.fetch(&format!("RETR {longest}")).await.0, b"longest");
    assert_eq!(client.lines("NLST *.txt").await, ["plain.txt"]);
    assert_eq!(client.lines("NLST /s/in/p*").await, ["/s/in/plain.txt"]);
    assert_eq!(client.lines("LIST -la plain.txt").await.len(), 1);
}

#[tokio::test]
async fn a_folder_with_quotes_is_told_as_the_rfc_says() {
    let fixture = Fixture::start(&[("a \"b\"/f", b"x")]).await;
    let mut client = fixture.anonymous().await;
    client.ask("CWD s/a \"b\"").await;
    assert_eq!(client.ask("PWD").await, "257 \"/s/a \"\"b\"\"\"\r\n");
    assert_eq!(client.lines("NLST").await, ["f"]);
}

#[tokio::test]
async fn names_that_could_break_a_line_are_not_there() {
    let files: [(&str, &[u8]); 5] = [
        ("good", b"x"),
        ("new\nline", b"x"),
        ("return\rhere", b"x"),
        ("\x1b[2Jscreen", b"x"),
        ("back\\slash", b"x"),
    ];
    let fixture = Fixture::start(&files).await;
    let mut client = fixture.anonymous().await;
    for style in ["LIST s", "MLSD s"] {
        assert_eq!(client.lines(style).await.len(), 1, "{style}");
    }
    assert_eq!(client.lines("NLST s").await, ["s/good"]);
    for name in ["\x1b[2Jscreen", "back\\slash", "return\rhere", "good\0"] {
        let reply = client.ask(&format!("SIZE s/{name}")).await;
        assert!(reply.starts_with("550 "), "{reply}");
    }
}

#[tokio::test]
async fn what_is_no_plain_file_of_the_share_is_not_there() {
    let fixture = Fixture::start(&[("file", b"inside")]).await;
    let outside = fixture.dir.parent().unwrap().join("secret");
    std::fs::write(&outside, "outside").unwrap();
    symlink(&outside, fixture.dir.join("link")).unwrap();
    symlink("/etc", fixture.dir.join("folder link")).unwrap();
    let fifo = fixture.dir.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(fifo.metadata().unwrap().file_type().is_fifo());
    // Only root makes devices.
    let _ = Command::new("mknod").arg(fixture.dir.join("device")).args(["c", "1", "3"]).status();
    std::os::unix::net::UnixListener::bind(fixture.dir.join("socket")).unwrap();
    let mut client = fixture.anonymous().await;
    assert_eq!(client.lines("NLST s").await, ["s/file"]);
    for name in [
        "link",
        "folder link",
        "folder link/passwd",
        "fifo",
        "device",
        "socket",
        "../secret",
        "../../etc/passwd",
    ] {
        let (bytes, end) = client.fetch(&format!("RETR s/{name}")).await;
        assert!(bytes.is_empty() && end.starts_with("550 "), "{name}: {end}");
    }
}

#[tokio::test]
async fn a_file_swapped_for_a_link_is_not_followed() {
    let fixture = Fixture::start(&[("file", b"inside"), ("other", b"stays")]).await;
    let outside = fixture.dir.parent().unwrap().join("secret");
    std::fs::write(&outside, "outside").unwrap();
    let mut client = fixture.anonymous().await;
    assert_eq!(client.fetch("RETR s/file").await.0, b"inside");
    std::fs::remove_file(fixture.dir.join("file")).unwrap();
    symlink(&outside, fixture.dir.join("file")).unwrap();
    let (bytes, end) = client.fetch("RETR s/file").await;
    assert!(bytes.is_empty() && (end.starts_with("450 ") || end.starts_with("550 ")), "{end}");
    std::fs::write(fixture.dir.join("other"), "changed since").unwrap();
    let (bytes, end) = client.fetch("RETR s/other").await;
    assert!(bytes.is_empty() && end.starts_with("450 ") || bytes == b"changed since", "{end}");
}
