//! The position of each known fingerprint: a hash table with open addressing.
//!
//! Every push looks up two or three fingerprints among up to 131,072, adds them and drops as many old ones. In a tree
//! each of these costs several cache misses; here it is one or two. The table is never iterated, so its order
//! can't influence a decision.

use crate::event::Fingerprint;

/// An empty slot.
const FREE: u64 = u64::MAX;
/// The fewest slots, once there are any.
const PLACES_MIN: usize = 16;

/// Finds the numbers of entries by their fingerprints, which are stored elsewhere: `of` returns an entry's.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// A power of two, at most half of them taken; or none yet.
    places: Vec<u64>,
    taken: usize,
}

impl Index {
    pub(super) fn with_room_for(entries: usize) -> Self {
        if entries == 0 {
            return Self::default();
        }
        Self { places: vec![FREE; (entries * 2).next_power_of_two().max(PLACES_MIN)], taken: 0 }
    }

    pub(super) fn find(&self, fingerprint: Fingerprint, of: impl Fn(u64) -> Fingerprint) -> Option<u64> {
        let mut at = self.home(fingerprint)?;
        loop {
            match self.places[at] {
                FREE => return None,
                number if of(number) == fingerprint => return Some(number),
                _ => at = self.after(at),
            }
        }
    }

    /// Adds an entry that is absent. `of` must know it already.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, number: u64, of: impl Fn(u64) -> Fingerprint) {
        if (self.taken + 1) * 2 > self.places.len() {
            let room = (self.places.len() * 2).max(PLACES_MIN);
            let before = std::mem::replace(&mut self.places, vec![FREE; room]);
            before.into_iter().filter(|number| *number != FREE).for_each(|number| self.put(of(number), number));
        }
        self.put(fingerprint, number);
        self.taken += 1;
    }

    /// Removes an entry that is present. `of` must still know it.
    pub(super) fn remove(&mut self, fingerprint: Fingerprint, number: u64, of: impl Fn(u64) -> Fingerprint) {
        let Some(mut gap) = self.home(fingerprint) else { return };
        while self.places[gap] != number {
            debug_assert!(self.places[gap] != FREE, "only what is there is removed");
            gap = self.after(gap);
        }
        self.taken -= 1;
        // Move up the entries behind that a gap would make unreachable.
        let mut at = gap;
        loop {
            self.places[gap] = FREE;
            loop {
                at = self.after(at);
                let next = self.places[at];
                if next == FREE {
                    return;
                }
                let Some(home) = self.home(of(next)) else { return };
                let may_move = self.distance(home, gap) < self.distance(home, at);
                if may_move {
                    self.places[gap] = next;
                    gap = at;
                    break;
                }
            }
        }
    }

    fn put(&mut self, fingerprint: Fingerprint, number: u64) {
        let Some(mut at) = self.home(fingerprint) else { return };
        while self.places[at] != FREE {
            at = self.after(at);
        }
        self.places[at] = number;
    }

    /// A fingerprint's first slot; None while there are no slots. Fingerprints are parts of a
    /// cryptographic hash, so a part of them would do; the multiplication is for those that tests make up.
    fn home(&self, Fingerprint(bytes): Fingerprint) -> Option<usize> {
        let bits = self.places.len().checked_ilog2()?;
        let (words, _) = bytes.as_chunks::<8>();
        let mixed = words.iter().fold(0_u64, |mixed, word| {
            (mixed.rotate_left(32) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        usize::try_from(mixed >> (u64::BITS - bits)).ok()
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    /// The distance from one slot to another, going forward.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }
}
