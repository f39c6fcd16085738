//! The heart of it: contenders take turns at the same work, round by round.
//!
//! Invariants: servers are started once, before the first round; a contender that fails runs no further round and its
//! servers end at once; the folder it fetched into is checked, then removed, before the next one's turn.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::contender::{Contender, Serving, Stage};
use crate::family::Setting;
use crate::material::Material;
use crate::measure::Sample;
use crate::place::Place;
use crate::report::{Outcome, Row};
use crate::say;

/// What must be there after a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrival {
    /// The material.
    Copy,
    /// The material, in each of so many folders that are named by their numbers from 0.
    Copies(u8),
    /// Nothing: it was only read.
    Nothing,
}

/// One contender's standing.
struct Entry<'a> {
    contender: &'a dyn Contender,
    place: Place,
    state: State,
    samples: Vec<Sample>,
}

enum State {
    Running(Box<dyn Serving>),
    NotInstalled(String),
    Failed(String),
}

/// Runs every contender in every round.
///
/// # Errors
/// When there is no room for it; never because of one contender.
pub(crate) fn race(
    setting: &Setting,
    contenders: &[Box<dyn Contender>],
    material: &Material,
    arrival: Arrival,
) -> Result<Vec<Row>> {
    let mut entries = Vec::new();
    for contender in contenders.iter().filter(|one| setting.wants(one.name())) {
        entries.push(enter(setting, contender.as_ref(), material)?);
    }
    for round in 1..=setting.rounds {
        for entry in &mut entries {
            entry.take_turn(material, arrival, round);
        }
    }
    Ok(entries.into_iter().map(Entry::row).collect())
}

fn enter<'a>(setting: &Setting, contender: &'a dyn Contender, material: &Material) -> Result<Entry<'a>> {
    let place = Place::new(&setting.scratch)?;
    let missing: Vec<String> =
        contender.tools().iter().filter(|tool| tool.find().is_none()).map(crate::tools::Tool::name).collect();
    let state = if missing.is_empty() {
        let stage = Stage { material, own: place.path(), limit: setting.limit };
        contender.serve(&stage).map_or_else(|error| State::Failed(format!("{error:#}")), State::Running)
    } else {
        State::NotInstalled(missing.join(", "))
    };
    match &state {
        State::Running(_) => {}
        State::NotInstalled(what) => say(format_args!("{}: not installed ({what})", contender.name())),
        State::Failed(why) => say(format_args!("{}: failed: {why}", contender.name())),
    }
    Ok(Entry { contender, place, state, samples: Vec::new() })
}

impl Entry<'_> {
    fn take_turn(&mut self, material: &Material, arrival: Arrival, round: usize) {
        let State::Running(serving) = &mut self.state else { return };
        let name = self.contender.name();
        match turn(serving.as_mut(), &self.place, material, arrival) {
            Ok(sample) => {
                say(format_args!("round {round}: {name}: {:.3} s", sample.time.as_secs_f64()));
                self.samples.push(sample);
            }
            Err(error) => {
                say(format_args!("round {round}: {name}: failed: {error:#}"));
                self.state = State::Failed(format!("in round {round}: {error:#}"));
            }
        }
    }

    fn row(self) -> Row {
        let outcome = match self.state {
            State::Running(_) => Outcome::Ran(self.samples),
            State::NotInstalled(what) => Outcome::NotInstalled(what),
            State::Failed(why) => Outcome::Failed(why),
        };
        Row { name: self.contender.name().to_owned(), outcome }
    }
}

impl Arrival {
    fn check(self, material: &Material, into: &Path) -> Result<()> {
        match self {
            Self::Copy => material.check(into),
            Self::Copies(count) => {
                (0..count).try_for_each(|copy| material.check(&into.join(copy.to_string())))
            }
            Self::Nothing => Ok(()),
        }
    }
}

fn turn(serving: &mut dyn Serving, place: &Place, material: &Material, arrival: Arrival) -> Result<Sample> {
    let into = place.folder("into")?;
    let fetched = serving.fetch(&into);
    let checked = fetched.and_then(|sample| {
        arrival.check(material, &into).context("what arrived is wrong")?;
        Ok(sample)
    });
    fs::remove_dir_all(&into)?;
    checked
}
