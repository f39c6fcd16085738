//! A few connections to one server, shared by all who want something of it.
//!
//! Invariants: at most [`LINES_MAX`] are open at a time, of which [`HASH_MAX`] hash, and one is always left for a short
//! look; who waits for long takes the place of the line that has served for longest, so that many slow readers share
//! what there is; one that nobody wants for [`IDLE_MAX`] is closed; once the pool is closed all are cut and none is given.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::line::{Account, Line, Shape, Sockets};
use super::login::ANONYMOUS;

/// Connections at the same time: an old server has few to give, and others want some as well.
const LINES_MAX: usize = 4;
/// Of these, how many hash.
const HASH_MAX: usize = 2;
/// How many may carry a file's bytes, for whatever: the rest is for looks.
const LONG_MAX: usize = LINES_MAX - 1;
/// How long a connection is kept that nobody uses; common servers close it after a minute at the earliest.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Who has waited so long looks for a line to take.
const STEAL_AFTER: Duration = Duration::from_secs(1);
/// What has been served for so long can be broken off, and goes on later: connecting anew costs milliseconds.
const TURN: Duration = Duration::from_secs(2);
/// The longest wait of somebody who is asked for an answer.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// Those who wait at the same time: each is a thread.
const WAITING_MAX: usize = 32;

/// What a line is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A few commands, or the listing of one folder.
    Look,
    /// A whole file's bytes, to be hashed.
    Hash,
    /// A file's bytes for somebody else.
    Serve,
}

/// The lines to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    account: Account,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<(Line, Instant)>,
    /// Longest held first.
    lent: VecDeque<Lent>,
    last_id: u64,
    /// Who waits, by what for.
    waiting: Vec<Purpose>,
    shape: Option<Shape>,
    is_closed: bool,
}

#[derive(Debug)]
struct Lent {
    id: u64,
    purpose: Purpose,
    since: Instant,
    /// Not there yet while it is being connected.
    sockets: Option<Arc<Sockets>>,
}

/// A line on loan. Dropping it closes it; [`Borrowed::give_back`] keeps it for others.
#[derive(Debug)]
pub(crate) struct Borrowed {
    pub(crate) line: Line,
    ticket: Ticket,
    /// Whether it had been used before, so that the server may have closed it meanwhile.
    is_used: bool,
}

/// The right to have a line open.
#[derive(Debug)]
struct Ticket {
    pool: Arc<Pool>,
    id: u64,
}

impl Pool {
    pub(crate) fn new(account: Account) -> Self {
        Self { account, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Does something with a line that is free again afterwards.
    pub(crate) fn with<T>(
        self: &Arc<Self>,
        purpose: Purpose,
        run: impl FnMut(&mut Line) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (value, borrowed) = self.begin(purpose, run)?;
        borrowed.give_back();
        Ok(value)
    }

    /// Does something with a line and keeps it. Where one that had lain idle turns out to be dead, it is done again with
    /// a new one.
    pub(crate) fn begin<T>(
        self: &Arc<Self>,
        purpose: Purpose,
        mut run: impl FnMut(&mut Line) -> Result<T, Failure>,
    ) -> Result<(T, Borrowed), Failure> {
        let mut borrowed = self.take(purpose)?;
        match run(&mut borrowed.line) {
            Ok(value) => Ok((value, borrowed)),
            Err(Failure::Lost(_)) if borrowed.is_used => {
                drop(borrowed);
                self.lock().idle.clear();
                let mut borrowed = self.take(purpose)?;
                run(&mut borrowed.line).map(|value| (value, borrowed))
            }
            Err(failure) => {
                borrowed.give_back();
                Err(failure)
            }
        }
    }

    /// A line, waited for and connected where need be.
    fn take(self: &Arc<Self>, purpose: Purpose) -> Result<Borrowed, Failure> {
        let (id, line, shape) = self.admit(purpose)?;
        let ticket = Ticket { pool: Arc::clone(self), id };
        if let Some(line) = line {
            return Ok(Borrowed { line, ticket, is_used: true });
        }
        let line = Line::open(&self.account, shape, |sockets| self.seen(id, sockets))?;
        self.lock().shape.get_or_insert_with(|| line.shape().clone());
        Ok(Borrowed { line, ticket, is_used: false })
    }

    /// What has been found out about the server.
    pub(crate) fn shape(&self) -> Option<Shape> {
        self.lock().shape.clone()
    }

    /// Whether somebody's own password is sent.
    pub(crate) fn has_password(&self) -> bool {
        self.account.user != ANONYMOUS
    }

    /// Closes what nobody has wanted for long, and cuts what dribbles.
    pub(crate) fn tend(&self) {
        let mut state = self.lock();
        state.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        state.lent.iter().filter_map(|lent| lent.sockets.as_ref()).for_each(|sockets| sockets.cut_if_late());
    }

    /// Forgets what was found out about the server: it may be another when it comes back.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.shape = None;
        state.idle.clear();
    }

    /// Cuts every line, for good.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.idle.clear();
        state.lent.iter().filter_map(|lent| lent.sockets.as_ref()).for_each(|sockets| sockets.cut());
        self.freed.notify_all();
    }

    /// Waits for a place.
    fn admit(&self, purpose: Purpose) -> Result<(u64, Option<Line>, Option<Shape>), Failure> {
        let begun = Instant::now();
        let mut state = self.lock();
        // Who comes back at once must not overtake those who wait for the same.
        let mut is_behind = state.waiting.contains(&purpose);
        loop {
            if state.is_closed {
                return Err(Failure::Stopped);
            }
            if (!is_behind && state.has_room(purpose))
                || (begun.elapsed() >= STEAL_AFTER && state.steal(purpose))
            {
                return Ok(state.lend(purpose));
            }
            let is_patient = purpose == Purpose::Hash;
            if !is_patient && (state.waiting.len() >= WAITING_MAX || begun.elapsed() >= WAIT_MAX) {
                return Err(Failure::Busy);
            }
            state.waiting.push(purpose);
            let waited = self.freed.wait_timeout(state, STEAL_AFTER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let place = state.waiting.iter().position(|waiting| *waiting == purpose);
            place.map(|place| state.waiting.swap_remove(place));
            is_behind = false;
        }
    }

    fn seen(&self, id: u64, sockets: &Arc<Sockets>) -> Result<(), Failure> {
        let mut state = self.lock();
        let lent = state.lent.iter_mut().find(|lent| lent.id == id).ok_or(Failure::Busy)?;
        lent.sockets = Some(Arc::clone(sockets));
        if state.is_closed { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// A line is closed or free; one that was stolen is nobody's any more.
    fn returned(&self, id: u64, line: Option<Line>) {
        let mut state = self.lock();
        let before = state.lent.len();
        state.lent.retain(|lent| lent.id != id);
        let is_ours = state.lent.len() < before;
        if let Some(line) = line.filter(|line| is_ours && line.is_sound() && !state.is_closed) {
            state.idle.push((line, Instant::now()));
        }
        drop(state);
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, purpose: Purpose) -> bool {
        let count = |is: fn(Purpose) -> bool| self.lent.iter().filter(|lent| is(lent.purpose)).count();
        let is_free = self.lent.len() < LINES_MAX;
        let may_flow = count(|purpose| purpose != Purpose::Look) < LONG_MAX;
        is_free
            && match purpose {
                Purpose::Look => true,
                Purpose::Hash => may_flow && count(|purpose| purpose == Purpose::Hash) < HASH_MAX,
                Purpose::Serve => may_flow,
            }
    }

    fn lend(&mut self, purpose: Purpose) -> (u64, Option<Line>, Option<Shape>) {
        self.last_id += 1;
        let line = self.idle.pop().map(|(line, _)| line);
        // A line that lies idle is open as well, and must not be one too many.
        while self.lent.len() + self.idle.len() + 1 > LINES_MAX {
            self.idle.remove(0);
        }
        let sockets = line.as_ref().map(|line| Arc::clone(line.sockets()));
        self.lent.push_back(Lent { id: self.last_id, purpose, since: Instant::now(), sockets });
        (self.last_id, line, self.shape.clone())
    }

    /// Makes room by breaking off what has served for longest; whoever read it goes on when it is their turn again.
    fn steal(&mut self, purpose: Purpose) -> bool {
        let is_over = |lent: &Lent| lent.purpose == Purpose::Serve && lent.since.elapsed() >= TURN;
        let Some(index) = self.lent.iter().position(is_over).filter(|_| purpose != Purpose::Look) else {
            return false;
        };
        let lent = self.lent.remove(index);
        let has_room = self.has_room(purpose);
        match lent {
            Some(lent) if has_room => lent.sockets.iter().for_each(|sockets| sockets.cut()),
            lent => self.lent.extend(lent), // it would not have helped
        }
        has_room
    }
}

impl Borrowed {
    /// Keeps the line for others, if it can be used for something else.
    pub(crate) fn give_back(self) {
        let Self { line, ticket, .. } = self;
        ticket.pool.returned(ticket.id, Some(line));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pool.returned(self.id, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{Hash, Look, Serve};

    fn state(lent: &[Purpose]) -> State {
        let mut state = State::default();
        lent.iter().for_each(|purpose| _ = state.lend(*purpose));
        state
    }

    #[test]
    fn one_line_is_always_left_for_a_look() {
        for (lent, look, hash, serve) in [
            (&[][..], true, true, true),
            (&[Hash, Hash], true, false, true),
            (&[Hash, Hash, Serve], true, false, false),
            (&[Serve, Serve, Serve], true, false, false),
            (&[Look, Look, Look], true, true, true),
            (&[Look, Hash, Serve, Serve], false, false, false),
            (&[Look, Look, Look, Look], false, false, false),
        ] {
            let state = state(lent);
            assert_eq!(
                [Look, Hash, Serve].map(|purpose| state.has_room(purpose)),
                [look, hash, serve],
                "{lent:?}"
            );
        }
    }

    #[test]
    fn only_who_has_served_for_a_turn_makes_room() {
        let long_ago = Instant::now().checked_sub(TURN).unwrap();
        let mut state = state(&[Hash, Serve, Serve]);
        assert!(!state.steal(Serve), "nobody's turn is over");
        state.lent.iter_mut().for_each(|lent| lent.since = long_ago);
        assert!(!state.steal(Look));
        assert!(state.steal(Serve));
        let left: Vec<(u64, Purpose)> = state.lent.iter().map(|lent| (lent.id, lent.purpose)).collect();
        assert_eq!(left, [(1, Hash), (3, Serve)], "the first who came goes first");
        let mut hashing = super::tests::state(&[Hash, Hash, Serve]);
        hashing.lent.iter_mut().for_each(|lent| lent.since = long_ago);
        assert!(!hashing.steal(Hash) && hashing.lent.len() == 3, "it would not have helped");
    }
}
