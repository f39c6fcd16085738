//! One seed and eight downloaders, each behind a link of 100 Mbit/s up and down.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::contender::peerage::{Share, get, index};
use crate::contender::transmission::Transmission;
use crate::contender::{Contender, Serving, Stage};
use crate::daemon::{Daemon, ids};
use crate::family::Setting;
use crate::material::Material;
use crate::measure::{Sample, run_all};
use crate::net::Net;
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, approximate, mebibytes};
use crate::tools::Tool;

const DOWNLOADERS: u8 = 8;
const RATE: &str = "100mbit";
const RATE_BYTES: f64 = 100e6 / 8.0;

pub(crate) fn run(setting: &Setting, bytes: u64) -> Result<Vec<Section>> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::file(&place.folder("share")?, "large.bin", bytes)?;
    let contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(Many { program: setting.peerage.clone() }),
        Box::new(Transmission { downloaders: DOWNLOADERS, rate: Some(RATE) }),
    ];
    let rows = race(setting, &contenders, &material, Arrival::Copies(DOWNLOADERS))?;
    Ok(vec![Section::Race(Race {
        title: "one-to-eight".to_owned(),
        about: format!(
            "A file of {} from one seed to eight downloaders at once, each behind a link of {RATE} up and down, until \
             the last has it all, as a multiple of the time that one copy takes on the link. Goals: at most 1.25, and \
             at most 0.8 × transmission's time (*ours is* at least 1.25 ×).",
            mebibytes(material.bytes())
        ),
        scale: Scale::Multiple { of_secs: approximate(material.bytes()) / RATE_BYTES },
        bytes: material.bytes() * u64::from(DOWNLOADERS),
        rows,
    })])
}

/// Peerage with one seed and many downloaders, each on a host of its own.
struct Many {
    program: PathBuf,
}

impl Contender for Many {
    fn name(&self) -> &'static str {
        "peerage"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(&self.program, "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let net = Net::new(DOWNLOADERS + 1, Some(RATE))?;
        let (index, url) = index(&self.program, &format!("{}:0", net.address()), stage.own)?;
        let share = Share {
            home: stage.folder("home of the seed")?,
            name: "seed".to_owned(),
            index: url.clone(),
            listen: "0.0.0.0:18965",
        };
        let mut command = net.on(0, &share.command(&self.program, &stage.material.dir));
        let mut seed = Daemon::start(&mut command, &stage.log("seed"))?;
        seed.line("registered ", stage.limit)?;
        let hash = stage.material.only()?.1.hash.to_hex().to_string();
        Ok(Box::new(Crowd {
            servers: vec![index, seed],
            net,
            program: self.program.clone(),
            url,
            hash,
            own: stage.own.to_owned(),
            limit: stage.limit,
        }))
    }
}

struct Crowd {
    servers: Vec<Daemon>, // before the net, so that they end first
    net: Net,
    program: PathBuf,
    url: String,
    hash: String,
    own: PathBuf,
    limit: std::time::Duration,
}

impl Serving for Crowd {
    fn fetch(&mut self, into: &Path) -> Result<Sample> {
        let command = |number: u8| {
            let home = self.own.join(format!("home {number}"));
            let get = get(&self.program, &home, &self.url, &self.hash, &into.join(number.to_string()));
            self.net.on(number + 1, &get)
        };
        let mut commands: Vec<_> = (0..DOWNLOADERS).map(command).collect();
        run_all(&mut commands, &ids(&self.servers), self.limit, &self.own.join("clients.log"))
    }
}
