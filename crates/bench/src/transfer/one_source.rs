//! A large file from one source, memory to memory.

use anyhow::Result;

use crate::contender::Contender;
use crate::contender::aria2::Aria2;
use crate::contender::client::{Channel, Fate, Ftp};
use crate::contender::copy::Copy;
use crate::contender::ncdc::Ncdc;
use crate::contender::nginx::Nginx;
use crate::contender::peerage::Peerage;
use crate::contender::rsync::Rsync;
use crate::contender::sendme::Sendme;
use crate::contender::transmission::Transmission;
use crate::contender::vsftpd::Vsftpd;
use crate::family::Setting;
use crate::material::Material;
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, mebibytes};

/// What is to be reached.
const GOALS: &str = "Goals: at least 1.0 × vsftpd + curl, 1.5 × nginx, 3.5 × sendme, 3.5 × ncdc; CPU at most 1.6 × \
                     vsftpd + curl and 0.5 × sendme.";

pub(crate) fn contenders(setting: &Setting) -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Peerage { name: "peerage", program: setting.peerage.clone(), sources: 1 }),
        Box::new(Vsftpd { client: Ftp::Curl, channel: Channel::Plain }),
        Box::new(Vsftpd { client: Ftp::Lftp, channel: Channel::Plain }),
        Box::new(Nginx(Fate::Kept)),
        Box::new(Rsync),
        Box::new(Sendme),
        Box::new(Ncdc),
        Box::new(Transmission { downloaders: 1, rate: None }),
        Box::new(Aria2 { name: "vsftpd + aria2 (4 connections)", servers: 1 }),
        Box::new(Copy),
    ]
}

pub(crate) fn run(setting: &Setting) -> Result<Vec<Section>> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::file(&place.folder("share")?, "large.bin", setting.large_bytes)?;
    let rows = race(setting, &contenders(setting), &material, Arrival::Copy)?;
    Ok(vec![Section::Race(Race {
        title: "one-source".to_owned(),
        about: format!(
            "A file of {} from one source, memory to memory. {GOALS}",
            mebibytes(material.bytes())
        ),
        scale: Scale::of_bytes(material.bytes()),
        bytes: material.bytes(),
        rows,
    })])
}
