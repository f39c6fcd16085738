//! Many small files in many folders.

use anyhow::Result;

use crate::contender::Contender;
use crate::contender::client::{Channel, Ftp};
use crate::contender::copy::Copy;
use crate::contender::peerage::Peerage;
use crate::contender::rsync::Rsync;
use crate::contender::vsftpd::Vsftpd;
use crate::family::Setting;
use crate::material::Material;
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section};

pub(crate) fn contenders(setting: &Setting) -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(Peerage { name: "peerage", program: setting.peerage.clone(), sources: 1 }),
        Box::new(Vsftpd { client: Ftp::Lftp, channel: Channel::Plain }),
        Box::new(Rsync),
        Box::new(Copy),
    ]
}

pub(crate) fn run(setting: &Setting) -> Result<Vec<Section>> {
    let place = Place::new(&setting.scratch)?;
    let shape = setting.tree;
    let material = Material::tree(&place.folder("share")?, shape)?;
    let rows = race(setting, &contenders(setting), &material, Arrival::Copy)?;
    Ok(vec![Section::Race(Race {
        title: "small-files".to_owned(),
        about: format!(
            "{} files of {} KiB in {} folders, memory to memory. Goals: at least 5 × vsftpd + lftp (mirror, 8 \
             connections) and 1.0 × rsync.",
            shape.files,
            shape.file_bytes >> 10,
            shape.folders
        ),
        scale: Scale::of_files(shape.files),
        bytes: material.bytes(),
        rows,
    })])
}
