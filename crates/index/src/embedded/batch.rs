//! A batch: what it comes to, and how it is carried out.
//!
//! What can be done without the others is done first ([`Draft`]): the last word on each path, hashes, the terms of unknown
//! names. Then, in the peer's turn, a [`Plan`] says what stands at each path and what will; only then is anything changed.
//!
//! Invariants: drafts and plans are in the order of their paths, each path once. A plan changes nothing that is as it was.

use hashbrown::{HashMap, HashSet};
use peerage_wire::api::Change;
use peerage_wire::{FileEntry, ShareDigest, SharePath};

use super::Inner;
use super::arena::{ContentKey, NameKey, PeerKey};
use super::leases::Order;
use super::manifest::{Edit, Manifest, Odd};
use super::names::clamp_time;
use super::state::{Arrival, State};
use crate::terms::NameTerms;

/// Changes made while the lock is held and a search waits for it awake: some tens of microseconds.
const CHANGES_PER_STEP: usize = 32;
/// Changes of which all that they read is read at the same time.
pub(super) const READ_AT_ONCE: usize = 128;
/// Files of a manifest, and changes, for which the manifest is made anew in the last of these steps: that takes some ten
/// microseconds. More need steps of their own.
const EDITED_IN_STEP_MAX: usize = 16_384;
const FINISHED_IN_STEP_MAX: usize = 1_024;

/// One path's change, as far as it is clear without the turn.
pub(super) struct Draft {
    path: SharePath,
    file: Option<FileEntry>,
    digest: ShareDigest,
    path_hash: u64,
    /// Its content and name as they were known when it was looked up.
    known: Option<(ContentKey, NameKey)>,
    terms: Option<NameTerms>,
}

/// The last word on each path, in their order.
pub(super) fn drafts(changes: Vec<Change>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = changes.into_iter().map(Draft::of).collect();
    if !drafts.is_sorted_by(|left, right| left.path < right.path) {
        // The last of equal paths comes first of them, and `dedup` keeps the first.
        drafts.reverse();
        drafts.sort_by(|left, right| left.path.cmp(&right.path));
        drafts.dedup_by(|next, first| next.path == first.path);
    }
    drafts
}

/// Looks up which names are known.
pub(super) fn look_up(drafts: &mut [Draft], state: &State) {
    drafts.iter_mut().for_each(|draft| draft.path_hash = state.names.hash(draft.path.as_str()));
    state.warm(drafts.iter().filter_map(|draft| Some(&draft.file.as_ref()?.hash)));
    drafts.iter_mut().for_each(|draft| draft.look_up(state));
}

impl Draft {
    fn of(change: Change) -> Self {
        let (path, file) = match change {
            Change::Add(file) => (file.path.clone(), Some(file)),
            Change::Remove { path } => (path, None),
        };
        let mut digest = ShareDigest::default();
        if let Some(file) = &file {
            digest.add(file);
        }
        Self { path, file, digest, path_hash: 0, known: None, terms: None }
    }

    /// Looks whether the name is known.
    fn look_up(&mut self, state: &State) {
        let Some(file) = &self.file else { return };
        self.known = state.contents.find(&file.hash).and_then(|key| {
            let content = state.contents.get(key)?;
            Some((key, state.names.find(key, content, self.path.as_str(), self.path_hash)?))
        });
    }

    /// Makes the terms of an unknown name.
    pub(super) fn split(&mut self) {
        if self.file.is_some() && self.known.is_none() {
            self.terms = Some(NameTerms::of(&self.path));
        }
    }
}

/// What a batch changes in a manifest.
pub(super) struct Plan {
    changes: Vec<Planned>,
}

struct Planned {
    draft: Draft,
    /// Where the path stands in the manifest, or would.
    at: usize,
    before: Option<Before>,
}

struct Before {
    name: NameKey,
    odd: Odd,
    size: u64,
    digest: ShareDigest,
}

/// Works out what a batch changes.
pub(super) fn plan(state: &State, manifest: &Manifest, drafts: Vec<Draft>) -> Plan {
    let changes = drafts.into_iter().filter_map(|draft| planned(state, manifest, draft));
    Plan { changes: changes.collect() }
}

fn planned(state: &State, manifest: &Manifest, draft: Draft) -> Option<Planned> {
    let at = match manifest.find(&state.names, draft.path.as_str()) {
        Ok(at) => at,
        Err(at) => return draft.file.is_some().then_some(Planned { draft, at, before: None }),
    };
    let file = state.file_of(manifest, at)?;
    if draft.file.as_ref() == Some(&file) {
        return None;
    }
    let name = *manifest.names.get(at)?;
    let mut digest = ShareDigest::default();
    digest.add(&file);
    let before = Before { name, odd: manifest.odd(name), size: file.size, digest };
    Some(Planned { draft, at, before: Some(before) })
}

impl Plan {
    /// Files the peer has once it is carried out.
    pub(super) fn files_after(&self, manifest: &Manifest) -> u64 {
        let gone = self.changes.iter().filter(|change| change.before.is_some()).count();
        let come = self.changes.iter().filter(|change| change.draft.file.is_some()).count();
        (manifest.len() + come - gone) as u64
    }

    /// Whether it registers anything.
    pub(super) fn adds(&self) -> bool {
        self.changes.iter().any(|change| change.draft.file.is_some())
    }
}

/// What a batch did so far.
struct Progress {
    edits: Vec<Edit>,
    odd: Vec<(NameKey, Odd)>,
    paths: HashMap<ContentKey, u32>,
    /// The contents the peer had before, where asking for all of them at once is cheaper.
    prior: Option<HashSet<ContentKey>>,
    digest: ShareDigest,
    bytes: u128,
}

impl Inner {
    /// Carries a plan out, and moves the peer's order to `(epoch, next_seq)`.
    pub(super) fn carry_out(&self, key: PeerKey, plan: &Plan, next: (u64, u64), lsn: u64) {
        let state = self.state.read();
        let Some(manifest) = state.peers.get(key).map(|peer| &peer.manifest) else { return };
        let progress = Progress {
            edits: Vec::with_capacity(plan.changes.len()),
            odd: Vec::new(),
            paths: HashMap::with_capacity(plan.changes.len()),
            prior: prior(&state, manifest, plan.changes.len()),
            digest: manifest.digest,
            bytes: manifest.bytes,
        };
        let is_live = state.peers.leases.is_live(key);
        let is_small = manifest.len() <= EDITED_IN_STEP_MAX && plan.changes.len() <= FINISHED_IN_STEP_MAX;
        drop(state);
        let mut progress = Some(progress);
        let mut left = plan.changes.len();
        for changes in plan.changes.chunks(READ_AT_ONCE) {
            self.read_ahead(changes);
            self.in_steps(changes.len(), CHANGES_PER_STEP, |state, some| {
                let changes = changes.get(some).unwrap_or_default();
                progress.iter_mut().for_each(|progress| progress.take_all(state, key, is_live, changes));
                left -= changes.len();
                if left == 0
                    && is_small
                    && let Some(progress) = progress.take()
                {
                    let edited = progress.edited(state, key);
                    progress.finish(state, key, edited, (next, lsn));
                }
            });
        }
        // A batch that changes nothing moves the peer's order as well.
        if let Some(progress) = progress {
            let edited = progress.edited(&self.state.read(), key);
            self.step(|state| progress.finish(state, key, edited, (next, lsn)));
        }
        self.wake_when_frozen();
    }

    /// Reads what some changes will read, before any search has to wait for it.
    fn read_ahead(&self, changes: &[Planned]) {
        self.state.read().warm_known(changes.iter().filter_map(|change| change.draft.known));
    }
}

/// The contents of a manifest, where it is not much larger than a batch.
fn prior(state: &State, manifest: &Manifest, changes: usize) -> Option<HashSet<ContentKey>> {
    let is_small = manifest.len() <= 4 * changes;
    is_small.then(|| {
        let contents = manifest.names.iter().filter_map(|name| state.names.get(*name));
        contents.map(|name| name.content).collect()
    })
}

impl Progress {
    fn take_all(&mut self, state: &mut State, key: PeerKey, is_live: bool, changes: &[Planned]) {
        changes.iter().for_each(|change| self.take(state, key, is_live, change));
    }

    /// The peer's names as they will be, and when they changed.
    fn edited(&self, state: &State, key: PeerKey) -> (Vec<NameKey>, Vec<u32>) {
        state.peers.get(key).map(|peer| peer.manifest.edited(&self.edits)).unwrap_or_default()
    }

    fn take(&mut self, state: &mut State, key: PeerKey, is_live: bool, change: &Planned) {
        let mut edit = Edit { at: change.at, is_replaced: change.before.is_some(), after: None };
        // Added before removed: a content that stays is not given up and registered again.
        if let Some(file) = &change.draft.file {
            let Draft { path_hash, known, terms, .. } = &change.draft;
            let arrival = Arrival { file, path_hash: *path_hash, known: *known, terms: terms.as_ref() };
            let entered = state.enter(&arrival);
            let paths = self.paths_of(state, key, entered.content);
            *paths += 1;
            let is_first = *paths == 1;
            let odd = state.add(key, is_live, is_first, entered, file);
            self.odd.push((entered.name, odd));
            self.digest.add_all(change.draft.digest);
            self.bytes += u128::from(file.size);
            edit.after = Some((entered.name, clamp_time(file.modified)));
        }
        if let Some(before) = &change.before
            && let Some(content) = state.names.get(before.name).map(|name| name.content)
        {
            let paths = self.paths_of(state, key, content);
            *paths = paths.saturating_sub(1);
            let is_last = *paths == 0;
            state.remove(key, is_live, is_last, before.name, before.odd);
            if edit.after.map(|(name, _)| name) != Some(before.name) {
                self.odd.push((before.name, Odd::default()));
            }
            self.digest.remove_all(before.digest);
            self.bytes -= u128::from(before.size);
        }
        self.edits.push(edit);
    }

    /// Under how many paths the peer has a content at this point of the batch.
    fn paths_of(&mut self, state: &State, key: PeerKey, content: ContentKey) -> &mut u32 {
        let prior = self.prior.as_ref();
        self.paths.entry(content).or_insert_with(|| {
            state.peers.get(key).map_or(0, |peer| paths_before(state, &peer.manifest, prior, content))
        })
    }

    fn finish(
        self,
        state: &mut State,
        key: PeerKey,
        (names, changed): (Vec<NameKey>, Vec<u32>),
        ((epoch, seq), lsn): ((u64, u64), u64),
    ) {
        let unlisted = |content: &ContentKey| {
            state.contents.get(*content).is_some_and(super::contents::Content::has_unlisted)
        };
        let repeats: Vec<(ContentKey, Option<u32>)> = self
            .paths
            .iter()
            .map(|(content, paths)| {
                (*content, (*paths > 1 || (*paths == 1 && unlisted(content))).then_some(*paths))
            })
            .collect();
        if let Some(peer) = state.peers.get_mut(key) {
            let manifest = &mut peer.manifest;
            (manifest.names, manifest.changed) = (names, changed);
            (manifest.digest, manifest.bytes) = (self.digest, self.bytes);
            self.odd.into_iter().for_each(|(name, odd)| manifest.set_odd(name, odd));
            repeats.into_iter().for_each(|(content, paths)| manifest.set_repeats(content, paths));
            let (_, _, asked) = peer.order.parts();
            (peer.order, peer.lsn) = (Order::restored(epoch, seq, asked), lsn);
        }
        for content in self.paths.into_keys() {
            if state.contents.get(content).is_some_and(super::contents::Content::is_disputed) {
                state.decide(content);
            }
        }
    }
}

fn paths_before(
    state: &State,
    manifest: &Manifest,
    prior: Option<&HashSet<ContentKey>>,
    content: ContentKey,
) -> u32 {
    if manifest.len() == 0 {
        return 0;
    }
    if let Some(paths) = manifest.repeats(content) {
        return paths;
    }
    if let Some(prior) = prior {
        return u32::from(prior.contains(&content));
    }
    let Some(content) = state.contents.get(content) else { return 0 };
    u32::from(state.names.listed(content).any(|(name, _)| manifest.has(&state.names, name)))
}
