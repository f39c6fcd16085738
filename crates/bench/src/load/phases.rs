//! What the peers and clients do, phase by phase: everybody on a few connections, one request after the other on each.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use ed25519_dalek::Signer;
use peerage_wire::api::{HeartbeatReply, SessionAnswer, SessionReply, SessionRequest};
use peerage_wire::session;
use tokio::task::{JoinHandle, spawn_local};

use super::Tally;
use super::line::{Ask, JSON, Line, PACKED_LINES};
use super::people::{EPOCH, People};
use crate::index::Class;
use crate::latency::Latencies;

/// Everybody who takes part.
pub(crate) struct Crowd {
    pub(crate) authority: String,
    pub(crate) people: People,
    pub(crate) connections: usize,
}

/// Numbers that several connections take one after the other.
#[derive(Clone)]
struct Turns {
    next: Rc<Cell<usize>>,
    end: usize,
}

impl Turns {
    fn new(range: Range<usize>) -> Self {
        Self { next: Rc::new(Cell::new(range.start)), end: range.end }
    }

    fn take(&self) -> Option<usize> {
        let number = self.next.get();
        self.next.set(number + 1);
        (number < self.end).then_some(number)
    }
}

/// Does something on several connections at once and waits for all.
async fn on_lines<T: 'static, Work: Future<Output = Result<T>> + 'static>(
    crowd: &Rc<Crowd>,
    count: usize,
    work: impl Fn(Rc<Crowd>, Line) -> Work,
) -> Result<Vec<T>> {
    let mut tasks = Vec::new();
    for _ in 0..count {
        let line = Line::connect(&crowd.authority).await?;
        tasks.push(spawn_local(work(Rc::clone(crowd), line)));
    }
    all(tasks).await
}

async fn all<T>(tasks: Vec<JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await??);
    }
    Ok(outcomes)
}

fn tally(times: Vec<Latencies>, started: Instant) -> Tally {
    let mut tally = Tally { time: started.elapsed(), ..Tally::default() };
    times.into_iter().for_each(|times| tally.times.merge(times));
    tally
}

/// Everybody opens a session.
pub(crate) async fn sessions(crowd: &Rc<Crowd>) -> Result<Tally> {
    let (turns, started) = (Turns::new(0..crowd.people.len()), Instant::now());
    let times = on_lines(crowd, crowd.connections, |crowd, mut line| {
        let turns = turns.clone();
        async move {
            let mut times = Latencies::default();
            while let Some(number) = turns.take() {
                let begun = Instant::now();
                let token = open_session(&crowd, &mut line, number).await?;
                times.add(begun.elapsed());
                crowd.people.tokens.borrow_mut()[number] = token;
            }
            Ok(times)
        }
    });
    Ok(tally(times.await?, started))
}

async fn open_session(crowd: &Crowd, line: &mut Line, number: usize) -> Result<String> {
    let person = &crowd.people.all[number];
    let mut request = SessionRequest { peer: person.id, answer: None };
    let reply = post(line, "/api/v1/session", &request).await?;
    let SessionReply::Challenge { challenge, .. } = serde_json::from_slice(reply)? else {
        bail!("no challenge")
    };
    let signature = person.key.sign(&session::message(&crowd.authority, &person.id, &challenge));
    request.answer = Some(SessionAnswer { challenge, signature: HEXLOWER.encode(&signature.to_bytes()) });
    match serde_json::from_slice(post(line, "/api/v1/session", &request).await?)? {
        SessionReply::Token { token, .. } => Ok(token),
        SessionReply::Challenge { .. } => bail!("no token"),
    }
}

async fn post<'a>(line: &'a mut Line, target: &str, body: &SessionRequest) -> Result<&'a [u8]> {
    let body = serde_json::to_vec(body)?;
    line.ask(Ask { method: "POST", target, body: &body, about_body: JSON, token: None }).await
}

/// What registering took.
#[derive(Default)]
pub(crate) struct Registered {
    pub(crate) announced: Latencies,
    pub(crate) batches: Tally,
    pub(crate) files: u64,
}

/// These people announce themselves and register all they have.
pub(crate) async fn register(crowd: &Rc<Crowd>, who: Range<usize>) -> Result<Registered> {
    let (turns, started) = (Turns::new(who), Instant::now());
    let parts = on_lines(crowd, crowd.connections, |crowd, mut line| {
        let turns = turns.clone();
        async move {
            let mut part = Registered::default();
            while let Some(number) = turns.take() {
                come(&crowd, &mut line, number, &mut part).await?;
            }
            Ok(part)
        }
    });
    let mut registered = Registered::default();
    for part in parts.await? {
        registered.announced.merge(part.announced);
        registered.batches.times.merge(part.batches.times);
        registered.files += part.files;
    }
    registered.batches.time = started.elapsed();
    Ok(registered)
}

async fn come(crowd: &Crowd, line: &mut Line, number: usize, part: &mut Registered) -> Result<()> {
    let (person, token) = (&crowd.people.all[number], crowd.people.token(number));
    let target = format!("/api/v1/peers/{}", person.id);
    let begun = Instant::now();
    let body = &person.announcement[..];
    line.ask(Ask { method: "PUT", target: &target, token: Some(&token), body, about_body: JSON }).await?;
    part.announced.add(begun.elapsed());
    for (seq, (packed, files)) in person.batches.iter().enumerate() {
        let target = format!("{target}/files?epoch={EPOCH}&seq={seq}");
        let begun = Instant::now();
        let ask = Ask {
            method: "POST",
            target: &target,
            token: Some(&token),
            body: packed,
            about_body: PACKED_LINES,
        };
        line.ask(ask).await?;
        part.batches.times.add(begun.elapsed());
        part.files += files;
    }
    Ok(())
}

/// Everybody who is here sends a heartbeat, once or again and again for some time.
pub(crate) async fn heartbeats(crowd: &Rc<Crowd>, time: Option<Duration>) -> Result<Tally> {
    let first = crowd.people.first();
    let all = if time.is_some() { usize::MAX } else { first.end };
    let (turns, started) = (Turns::new(0..all), Instant::now());
    let times = on_lines(crowd, crowd.connections, |crowd, mut line| {
        let turns = turns.clone();
        async move {
            let mut times = Latencies::default();
            while let Some(turn) = turns.take() {
                if time.is_some_and(|time| started.elapsed() > time) {
                    break;
                }
                let begun = Instant::now();
                beat(&crowd, &mut line, turn % crowd.people.first().end).await?;
                times.add(begun.elapsed());
            }
            Ok(times)
        }
    });
    Ok(tally(times.await?, started))
}

async fn beat(crowd: &Crowd, line: &mut Line, number: usize) -> Result<()> {
    let (person, token) = (&crowd.people.all[number], crowd.people.token(number));
    let target = format!("/api/v1/peers/{}/heartbeat", person.id);
    let ask = Ask {
        method: "POST",
        target: &target,
        token: Some(&token),
        body: &person.heartbeat,
        about_body: JSON,
    };
    let reply: HeartbeatReply = serde_json::from_slice(line.ask(ask).await?)?;
    if reply.resync {
        bail!("the index holds something else than peer {number} registered");
    }
    Ok(())
}

/// Everybody leaves.
pub(crate) async fn leave(crowd: &Rc<Crowd>) -> Result<Tally> {
    let (turns, started) = (Turns::new(0..crowd.people.len()), Instant::now());
    let times = on_lines(crowd, crowd.connections, |crowd, mut line| {
        let turns = turns.clone();
        async move {
            let mut times = Latencies::default();
            while let Some(number) = turns.take() {
                let (person, token) = (&crowd.people.all[number], crowd.people.token(number));
                let target = format!("/api/v1/peers/{}", person.id);
                let begun = Instant::now();
                line.ask(Ask { method: "DELETE", target: &target, token: Some(&token), ..Ask::default() })
                    .await?;
                times.add(begun.elapsed());
            }
            Ok(times)
        }
    });
    Ok(tally(times.await?, started))
}

/// How searches go on.
pub(crate) struct Steady {
    pub(crate) clients: usize,
    pub(crate) time: Duration,
    pub(crate) searches: Rc<Vec<(Class, String)>>,
    /// Registrations a second meanwhile.
    pub(crate) writing: u64,
    /// Who comes with them.
    pub(crate) newcomers: Range<usize>,
}

/// What was done meanwhile.
pub(crate) struct Outcome {
    pub(crate) searches: Tally,
    pub(crate) classes: Vec<(Class, Latencies)>,
    pub(crate) answer_bytes: u64,
    pub(crate) files: u64,
    pub(crate) beats: u64,
}

/// Clients search as fast as they are answered, while peers come at an even pace and everybody keeps their lease.
pub(crate) async fn steady(crowd: &Rc<Crowd>, steady: &Steady) -> Result<Outcome> {
    let started = Instant::now();
    let ends = started + steady.time;
    let writer =
        spawn_local(write(Rc::clone(crowd), steady.newcomers.clone(), steady.writing, (started, ends)));
    let beater = spawn_local(keep_leases(Rc::clone(crowd), started, ends));
    let turns = Turns::new(0..usize::MAX);
    let parts = on_lines(crowd, steady.clients, |_, line| {
        search(line, Rc::clone(&steady.searches), turns.clone(), ends)
    });
    let parts = parts.await?;
    let time = started.elapsed();
    let (files, beats) = (writer.await??, beater.await??);
    let mut outcome = Outcome {
        searches: Tally { time, ..Tally::default() },
        classes: Vec::new(),
        answer_bytes: 0,
        files,
        beats,
    };
    let mut classes: HashMap<Class, Latencies> = HashMap::new();
    for (times, bytes) in parts {
        outcome.answer_bytes += bytes;
        times.into_iter().for_each(|(class, times)| classes.entry(class).or_default().merge(times));
    }
    for class in Class::all() {
        let Some(times) = classes.remove(&class) else { continue };
        outcome.searches.times.merge(times.clone());
        outcome.classes.push((class, times));
    }
    Ok(outcome)
}

type Searched = (HashMap<Class, Latencies>, u64);

async fn search(
    mut line: Line,
    searches: Rc<Vec<(Class, String)>>,
    turns: Turns,
    ends: Instant,
) -> Result<Searched> {
    let (mut times, mut bytes) = (HashMap::<Class, Latencies>::new(), 0);
    while let Some(turn) = turns.take().filter(|_| Instant::now() < ends) {
        let (class, target) = searches.get(turn % searches.len()).context("no searches")?;
        let begun = Instant::now();
        bytes += line.ask(Ask { method: "GET", target, ..Ask::default() }).await?.len() as u64;
        times.entry(*class).or_default().add(begun.elapsed());
    }
    Ok((times, bytes))
}

/// Peers come, so many files a second, until the time is over or none is left.
async fn write(
    crowd: Rc<Crowd>,
    newcomers: Range<usize>,
    files_per_sec: u64,
    (started, ends): (Instant, Instant),
) -> Result<u64> {
    if files_per_sec == 0 {
        return Ok(0);
    }
    let turns = Turns::new(newcomers);
    let files = Rc::new(Cell::new(0_u64));
    let work = |crowd: Rc<Crowd>, mut line: Line| {
        let (turns, files) = (turns.clone(), Rc::clone(&files));
        async move {
            let mut part = Registered::default();
            while let Some(number) = turns.take().filter(|_| Instant::now() < ends) {
                let due = started + Duration::from_secs_f64(files.get() as f64 / files_per_sec as f64);
                let own: u64 = crowd.people.all[number].batches.iter().map(|(_, files)| files).sum();
                files.set(files.get() + own);
                tokio::time::sleep_until(due.into()).await;
                come(&crowd, &mut line, number, &mut part).await?;
            }
            Ok(part.files)
        }
    };
    Ok(on_lines(&crowd, WRITING_LINES, work).await?.into_iter().sum())
}

/// Connections by which peers come while others search.
const WRITING_LINES: usize = 4;

/// Heartbeats at the pace that everybody's lease asks for.
async fn keep_leases(crowd: Rc<Crowd>, started: Instant, ends: Instant) -> Result<u64> {
    let everybody = crowd.people.first().end;
    let apart = peerage_wire::limits::HEARTBEAT.div_f64(everybody.max(1) as f64);
    let turns = Turns::new(0..usize::MAX);
    let work = |crowd: Rc<Crowd>, mut line: Line| {
        let turns = turns.clone();
        async move {
            let mut beats = 0_u64;
            while let Some(turn) = turns.take().filter(|_| Instant::now() < ends) {
                let due = started + apart.mul_f64(turn as f64);
                if due >= ends {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                beat(&crowd, &mut line, turn % everybody).await?;
                beats += 1;
            }
            Ok(beats)
        }
    };
    Ok(on_lines(&crowd, BEATING_LINES, work).await?.into_iter().sum())
}

/// Connections for these heartbeats.
const BEATING_LINES: usize = 2;
