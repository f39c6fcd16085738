//! The same large file, held by four sources.

use anyhow::Result;

use crate::contender::Contender;
use crate::contender::aria2::Aria2;
use crate::contender::peerage::Peerage;
use crate::family::Setting;
use crate::material::Material;
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, mebibytes};

pub(crate) fn contenders(setting: &Setting) -> Vec<Box<dyn Contender>> {
    let peerage = |name, sources| {
        Box::new(Peerage { name, program: setting.peerage.clone(), sources }) as Box<dyn Contender>
    };
    vec![
        peerage("peerage, 4 sources", 4),
        peerage("peerage, 1 source", 1),
        Box::new(Aria2 { name: "aria2, 4 × vsftpd", servers: 4 }),
    ]
}

pub(crate) fn run(setting: &Setting) -> Result<Vec<Section>> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::file(&place.folder("share")?, "large.bin", setting.large_bytes)?;
    let rows = race(setting, &contenders(setting), &material, Arrival::Copy)?;
    Ok(vec![Section::Race(Race {
        title: "four-sources".to_owned(),
        about: format!(
            "A file of {} from four sources on the same machine. Goal: no slower than one source.",
            mebibytes(material.bytes())
        ),
        scale: Scale::of_bytes(material.bytes()),
        bytes: material.bytes(),
        rows,
    })])
}
