//! What a client asks for: a line becomes a [`Command`], or the reply that says why it is none.
//!
//! Invariant: there is no command that writes. Every verb that would is [`Command::Writing`], which has no argument,
//! so nothing behind this file could act on one.

use super::reply::Reply;

/// A command that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    User(String),
    Pass(String),
    AuthTls,
    Pbsz,
    Prot(Protection),
    Quit,
    Noop,
    Syst,
    Help,
    Feat,
    /// `OPTS`: what is to be set, in capitals.
    Opts(String),
    /// `CLNT`, `ACCT`, `ALLO`: nothing depends on it.
    Heard,
    Type,
    Mode(char),
    Stru(char),
    Pwd,
    Cwd(String),
    Cdup,
    Pasv,
    Epsv(Epsv),
    Rest(u64),
    Retr(String),
    Size(String),
    Mdtm(String),
    Mlst(String),
    /// A folder's contents, over a data connection.
    List(Style, String),
    Stat(String),
    Abor,
    /// `STOR`, `DELE`, `MKD`, `SITE` …: something that would change what is here.
    Writing,
    /// `PORT`, `EPRT`: this machine would connect to where it is told.
    Active,
}

/// How a folder is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As `ls -l` does.
    List,
    /// Names alone.
    Nlst,
    /// Facts for programs (RFC 3659).
    Mlsd,
}

/// `PROT`: how data connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Clear,
    Private,
}

/// `EPSV`: with which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epsv {
    /// The one that the control connection has.
    Same,
    V4,
    V6,
    /// From now on no other command for data connections.
    All,
}

/// Understands a line.
///
/// # Errors
/// The reply to a line that is no command.
pub(super) fn parse(line: &[u8]) -> Result<Command, Reply> {
    // `ABOR` may come behind Telnet's interrupt and synch signals (RFC 959, section 4.1.3).
    let start = line.iter().position(|byte| *byte < 0xf0).unwrap_or(line.len());
    let line = str::from_utf8(&line[start..]).map_err(|_| Reply::new(501, "names are UTF-8 here"))?;
    // One blank parts a verb from its argument; any other belongs to the name.
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    if verb.len() > 4 || !verb.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(unknown());
    }
    let verb = verb.to_ascii_uppercase();
    match is_known_to_write(&verb) {
        true => Ok(Command::Writing),
        false => of_verb(&verb, argument),
    }
}

fn is_known_to_write(verb: &str) -> bool {
    const WRITING: [&str; 13] =
        ["STOR", "STOU", "APPE", "DELE", "MKD", "XMKD", "RMD", "XRMD", "RNFR", "RNTO", "MFMT", "MFF", "MFCT"];
    WRITING.contains(&verb)
}

fn of_verb(verb: &str, argument: &str) -> Result<Command, Reply> {
    let text = || argument.to_owned();
    let named = || if argument.is_empty() { Err(no_argument()) } else { Ok(argument.to_owned()) };
    Ok(match verb {
        "USER" => Command::User(named()?),
        "PASS" => Command::Pass(text()),
        "AUTH" => of_auth(argument)?,
        "PBSZ" if argument == "0" => Command::Pbsz,
        "PBSZ" => return Err(Reply::new(501, "expected `PBSZ 0`")),
        "PROT" => Command::Prot(of_prot(argument)?),
        "QUIT" => Command::Quit,
        "NOOP" => Command::Noop,
        "SYST" => Command::Syst,
        "HELP" => Command::Help,
        "FEAT" => Command::Feat,
        "OPTS" => Command::Opts(named()?.to_ascii_uppercase()),
        "CLNT" | "ACCT" | "ALLO" => Command::Heard,
        "TYPE" => of_type(argument)?,
        "MODE" => Command::Mode(letter(argument)?),
        "STRU" => Command::Stru(letter(argument)?),
        "PWD" | "XPWD" => Command::Pwd,
        "CWD" | "XCWD" => Command::Cwd(named()?),
        "CDUP" | "XCUP" => Command::Cdup,
        "PASV" => Command::Pasv,
        "EPSV" => Command::Epsv(of_epsv(argument)?),
        "REST" => Command::Rest(number(argument)?),
        "RETR" => Command::Retr(named()?),
        "SIZE" => Command::Size(named()?),
        "MDTM" => Command::Mdtm(named()?),
        "MLST" => Command::Mlst(text()),
        "LIST" => Command::List(Style::List, text()),
        "NLST" => Command::List(Style::Nlst, text()),
        "MLSD" => Command::List(Style::Mlsd, text()),
        "STAT" => Command::Stat(text()),
        "ABOR" => Command::Abor,
        "PORT" | "EPRT" | "LPRT" => Command::Active,
        "SITE" => return Err(Reply::new(502, "there are no `SITE` commands here")),
        _ => return Err(unknown()),
    })
}

fn of_auth(argument: &str) -> Result<Command, Reply> {
    match argument.to_ascii_uppercase().as_str() {
        "TLS" | "TLS-C" | "SSL" => Ok(Command::AuthTls),
        _ => Err(Reply::new(504, "only `AUTH TLS` is known")),
    }
}

fn of_prot(argument: &str) -> Result<Protection, Reply> {
    match argument.to_ascii_uppercase().as_str() {
        "C" => Ok(Protection::Clear),
        "P" => Ok(Protection::Private),
        "S" | "E" => Err(Reply::new(536, "expected `PROT P` or `PROT C`")),
        _ => Err(Reply::new(504, "expected `PROT P` or `PROT C`")),
    }
}

/// Bytes are sent as they are whatever the type, so that none is ever changed.
fn of_type(argument: &str) -> Result<Command, Reply> {
    match argument.to_ascii_uppercase().as_str() {
        "I" | "A" | "A N" | "L 8" | "L8" => Ok(Command::Type),
        _ => Err(Reply::new(504, "expected `TYPE I` or `TYPE A`")),
    }
}

fn of_epsv(argument: &str) -> Result<Epsv, Reply> {
    match argument.to_ascii_uppercase().as_str() {
        "" => Ok(Epsv::Same),
        "1" => Ok(Epsv::V4),
        "2" => Ok(Epsv::V6),
        "ALL" => Ok(Epsv::All),
        _ => Err(Reply::new(522, "protocols are 1 and 2 (1,2)")),
    }
}

fn letter(argument: &str) -> Result<char, Reply> {
    let mut letters = argument.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok(letter.to_ascii_uppercase()),
        _ => Err(Reply::new(501, "expected one letter")),
    }
}

fn number(argument: &str) -> Result<u64, Reply> {
    let is_number = !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_digit());
    let number = argument.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| Reply::new(501, "expected a number of bytes"))
}

fn no_argument() -> Reply {
    Reply::new(501, "that command needs an argument")
}

fn unknown() -> Reply {
    Reply::new(500, "that command is not known here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.as_bytes()).map_err(|reply| String::from_utf8(reply.to_bytes()).unwrap())
    }

    #[test]
    fn a_name_is_all_that_stands_behind_one_blank() {
        assert_eq!(parsed("RETR  a b "), Ok(Command::Retr(" a b ".to_owned())));
        assert_eq!(parsed("retr -rf"), Ok(Command::Retr("-rf".to_owned())));
        assert_eq!(parsed("CWD \"q\" 50%#"), Ok(Command::Cwd("\"q\" 50%#".to_owned())));
    }

    #[test]
    fn whatever_would_write_is_one_command() {
        for line in ["STOR x", "stou", "APPE x", "DELE x", "MKD x", "XRMD x", "RNFR x", "RNTO x", "MFMT 1 x"]
        {
            assert_eq!(parsed(line), Ok(Command::Writing), "{line}");
        }
        for line in ["PORT 127,0,0,1,0,25", "EPRT |1|127.0.0.1|25|", "PORT"] {
            assert_eq!(parsed(line), Ok(Command::Active), "{line}");
        }
        assert!(parsed("SITE CHMOD 777 x").unwrap_err().starts_with("502 "));
    }

    #[test]
    fn what_is_no_command_is_told_with_its_code() {
        for (line, code) in [
            ("", "500"),
            ("XYZZY", "500"),
            ("RETRIEVE x", "500"),
            ("RETR", "501"),
            ("REST -1", "501"),
            ("REST +1", "501"),
            ("REST 99999999999999999999999", "501"),
            ("TYPE E", "504"),
            ("PBSZ 9", "501"),
            ("PROT E", "536"),
            ("AUTH KERBEROS", "504"),
            ("EPSV 3", "522"),
        ] {
            let reply = parsed(line).unwrap_err();
            assert!(reply.starts_with(code), "{line}: {reply}");
        }
        assert_eq!(parse(b"RETR \xff\xfe").unwrap_err(), Reply::new(501, "names are UTF-8 here"));
        assert_eq!(parse(b"\xff\xf4\xff\xf2ABOR"), Ok(Command::Abor));
    }

    proptest! {
        #[test]
        fn any_line_has_a_meaning_or_a_reply(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Err(reply) = parse(&line) {
                prop_assert!(reply.to_bytes().ends_with(b"\r\n"));
            }
        }
    }
}
