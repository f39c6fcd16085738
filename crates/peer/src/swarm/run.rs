//! The shell around the planner: starts and stops runs as it says, tells it what happened, asks the index.
//!
//! Invariant: dropping a swarm stops every run; what was written by then is in the part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, OptionFuture};
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PeerId, PeerName, PieceList, piece_count, piece_len};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::news::News;
use super::plan::{Action, Event, Fault, Holding, Outcome, Plan, Ranges, RunId};
use super::pool::Pool;
use super::source::{Broken, Counters, Errand, Job, Report};
use crate::download::{FindError, SourceFault, Sources};
use crate::part::{DiskError, Part};
use crate::partials::Published;
use crate::progress::{Progress, Stage};

/// A door's queue says within 5 s whether there is a slot; who says nothing for longer is slow, not busy.
const QUEUE_ANSWERS: Duration = Duration::from_secs(6);

/// Why a swarm ended without its work done.
pub(crate) enum End {
    GaveUp(Outcome),
    Disk(DiskError),
}

/// The sources of one content, and what is under way with them.
pub(crate) struct Swarm<'a> {
    hash: &'a ContentHash,
    size: u64,
    index: &'a dyn Sources,
    pool: Arc<Pool>,
    progress: &'a Progress,
    plan: Plan,
    known: BTreeMap<PeerId, Source>,
    faults: BTreeMap<PeerId, String>,
    used: BTreeSet<PeerId>,
    /// Who turned us away last, if nothing has come since.
    busy: Option<PeerId>,
    running: BTreeMap<RunId, Running>,
    tasks: JoinSet<()>,
    reports: mpsc::UnboundedReceiver<(RunId, Report)>,
    reporter: mpsc::UnboundedSender<(RunId, Report)>,
    asking: OptionFuture<BoxFuture<'a, Result<Vec<Source>, FindError>>>,
    /// Which pieces partial sources have.
    news: News,
    /// Where others are given what is proven here.
    published: Option<Published>,
}

/// A run that was started.
struct Running {
    peer: PeerId,
    task: AbortHandle,
    counters: Arc<Counters>,
    /// Bytes the planner was told of.
    told_bytes: u64,
    /// Of those, bytes of pieces that were right.
    proven_bytes: u64,
    /// Units it has not brought.
    left: u64,
    asked_at: Option<Instant>,
    has_begun: bool,
}

impl Running {
    /// Asked, and within the time in which a door's queue answers, one way or the other.
    fn waits_for_slot(&self) -> bool {
        !self.has_begun && self.asked_at.is_some_and(|at| at.elapsed() < QUEUE_ANSWERS)
    }
}

impl<'a> Swarm<'a> {
    /// With the sources that the index named first.
    pub(crate) fn new(
        (hash, size): (&'a ContentHash, u64),
        mut named: Vec<Source>,
        index: &'a dyn Sources,
        pool: Arc<Pool>,
        progress: &'a Progress,
    ) -> Self {
        let plan = Plan::new(seed(), &holdings(&mut named, pool.own()), Instant::now());
        let known: BTreeMap<PeerId, Source> = named.into_iter().map(|source| (source.peer, source)).collect();
        let news = News::new(Arc::clone(&pool), *hash, piece_count(size));
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            hash,
            size,
            index,
            pool,
            progress,
            plan,
            known,
            faults: BTreeMap::new(),
            used: BTreeSet::new(),
            busy: None,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            reports,
            reporter,
            asking: None.into(),
            news,
            published: None,
        }
    }

    /// Gets the piece list from whoever has a right one.
    pub(crate) async fn fetch_list(&mut self) -> Result<Arc<PieceList>, End> {
        let job = Arc::new(Job::List { hash: *self.hash, size: self.size, found: OnceLock::new() });
        self.plan.begin_list(Instant::now());
        self.drive(&job).await?;
        match &*job {
            Job::List { found, .. } => found.get().cloned().ok_or(End::GaveUp(Outcome::Corrupt)),
            Job::Pieces { .. } => Err(End::GaveUp(Outcome::Corrupt)),
        }
    }

    /// Gets the missing pieces into the part, and tells of each where it is `published`.
    pub(crate) async fn fetch_pieces(
        &mut self,
        list: Arc<PieceList>,
        part: Arc<Part>,
        missing: Ranges,
        published: Option<Published>,
    ) -> Result<(), End> {
        self.published = published;
        self.plan.begin_pieces(missing, list.count(), Instant::now());
        self.drive(&Arc::new(Job::Pieces { list, part })).await?;
        if let Some(published) = self.published.take() {
            published.linger();
        }
        Ok(())
    }

    /// Peers that sent something that was right.
    pub(crate) fn sources_used(&self) -> usize {
        self.used.len()
    }

    /// What went wrong with whom.
    pub(crate) fn faults(&self) -> Vec<SourceFault> {
        let fault = |(peer, fault): (&PeerId, &String)| {
            let source = self.known.get(peer)?;
            Some(SourceFault { name: source.name.clone(), address: source.address, fault: fault.clone() })
        };
        self.faults.iter().filter_map(fault).collect()
    }

    async fn drive(&mut self, job: &Arc<Job>) -> Result<(), End> {
        loop {
            while let Some(action) = self.plan.next_action() {
                if let Some(end) = self.act(action, job) {
                    return end;
                }
            }
            self.progress.set_sources_active(self.plan.active_sources());
            let wake_at = self.plan.wake_at(Instant::now());
            let sleep = OptionFuture::from(wake_at.map(|at| tokio::time::sleep_until(at.into())));
            tokio::select! {
                Some((run, report)) = self.reports.recv() => self.take(run, report, job)?,
                Some(named) = &mut self.asking => self.named(named),
                (event, fault) = self.news.next() => {
                    self.faults.extend(fault);
                    self.tell(event);
                }
                Some(()) = sleep => self.tick(job),
            }
        }
    }

    /// Does what the planner says; `Some` when it says that it is over.
    fn act(&mut self, action: Action, job: &Arc<Job>) -> Option<Result<(), End>> {
        match action {
            Action::Fetch { run, peer, pieces } => match self.known.get(&peer) {
                Some(source) => self.start(run, source.clone(), pieces, job),
                None => self.tell(Event::Failed(run, Fault::Absent)),
            },
            Action::Cancel(run) => self.stop(run),
            Action::AskHave { peer } => match self.known.get(&peer) {
                Some(source) => self.news.ask(source.clone()),
                None => self.tell(Event::HasFailed(peer, Fault::Absent)),
            },
            Action::Drop { peer, fault } => {
                self.faults.entry(peer).or_insert_with(|| "sent nothing for too long".to_owned());
                tracing::debug!(peer = %peer.short(), ?fault, why = self.faults.get(&peer), "source dropped");
            }
            Action::AskIndex => self.asking = Some(self.index.find(self.hash)).into(),
            Action::Finish => return Some(Ok(())),
            Action::GiveUp(outcome) => return Some(Err(End::GaveUp(outcome))),
        }
        None
    }

    fn start(&mut self, id: RunId, source: Source, units: std::ops::Range<u64>, job: &Arc<Job>) {
        let counters = Arc::new(Counters::default());
        let (peer, left) = (source.peer, units.end - units.start);
        let errand = Errand {
            id,
            source,
            units,
            job: Arc::clone(job),
            pool: Arc::clone(&self.pool),
            counters: Arc::clone(&counters),
            reports: self.reporter.clone(),
        };
        let task = self.tasks.spawn(errand.run());
        let running = Running {
            peer,
            task,
            counters,
            told_bytes: 0,
            proven_bytes: 0,
            left,
            asked_at: None,
            has_begun: false,
        };
        self.running.insert(id, running);
        // Those that ended are only let go of.
        while self.tasks.try_join_next().is_some() {}
    }

    fn stop(&mut self, id: RunId) {
        if let Some(running) = self.running.remove(&id) {
            running.task.abort();
        }
    }

    fn take(&mut self, id: RunId, report: Report, job: &Job) -> Result<(), End> {
        // A run that was stopped may still have had something to say; what it wrote is fetched once more.
        let Some(running) = self.running.get_mut(&id) else { return Ok(()) };
        let event = match report {
            Report::Asked => {
                running.asked_at = Some(Instant::now());
                Event::Asked(id)
            }
            Report::Began => {
                running.has_begun = true;
                Event::Began(id)
            }
            Report::Proven(unit) => {
                self.proven(id, unit, job);
                Event::Proven(id)
            }
            Report::Ended(broken) => self.broken(id, broken)?,
        };
        self.tell(event);
        Ok(())
    }

    fn proven(&mut self, id: RunId, unit: u64, job: &Job) {
        let Some(running) = self.running.get_mut(&id) else { return };
        self.used.insert(running.peer);
        running.left -= 1;
        running.proven_bytes += piece_len(self.size, unit);
        self.busy = None;
        if running.left == 0 {
            self.running.remove(&id);
        }
        if matches!(job, Job::Pieces { .. }) && self.plan.wants(unit) {
            self.progress.proven(piece_len(self.size, unit));
            if let Some(published) = &self.published {
                published.proven(unit);
            }
        }
    }

    fn broken(&mut self, id: RunId, broken: Broken) -> Result<Event, End> {
        let Some(running) = self.running.remove(&id) else { return Ok(Event::Tick) };
        let (event, fault) = match broken {
            Broken::Failed(fault, text) => (Event::Failed(id, fault), text),
            Broken::Busy(retry_after) => (Event::Busy(id, retry_after), "is busy with others".to_owned()),
            Broken::Wrong(text) => (Event::Wrong(id), text),
            Broken::Disk(error) => return Err(End::Disk(error)),
        };
        self.busy = matches!(event, Event::Busy(..)).then_some(running.peer).or(self.busy);
        self.faults.insert(running.peer, fault);
        Ok(event)
    }

    fn named(&mut self, named: Result<Vec<Source>, FindError>) {
        self.asking = None.into();
        let mut named = named.unwrap_or_else(|error| {
            tracing::debug!(%error, "the index gives no sources now");
            Vec::new()
        });
        let holdings = holdings(&mut named, self.pool.own());
        self.known.extend(named.into_iter().map(|source| (source.peer, source)));
        self.tell(Event::Named(holdings));
    }

    /// Looks at how each run comes on.
    fn tick(&mut self, job: &Job) {
        let now = Instant::now();
        let (mut flying_bytes, mut has_moved, mut is_writing) = (0, false, false);
        for (id, running) in &mut self.running {
            let received = running.counters.received_bytes.load(Ordering::Relaxed);
            let news = received - std::mem::replace(&mut running.told_bytes, received);
            self.plan.handle(Event::Received(*id, news), now);
            if running.counters.is_writing.load(Ordering::Relaxed) {
                self.plan.handle(Event::Held(*id), now);
                is_writing = true;
            }
            has_moved |= news > 0;
            flying_bytes += received.saturating_sub(running.proven_bytes);
        }
        self.plan.handle(Event::Tick, now);
        match (job, has_moved, is_writing) {
            (Job::List { .. }, true, _) => self.progress.set_stage(Stage::FetchingList),
            (Job::Pieces { .. }, true, _) => self.progress.set_stage(Stage::Fetching),
            (_, false, true) => self.progress.set_stage(Stage::SlowDisk),
            (_, false, false) => self.progress.set_stage(self.cause_of_stall()),
        }
        self.progress.set_flying(if matches!(job, Job::Pieces { .. }) { flying_bytes } else { 0 });
    }

    fn cause_of_stall(&self) -> Stage {
        let name = |peer: &PeerId| self.known.get(peer).map(|source| source.name.clone());
        let named = |peer: &PeerId, stage: fn(PeerName) -> Stage| name(peer).map_or(Stage::NoSource, stage);
        let first = |is_it: fn(&Running) -> bool| self.running.values().find(|running| is_it(running));
        if let Some(running) = first(Running::waits_for_slot) {
            named(&running.peer, Stage::WaitingForSlot)
        } else if let Some(running) = first(|running| running.asked_at.is_some()) {
            named(&running.peer, Stage::SlowSource)
        } else if let Some(running) = first(|running| running.asked_at.is_none()) {
            named(&running.peer, Stage::Connecting)
        } else if let Some(peer) = &self.busy {
            named(peer, Stage::WaitingForSlot)
        } else {
            Stage::NoSource
        }
    }

    fn tell(&mut self, event: Event) {
        self.plan.handle(event, Instant::now());
    }
}

/// How much each has; what we are downloading ourselves is no source for us.
fn holdings(named: &mut Vec<Source>, own: PeerId) -> Vec<(PeerId, Holding)> {
    named.retain(|source| !source.partial || source.peer != own);
    let holding = |source: &Source| if source.partial { Holding::Partial } else { Holding::Whole };
    named.iter().map(|source| (source.peer, holding(source))).collect()
}

/// Only spreads retries and first choices, so that a poor one does no harm.
fn seed() -> u64 {
    getrandom::u64().unwrap_or(1)
}
