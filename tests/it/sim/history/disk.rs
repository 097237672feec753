//! The journal's twin, which keeps every entry within the size that is safe on the real disk.

use coalesced::journal::{Committed, JournalError, MemoryJournal, Put, Reader};
use coalesced::scheduler::Snapshot;
use coalesced::simulate::Store;

/// A journal entry stays below this.
const ROW_BYTES_MAX: usize = 8 * 1024;

#[derive(Default)]
pub(super) struct Disk {
    journal: MemoryJournal,
    /// The key of an entry that was too large.
    pub(super) too_large: Option<Vec<u8>>,
}

impl Disk {
    pub(super) fn reader(&self) -> Reader {
        self.journal.reader()
    }
}

impl Store for Disk {
    fn commit(&mut self, puts: Vec<Put>) -> Committed {
        let too_large = |put: &&Put| put.value.as_ref().is_some_and(|value| value.len() > ROW_BYTES_MAX);
        if let Some(put) = puts.iter().find(too_large) {
            self.too_large = Some(put.key.clone());
        }
        self.journal.commit(puts)
    }

    fn snapshot(&self) -> Result<Snapshot, JournalError> {
        self.journal.snapshot()
    }
}
