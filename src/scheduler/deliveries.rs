//! PURE: which deliveries are repeats (invariant I7). Bounded in age and in number.

mod index;

use std::collections::VecDeque;
use std::time::Duration;

use self::index::Index;
use super::record::Remembered;
use crate::event::Fingerprint;
use crate::model::Timestamp;

/// How long a delivery is remembered. Senders redeliver for 3 days, on an enterprise server for 7.
pub const REMEMBERED_FOR: Duration = Duration::from_hours(7 * 24);
/// The most fingerprints kept; the oldest go first.
pub const REMEMBERED_MAX: usize = 131_072;
/// The most fingerprints forgotten in one step, so that no step is long; no step adds as many.
const FORGOTTEN_PER_STEP: usize = 4_096;
/// The most by which the capacity for fingerprints grows: doubling would leave half of it empty for good.
const GROWTH_MAX: usize = 8_192;

#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// Oldest first.
    known: VecDeque<(Fingerprint, Remembered)>,
    /// How many came before the first of `known`.
    forgotten: u64,
    index: Index,
}

impl Deliveries {
    /// Loads what the journal holds, in any order.
    pub fn recover(mut stored: Vec<(Fingerprint, Remembered)>) -> Self {
        stored.sort_by_key(|(_, remembered)| remembered.first);
        // Reserve all at once, with some to spare: growing step by step would hold twice as much meanwhile.
        let room = if stored.is_empty() { 0 } else { stored.len() + GROWTH_MAX };
        let known = VecDeque::with_capacity(room);
        let mut deliveries = Self { known, forgotten: 0, index: Index::with_room_for(stored.len()) };
        for (fingerprint, remembered) in stored {
            deliveries.remember(fingerprint, remembered);
        }
        deliveries
    }

    /// The first delivery that shares a fingerprint with this one.
    pub fn find(&self, fingerprints: &[Fingerprint]) -> Option<Remembered> {
        let number = fingerprints.iter().find_map(|fingerprint| self.number_of(*fingerprint))?;
        Some(self.known[self.place_of(number)].1)
    }

    pub fn remember(&mut self, fingerprint: Fingerprint, delivery: Remembered) {
        if let Some(number) = self.number_of(fingerprint) {
            let place = self.place_of(number);
            self.known[place].1 = delivery;
            return;
        }
        if self.known.len() == self.known.capacity() {
            self.known.reserve_exact(self.known.len().clamp(8, GROWTH_MAX));
        }
        let number = self.forgotten + self.known.len() as u64;
        self.known.push_back((fingerprint, delivery));
        let (known, forgotten) = (&self.known, self.forgotten);
        self.index.insert(fingerprint, number, |number| known[place(number, forgotten)].0);
    }

    /// Forgets what is too old or too much.
    pub fn forget(&mut self, now: Timestamp) {
        for _ in 0..FORGOTTEN_PER_STEP {
            let Some((oldest, remembered)) = self.known.front() else { break };
            let too_old = remembered.at.plus(REMEMBERED_FOR) < now;
            if !(too_old || self.known.len() > REMEMBERED_MAX) {
                break;
            }
            let (known, forgotten) = (&self.known, self.forgotten);
            self.index.remove(*oldest, forgotten, |number| known[place(number, forgotten)].0);
            self.known.pop_front();
            self.forgotten += 1;
        }
    }

    fn number_of(&self, fingerprint: Fingerprint) -> Option<u64> {
        self.index.find(fingerprint, |number| self.known[self.place_of(number)].0)
    }

    fn place_of(&self, number: u64) -> usize {
        place(number, self.forgotten)
    }
}

/// The position of the entry with this number.
fn place(number: u64, forgotten: u64) -> usize {
    usize::try_from(number - forgotten).expect("no more than are kept")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;

    use super::*;
    use crate::model::Seq;

    /// Not all of one kind, so that some share a place in the index.
    fn fingerprint(number: u64) -> Fingerprint {
        let mut bytes = [0; 16];
        let half = if number.is_multiple_of(3) { 0..8 } else { 8..16 };
        bytes[half].copy_from_slice(&(number / 2).to_le_bytes());
        Fingerprint(bytes)
    }

    fn remembered(number: u64) -> Remembered {
        let at = Timestamp::from_millis(i64::try_from(number).expect("small") * 1_000);
        Remembered { first: Seq(number), count: 1, at }
    }

    #[test]
    fn it_knows_what_a_map_would_know() {
        let mut deliveries = Deliveries::default();
        let mut map: BTreeMap<Fingerprint, Remembered> = BTreeMap::new();
        // Steps of a 500th of a week, so that the oldest expire all the time.
        let week = REMEMBERED_FOR.as_secs();
        let mut dice = 7_u64;
        for number in 0..20_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let moment = number * (week / 500);
            let print = fingerprint(dice >> 50);
            assert_eq!(deliveries.find(&[print]), map.get(&print).copied(), "{number}");
            if let Entry::Vacant(place) = map.entry(print) {
                deliveries.remember(print, remembered(moment));
                place.insert(remembered(moment));
            }
            let now = remembered(moment).at;
            deliveries.forget(now);
            map.retain(|_, known| known.at.plus(REMEMBERED_FOR) >= now);
            assert_eq!(deliveries.known.len(), map.len());
        }
        assert!(map.keys().all(|print| deliveries.find(&[*print]).is_some()));
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let rows = (0..REMEMBERED_MAX as u64 + 1_000).map(|number| (Fingerprint(hashed(number)), remembered(number)));
        let mut deliveries = Deliveries::recover(rows.collect());
        deliveries.forget(Timestamp::from_millis(0));
        let knows = |number: u64| deliveries.find(&[Fingerprint(hashed(number))]).map(|known| known.first);
        assert_eq!([0, 999].map(knows), [None; 2]);
        assert_eq!([1_000, 5_000].map(knows), [Some(Seq(1_000)), Some(Seq(5_000))]);
        assert_eq!(deliveries.known.len(), REMEMBERED_MAX);
        let room = deliveries.known.capacity();
        assert!(room <= REMEMBERED_MAX + 1_000 + GROWTH_MAX, "room for {room}");
    }

    #[test]
    fn a_fingerprint_that_comes_again_is_kept_once() {
        let mut deliveries = Deliveries::default();
        deliveries.remember(fingerprint(1), remembered(1));
        deliveries.remember(fingerprint(1), remembered(2));
        assert_eq!(deliveries.find(&[fingerprint(9), fingerprint(1)]), Some(remembered(2)));
        assert_eq!(deliveries.known.len(), 1);
    }

    fn hashed(number: u64) -> [u8; 16] {
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes()
    }
}
