//! Numbered slots: what is stored keeps its number until it is taken out, and a number is small enough for a bitmap.
//!
//! Invariant: a number that was given out and not taken back names one thing. Numbers are used again after that, so
//! whoever takes a thing out also takes its number out of every structure that holds it.

use std::marker::PhantomData;

use super::chunked::Chunked;

/// A number for one kind of thing.
pub(super) trait Key: Copy + From<u32> + Into<u32> {
    /// The highest, which is never given out.
    const MAX: Self;
}

/// Makes a number for one kind of thing, so that a name's can't be taken for a content's.
macro_rules! key {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) struct $name(u32);

        impl Key for $name {
            const MAX: Self = Self(u32::MAX);
        }

        impl From<u32> for $name {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u32 {
            fn from(key: $name) -> Self {
                key.0
            }
        }
    )*};
}

key! {
    /// A peer that is known.
    PeerKey
    /// A content that a known peer has.
    ContentKey
    /// A path that some known peer has a content under.
    NameKey
}

/// The slots of one kind of thing.
#[derive(Debug)]
pub(super) struct Arena<K, T> {
    slots: Chunked<Option<T>>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self { slots: Chunked::default(), free: Vec::new(), key: PhantomData }
    }
}

impl<K: Key, T> Arena<K, T> {
    pub(super) fn insert(&mut self, value: T) -> K {
        if let Some(number) = self.free.pop() {
            if let Some(slot) = self.slots.get_mut(number) {
                *slot = Some(value);
            }
            return K::from(number);
        }
        K::from(self.slots.push(Some(value)))
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let number = key.into();
        let value = self.slots.get_mut(number)?.take()?;
        self.free.push(number);
        Some(value)
    }

    pub(super) fn get(&self, key: K) -> Option<&T> {
        self.slots.get(key.into())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slots.get_mut(key.into())?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_after_its_thing_is_gone() {
        let mut arena = Arena::<NameKey, &str>::default();
        let (a, b) = (arena.insert("a"), arena.insert("b"));
        assert_eq!((arena.remove(a), arena.remove(a), arena.len()), (Some("a"), None, 1));
        let c = arena.insert("c");
        assert_eq!((c, arena.get(c), arena.get(b)), (a, Some(&"c"), Some(&"b")));
        assert_eq!(arena.get(NameKey::MAX), None);
    }
}
