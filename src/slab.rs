//! Slots with generations: [`Names`] hands out keys, [`Slab`] keeps values under them.
//!
//! Invariant: a pair of slot and generation is handed out once, ever. A slot whose generations are used up is retired:
//! it is never handed out again.

use crate::id::{MAX_GENERATION, MAX_SLOTS};

/// A place and which use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The place.
    pub slot: u32,
    /// Which use of it; at least 1.
    pub generation: u32,
}

impl Key {
    /// The key as one number, for the kernel to carry.
    pub fn to_u64(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.slot)
    }

    /// Reads the number back.
    pub fn from_u64(raw: u64) -> Key {
        Key { slot: raw as u32, generation: (raw >> 32) as u32 }
    }
}

/// Which keys are in use, and which come next.
#[derive(Default)]
pub struct Names {
    /// The generation in use, or the next one, by slot.
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Names {
    /// A key that was never handed out before; `None` when every slot is taken or worn out.
    pub fn claim(&mut self) -> Option<Key> {
        if let Some(slot) = self.free.pop() {
            return Some(Key { slot, generation: self.generations[slot as usize] });
        }
        if self.generations.len() == MAX_SLOTS {
            return None;
        }
        self.generations.push(1);
        Some(Key { slot: self.generations.len() as u32 - 1, generation: 1 })
    }

    /// Takes a key back; its slot comes again under another generation, or not at all.
    pub fn release(&mut self, key: Key) {
        let generation = &mut self.generations[key.slot as usize];
        debug_assert_eq!(*generation, key.generation, "a key is released once");
        *generation += 1;
        if *generation <= MAX_GENERATION {
            self.free.push(key.slot);
        }
    }
}

/// Values by [`Key`]; a stale key finds nothing.
pub struct Slab<T> {
    slots: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Slab<T> {
    /// An empty slab.
    pub fn new() -> Slab<T> {
        Slab { slots: Vec::new(), len: 0 }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Stores the value under a key whose slot is empty.
    pub fn insert(&mut self, key: Key, value: T) {
        let slot = key.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "a slot holds one value");
        self.slots[slot] = Some((key.generation, value));
        self.len += 1;
    }

    /// The value that `key` names, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.slot as usize)? {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value that `key` names, if it is still there.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.slot as usize)? {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value out; its key finds nothing from then on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.len -= 1;
        self.slots[key.slot as usize].take().map(|(_, value)| value)
    }

    /// The keys of all values.
    pub fn keys(&self) -> Vec<Key> {
        let key = |(slot, entry): (usize, &Option<(u32, T)>)| {
            entry.as_ref().map(|(generation, _)| Key { slot: slot as u32, generation: *generation })
        };
        self.slots.iter().enumerate().filter_map(key).collect()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_worn_out_slot_is_retired() {
        let mut names = Names { generations: vec![MAX_GENERATION], free: vec![0] };
        let last = names.claim().expect("one use is left");
        assert_eq!(last, Key { slot: 0, generation: MAX_GENERATION });
        names.release(last);
        assert_eq!(names.claim().expect("a new slot"), Key { slot: 1, generation: 1 });
    }

    #[test]
    fn a_key_survives_the_kernel() {
        let key = Key { slot: 0xf_ffff, generation: MAX_GENERATION };
        assert_eq!(Key::from_u64(key.to_u64()), key);
    }

    proptest! {
        /// Against a map that never forgets: live keys find their value, all others find nothing.
        #[test]
        fn a_key_finds_its_own_value_or_nothing(steps in proptest::collection::vec(any::<(bool, u8)>(), 1..200)) {
            let (mut names, mut slab) = (Names::default(), Slab::new());
            let mut model: HashMap<Key, Option<usize>> = HashMap::new();
            let mut given: Vec<Key> = Vec::new();
            for (number, (insert, pick)) in steps.into_iter().enumerate() {
                if insert || given.is_empty() {
                    let key = names.claim().expect("room");
                    slab.insert(key, number);
                    prop_assert!(model.insert(key, Some(number)).is_none(), "a key was handed out twice");
                    given.push(key);
                } else {
                    let key = given[pick as usize % given.len()];
                    let removed = slab.remove(key);
                    prop_assert_eq!(removed, model.insert(key, None).flatten());
                    if removed.is_some() { names.release(key); }
                }
                for (key, value) in &model {
                    prop_assert_eq!(slab.get(*key), value.as_ref());
                }
                prop_assert_eq!(slab.len(), model.values().flatten().count());
                prop_assert_eq!(slab.keys().len(), slab.len());
            }
        }
    }
}
