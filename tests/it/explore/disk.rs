//! What is on disk, held so that the many states that are kept share what is the same in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalesced::journal::{Committed, JournalError, MemoryJournal, Put};
use coalesced::scheduler::Snapshot;
use coalesced::simulate::Store;

type Rows = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    rows: Arc<Rows>,
    /// A wrong design: entries of keys are not written.
    forgets_keys: bool,
}

impl Disk {
    pub(crate) fn new(forgets_keys: bool) -> Self {
        Self { forgets_keys, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(key).map(|value| &**value)
    }

    /// What a reader, or a process that starts, finds.
    pub(crate) fn journal(&self) -> MemoryJournal {
        let journal = MemoryJournal::default();
        let put = |(key, value): (&Arc<[u8]>, &Arc<[u8]>)| Put { key: key.to_vec(), value: Some(value.to_vec()) };
        let _ = journal.commit(self.rows.iter().map(put).collect());
        journal
    }
}

impl Store for Disk {
    fn commit(&mut self, puts: Vec<Put>) -> Committed {
        let forgotten = |put: &Put| self.forgets_keys && put.key.first() == Some(&b'k');
        let rows = Arc::make_mut(&mut self.rows);
        for Put { key, value } in puts.into_iter().filter(|put| !forgotten(put)) {
            match value {
                Some(value) => drop(rows.insert(key.into(), value.into())),
                None => drop(rows.remove(key.as_slice())),
            }
        }
        proof()
    }

    fn snapshot(&self) -> Result<Snapshot, JournalError> {
        self.journal().snapshot()
    }
}

/// The error of a journal without anything to write.
pub(crate) fn proof() -> Committed {
    MemoryJournal::default().commit(Vec::new())
}
