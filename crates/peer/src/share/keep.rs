//! The keeper: one thread that keeps the catalogue true to the disk.
//!
//! Invariants: it alone walks folders and decides what to look at; hashing goes on beside it. Each share is
//! walked whole when it starts, when events were lost, and from time to time in any case: every
//! `reconcile_every` where its folders are watched, every `poll_every` where they can't be (or
//! [`POLL_REST_FACTOR`] times as long as a walk takes, where that is more).
//!
//! **A folder that goes away.** Each second the path is compared with the folder that was opened. When it is
//! gone, or another stands there (a disk was unmounted), its files leave the catalogue. It is taken up again
//! when the same folder is back, or another that is not empty: an empty mount point is not the share. The
//! remembered hashes stay, so a disk that comes back need not be hashed again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use peerage_wire::shown;
use tokio::sync::watch;

use super::cache::Durable;
use super::debounce::{Look, Place};
use super::engine::{Engine, Folder, share_path};
use super::filter::Sort;
use super::hash::{COARSE_STEP, clock_ns};
use super::inbox::Work;
use super::root::{FolderId, Root, Stamp};
use super::scan::walk;
use super::watch::Watch;
use super::{Phase, Watching};
use crate::catalogue::ShareId;

/// How often the keeper looks whether the folders are still there, and writes down what was hashed.
const TICK: Duration = Duration::from_secs(1);
/// How often at most what was hashed is made durable: a disk has better to do than that, and losing it costs
/// only time.
const DURABLE_EVERY: Duration = Duration::from_secs(5);
/// A walk may take one part in so many of all time where folders can't be watched.
pub(super) const POLL_REST_FACTOR: u32 = 20;
/// A file written so recently is still being written: it is waited for and not read.
const FRESH: Duration = Duration::from_millis(100);

/// When to walk, and how to learn of changes in between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) watching: Watching,
    pub(super) poll_every: Duration,
    pub(super) reconcile_every: Duration,
}

/// One thread's state.
pub(super) struct Keeper {
    engine: Arc<Engine>,
    pace: Pace,
    phase: watch::Sender<Phase>,
    kept: Vec<Kept>,
    is_pruned: bool,
    next_durable: Instant,
}

struct Kept {
    share: ShareId,
    /// The folder that was shared last; the catalogue has it only while it is in place.
    root: Arc<Root>,
    is_away: bool,
    watch: Option<Watch>,
    is_polled: bool,
    next_walk: Instant,
}

impl Keeper {
    pub(super) fn new(engine: Arc<Engine>, pace: Pace, phase: watch::Sender<Phase>) -> Self {
        Self { engine, pace, phase, kept: Vec::new(), is_pruned: false, next_durable: Instant::now() }
    }

    /// Until the inbox is told to stop.
    pub(super) fn run(mut self) {
        let mut tick = Instant::now();
        while let Some(work) = self.engine.inbox.wait(tick.min(self.next_walk())) {
            self.engine.progress.idle.store(false, Ordering::Relaxed);
            self.do_work(work);
            if Instant::now() >= tick {
                self.check_folders();
                self.engine.servers().iter().for_each(|server| server.tend());
                self.engine.cache.write(Durable::Later);
                tick = Instant::now() + TICK;
            }
            self.walk_due();
            self.rest();
        }
    }

    fn do_work(&mut self, work: Work) {
        for (share, root) in work.joined {
            self.join(share, root);
        }
        for share in work.unwatched {
            self.fall_back(share);
        }
        let now = Instant::now();
        let lost = self.kept.iter_mut().filter(|kept| work.rescans.contains(&kept.share));
        lost.for_each(|kept| kept.next_walk = now);
        // What has gone first, so that what has come may have its name.
        let (gone, here): (Vec<_>, Vec<_>) = work
            .places
            .into_iter()
            .filter_map(|(place, look)| self.stat(place, look))
            .partition(Seen::is_gone);
        gone.into_iter().for_each(|seen| self.look(seen));
        let mut walked = HashSet::new();
        for seen in here {
            // A new tree tells of each of its folders, and walking the topmost has shown them all.
            let is_walked = seen.kind == Kind::Folder && seen.above().any(|folder| walked.contains(&folder));
            if !is_walked {
                walked.extend((seen.kind == Kind::Folder).then(|| seen.place.clone()));
                self.look(seen);
            }
        }
    }

    fn join(&mut self, share: ShareId, root: Arc<Root>) {
        let watching = self.pace.watching == Watching::Auto;
        let watch = watching.then(|| Watch::new(share, root.path(), &self.engine.inbox).ok()).flatten();
        let is_polled = watch.is_none();
        let next_walk = Instant::now();
        self.kept.push(Kept { share, root, is_away: false, watch, is_polled, next_walk });
        if is_polled && watching {
            self.fall_back(share);
        }
    }

    fn next_walk(&self) -> Instant {
        let walks = self.kept.iter().filter(|kept| !kept.is_away).map(|kept| kept.next_walk);
        walks.min().unwrap_or_else(|| Instant::now() + TICK)
    }

    fn walk_due(&mut self) {
        for index in 0..self.kept.len() {
            let kept = &self.kept[index];
            if !kept.is_away && kept.next_walk <= Instant::now() {
                self.walk_whole(index);
            }
        }
    }

    fn walk_whole(&mut self, index: usize) {
        let kept = &mut self.kept[index];
        let (share, begun) = (kept.share, Instant::now());
        self.engine.inbox.forget(share);
        let walked = walk(&self.engine, &kept.folder(), kept.watch.as_ref(), "");
        let every = match kept.is_polled {
            true => self.pace.poll_every.max(begun.elapsed().saturating_mul(POLL_REST_FACTOR)),
            false => self.pace.reconcile_every,
        };
        kept.next_walk = Instant::now() + every;
        // The file that had the name may have been swept out just now.
        self.touch_all(share, walked.displaced);
        if walked.ran_out {
            self.fall_back(share);
        }
    }

    fn touch_all(&self, share: ShareId, displaced: Vec<Box<str>>) {
        for relative in displaced {
            let place = Place { share, relative };
            self.engine.inbox.touch(place, Look::IfChanged);
        }
    }

    /// Looks at a share's folder from time to time from now on, and gives its watches back to others.
    fn fall_back(&mut self, share: ShareId) {
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.share == share) else { return };
        kept.watch = None;
        kept.is_polled = true;
        kept.next_walk = kept.next_walk.min(Instant::now() + self.pace.poll_every);
        let note = format!(
            "watches ran out: changes in `{}` are looked for every {} s\nhint: raise `fs.inotify.max_user_watches`",
            shown(&kept.root.path().to_string_lossy()),
            self.pace.poll_every.as_secs_f32(),
        );
        self.engine.notes.tell(&self.engine.progress, &format!("watch {}", kept.root.name()), &note);
    }

    /// What stands at a place now; `None` where it is none of our business.
    fn stat(&self, place: Place, look: Look) -> Option<Seen> {
        let kept = self.kept.iter().find(|kept| kept.share == place.share && !kept.is_away)?;
        let relative = Path::new(&*place.relative);
        let (kind, sort) = match std::fs::symlink_metadata(kept.root.path().join(relative)) {
            Ok(metadata) if metadata.is_dir() => (Kind::Folder, Sort::Folder),
            Ok(metadata) if metadata.is_file() => (Kind::File(Stamp::of(&metadata)), Sort::File),
            Ok(_) | Err(_) => (Kind::Gone, Sort::File),
        };
        let is_ours = kind == Kind::Gone || self.engine.filter.admits_all(kept.root.path(), relative, sort);
        is_ours.then_some(Seen { folder: kept.folder(), place, look, kind })
    }

    fn look(&mut self, seen: Seen) {
        let Seen { folder, place, look, kind } = seen;
        let Ok(path) = share_path(folder.root.name(), &place.relative) else { return };
        match kind {
            Kind::Gone => {
                self.engine.catalogue.remove(&path, &place.relative);
                self.engine.catalogue.clear_below(&path, &place.relative);
            }
            Kind::Folder if place.relative.is_empty() => self.engine.inbox.rescan(place.share),
            Kind::Folder => {
                self.engine.catalogue.remove(&path, &place.relative);
                self.look_at_folder(&folder, &place.relative);
            }
            Kind::File(stamp) => {
                self.engine.catalogue.clear_below(&path, &place.relative);
                self.look_at_file(&folder, place, stamp, look);
            }
        }
    }

    fn look_at_folder(&mut self, folder: &Folder, below: &str) {
        let watch =
            self.kept.iter().find(|kept| kept.share == folder.share).and_then(|kept| kept.watch.as_ref());
        let walked = walk(&self.engine, folder, watch, below);
        self.touch_all(folder.share, walked.displaced);
        if walked.ran_out {
            self.fall_back(folder.share);
        }
    }

    fn look_at_file(&self, folder: &Folder, place: Place, stamp: Stamp, look: Look) {
        let age_ns = clock_ns().saturating_sub(stamp.mtime_ns);
        let is_coarse = look == Look::Always && stamp.mtime_ns % 1_000_000_000 == 0;
        let wait = if is_coarse { COARSE_STEP } else { FRESH };
        if u128::try_from(age_ns).is_ok_and(|age_ns| age_ns < wait.as_nanos()) {
            if look == Look::IfChanged {
                self.withdraw_changed(folder, &place, stamp);
            }
            return self.engine.inbox.touch(place, look);
        }
        let reader = self.engine.cache.reader();
        self.engine.consider(&folder.holding(), &place.relative, stamp, look, &reader);
    }

    /// A file that is being written is not what it was registered as, and will be something else again soon.
    fn withdraw_changed(&self, folder: &Folder, place: &Place, stamp: Stamp) {
        if let Ok(path) = share_path(folder.root.name(), &place.relative) {
            self.engine.catalogue.remove_changed(&path, &place.relative, stamp);
        }
    }

    fn check_folders(&mut self) {
        for index in 0..self.kept.len() {
            let kept = &self.kept[index];
            if kept.is_away {
                self.try_return(index);
            } else if !kept.root.is_in_place() {
                self.leave(index);
            }
        }
    }

    fn leave(&mut self, index: usize) {
        let kept = &mut self.kept[index];
        kept.is_away = true;
        kept.watch = None;
        self.engine.catalogue.set_origin(kept.share, None);
        if let Ok(path) = share_path(kept.root.name(), "") {
            self.engine.catalogue.clear_below(&path, "");
        }
        let dir = kept.root.path().to_string_lossy();
        let note =
            format!("`{}` is gone or was unmounted: its files are withdrawn until it is back", shown(&dir));
        self.engine.notes.tell(&self.engine.progress, &format!("folder {}", kept.root.name()), &note);
        self.try_return(index);
    }

    fn try_return(&mut self, index: usize) {
        let kept = &mut self.kept[index];
        let Some(id) = FolderId::at(kept.root.path()) else { return };
        let is_empty = std::fs::read_dir(kept.root.path()).is_ok_and(|mut entries| entries.next().is_none());
        if id != kept.root.id() && is_empty {
            return;
        }
        let Ok(root) = Root::open(kept.root.name(), kept.root.path()).map(Arc::new) else { return };
        let share = kept.share;
        self.engine.catalogue.set_origin(share, Some(Arc::clone(&root).into()));
        let note = format!("`{}` is back", shown(&root.path().to_string_lossy()));
        self.engine.notes.tell(&self.engine.progress, &format!("folder {}", root.name()), &note);
        self.kept.remove(index);
        self.join(share, root);
    }

    /// Says how far things are, and makes durable what was hashed once there is nothing else to do.
    fn rest(&mut self) {
        let engine = &self.engine;
        let servers = engine.servers();
        let is_walked = self.kept.iter().all(|kept| kept.is_away || kept.next_walk > Instant::now())
            && servers.iter().all(|server| server.is_looked_at());
        if !is_walked || engine.inbox.has_joined() || engine.is_stopping() {
            return;
        }
        engine.progress.scan_finished.store(true, Ordering::Relaxed);
        let is_hashed = engine.queue.is_idle() && servers.iter().all(|server| server.queue.is_idle());
        let phase = if is_hashed { Phase::Done } else { Phase::Hashing };
        self.phase.send_if_modified(|current| std::mem::replace(current, phase) != phase);
        if is_hashed {
            if !self.is_pruned {
                engine.cache.prune(|hash| engine.catalogue.has(hash));
                self.is_pruned = true;
            }
            if self.next_durable <= Instant::now() {
                engine.cache.write(Durable::Now);
                self.next_durable = Instant::now() + DURABLE_EVERY;
            }
            engine.progress.idle.store(engine.inbox.is_empty() && is_hashed, Ordering::Relaxed);
        }
    }
}

impl Kept {
    fn folder(&self) -> Folder {
        Folder { share: self.share, root: Arc::clone(&self.root) }
    }
}

/// A place and what stands there.
struct Seen {
    folder: Folder,
    place: Place,
    look: Look,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gone,
    Folder,
    File(Stamp),
}

impl Seen {
    /// The folders that it lies in, below the share's own.
    fn above(&self) -> impl Iterator<Item = Place> {
        let share = self.place.share;
        let cuts = self.place.relative.match_indices('/');
        cuts.map(move |(end, _)| Place { share, relative: self.place.relative[..end].into() })
    }

    fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }
}
