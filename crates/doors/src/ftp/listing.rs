//! How files and folders are written in listings: as `ls -l` does, by their names, or as facts (RFC 3659, section 7).
//!
//! Pure. Times are in UTC.

use std::fmt::Write;

use peerage_peer::catalogue::{Child, Node};
use time::OffsetDateTime;

use super::command::Style;

/// The facts of `MLSD` and `MLST`, as `FEAT` names them.
pub(super) const FACTS: &str = "type*;size*;modify*;perm*;";
/// Older than this, `ls -l` shows the year in place of the time of day: half a year.
const RECENT_SECS: i64 = 182 * 86_400;
/// What `ls -l` shows for a folder's size.
const FOLDER_BYTES: u64 = 4_096;

/// Appends a line of a listing. `prefix` stands before a bare name, as it was asked for.
pub(super) fn line(style: Style, child: &Child, prefix: &str, now: i64, out: &mut String) {
    let Child { name, node } = child;
    // Writing to a string can't fail.
    let _ = match style {
        Style::List => write!(out, "{} {name}\r\n", long(node, now)),
        Style::Nlst => write!(out, "{prefix}{name}\r\n"),
        Style::Mlsd => write!(out, "{} {name}\r\n", facts(node)),
    };
}

/// RFC 3659's facts.
pub(super) fn facts(node: &Node) -> String {
    match node {
        Node::Folder { modified } => format!("type=dir;modify={};perm=el;", stamp(*modified)),
        Node::File(file) => {
            format!("type=file;size={};modify={};perm=r;", file.size, stamp(file.modified))
        }
    }
}

/// RFC 3659's time, `YYYYMMDDHHMMSS`. A file may claim any time; one out of range is shown as 1970.
pub(super) fn stamp(secs: i64) -> String {
    let at = moment(secs);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", at.hour(), at.minute(), at.second())
}

fn long(node: &Node, now: i64) -> String {
    let (kind, links, bytes, modified) = match node {
        Node::Folder { modified } => ("dr-xr-xr-x", 2, FOLDER_BYTES, *modified),
        Node::File(file) => ("-r--r--r--", 1, file.size, file.modified),
    };
    let at = moment(modified);
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let is_recent = (0..RECENT_SECS).contains(&now.saturating_sub(modified));
    let when = match is_recent {
        true => format!("{:02}:{:02}", at.hour(), at.minute()),
        false => format!("{:5}", at.year()),
    };
    format!("{kind} {links:3} peerage  peerage  {bytes:12} {month} {:2} {when}", at.day())
}

fn moment(secs: i64) -> OffsetDateTime {
    let at = OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    if at.year() < 0 { OffsetDateTime::UNIX_EPOCH } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::{ContentHash, FileEntry, SharePath};

    const NOW: i64 = 1_795_000_000; // 2026-11-18

    fn file(modified: i64) -> Node {
        let path = SharePath::parse("s/f").unwrap();
        Node::File(FileEntry { path, size: 1_234_567, hash: ContentHash::of(b""), modified })
    }

    fn written(style: Style, node: Node) -> String {
        let mut out = String::new();
        line(style, &Child { name: "a b".to_owned(), node }, "x/", NOW, &mut out);
        out
    }

    #[test]
    fn listings_are_as_clients_read_them() {
        assert_eq!(
            written(Style::List, file(NOW - 3_600)),
            "-r--r--r--   1 peerage  peerage       1234567 Nov 18 10:06 a b\r\n"
        );
        assert_eq!(
            written(Style::List, file(951_827_696)),
            "-r--r--r--   1 peerage  peerage       1234567 Feb 29  2000 a b\r\n"
        );
        assert_eq!(
            written(Style::List, Node::Folder { modified: 0 }),
            "dr-xr-xr-x   2 peerage  peerage          4096 Jan  1  1970 a b\r\n"
        );
        assert_eq!(
            written(Style::Mlsd, file(951_827_696)),
            "type=file;size=1234567;modify=20000229123456;perm=r; a b\r\n"
        );
        assert_eq!(
            written(Style::Mlsd, Node::Folder { modified: 0 }),
            "type=dir;modify=19700101000000;perm=el; a b\r\n"
        );
        assert_eq!(written(Style::Nlst, file(0)), "x/a b\r\n");
    }

    #[test]
    fn a_time_that_no_calendar_has_is_1970() {
        for secs in [i64::MIN, i64::MAX, -99_999_999_999, 999_999_999_999_999] {
            assert_eq!(stamp(secs), "19700101000000", "{secs}");
            written(Style::List, file(secs));
        }
    }
}
