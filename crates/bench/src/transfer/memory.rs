//! How much memory either side takes with a file that is far larger than any memory it may have.

use std::path::Path;

use anyhow::Result;

use crate::contender::Contender;
use crate::contender::peerage::Peerage;
use crate::family::Setting;
use crate::material::Material;
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, mebibytes};
use crate::say;

/// Longest turn: a slow disk takes 20 GiB at 30 MB/s.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(900);

pub(crate) fn run(setting: &Setting, disk: &Path, wanted: u64) -> Result<Vec<Section>> {
    let place = Place::new(disk)?;
    let size = wanted.min(room(disk)?);
    if size < wanted {
        say(format_args!("memory: `{}` has room for {} only", disk.display(), mebibytes(size)));
    }
    let material = Material::sparse(&place.folder("share")?, "large.bin", size)?;
    let setting = Setting { rounds: 1, scratch: disk.to_owned(), limit: LIMIT, ..setting.clone() };
    let contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(Peerage { name: "peerage", program: setting.peerage.clone(), sources: 1 })];
    let rows = race(&setting, &contenders, &material, Arrival::Copy)?;
    Ok(vec![Section::Race(Race {
        title: "memory".to_owned(),
        about: format!(
            "A sparse file of {}, on disk. The serving side is the source and the index. Goal: a peak of at most 128 MiB \
             on either side.",
            mebibytes(size)
        ),
        scale: Scale::of_bytes(size),
        bytes: size,
        rows,
    })])
}

/// Nine tenths of the free room.
fn room(dir: &Path) -> Result<u64> {
    let free = rustix::fs::statvfs(dir)?;
    Ok(free.f_bavail.saturating_mul(free.f_frsize) / 10 * 9)
}
