//! A large peer that leaves and comes back with what the index still knows of it, again and again, while files are registered.

use anyhow::{Result, ensure};
use peerage_index::Index;

use super::Setting;
use super::newcomers::{FIRST_EPOCH, Guest};
use super::writer::beside;
use crate::latency::{Latencies, grouped};
use crate::report::{Section, Table};

/// How often it leaves.
const TIMES: u64 = 50;

/// Measures a peer of so many files, or as many as the corpus has contents for.
///
/// # Errors
/// When something is refused, or files are not there again.
pub(crate) fn run(setting: &Setting<'_>, index: &Index, files: u64) -> Result<Section> {
    let mut guest = setting.newcomers.guest(setting.corpus, files, 0);
    guest.come(index)?;
    let ((leaving, returning, resyncs), written) = beside(setting, index, || churn(index, &guest))?;
    index.quit(guest.id)?;
    let row = |what: &str, times: Latencies| {
        let mut row = vec![what.to_owned(), grouped(times.len() as u64)];
        row.extend(times.sorted().cells());
        row
    };
    Ok(Section::Table(Table {
        title: "a peer leaves and returns".to_owned(),
        about: format!(
            "A peer of {} files quits, and announces itself again with the digest that is known. Goals: 2 ms and 3 ms. Registered \
             meanwhile: {}.",
            grouped(guest.files),
            written.told()
        ),
        heading: ["what", "times", "p50 ms", "p99 ms", "max ms"].map(str::to_owned).to_vec(),
        rows: vec![row("leaves", leaving), row("returns", returning)],
        notes: vec![format!("returns that were asked for every file again: {resyncs}")],
    }))
}

fn churn(index: &Index, guest: &Guest) -> Result<(Latencies, Latencies, u64)> {
    let (mut leaving, mut returning, mut resyncs) = (Latencies::default(), Latencies::default(), 0);
    for time in 1..=TIMES {
        leaving.time(|| index.quit(guest.id))?;
        ensure!(index.peer(guest.id)?.is_none(), "a peer that left is still here");
        resyncs += u64::from(returning.time(|| guest.come_back(index, FIRST_EPOCH + time))?);
        let files = index.peer(guest.id)?.map_or(0, |row| row.files);
        ensure!(resyncs > 0 || files == guest.files, "{files} of {} files are back", guest.files);
    }
    Ok((leaving, returning, resyncs))
}
