//! What it takes to share: hashing and registering for the first time beside `b3sum`, and starting again beside `find`.
//!
//! A peer says that it is done at most 0.2 s after it is, which counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Sizes;
use crate::contender::peerage::{Share, index};
use crate::contender::{Contender, Serving, Simple, Stage};
use crate::daemon::Daemon;
use crate::family::Setting;
use crate::material::{Material, Shape};
use crate::measure::{Sample, until};
use crate::place::Place;
use crate::race::{Arrival, race};
use crate::report::{Race, Scale, Section, mebibytes};
use crate::tools::{Tool, command};

pub(crate) fn contenders(setting: &Setting) -> Vec<Box<dyn Contender>> {
    first(setting).into_iter().chain(again(setting)).collect()
}

fn first(setting: &Setting) -> Vec<Box<dyn Contender>> {
    vec![ours(setting, Memory::None), Box::new(Reader::B3sum)]
}

fn again(setting: &Setting) -> Vec<Box<dyn Contender>> {
    vec![ours(setting, Memory::Kept), Box::new(Reader::Find)]
}

fn ours(setting: &Setting, memory: Memory) -> Box<dyn Contender> {
    Box::new(Sharer { program: setting.peerage.clone(), memory })
}

pub(super) fn run(setting: &Setting, sizes: &Sizes) -> Result<Vec<Section>> {
    let tree = sizes.share_tree;
    Ok(vec![large(setting, sizes.share_file)?, small(setting, tree)?, small_again(setting, tree)?])
}

fn large(setting: &Setting, bytes: u64) -> Result<Section> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::file(&place.folder("share")?, "large.bin", bytes)?;
    let rows = race(setting, &first(setting), &material, Arrival::Nothing)?;
    Ok(Section::Race(Race {
        title: "share, one large file".to_owned(),
        about: format!(
            "Sharing a file of {} in memory for the first time, from the start until it is registered. Goal: at least \
             0.9 × b3sum.",
            mebibytes(material.bytes())
        ),
        scale: Scale::of_bytes(material.bytes()),
        bytes: material.bytes(),
        rows,
    }))
}

fn small(setting: &Setting, tree: Shape) -> Result<Section> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::tree(&place.folder("share")?, tree)?;
    let rows = race(setting, &first(setting), &material, Arrival::Nothing)?;
    Ok(Section::Race(Race {
        title: "share, small files".to_owned(),
        about: format!(
            "Sharing {} files of {} KiB in memory for the first time, from the start until all are registered. Goal: at \
             least 0.9 × b3sum.",
            material.files.len(),
            tree.file_bytes >> 10
        ),
        scale: Scale::of_files(material.files.len()),
        bytes: material.bytes(),
        rows,
    }))
}

fn small_again(setting: &Setting, tree: Shape) -> Result<Section> {
    let place = Place::new(&setting.scratch)?;
    let material = Material::tree(&place.folder("share")?, tree)?;
    let rows = race(setting, &again(setting), &material, Arrival::Nothing)?;
    Ok(Section::Race(Race {
        title: "share, small files again".to_owned(),
        about: format!(
            "Starting a share of {} unchanged files, from the start until all are registered, beside \
             `find DIR -type f -printf '%s %T@ %i\\n'`. Goal: at most twice the time of find and one second more.",
            material.files.len()
        ),
        scale: Scale::Seconds,
        bytes: material.bytes(),
        rows,
    }))
}

/// What a peer knows of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing: its home is new.
    None,
    /// Everything: it has shared them before.
    Kept,
}

/// `peerage share`.
struct Sharer {
    program: PathBuf,
    memory: Memory,
}

impl Contender for Sharer {
    fn name(&self) -> &'static str {
        "peerage share"
    }

    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(&self.program, "--version")]
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let (index, url) = index(&self.program, "127.0.0.1:0", stage.own)?;
        let mut sharing = Sharing {
            index,
            url,
            program: self.program.clone(),
            memory: self.memory,
            dir: stage.material.dir.clone(),
            files: stage.material.files.len(),
            own: stage.own.to_owned(),
            limit: stage.limit,
        };
        if self.memory == Memory::Kept {
            sharing.fetch(stage.own)?;
        }
        Ok(Box::new(sharing))
    }
}

struct Sharing {
    index: Daemon,
    url: String,
    program: PathBuf,
    memory: Memory,
    dir: PathBuf,
    files: usize,
    own: PathBuf,
    limit: Duration,
}

impl Serving for Sharing {
    fn fetch(&mut self, _into: &Path) -> Result<Sample> {
        let home = self.own.join("home");
        if self.memory == Memory::None && home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        let share = Share { home, name: "source".to_owned(), index: self.url.clone(), listen: "127.0.0.1:0" };
        let log = self.own.join("share.log");
        let mut command = share.command(&self.program, &self.dir);
        let words = format!("registered {} file", self.files);
        let mut peer = None;
        let start = || {
            let started = Daemon::start(&mut command, &log)?;
            let pid = started.id();
            peer = Some(started);
            Ok(vec![pid])
        };
        let is_done = || Ok(std::fs::read_to_string(&log).is_ok_and(|said| said.contains(&words)));
        let sample = until(&[self.index.id()], &[], self.limit, start, is_done)?;
        peer.context("it was not started")?.stop()?;
        Ok(sample)
    }
}

/// Programs that read the same files and say what they see.
enum Reader {
    /// Their hashes.
    B3sum,
    /// Their sizes, times and numbers.
    Find,
}

impl Contender for Reader {
    fn name(&self) -> &'static str {
        match self {
            Self::B3sum => "b3sum",
            Self::Find => "find",
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let find = Tool::new("find", "--version");
        match self {
            Self::B3sum => vec![find, Tool::new("b3sum", "--version")],
            Self::Find => vec![find],
        }
    }

    fn serve(&self, stage: &Stage) -> Result<Box<dyn Serving>> {
        let action: &[&str] = match self {
            Self::B3sum => &["-exec", "b3sum", "{}", "+"],
            Self::Find => &["-printf", "%s %T@ %i\\n"],
        };
        let dir = stage.material.dir.clone();
        let client = move |_: &Path| {
            let mut find = command("find");
            find.arg(&dir).args(["-type", "f"]).args(action);
            find
        };
        Ok(Box::new(Simple { servers: Vec::new(), client, limit: stage.limit, log: stage.log("client") }))
    }
}
