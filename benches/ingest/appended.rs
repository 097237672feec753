//! About the least that a disk costs: the rows of each step are appended to a file that is synced, and kept in memory. Nothing
//! could be read back from it after a crash.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use coalesced::journal::{Committed, JournalError, MemoryJournal, Put, Retention, Storage, Vitals};
use tokio::sync::oneshot;

/// Steps on their way to the thread; there is one at a time.
const STEPS_MAX: usize = 4;

pub(super) struct Appended {
    memory: MemoryJournal,
    steps: SyncSender<(Vec<u8>, oneshot::Sender<()>)>,
}

impl Appended {
    pub(super) fn new(memory: MemoryJournal) -> Self {
        let file = tempfile::tempfile().expect("a file");
        let (steps, inbox) = sync_channel(STEPS_MAX);
        std::thread::Builder::new().name("appending".to_owned()).spawn(move || append(file, &inbox)).expect("a thread");
        Self { memory, steps }
    }
}

fn append(mut file: File, inbox: &Receiver<(Vec<u8>, oneshot::Sender<()>)>) {
    while let Ok((bytes, done)) = inbox.recv() {
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
        let _gone = done.send(());
    }
}

impl Storage for Appended {
    async fn commit(&self, puts: Vec<Put>, retention: Retention) -> Result<Committed, JournalError> {
        if !puts.is_empty() {
            let rows = puts.iter().flat_map(|put| [Some(&put.key), put.value.as_ref()]);
            let bytes = rows.flatten().flatten().copied().collect();
            let (done, written) = oneshot::channel();
            self.steps.try_send((bytes, done)).map_err(|_| JournalError::Ended)?;
            written.await.map_err(|_| JournalError::Ended)?;
        }
        Storage::commit(&self.memory, puts, retention).await
    }

    fn vitals(&self) -> Arc<Vitals> {
        self.memory.vitals()
    }

    fn close(self) {}
}
