//! One line of a listing, read: a file, a folder, or nothing of ours.
//!
//! Invariants: whatever bytes a server sends give an [`Entry`] or nothing, never a panic; a name is one plain component of
//! UTF-8; links are nothing of ours, so none is followed; a file whose size or time is not told is not guessed.

use std::time::UNIX_EPOCH;

use suppaftp::list::{File, ListParser};

/// What a line speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File(Facts),
    /// A folder, and what makes it unique on the server where that is told.
    Folder(Option<Box<str>>),
}

/// What is told of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Bytes.
    pub(crate) size: u64,
    /// Seconds since 1970; only to the minute or day, and by some other clock, where it is from `LIST`.
    pub(crate) mtime: i64,
}

/// Why a line gives no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum No {
    /// It speaks of nothing that is shared: a link, a device, the folder itself, a sum.
    Ours,
    /// It has a name that can't be shared.
    Name(String, &'static str),
}

/// Reads a line of `MLSD` (RFC 3659, section 7.2): `type=file;size=5;modify=20240102030405; name`.
pub(crate) fn of_mlsd(line: &[u8]) -> Result<Entry, No> {
    let (facts, name) = match line.strip_prefix(b" ") {
        Some(name) => (&b""[..], name),
        None => {
            let end = line.windows(2).position(|two| two == b"; ").ok_or(No::Ours)?;
            (&line[..end], &line[end + 2..])
        }
    };
    let facts = std::str::from_utf8(facts).map_err(|_| No::Ours)?;
    let kind = match fact(facts, "type").map(str::to_ascii_lowercase).as_deref() {
        Some("file") => {
            let told = facts_of(facts);
            Kind::File(told.ok_or_else(|| No::Name(lossy(name), "its size or time is not told"))?)
        }
        Some("dir") => Kind::Folder(fact(facts, "unique").map(Into::into)),
        _ => return Err(No::Ours),
    };
    Ok(Entry { name: plain(name)?, kind })
}

/// The size and time among the facts of one file.
pub(crate) fn facts_of(facts: &str) -> Option<Facts> {
    let size = fact(facts, "size")?.parse().ok()?;
    Some(Facts { size, mtime: seconds_of(fact(facts, "modify")?)? })
}

/// Reads a line of `LIST`, as Unix or Windows writes it.
pub(crate) fn of_list(line: &[u8]) -> Result<Entry, No> {
    let text = String::from_utf8_lossy(line);
    let file = ListParser::parse_posix(&text).or_else(|_| ListParser::parse_dos(&text));
    let file: File = file.map_err(|_| No::Ours)?;
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(No::Name(file.name().to_owned(), "its name is not UTF-8"));
    }
    let name = plain(file.name().as_bytes())?;
    if file.is_directory() {
        return Ok(Entry { name, kind: Kind::Folder(None) });
    }
    let mtime = match file.modified().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    if file.is_file() {
        Ok(Entry { name, kind: Kind::File(Facts { size: file.size() as u64, mtime }) })
    } else {
        Err(No::Ours)
    }
}

fn fact<'a>(facts: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = facts.split(';').filter_map(|fact| fact.split_once('='));
    pairs.find(|(key, _)| key.trim_start().eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// One component; the folder itself and the one above are nothing of ours.
fn plain(name: &[u8]) -> Result<String, No> {
    match std::str::from_utf8(name) {
        Err(_) => Err(No::Name(lossy(name), "its name is not UTF-8")),
        Ok("" | "." | "..") => Err(No::Ours),
        Ok(name) if name.contains('/') => Err(No::Name(name.to_owned(), "its name has a slash")),
        Ok(name) => Ok(name.to_owned()),
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// `20240102030405`, with or without a fraction, in seconds since 1970 (RFC 3659, section 2.3).
fn seconds_of(time: &str) -> Option<i64> {
    let digits = time.split('.').next().filter(|digits| digits.len() == 14)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let is_time =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    is_time.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970 to a date of the Gregorian calendar, counted from March so that a leap day is a year's last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str, size: u64, mtime: i64) -> Result<Entry, No> {
        Ok(Entry { name: name.to_owned(), kind: Kind::File(Facts { size, mtime }) })
    }

    #[test]
    fn lines_of_mlsd_are_read() {
        let read = |line: &str| of_mlsd(line.as_bytes());
        let line = "Type=file;Size=5;Modify=20240229030405.123;UNIX.mode=0644;  a; b.txt ";
        assert_eq!(read(line), file(" a; b.txt ", 5, 1_709_175_845));
        assert_eq!(read("modify=19700101000000;size=0;type=FILE; x"), file("x", 0, 0));
        let folder = Entry { name: "d".to_owned(), kind: Kind::Folder(Some("8U1".into())) };
        assert_eq!(read("type=dir;unique=8U1;modify=20240102030405; d"), Ok(folder));
        for line in [
            "",
            " ",
            "type=cdir;modify=20240102030405; /music",
            "type=pdir; ..",
            "type=dir; .",
            "type=OS.unix=slink:/etc; link",
            "type=OS.unix=symlink; link",
            "total 7",
        ] {
            assert_eq!(read(line), Err(No::Ours), "{line}");
        }
    }

    #[test]
    fn hostile_names_and_missing_facts_are_refused() {
        for line in [
            &b"type=file;size=1;modify=20240102030405; ../../etc/passwd"[..],
            b"type=dir; a/b",
            b"type=dir; /",
            b"type=file;size=1;modify=20240102030405; caf\xe9",
            b"type=file;modify=20240102030405; sizeless",
            b"type=file;size=-1;modify=20240102030405; negative",
            b"type=file;size=99999999999999999999;modify=20240102030405; huge",
            b"type=file;size=1; timeless",
            b"type=file;size=1;modify=20241302030405; month",
        ] {
            assert!(matches!(of_mlsd(line), Err(No::Name(..))), "{}", String::from_utf8_lossy(line));
        }
        assert!(matches!(of_list(b"-rw-r--r-- 1 u g 5 Nov 05 2018 a/../b"), Err(No::Name(..))));
        assert!(matches!(of_list(b"-rw-r--r-- 1 u g 5 Nov 05 2018 caf\xe9"), Err(No::Name(..))));
    }

    #[test]
    fn lines_of_list_are_read() {
        assert_eq!(
            of_list(b"-rw-r--r--    1 0  0   8192 Nov 05  2018 a -> b.txt"),
            file("a -> b.txt", 8_192, 1_541_376_000)
        );
        let folder = Entry { name: "pub".to_owned(), kind: Kind::Folder(None) };
        assert_eq!(of_list(b"drwxr-xr-x    2 0  0   4096 Nov 05  2018 pub"), Ok(folder.clone()));
        assert_eq!(of_list(b"10-19-20  03:19PM       <DIR>          pub"), Ok(folder));
        assert!(matches!(
            of_list(b"04-08-14  03:09PM  403   readme.txt"),
            Ok(Entry { kind: Kind::File(_), .. })
        ));
        for line in [
            &b"total 12"[..],
            b"lrwxrwxrwx 1 0 0 3 Nov 05 2018 x -> y",
            b"",
            b"drwxr-xr-x 2 0 0 4096 Nov 05 2018 ..",
        ] {
            assert_eq!(of_list(line), Err(No::Ours));
        }
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        for (date, expected) in
            [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2000, 3, 1), 11_017), ((1969, 12, 31), -1)]
        {
            assert_eq!(days(date.0, date.1, date.2), expected);
        }
        assert_eq!(seconds_of("20231114221320"), Some(1_700_000_000));
    }

    proptest! {
        #[test]
        fn no_line_breaks_anything(line in proptest::collection::vec(any::<u8>(), 0..80), text in "(type=(file|dir|x);|size=[0-9]{1,3};|modify=[0-9]{12,15};|[-a-z./ \\u{1}é]){0,12}") {
            for line in [line.as_slice(), text.as_bytes()] {
                for entry in [of_mlsd(line), of_list(line)].into_iter().flatten() {
                    prop_assert!(!entry.name.contains('/') && !["", ".", ".."].contains(&entry.name.as_str()));
                }
            }
        }
    }
}
