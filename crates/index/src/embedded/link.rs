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
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;

use super::arena::{ContentKey, Key, NameKey, PeerKey};
use super::manifest::Manifest;
use super::names::Names;
use super::restore::join;
use super::sources::Room;
use super::state::State;

/// Names of a pile, as a power of two: their counters take a megabyte.
const PILE_BITS: u32 = 17;
/// Registrations put into piles at a time: they take a quarter of a gigabyte.
const AT_A_TIME: usize = 32 << 20;
/// Threads beyond which memory is what limits.
const THREADS_MAX: usize = 8;

/// A registration in a pile; of nobody where the peer has the content under an earlier path as well.
#[derive(Debug, Clone, Copy)]
struct Registration {
    name: u32,
    peer: PeerKey,
}

impl Registration {
    const NOBODY: PeerKey = PeerKey::MAX;
}

impl State {
    /// Works out who knows each name and who has each content; nobody is here yet.
    ///
    /// # Errors
    /// What does not fit together.
    pub(super) fn link(&mut self) -> Result<(), &'static str> {
        self.known_files = 0;
        for key in self.peers.keys() {
            self.known_files += self.peers.get(key).map_or(0, |peer| peer.manifest.len() as u64);
            self.claim_odd_sizes(key);
        }
        let zeros = || -> Vec<AtomicU32> { (0..self.names.slots()).map(|_| AtomicU32::new(0)).collect() };
        let (known, having) = (zeros(), zeros());
        self.each_in_piles(|Registration { name, peer }| {
            add_one(&known, name);
            if peer != Registration::NOBODY {
                add_one(&having, name);
            }
        })?;
        if !self.names.set_known(&known) {
            return Err("a peer has names that are not there");
        }
        drop(known);
        let (room, next) = self.make_room(having).ok_or("it has more registrations than can be")?;
        self.each_in_piles(|Registration { name, peer }| {
            if peer != Registration::NOBODY {
                room.put(add_one(&next, name), peer);
            }
        })?;
        self.sources = room.filled();
        Ok(())
    }

    /// Makes room for the sources of every content, those of one name beside each other. Takes how many sources have each
    /// name, and gives the slot of its first.
    fn make_room(&mut self, having: Vec<AtomicU32>) -> Option<(Room, Vec<AtomicU32>)> {
        let content =
            |name: u32| self.names.get(NameKey::from(name)).map_or(u32::MAX, |name| name.content.into());
        let mut lens = vec![0; self.contents.slots() as usize];
        for (name, having) in (0..).zip(&having) {
            if let Some(len) = lens.get_mut(content(name) as usize) {
                *len += having.load(Ordering::Relaxed);
            }
        }
        let mut slots = vec![0; lens.len()];
        let contents = &mut self.contents;
        let room = Room::for_lists(&lens, |number, list, slot| {
            slots[number] = slot;
            let key = u32::try_from(number).unwrap_or(u32::MAX);
            if let Some(content) = contents.get_mut(ContentKey::from(key)) {
                content.sources = list;
            }
        })?;
        for (name, having) in (0..).zip(&having) {
            if let Some(slot) = slots.get_mut(content(name) as usize) {
                *slot += having.swap(*slot, Ordering::Relaxed);
            }
        }
        Some((room, having))
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

    /// Calls with each registration of every peer, in the same order each time for any one name.
    fn each_in_piles(&self, take: impl Fn(Registration) + Sync) -> Result<(), &'static str> {
        let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, THREADS_MAX);
        let keys = self.peers.keys().into_iter();
        let manifests: Vec<_> = keys.filter_map(|key| Some((key, &self.peers.get(key)?.manifest))).collect();
        let mut left = manifests.as_slice();
        while !left.is_empty() {
            let mut files = 0;
            let fits = |(_, manifest): &&(PeerKey, &Manifest)| {
                let fits = files < AT_A_TIME;
                files += manifest.len();
                fits
            };
            let (some, rest) = left.split_at(left.iter().take_while(fits).count());
            left = rest;
            let heaps: Option<Vec<_>> = thread::scope(|scope| {
                let shares = some.chunks(some.len().div_ceil(threads));
                let heaps: Vec<_> = shares.map(|peers| scope.spawn(|| heap(peers, &self.names))).collect();
                heaps.into_iter().map(join).collect()
            });
            let heaps = heaps.ok_or("a peer has names that are not there")?;
            let (next, piles) = (AtomicUsize::new(0), piles(&self.names));
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
        Ok(())
    }
}

fn piles(names: &Names) -> usize {
    (names.slots() >> PILE_BITS) as usize + 1
}

/// What some peers have, in piles by name; `None` where a name is none.
fn heap(peers: &[(PeerKey, &Manifest)], names: &Names) -> Option<Vec<Vec<Registration>>> {
    let files: usize = peers.iter().map(|(_, manifest)| manifest.len()).sum();
    let piles = piles(names);
    let mut heap: Vec<_> = (0..piles).map(|_| Vec::with_capacity(files / piles)).collect();
    for (peer, manifest) in peers {
        let repeats = manifest.rare.as_ref().filter(|rare| !rare.repeats.is_empty());
        let mut seen = HashSet::new();
        for name in &manifest.names {
            let is_again = match repeats {
                Some(rare) => {
                    let content = names.get(*name)?.content;
                    rare.repeats.contains_key(&content) && !seen.insert(content)
                }
                None => false,
            };
            let peer = if is_again { Registration::NOBODY } else { *peer };
            let name = u32::from(*name);
            heap.get_mut((name >> PILE_BITS) as usize)?.push(Registration { name, peer });
        }
    }
    Some(heap)
}

/// Adds one to the number of a name that no other thread changes meanwhile, and gives what it was.
fn add_one(numbers: &[AtomicU32], name: u32) -> u32 {
    let Some(number) = numbers.get(name as usize) else { return u32::MAX };
    let was = number.load(Ordering::Relaxed);
    number.store(was.wrapping_add(1), Ordering::Relaxed);
    was
}
