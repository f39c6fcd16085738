//! `doors`: the same files by the same clients, from our doors and from servers that do nothing else.

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};

use crate::contender::Contender;
use crate::contender::client::{Channel, Fate, Ftp};
use crate::contender::door::{Door, Kind};
use crate::contender::nginx::Nginx;
use crate::contender::vsftpd::Vsftpd;
use crate::family::{Flags, Setting};
use crate::material::{Material, Shape};
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, mebibytes};
use crate::tools::Tool;

/// The flags of `doors`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// What to do; everything when not given.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "NAME")]
    work: Vec<Work>,
    #[command(flatten)]
    flags: Flags,
}

/// One table of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    /// A large file by plain FTP.
    Ftp,
    /// The same by FTP with TLS.
    Ftps,
    /// Many small files by plain FTP.
    FtpSmallFiles,
    /// A tenth of them by FTP with TLS.
    FtpsSmallFiles,
    /// A large file from the folder door.
    Folder,
    /// The same, where the client keeps nothing.
    FolderDiscarded,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let setting = args.flags.setting()?;
    let contenders = Work::value_variants().iter().flat_map(|work| work.contenders(&setting));
    let tools: Vec<Tool> = contenders.flat_map(|contender| contender.tools()).collect();
    args.flags.perform(&args.work, "Doors", &tools, |work| work.run(&setting))
}

impl Work {
    fn run(self, setting: &Setting) -> Result<Vec<Section>> {
        let place = Place::new(&setting.scratch)?;
        let share = place.folder("share")?;
        let (material, what, scale) = if let Some(tree) = self.tree(setting) {
            let Shape { files, file_bytes, folders } = tree;
            let what = format!("{files} files of {} KiB in {folders} folders", file_bytes >> 10);
            (Material::tree(&share, tree)?, what, Scale::of_files(files))
        } else {
            let material = Material::file(&share, "large.bin", setting.large_bytes)?;
            let what = format!("A file of {}", mebibytes(material.bytes()));
            (material, what, Scale::of_bytes(setting.large_bytes))
        };
        let rows = race(setting, &self.contenders(setting), &material, self.arrival())?;
        Ok(vec![Section::Race(Race {
            title: self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
            about: format!("{what} {}", self.about()),
            scale,
            bytes: material.bytes(),
            rows,
        })])
    }

    /// The small files, if it moves any. With TLS a tenth of them, for lftp's handshakes take most of the time.
    fn tree(self, setting: &Setting) -> Option<Shape> {
        let tree = setting.tree;
        match self {
            Self::FtpSmallFiles => Some(tree),
            Self::FtpsSmallFiles => Some(Shape { files: tree.files / 10, ..tree }),
            Self::Ftp | Self::Ftps | Self::Folder | Self::FolderDiscarded => None,
        }
    }

    /// Ours, and whom it stands beside.
    fn contenders(self, setting: &Setting) -> Vec<Box<dyn Contender>> {
        let (kind, rival): (Kind, Box<dyn Contender>) = match self {
            Self::Ftp => ftp(Ftp::Curl, Channel::Plain),
            Self::Ftps => ftp(Ftp::Curl, Channel::Tls),
            Self::FtpSmallFiles => ftp(Ftp::Lftp, Channel::Plain),
            Self::FtpsSmallFiles => ftp(Ftp::Lftp, Channel::Tls),
            Self::Folder => folder(Fate::Kept),
            Self::FolderDiscarded => folder(Fate::Discarded),
        };
        vec![Box::new(Door { program: setting.peerage.clone(), kind }), rival]
    }

    /// What must be there in the end.
    const fn arrival(self) -> Arrival {
        match self {
            Self::Ftp | Self::Ftps | Self::FtpSmallFiles | Self::FtpsSmallFiles | Self::Folder => {
                Arrival::Copy
            }
            Self::FolderDiscarded => Arrival::Nothing,
        }
    }

    /// How it is moved, and what is to be reached.
    fn about(self) -> &'static str {
        match self {
            Self::Ftp => {
                "by plain FTP with curl, one connection, memory to memory. Goal: at least 0.7 × vsftpd."
            }
            Self::Ftps => {
                "by explicit FTPS with curl (TLS 1.3, AES-128-GCM), one connection, memory to memory. Goal: at least \
                 0.8 × vsftpd."
            }
            Self::FtpSmallFiles => {
                "by plain FTP with lftp (mirror, 8 connections), memory to memory. Goal: at least 0.9 × vsftpd."
            }
            Self::FtpsSmallFiles => {
                "by explicit FTPS with lftp (mirror, 8 connections; a handshake for each file), memory to memory."
            }
            Self::Folder => {
                "over https with curl (TLS 1.3, AES-128-GCM), one connection, memory to memory. Goal: at least 1.0 × \
                 nginx. Who compares servers looks at curl's CPU time first: where it is all of the time, curl is \
                 the limit, whoever serves, and `folder-discarded` tells them apart."
            }
            Self::FolderDiscarded => {
                "over https with curl (TLS 1.3, AES-128-GCM), one connection, memory to nowhere (`/dev/null`). Goal: at \
                 least 1.0 × nginx."
            }
        }
    }
}

fn ftp(client: Ftp, channel: Channel) -> (Kind, Box<dyn Contender>) {
    (Kind::Ftp(client, channel), Box::new(Vsftpd { client, channel }))
}

fn folder(fate: Fate) -> (Kind, Box<dyn Contender>) {
    (Kind::Folder(fate), Box::new(Nginx(fate)))
}
