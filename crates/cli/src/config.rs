//! Settings: defaults, then `config.toml` in the home folder, then the environment, then flags.
//!
//! A key is a flag's long name; at the top it goes for every command that has the flag, in a table named after a
//! command for that one. An unknown key is an error that names it: a setting that does nothing is worse than none. The one
//! table that is no command's is [`SERVERS`]: who logs in at which FTP server; a file with a password in it must be closed
//! to others.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use peerage_peer::share::{FtpLogin, FtpLogins, Password};
use toml::{Table, Value};

use crate::args::Arguments;
use crate::failure::{Failure, Outcome};

/// The file's name in the home folder.
const FILE_NAME: &str = "config.toml";
/// The table of FTP servers: `[ftp-servers."nas.local"]` with `user` and `password`.
const SERVERS: &str = "ftp-servers";
/// The variable with the password of servers whose own is not in the file; no flag, for flags are seen by all.
const PASSWORD_VARIABLE: &str = "PEERAGE_FTP_PASSWORD";
/// Bytes of the file: far above any honest one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the process's arguments over the settings. Help, version and usage errors end the process as clap does.
pub(crate) fn parse_arguments() -> Outcome<Arguments> {
    parse_words(&std::env::args_os().collect::<Vec<_>>())
}

/// Reads these words, the program's name first, as if they had been typed.
pub(crate) fn parse_words(words: &[OsString]) -> Outcome<Arguments> {
    let settings = match read_settings(&home_of(words))? {
        Some((file, table)) => with_settings(Arguments::command(), &file, &table)?,
        None => Arguments::command(),
    };
    let matches = settings.get_matches_from(with_left_out_words(words));
    Arguments::from_arg_matches(&matches).map_err(|error| error.exit())
}

/// Who logs in at FTP servers: from the settings of this home and from the environment.
pub(crate) fn ftp_logins(home: &Path) -> Outcome<FtpLogins> {
    let by_host = match read_settings(home)? {
        Some((file, table)) => servers_of(&file, &table)?,
        None => BTreeMap::new(),
    };
    let password = std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty());
    Ok(FtpLogins::new(by_host, password.map(Password::from)))
}

fn servers_of(file: &Path, settings: &Table) -> Outcome<BTreeMap<String, FtpLogin>> {
    let refused = |key: &str, what| {
        Failure::usage(format!("`{key}` in `{}` {what}", file.display())).hint(format!(
            "write `[{SERVERS}.\"nas.local\"]`, and below it `user = \"…\"` and `password = \"…\"`"
        ))
    };
    let Some(servers) = settings.get(SERVERS) else { return Ok(BTreeMap::new()) };
    let servers = servers.as_table().ok_or_else(|| refused(SERVERS, "is no table"))?;
    let mut logins = BTreeMap::new();
    for (host, server) in servers {
        let key = format!("{SERVERS}.{host}");
        let mut login = FtpLogin::default();
        for (name, value) in server.as_table().ok_or_else(|| refused(&key, "is no table"))? {
            let key = format!("{key}.{name}");
            let text = value.as_str().ok_or_else(|| refused(&key, "is no text"))?.to_owned();
            match name.as_str() {
                "user" => login.user = Some(text),
                "password" => login.password = Some(text.into()),
                _ => return Err(refused(&key, "is not a setting")),
            }
        }
        logins.insert(host.clone(), login);
    }
    Ok(logins)
}

/// In a search `-draft` leaves a word out. A blank before it keeps it from being taken for flags, and means nothing in a
/// query.
fn with_left_out_words(words: &[OsString]) -> Vec<OsString> {
    let is_search = words.iter().skip(1).any(|word| word == "search");
    let leaves_out = |word: &OsString| {
        let word = word.as_bytes();
        word.len() > 2 && word[0] == b'-' && word[1] != b'-'
    };
    words
        .iter()
        .map(|word| {
            if !(is_search && leaves_out(word)) {
                return word.clone();
            }
            let mut guarded = OsString::from(" ");
            guarded.push(word);
            guarded
        })
        .collect()
}

/// The home folder where none was given: the platform's place for a program's data.
pub(crate) fn default_home() -> PathBuf {
    match directories::ProjectDirs::from("", "", "peerage") {
        Some(dirs) => dirs.data_dir().to_owned(),
        None => PathBuf::from(".peerage"),
    }
}

/// The home folder must be known before its settings can be read, so it is looked for by itself first.
fn home_of(words: &[OsString]) -> PathBuf {
    let mut given = None;
    for (position, word) in words.iter().enumerate() {
        let word = word.to_string_lossy();
        if word == "--" {
            break;
        }
        if word == "--home" {
            given = words.get(position + 1).map(PathBuf::from);
        } else if let Some(value) = word.strip_prefix("--home=") {
            given = Some(PathBuf::from(value));
        }
    }
    given.or_else(|| std::env::var_os("PEERAGE_HOME").map(PathBuf::from)).unwrap_or_else(default_home)
}

fn read_settings(home: &Path) -> Outcome<Option<(PathBuf, Table)>> {
    let file = home.join(FILE_NAME);
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("can't read `{}`: {why}", file.display()))
            .hint("mend the file, or move it away")
    };
    let metadata = match std::fs::metadata(&file) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(cannot(&"it is larger than 1 MiB")),
        Ok(metadata) => metadata,
        Err(_) => return Ok(None),
    };
    let text = std::fs::read_to_string(&file).map_err(|error| cannot(&error))?;
    let table = text.parse::<Table>().map_err(|error| cannot(&error.to_string().trim_end()))?;
    let mode = metadata.permissions().mode() & 0o777;
    let has_password = servers_of(&file, &table)?.values().any(|login| login.password.is_some());
    if has_password && mode & 0o077 != 0 {
        let shown = file.display();
        let what = format!("`{shown}` holds a password and can be read by others (mode {mode:03o})");
        return Err(Failure::usage(what).hint(format!("run `chmod 600 {shown}`")));
    }
    Ok(Some((file, table)))
}

fn with_settings(mut command: Command, file: &Path, settings: &Table) -> Outcome<Command> {
    let mut known = BTreeSet::new();
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in &names {
        let own = settings.get(name).and_then(Value::as_table);
        let mut failure = None;
        command = command.mut_subcommand(name, |sub| {
            sub.mut_args(|arg| {
                let Some(long) = arg.get_long().map(str::to_owned) else { return arg };
                known.insert(long.clone());
                // `[index]` is that command's table, `index = "…"` where every other command asks.
                let everybodys = || settings.get(&long).filter(|value| !value.is_table());
                let Some(value) = own.and_then(|own| own.get(&long)).or_else(everybodys) else {
                    return arg;
                };
                with_default(arg, value).unwrap_or_else(|arg| {
                    failure.get_or_insert(long);
                    *arg
                })
            })
        });
        if let Some(key) = failure {
            return Err(bad_key(file, &key, "has a value that a flag can't have"));
        }
        let unknown = own.and_then(|own| own.keys().find(|key| !has_flag(&command, name, key)));
        if let Some(key) = unknown {
            return Err(bad_key(file, &format!("{name}.{key}"), "is not a setting"));
        }
    }
    match settings
        .iter()
        .filter(|(key, _)| *key != SERVERS)
        .find(|(key, value)| !(known.contains(*key) || names.contains(key) && value.is_table()))
    {
        Some((key, _)) => Err(bad_key(file, key, "is not a setting")),
        None => Ok(command),
    }
}

fn has_flag(command: &Command, subcommand: &str, long: &str) -> bool {
    let subcommand = command.find_subcommand(subcommand);
    subcommand.is_some_and(|sub| sub.get_arguments().any(|arg| arg.get_long() == Some(long)))
}

fn bad_key(file: &Path, key: &str, what: &str) -> Failure {
    Failure::usage(format!("`{key}` in `{}` {what}", file.display()))
        .hint("a setting goes by a flag's long name: see `peerage COMMAND --help`")
}

/// Gives the flag another default, or the flag back where the value is of no use to it.
fn with_default(arg: Arg, value: &Value) -> Result<Arg, Box<Arg>> {
    let words = match value {
        Value::Array(items) => items.iter().map(word_of).collect::<Option<Vec<String>>>(),
        one => word_of(one).map(|word| vec![word]),
    };
    match (words, arg.get_action()) {
        (Some(words), ArgAction::Append | ArgAction::Set | ArgAction::SetTrue) => {
            Ok(arg.default_values(words))
        }
        _ => Err(Box::new(arg)),
    }
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(settings: &str, words: &[&str]) -> Result<Arguments, String> {
        let table = settings.parse().unwrap();
        let command = with_settings(Arguments::command(), Path::new("config.toml"), &table)
            .map_err(|failure| failure.to_string())?;
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        Arguments::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    fn search_of(arguments: Arguments) -> crate::args::SearchArgs {
        match arguments.command {
            Some(crate::args::Command::Search(search)) => search,
            other => panic!("not a search: {other:?}"),
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let settings = "index = \"http://nas:1\"\n[search]\nlimit = 7\njson = true\n";
        let search = search_of(parsed(settings, &["peerage", "search", "x"]).unwrap());
        assert_eq!((search.index.url.as_str(), search.limit, search.json), ("http://nas:1", 7, true));
        let search = search_of(parsed(settings, &["peerage", "search", "x", "--limit", "3"]).unwrap());
        assert_eq!(search.limit, 3);
    }

    #[test]
    fn the_index_has_a_table_like_any_command() {
        let settings = "[index]\nmemory-max = \"14G\"\n";
        match parsed(settings, &["peerage", "index"]).unwrap().command {
            Some(crate::args::Command::Index(index)) => assert_eq!(index.memory_max, Some(14 << 30)),
            other => panic!("not the index: {other:?}"),
        }
        assert!(parsed("", &["peerage", "index", "--memory-max", "0"]).is_err());
        let search = search_of(parsed(settings, &["peerage", "search", "x"]).unwrap());
        assert_eq!(search.index.url, "http://127.0.0.1:18964");
    }

    #[test]
    fn a_word_to_leave_out_is_no_flag() {
        let typed = ["peerage", "search", "report", "-draft", "--limit", "3"].map(OsString::from);
        let words = with_left_out_words(&typed);
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let search = search_of(parsed("", &words).unwrap());
        assert_eq!((search.words.join(" ").as_str(), search.limit), ("report  -draft", 3));
        assert_eq!(with_left_out_words(&["peerage".into(), "get".into(), "-o".into()])[2], "-o");
    }

    #[test]
    fn servers_have_users_and_passwords_and_nothing_else() {
        let servers = |text: &str| servers_of(Path::new("config.toml"), &text.parse().unwrap());
        let text = "[ftp-servers.\"nas.local\"]\nuser = \"bob\"\npassword = \"secret\"\n";
        let login = &servers(text).unwrap()["nas.local"];
        assert_eq!(login.user.as_deref(), Some("bob"));
        assert_eq!(login.password, Some("secret".to_owned().into()));
        assert!(parsed(text, &["peerage", "peers"]).is_ok());
        for (text, key) in [
            ("ftp-servers = 1", "ftp-servers"),
            ("[ftp-servers]\nnas = 1", "ftp-servers.nas"),
            ("[ftp-servers.nas]\npasswort = \"x\"", "ftp-servers.nas.passwort"),
            ("[ftp-servers.nas]\nuser = 7", "ftp-servers.nas.user"),
        ] {
            let message = servers(text).unwrap_err().to_string();
            assert!(message.contains(&format!("`{key}`")) && message.contains("hint: "), "{message}");
        }
    }

    #[test]
    fn a_password_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(FILE_NAME);
        std::fs::write(&file, "[ftp-servers.nas]\npassword = \"secret\"\n").unwrap();
        for (mode, is_good) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read_settings(home.path()).map(|_| ()).map_err(|failure| failure.to_string());
            assert_eq!(read.is_ok(), is_good, "{mode:o}");
            assert!(read.err().is_none_or(|error| error.contains("chmod 600") && !error.contains("secret")));
        }
        std::fs::write(&file, "[ftp-servers.nas]\nuser = \"bob\"\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_settings(home.path()).is_ok(), "no secret in it");
    }

    #[test]
    fn a_key_that_means_nothing_is_named() {
        for (settings, key) in [("colour = 1", "colour"), ("[search]\nlisten = \"x\"", "search.listen")] {
            let message = parsed(settings, &["peerage", "peers"]).unwrap_err();
            assert!(message.contains(&format!("`{key}`")), "{message}");
        }
    }
}
