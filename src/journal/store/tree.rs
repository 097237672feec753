//! The database's tree as the history reads it while the journal's thread writes. Never writes.

use std::sync::Arc;

use super::open_error::read_failed;
use crate::journal::error::JournalError;
use crate::journal::history::Entries;
use crate::journal::lock::Lock;

/// sled evicts only when pages in the same shard of its cache were accessed 64 times, so a page of history that is used
/// once would stay in memory: reading a million events would hold 300 MB. A large entry is therefore accessed that many
/// more times after it is read or written.
const LOOKED_AT_AGAIN: usize = 8;
/// Smaller entries share a page of the database with many others.
const LARGE_ENTRY_BYTES: usize = 1_024;

/// A tree, read by threads other than the journal's.
pub(super) struct Tree {
    tree: sled::Tree,
    _lock: Arc<Lock>,
}

impl Tree {
    pub(super) fn new(tree: sled::Tree, lock: Arc<Lock>) -> Self {
        Self { tree, _lock: lock }
    }
}

impl Entries for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.tree.get(key).map_err(|error| read_failed(&error))?.map(|value| value.to_vec()))
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
        let mut entries = self.tree.range(from..to);
        while let Some(entry) = if newest_first { entries.next_back() } else { entries.next() } {
            let (key, value) = entry.map_err(|error| read_failed(&error))?;
            if is_large(&value) {
                touch_for_eviction(&self.tree, &key)?;
            }
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether an entry has a page of the database to itself, or nearly so.
pub(super) fn is_large(value: &[u8]) -> bool {
    value.len() >= LARGE_ENTRY_BYTES
}

/// Makes sled notice that an entry was used, so that it evicts others.
pub(super) fn touch_for_eviction(tree: &sled::Tree, key: &[u8]) -> Result<(), JournalError> {
    for _ in 0..LOOKED_AT_AGAIN {
        let _same = tree.get(key).map_err(|error| read_failed(&error))?;
    }
    Ok(())
}
