//! What a server without `MLSD` told of its files before, so that each need not be asked about each time.
//!
//! `LIST` tells a file's time to the minute, or to the day, by a clock nobody knows. It is good for one thing: a file
//! that is listed as it was has not been written since, once the minute it was written in is over. Until then its
//! exact time is asked for at every look. Invariant: no time of a server is compared with a clock of ours.
//!
//! Some 100 bytes a file, which only such servers cost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::entry::Facts;
use crate::share::Stamp;
use crate::share::root::FileKey;

/// From the first time a file is listed in some way until no more writes can hide behind it: a minute, and some.
const SETTLED: Duration = Duration::from_secs(90);

/// The files of one server.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: HashMap<FileKey, Known>,
    round: u32,
}

#[derive(Debug)]
struct Known {
    listed: Facts,
    stamp: Stamp,
    /// When it was first listed like that, and when its stamp was asked for last.
    since: Instant,
    asked: Instant,
    round: u32,
}

impl Memory {
    /// A new listing begins.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The listing has ended: what was not in it is forgotten.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
        self.known.shrink_to_fit();
    }

    /// The stamp of a file that is listed like that, if it need not be asked for.
    pub(super) fn recall(&mut self, key: FileKey, listed: Facts) -> Option<Stamp> {
        let known = self.known.get_mut(&key).filter(|known| known.listed == listed)?;
        known.round = self.round;
        (known.asked.duration_since(known.since) >= SETTLED).then_some(known.stamp)
    }

    /// It was found to be otherwise than its listing says: it is to be asked about again.
    pub(super) fn forget(&mut self, key: FileKey) {
        self.known.remove(&key);
    }

    /// Its stamp was asked for.
    pub(super) fn learn(&mut self, key: FileKey, listed: Facts, stamp: Stamp, now: Instant) {
        let round = self.round;
        let known = self.known.get(&key).filter(|known| known.listed == listed);
        let since = known.map_or(now, |known| known.since);
        self.known.insert(key, Known { listed, stamp, since, asked: now, round });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_time_that_is_only_told_to_the_minute_is_trusted_when_the_minute_is_over() {
        let (mut memory, start, key) = (Memory::default(), Instant::now(), FileKey::of(Path::new("x"), "a"));
        let listed = Facts { size: 5, mtime: 60 };
        let stamp = |second: i64| Stamp { size: 5, mtime_ns: second * 1_000_000_000, inode: 0 };
        memory.begin();
        assert_eq!(memory.recall(key, listed), None);
        memory.learn(key, listed, stamp(61), start);
        assert_eq!(memory.recall(key, listed), None, "the minute is not over");
        memory.learn(key, listed, stamp(62), start + SETTLED / 2);
        assert_eq!(memory.recall(key, listed), None);
        memory.learn(key, listed, stamp(62), start + SETTLED);
        assert_eq!(memory.recall(key, listed), Some(stamp(62)));
        assert_eq!(memory.recall(key, Facts { mtime: 120, ..listed }), None, "it was written since");
        assert_eq!(memory.recall(key, Facts { size: 6, ..listed }), None);
        memory.forget(key);
        assert_eq!(memory.recall(key, listed), None, "somebody knows better");
        memory.learn(key, listed, stamp(62), start);
        memory.begin();
        memory.end();
        memory.learn(key, listed, stamp(62), start + SETTLED);
        assert_eq!(memory.recall(key, listed), None, "it is gone");
    }
}
