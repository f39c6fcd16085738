//! Notes for people: what was left out, and what does not work as it should.
//!
//! Invariants: the same note is told once; of each kind of trouble with single files the first
//! [`TOLD_EACH_MAX`] are told, then how many there are; every name passes through the display wrapper.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use peerage_wire::shown;
use tokio::sync::mpsc;

use super::progress::{ShareProgress, add};

/// Notes that wait for somebody to read them; past them they are dropped.
const WAITING_MAX: usize = 256;
/// Files of one kind of trouble that are told one by one.
const TOLD_EACH_MAX: usize = 5;
/// Files of one kind of trouble that are counted; past them they are "more".
const COUNTED_MAX: usize = 100_000;

/// A kind of trouble with single files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// The system won't let us read it.
    Unreadable,
    /// Its name or size can't be shared.
    Refused,
    /// Another file has the same name but for how its accents are spelt.
    SameName,
}

/// Where notes go.
#[derive(Debug)]
pub(crate) struct Notes {
    sender: mpsc::Sender<String>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By what they are about, so that each is told when it begins and when it ends.
    states: BTreeMap<String, String>,
    troubles: BTreeMap<Trouble, Troubled>,
}

#[derive(Debug, Default)]
struct Troubled {
    files: HashSet<u64>,
    summed_up: usize,
}

impl Notes {
    pub(super) fn new() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sender, known: Mutex::default() }, receiver)
    }

    /// Tells how `subject` stands now, unless that has been told last.
    pub(super) fn tell(&self, progress: &ShareProgress, subject: &str, note: &str) {
        let earlier = self.lock().states.insert(subject.to_owned(), note.to_owned());
        if earlier.as_deref() != Some(note) {
            self.send(progress, note.to_owned());
        }
    }

    /// Tells of a file that is not shared.
    pub(super) fn trouble(&self, progress: &ShareProgress, kind: Trouble, name: &str, reason: &str) {
        let mut known = self.lock();
        let troubled = known.troubles.entry(kind).or_default();
        let is_new = troubled.files.len() < COUNTED_MAX && troubled.files.insert(hash_of(name, reason));
        let is_told = is_new && troubled.files.len() <= TOLD_EACH_MAX;
        drop(known);
        if is_told {
            self.send(progress, kind.note(name, reason));
        }
    }

    /// After a scan: tells how many files have trouble that were not told one by one.
    pub(super) fn sum_up(&self, progress: &ShareProgress) {
        let mut known = self.lock();
        let fresh = known.troubles.iter_mut().filter_map(|(kind, troubled)| {
            let more = troubled.files.len().saturating_sub(TOLD_EACH_MAX);
            let is_fresh = more > troubled.summed_up;
            troubled.summed_up = more;
            is_fresh.then(|| kind.summary(more))
        });
        let fresh: Vec<String> = fresh.collect();
        drop(known);
        fresh.into_iter().for_each(|note| self.send(progress, note));
    }

    fn send(&self, progress: &ShareProgress, note: String) {
        add(&progress.notes, 1);
        // A full channel has no reader to miss it.
        let _ = self.sender.try_send(note);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble {
    fn note(self, name: &str, reason: &str) -> String {
        let (name, reason) = (shown(name), shown(reason));
        match self {
            Self::Unreadable => format!("can't read `{name}`, so it is not shared: {reason}"),
            Self::Refused => format!("skipped `{name}`: {reason}"),
            Self::SameName => format!("skipped `{reason}`: another file is shared as `{name}` already"),
        }
    }

    fn summary(self, more: usize) -> String {
        let what = match self {
            Self::Unreadable => "can't be read",
            Self::Refused if more == 1 => "has a name or size that can't be shared",
            Self::Refused => "have a name or size that can't be shared",
            Self::SameName if more == 1 => "has another file's name",
            Self::SameName => "have another file's name",
        };
        if more == 1 {
            return format!("1 more file is not shared, since it {what}");
        }
        let number =
            if more + TOLD_EACH_MAX >= COUNTED_MAX { format!("over {more}") } else { more.to_string() };
        format!("{number} more files are not shared, since they {what}")
    }
}

fn hash_of(name: &str, reason: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, reason).hash(&mut hasher);
    hasher.finish()
}
