//! PURE: which deliveries came before (invariant I7). Bounded in age and in number.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::record::Remembered;
use crate::event::Fingerprint;
use crate::model::Timestamp;

/// How long a delivery is remembered. Senders redeliver for 3 days, on an enterprise server for 7.
pub const REMEMBERED_FOR: Duration = Duration::from_hours(7 * 24);
/// The most fingerprints kept; the oldest go first.
pub const REMEMBERED_MAX: usize = 131_072;
/// The most fingerprints forgotten in one step, so that no step is long; more than one step brings.
const FORGOTTEN_PER_STEP: usize = 4_096;

#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    known: BTreeMap<Fingerprint, Remembered>,
    /// Oldest first.
    order: VecDeque<Fingerprint>,
}

impl Deliveries {
    /// Takes up what the journal holds, in any order.
    pub fn recover(mut rows: Vec<(Fingerprint, Remembered)>) -> Self {
        rows.sort_by_key(|(_, remembered)| remembered.first);
        Self { order: rows.iter().map(|(fingerprint, _)| *fingerprint).collect(), known: rows.into_iter().collect() }
    }

    /// The first delivery that shares a fingerprint with this one.
    pub fn find(&self, fingerprints: &[Fingerprint]) -> Option<Remembered> {
        fingerprints.iter().find_map(|fingerprint| self.known.get(fingerprint)).copied()
    }

    pub fn remember(&mut self, fingerprint: Fingerprint, delivery: Remembered) {
        if self.known.insert(fingerprint, delivery).is_none() {
            self.order.push_back(fingerprint);
        }
    }

    /// Forgets what is too old or too much.
    pub fn forget(&mut self, now: Timestamp) {
        for _ in 0..FORGOTTEN_PER_STEP {
            let Some(oldest) = self.order.front() else { break };
            let too_old = self.known.get(oldest).is_none_or(|known| known.at.plus(REMEMBERED_FOR) < now);
            if !(too_old || self.order.len() > REMEMBERED_MAX) {
                break;
            }
            self.known.remove(oldest);
            self.order.pop_front();
        }
    }
}
