//! Who knows each name, and who has each content, worked out from the files of every peer: for a start.
//!
//! There may be hundreds of millions of registrations, each about a name and a content that lie anywhere in memory. So
//! they are not taken one by one: those of some peers at a time are first put into piles, each of names whose numbers are
//! close, and then pile after pile is counted, whose counters fit the cache of a core. From the counts follows where each
//! list of sources stands and which part of it is each name's, and in a second round every source is written there.
//!
//! Invariants: no two threads have a pile at once, so plain reads and writes of its names' counters will do. Both rounds
//! see the same registrations.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;

use super::arena::{ContentKey, Key, NameKey, PeerKey};
use super::contents::Contents;
use super::manifest::Manifest;
use super::names::Names;
use super::peers::Peers;
use super::restore::join;
use super::sources::Room;
use super::state::State;

/// Names of a pile, as a power of two: their counters take a megabyte.
const PILE_BITS: u32 = 17;
/// Registrations put into piles at a time: they take a quarter of a gigabyte.
const AT_A_TIME: usize = 32 << 20;
/// Threads beyond which memory is what limits.
const THREADS_MAX: usize = 8;

/// The files of a peer.
struct Files<'a> {
    peer: PeerKey,
    manifest: &'a Manifest,
    /// Places of those whose content it has under an earlier path as well, in order.
    again: Vec<u32>,
}

/// A registration in a pile.
#[derive(Debug, Clone, Copy)]
struct Registration {
    name: u32,
    /// [`NOBODY`] where the peer has the content under an earlier path as well.
    peer: PeerKey,
}

const NOBODY: PeerKey = PeerKey::MAX;

impl State {
    /// Works out who knows each name and who has each content; nobody is here yet.
    ///
    /// # Errors
    /// What does not fit together.
    pub(super) fn link(&mut self) -> Result<(), &'static str> {
        for key in self.peers.keys() {
            self.known_files += self.peers.get(key).map_or(0, |peer| peer.manifest.len() as u64);
            self.claim_odd_sizes(key);
        }
        // Taken apart, since contents and names change while the peers are looked at.
        let Self { peers, names, contents, .. } = self;
        let files = files(peers, names);
        let zeros = || -> Vec<AtomicU32> { (0..names.slots()).map(|_| AtomicU32::new(0)).collect() };
        let (known, having, all_here) = (zeros(), zeros(), AtomicBool::new(true));
        each_in_piles(&files, names, |Registration { name, peer }| {
            if add_one(&known, name) == u32::MAX {
                all_here.store(false, Ordering::Relaxed);
            }
            if peer != NOBODY {
                add_one(&having, name);
            }
        });
        if !names.set_known(&known) || !all_here.into_inner() {
            return Err("a peer has names that are not there");
        }
        drop(known);
        let (room, next) =
            make_room(contents, names, having).ok_or("it has more registrations than can be")?;
        each_in_piles(&files, names, |Registration { name, peer }| {
            if peer != NOBODY {
                room.put(add_one(&next, name), peer);
            }
        });
        self.sources = room.filled();
        Ok(())
    }

    /// Notes what a peer says of sizes where the first said otherwise.
    fn claim_odd_sizes(&mut self, key: PeerKey) {
        let Some(rare) = self.peers.get(key).and_then(|peer| peer.manifest.rare.as_ref()) else { return };
        let sizes = rare.odd.iter().filter_map(|(name, odd)| Some((*name, odd.size?)));
        for (name, size) in sizes.collect::<Vec<_>>() {
            let Some(content) = self.names.get(name).map(|name| name.content) else { continue };
            let first = self.said_first(content);
            self.claims.add(content, first, key, size);
            if let Some(content) = self.contents.get_mut(content) {
                content.set_disputed(true);
            }
        }
    }
}

/// What every peer has.
fn files<'a>(peers: &'a Peers, names: &Names) -> Vec<Files<'a>> {
    let of_name = |slot| names.get(NameKey::from(slot)).map_or(NOWHERE, |name| name.content);
    // The contents alone are a seventh of what the names take, so more of them are in the caches.
    let contents: Vec<ContentKey> = (0..names.slots()).map(of_name).collect();
    let keys = peers.keys();
    let threads = threads();
    thread::scope(|scope| {
        let shares = keys.chunks(keys.len().div_ceil(threads).max(1));
        let files = |key: &PeerKey| {
            let manifest = &peers.get(*key)?.manifest;
            Some(Files { peer: *key, manifest, again: again(manifest, &contents) })
        };
        let shares: Vec<_> = shares
            .map(|keys| scope.spawn(move || keys.iter().filter_map(files).collect::<Vec<_>>()))
            .collect();
        shares.into_iter().flat_map(join).collect()
    })
}

const NOWHERE: ContentKey = ContentKey::MAX;

/// Places of files whose content stands at an earlier place as well.
fn again(manifest: &Manifest, contents: &[ContentKey]) -> Vec<u32> {
    let Some(rare) = manifest.rare.as_ref().filter(|rare| !rare.repeats.is_empty()) else {
        return Vec::new();
    };
    let mut seen = HashSet::new();
    let is_again = |name: &NameKey| {
        let content = contents.get(u32::from(*name) as usize).copied().unwrap_or(NOWHERE);
        rare.repeats.contains_key(&content) && !seen.insert(content)
    };
    let places = (0..).zip(manifest.names.iter().map(is_again));
    places.filter_map(|(place, is_again)| is_again.then_some(place)).collect()
}

/// Makes room for the sources of every content, those of one name beside each other. Takes how many sources have each name,
/// and gives the slot of its first.
fn make_room(
    contents: &mut Contents,
    names: &Names,
    having: Vec<AtomicU32>,
) -> Option<(Room, Vec<AtomicU32>)> {
    let content = |name: u32| names.get(NameKey::from(name)).map_or(NOWHERE, |name| name.content);
    let mut lens = vec![0; contents.slots() as usize];
    for (name, having) in (0..).zip(&having) {
        if let Some(len) = lens.get_mut(u32::from(content(name)) as usize) {
            *len += having.load(Ordering::Relaxed);
        }
    }
    let mut slots = vec![0; lens.len()];
    let room = Room::for_lists(&lens, |number, list, slot| {
        slots[number] = slot;
        let key = u32::try_from(number).unwrap_or(u32::MAX);
        if let Some(content) = contents.get_mut(ContentKey::from(key)) {
            content.sources = list;
        }
    })?;
    for (name, having) in (0..).zip(&having) {
        if let Some(slot) = slots.get_mut(u32::from(content(name)) as usize) {
            *slot += having.swap(*slot, Ordering::Relaxed);
        }
    }
    Some((room, having))
}

/// Calls with each registration, in the same order each time for any one name.
fn each_in_piles(files: &[Files<'_>], names: &Names, take: impl Fn(Registration) + Sync) {
    let (mut left, threads) = (files, threads());
    while !left.is_empty() {
        let mut registrations = 0;
        let fits = |files: &&Files<'_>| {
            let fits = registrations < AT_A_TIME;
            registrations += files.manifest.len();
            fits
        };
        let (some, rest) = left.split_at(left.iter().take_while(fits).count());
        left = rest;
        let (next, piles) = (AtomicUsize::new(0), piles(names));
        let heaps: Vec<_> = thread::scope(|scope| {
            let shares = some.chunks(some.len().div_ceil(threads));
            let heaps: Vec<_> = shares.map(|files| scope.spawn(move || heap(files, piles))).collect();
            heaps.into_iter().map(join).collect()
        });
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let pile = next.fetch_add(1, Ordering::Relaxed)
                        && pile < piles
                    {
                        heaps.iter().filter_map(|heap| heap.get(pile)).flatten().copied().for_each(&take);
                    }
                });
            }
        });
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, THREADS_MAX)
}

/// The last is of numbers that are no name's.
fn piles(names: &Names) -> usize {
    (names.slots() >> PILE_BITS) as usize + 2
}

/// What some peers have, in piles by name.
fn heap(files: &[Files<'_>], piles: usize) -> Vec<Vec<Registration>> {
    let registrations: usize = files.iter().map(|files| files.manifest.len()).sum();
    let mut heap: Vec<_> = (0..piles).map(|_| Vec::with_capacity(registrations / piles)).collect();
    for Files { peer, manifest, again } in files {
        let mut again = again.iter().peekable();
        for (place, name) in (0..).zip(&manifest.names) {
            let peer = if again.next_if(|next| **next == place).is_some() { NOBODY } else { *peer };
            let name = u32::from(*name);
            heap[((name >> PILE_BITS) as usize).min(piles - 1)].push(Registration { name, peer });
        }
    }
    heap
}

/// Adds one to the number of a name that no other thread changes meanwhile, and gives what it was; the highest where there
/// is no such name.
fn add_one(numbers: &[AtomicU32], name: u32) -> u32 {
    let Some(number) = numbers.get(name as usize) else { return u32::MAX };
    let was = number.load(Ordering::Relaxed);
    number.store(was.wrapping_add(1), Ordering::Relaxed);
    was
}
