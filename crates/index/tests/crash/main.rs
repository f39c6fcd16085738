//! A store whose process is killed, or whose disk loses its power, at a random moment under load.
//!
//! A child process ([`child`], this binary again) opens a store and registers from several threads while snapshots are
//! taken, writing to a journal what it is about to do and what it was told is done. It is ended at a random moment, the
//! store is opened again, and what it holds is compared with the journal: nothing that was acknowledged is missing,
//! nothing is there by halves, and every answer is that of the model that the conformance suite goes by. Round after
//! round goes on with the same store.
//!
//! `PEERAGE_CRASH_ROUNDS` and `PEERAGE_CRASH_SEED` choose how many rounds and which; `PEERAGE_CRASH_KEEP` is a folder that
//! keeps what the last child left, and `PEERAGE_CRASH_LOOK` one that is to be judged again by
//! `what_was_kept_is_judged_again`. The long runs are ignored tests:
//! `cargo nextest run --release -p peerage-index --test crash --run-ignored only`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test's fixtures fail the test by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a run was like, shown when it fails")]

mod round;

mod damage;

mod child;
mod journal;
mod power;
mod share;

#[path = "../conformance/fixture.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod fixture;
#[path = "../conformance/model.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod model;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use power::Mount;
use round::{End, Killed, Store};
use share::Dice;

/// A child that one test starts holds, for the moment until it is another program, the lock on the store of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rounds after which a fresh store is begun.
const ROUNDS_A_STORE: u64 = 50;

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    run(40, &mut || Box::new(Killed::new()));
}

#[test]
#[ignore = "takes minutes; run before a release, or after a change to the store"]
fn a_process_killed_a_thousand_times_loses_nothing() {
    run(1_000, &mut || Box::new(Killed::new()));
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    cut_power(8);
}

#[test]
#[ignore = "takes minutes; run before a release, or after a change to the store"]
fn two_hundred_power_cuts_lose_nothing() {
    cut_power(200);
}

#[test]
#[ignore = "for finding out why another failed, and does nothing else"]
fn what_was_kept_is_judged_again() {
    let Some(kept) = std::env::var_os("PEERAGE_CRASH_LOOK") else { return };
    // Whether the store is checked first is left to the dice.
    (0..8).for_each(|seed| Store::look_again(kept.as_ref(), &mut Dice::new(seed)));
}

/// Not a test: the process that is killed by the others.
#[test]
#[ignore = "run by the other tests, and does nothing without them"]
fn child_process() {
    child::run();
}

fn cut_power(rounds: u64) {
    match Mount::new() {
        Ok(mount) => {
            let mut first = Some(mount);
            run(rounds, &mut || Box::new(first.take().unwrap_or_else(|| Mount::new().unwrap())));
        }
        Err(reason) => println!("skipped: no file system to cut the power of can be mounted here: {reason}"),
    }
}

fn run(rounds: u64, begin: &mut dyn FnMut() -> Box<dyn End>) {
    let _alone = alone();
    let chosen = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = chosen("PEERAGE_CRASH_ROUNDS").unwrap_or(rounds);
    let seed = chosen("PEERAGE_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(rounds));
    println!("PEERAGE_CRASH_SEED={seed}"); // shown only when it fails
    let mut dice = Dice::new(seed);
    let mut store = None;
    let mut total = round::Seen::default();
    for round in 0..rounds {
        if round % ROUNDS_A_STORE == 0 {
            drop(store.take()); // before the next one has its place
        }
        let store = store.get_or_insert_with(|| Store::new(begin()));
        println!("round {round}");
        total.add(&store.round(&mut dice));
    }
    println!("{rounds} rounds: {total:?}");
}
