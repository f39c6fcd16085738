//! New files: each is registered and searched for at once, while others are registered.

use anyhow::{Context, Result};
use peerage_index::Index;
use peerage_wire::api::{BatchOrder, Change, SearchParams};
use peerage_wire::{FileEntry, ShareDigest, SharePath};

use super::Setting;
use super::newcomers::{FIRST_EPOCH, announce};
use super::writer::beside;
use crate::corpus::index as place;
use crate::latency::{Latencies, grouped};
use crate::report::{Section, Table};

/// Registers and searches so many files.
///
/// # Errors
/// When something is refused.
pub(crate) fn run(setting: &Setting<'_>, index: &Index, count: u64) -> Result<Section> {
    let (fresh, written) = beside(setting, index, || find_all(setting, index, count))?;
    let row = |what: &str, times: Latencies| {
        let mut row = vec![what.to_owned(), grouped(times.len() as u64)];
        row.extend(times.sorted().cells());
        row
    };
    Ok(Section::Table(Table {
        title: "new files".to_owned(),
        about: format!(
            "A file with a word of its own is registered, and that word is searched for as soon as the registration is acknowledged. \
             Goal: no search that misses it. Registered meanwhile: {}.",
            written.told()
        ),
        heading: ["what", "times", "p50 ms", "p99 ms", "max ms"].map(str::to_owned).to_vec(),
        rows: vec![row("acknowledged after", fresh.registering), row("then found after", fresh.finding)],
        notes: vec![format!("searches that missed it: {} of {}", grouped(fresh.missed), grouped(count))],
    }))
}

#[derive(Default)]
struct Fresh {
    registering: Latencies,
    finding: Latencies,
    missed: u64,
}

fn find_all(setting: &Setting<'_>, index: &Index, count: u64) -> Result<Fresh> {
    let number = setting.newcomers.peer();
    let id = setting.corpus.id(number);
    announce(index, id, number, FIRST_EPOCH, ShareDigest::default())?;
    let first = setting.newcomers.contents(count).start;
    let mut fresh = Fresh::default();
    let mut path = String::new();
    for seq in 0..count {
        let word = word(number, seq);
        let entry = setting.corpus.entry(first + seq, 0, &mut path);
        let entry = FileEntry { path: SharePath::parse(&format!("new/{word} {seq}.mp3"))?, ..entry };
        let hash = entry.hash;
        let order = BatchOrder { epoch: FIRST_EPOCH, seq };
        fresh
            .registering
            .time(|| index.apply(id, order, vec![Change::Add(entry)]))
            .context("a new file was refused")?;
        let params = SearchParams { q: word, ..SearchParams::default() };
        let page = fresh.finding.time(|| index.search(&params))?;
        fresh.missed += u64::from(!page.hits.iter().any(|hit| hit.hash == hash));
    }
    index.quit(id)?;
    Ok(fresh)
}

/// A word of letters alone that nothing else has.
fn word(peer: u64, number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";
    let mut word = String::from("qx");
    let mut left = peer << 24 | number;
    while left > 0 {
        word.push(char::from(LETTERS[place(left % LETTERS.len() as u64)]));
        left /= LETTERS.len() as u64;
    }
    word + "xq"
}
