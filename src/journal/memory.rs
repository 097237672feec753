//! The journal's twin in memory: the same entries, the same order, no disk. For simulation, tests and measurements.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::committed::Committed;
use super::error::JournalError;
use super::history::keys::Put;
use super::history::retention::Retention;
use super::history::{Entries, Reader};
use super::storage::Storage;
use super::vitals::Vitals;
use crate::scheduler::Snapshot;

/// Keeps what is committed while it lives.
#[derive(Clone, Default)]
pub struct MemoryJournal {
    entries: Arc<Map>,
}

#[derive(Default)]
struct Map(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MemoryJournal {
    /// Takes a step in, whole.
    pub fn commit(&self, puts: Vec<Put>) -> Committed {
        let mut entries = self.entries.0.write().unwrap_or_else(PoisonError::into_inner);
        for Put { key, value } in puts {
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        Committed(())
    }

    /// What a daemon would find if it started now.
    pub fn snapshot(&self) -> Result<Snapshot, JournalError> {
        Ok(self.reader().snapshot()?.unwrap_or_default())
    }

    pub fn reader(&self) -> Reader {
        Reader::new(self.entries.clone())
    }
}

impl Storage for MemoryJournal {
    /// Nothing is forgotten: it is short-lived.
    async fn commit(&self, puts: Vec<Put>, _: Retention) -> Result<Committed, JournalError> {
        Ok(Self::commit(self, puts))
    }

    fn vitals(&self) -> Arc<Vitals> {
        Arc::new(Vitals::new(None, 0))
    }

    fn close(self) {}
}

impl Entries for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(
        &self,
        (from, to): (&[u8], &[u8]),
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        if from >= to {
            return Ok(());
        }
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut within = entries.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        while let Some((key, value)) = if newest_first { within.next_back() } else { within.next() } {
            if !take(key, value) {
                break;
            }
        }
        Ok(())
    }
}
