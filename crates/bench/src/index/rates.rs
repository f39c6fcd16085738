//! How fast a full index takes registrations that were made before: of contents it knows, and of names it has never seen.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use peerage_index::Index;

use super::Setting;
use super::fill::each_peer;
use super::newcomers::{Guest, PEER_FILES};
use crate::latency::{grouped, rate};
use crate::report::{Facts, Section};

/// Files held in memory at a time, ready to be registered: about 60 MB.
const READY_FILES: u64 = 200_000;

/// Registers so many files of either kind.
///
/// # Errors
/// When the index refuses.
pub(crate) fn run(setting: &Setting<'_>, index: &Index, files: u64) -> Result<Section> {
    let (known, known_time) = register(setting, index, files, Kind::Known)?;
    let (new, new_time) = register(setting, index, files, Kind::New)?;
    Ok(Section::Facts(Facts {
        title: "registrations".to_owned(),
        about: format!(
            "New peers of {PEER_FILES} files come to the full index on {} threads, {} files of either kind; their files were made before, \
             and they leave again, untimed. Goals: 400,000 and 200,000 a second.",
            setting.writers,
            grouped(known)
        ),
        rows: vec![
            ("known contents, a second".to_owned(), rate(known, known_time)),
            ("never-seen contents and names, a second".to_owned(), rate(new, new_time)),
        ],
    }))
}

#[derive(Clone, Copy)]
enum Kind {
    Known,
    New,
}

fn register(setting: &Setting<'_>, index: &Index, files: u64, kind: Kind) -> Result<(u64, Duration)> {
    let (mut done, mut time) = (0, Duration::ZERO);
    while done < files {
        let count = (files - done).min(READY_FILES).div_ceil(PEER_FILES);
        let guests: Vec<Mutex<Guest>> = (0..count).map(|_| Mutex::new(guest(setting, kind))).collect();
        let started = Instant::now();
        each_guest(setting.writers, &guests, |guest| guest.come(index))?;
        time += started.elapsed();
        each_guest(setting.writers, &guests, |guest| {
            done_files(guest, index)?;
            Ok(())
        })?;
        done += guests
            .into_iter()
            .filter_map(|guest| guest.into_inner().ok())
            .map(|guest| guest.files)
            .sum::<u64>();
    }
    Ok((done, time))
}

fn guest(setting: &Setting<'_>, kind: Kind) -> Guest {
    match kind {
        Kind::Known => setting.newcomers.guest(setting.corpus, PEER_FILES, 0),
        Kind::New => setting.newcomers.guest(setting.corpus, 0, PEER_FILES),
    }
}

fn done_files(guest: &Guest, index: &Index) -> Result<()> {
    Ok(index.quit(guest.id)?)
}

fn each_guest(
    threads: usize,
    guests: &[Mutex<Guest>],
    act: impl Fn(&mut Guest) -> Result<()> + Sync,
) -> Result<()> {
    each_peer(threads, guests.len() as u64, |number| {
        let Some(guest) = guests.get(crate::corpus::index(number)) else { bail!("no such guest") };
        match guest.lock() {
            Ok(mut guest) => act(&mut guest),
            Err(_) => bail!("a thread panicked"),
        }
    })
}
