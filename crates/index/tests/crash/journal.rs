//! The journal: what a child was about to do, and what it was told is done, line by line.
//!
//! Invariant: a line is written at once, so that a killed process leaves whole lines and at most one torn at the end.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::share::{Op, PEERS, Standing};

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Begins {
        peer: usize,
        op: Op,
    },
    IsDone {
        peer: usize,
    },
    /// From here on the power may be off.
    Cut,
}

/// The child's end.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn append(path: &Path) -> Self {
        Self(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    pub(crate) fn begins(&self, peer: usize, op: &Op) {
        self.write(&Line::Begins { peer, op: op.clone() });
    }

    pub(crate) fn is_done(&self, peer: usize) {
        self.write(&Line::IsDone { peer });
    }

    fn write(&self, line: &Line) {
        let mut bytes = serde_json::to_vec(line).unwrap();
        bytes.push(b'\n');
        (&self.0).write_all(&bytes).unwrap();
    }
}

/// An operation of one peer, by the lines of its beginning and end.
#[derive(Debug)]
struct Done {
    peer: usize,
    op: Op,
    began: usize,
    ended: Option<usize>,
}

/// What a journal tells of a round.
#[derive(Debug)]
pub(crate) struct Told {
    done: Vec<Done>,
}

impl Told {
    pub(crate) fn read(path: &Path) -> Self {
        // The last line may be torn within a letter.
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(), // it was killed before it had begun one
            bytes => bytes.unwrap(),
        };
        let text = String::from_utf8_lossy(&bytes);
        let (mut done, mut is_cut): (Vec<Done>, bool) = (Vec::new(), false);
        for (at, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::Begins { peer, op }) => done.push(Done { peer, op, began: at, ended: None }),
                Ok(Line::Cut) => is_cut = true,
                // Whoever was told this after the power was cut is not there any more. (A sync that is under way while a
                // file system is shut down may be told that all is well.)
                Ok(Line::IsDone { .. }) if is_cut => {}
                Ok(Line::IsDone { peer }) => {
                    done.iter_mut().rfind(|done| done.peer == peer).unwrap().ended = Some(at);
                }
                Err(error) => assert_eq!(at + 1, text.lines().count(), "{error}: {line}"),
            }
        }
        Self { done }
    }

    /// Operations that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.done.iter().filter(|done| done.ended.is_some()).count() as u64
    }

    /// How each peer may stand after the round, the latest last; before it stood as `before`.
    ///
    /// A batch that was acknowledged is on the disk, and with it all that was done before it began. Other words need not
    /// be, and are lost together with all that came after them or not at all.
    pub(crate) fn possible(&self, before: &[Standing; PEERS]) -> [Vec<Standing>; PEERS] {
        let is_batch = |done: &&Done| matches!(done.op, Op::Batch { .. }) && done.ended.is_some();
        let safe_before = self.done.iter().filter(is_batch).map(|done| done.began).max().unwrap_or(0);
        let mut possible = before.clone().map(|standing| vec![standing]);
        for done in &self.done {
            let of_peer = &mut possible[done.peer];
            let mut standing = of_peer.last().unwrap().clone();
            standing.take(&done.op);
            if is_batch(&done) || done.ended.is_some_and(|ended| ended < safe_before) {
                of_peer.clear();
            }
            of_peer.push(standing);
        }
        possible
    }
}

#[test]
fn a_line_that_is_torn_within_a_letter_takes_no_other_with_it() {
    let dir = crate::round::scratch();
    let path = dir.path().join("journal");
    assert_eq!(Told::read(&path).acknowledged(), 0);
    let journal = Journal::append(&path);
    journal.begins(1, &Op::Quit);
    journal.is_done(1);
    (&journal.0).write_all(b"{\"Begins\":{\"peer\":0,\"op\":\"\xe6\x9d").unwrap();
    assert_eq!(Told::read(&path).acknowledged(), 1);
}
