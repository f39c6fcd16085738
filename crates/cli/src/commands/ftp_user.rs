//! `peerage ftp-user`: who may log in at the FTP door, with a password that is never an argument.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use peerage_doors::users::{Users, UsersError};
use peerage_peer::home::Home;
use peerage_wire::shown;

use crate::args::{FtpUserArgs, FtpUserCommand};
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{put, say};

/// Bytes of a password file that are read: a line and no more.
const PASSWORD_FILE_BYTES_MAX: u64 = 4 << 10;

pub(crate) fn run(home: &Path, args: FtpUserArgs) -> Outcome {
    let home = Home::open(home).map_err(Failure::failed)?;
    let users = Users::of_home(home.path());
    match args.what {
        FtpUserCommand::Add { name, share, password_file } => {
            let shares = (!share.is_empty()).then(|| share.into_iter().collect::<BTreeSet<String>>());
            let password = match password_file {
                Some(file) => read(&file)?,
                None => ask(&name)?,
            };
            users.add(&name, &password, shares).map_err(of_users)?;
            say(format_args!("`{}` may log in from now on", shown(&name)));
        }
        FtpUserCommand::List => {
            let known = users.list().map_err(of_users)?;
            if known.is_empty() {
                say("nobody: add somebody with `peerage ftp-user add NAME`");
            }
            for (name, user) in known {
                let shares = user.shares.map(|shares| shares.into_iter().collect::<Vec<_>>().join(", "));
                let shares = shares.unwrap_or_else(|| "all shares".to_owned());
                put(format_args!("{}: {}", shown(&name), shown(&shares)))?;
            }
        }
        FtpUserCommand::Remove { name } => {
            users.remove(&name).map_err(of_users)?;
            say(format_args!("`{}` can't log in any more", shown(&name)));
        }
    }
    Ok(())
}

/// The first line of a file, or of standard input.
fn read(file: &Path) -> Outcome<String> {
    let source: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file).map_err(|error| unreadable(file, &error))?),
    };
    let mut line = String::new();
    let read = BufReader::new(source.take(PASSWORD_FILE_BYTES_MAX)).read_line(&mut line);
    read.map_err(|error| unreadable(file, &error))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("can't read the password from `{}`: {error}", shown(&file.to_string_lossy())))
}

/// Asks twice, without showing what is typed.
fn ask(name: &str) -> Outcome<String> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for the password on")
            .hint("give it with `--password-file FILE`, or `--password-file -` for standard input"));
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::failed(format!("can't ask for the password: {error}")))
    };
    let password = ask(format!("password for `{}`: ", shown(name)))?;
    if ask("the same again: ".to_owned())? == password {
        Ok(password)
    } else {
        Err(Failure::failed("the two passwords differ").hint("try again"))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn of_users(error: UsersError) -> Failure {
    match &error {
        UsersError::Name { .. } | UsersError::Password => Failure::usage(&error),
        UsersError::Unknown { .. } => Failure::new(Exit::NotFound, &error),
        _ => Failure::failed(&error),
    }
}
