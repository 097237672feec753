//! The journal's twin in memory: the same rows, the same order, no disk. For simulation and tests.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::history::{Row, Rows};
use super::{Committed, JournalError, Put, Reader};
use crate::scheduler::Snapshot;

/// Keeps what is committed for as long as it lives.
#[derive(Clone, Default)]
pub struct MemoryJournal {
    rows: Arc<Map>,
}

#[derive(Default)]
struct Map(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MemoryJournal {
    /// Takes a step in, whole.
    pub fn commit(&self, puts: Vec<Put>) -> Committed {
        let mut rows = self.rows.0.write().unwrap_or_else(PoisonError::into_inner);
        for Put { key, value } in puts {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        Committed(())
    }

    /// What a daemon that starts now would find.
    pub fn snapshot(&self) -> Result<Snapshot, JournalError> {
        Ok(self.reader().snapshot()?.map(|(_, snapshot)| snapshot).unwrap_or_default())
    }

    pub fn reader(&self) -> Reader {
        Reader::new(self.rows.clone())
    }
}

impl Rows for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let within = rows.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        if newest_first {
            let all: Vec<_> = within.collect();
            all.into_iter().rev().all(|(key, value)| take(key, value));
        } else {
            let mut within = within;
            within.all(|(key, value)| take(key, value));
        }
        Ok(())
    }

    fn first_from(&self, prefix: &[u8], from: &[u8]) -> Result<Option<Row>, JournalError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let first = rows.range(from.to_vec()..).next().filter(|(key, _)| key.starts_with(prefix));
        Ok(first.map(|(key, value)| (key.clone(), value.clone())))
    }
}
