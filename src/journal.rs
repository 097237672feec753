//! The journal: the stored form of everything that must survive, and the only maker of [`Committed`].
//!
//! Only this module names sled. One thread owns it. One step of the scheduler is one batch, one flush and one
//! `fdatasync` of our own, because sled 0.34 on Linux flushes with `sync_file_range`, which by its manual page neither
//! writes metadata nor empties a disk's cache. Entries are plain (see `history/keys` and `history/entries`), and the
//! same for the in-memory twin that the simulation runs on.
//!
//! Any storage failure ends the process: memory must never run ahead of the disk.

mod committed;
mod error;
pub mod export;
mod files;
mod history;
mod lock;
mod memory;
mod open;
mod query;
mod storage;
mod store;
mod vitals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::committed::Committed;
pub use self::error::JournalError;
pub use self::export::live::{LiveState, Shown};
pub use self::history::entries::encode;
pub use self::history::keys::Put;
pub use self::history::retention::Retention;
pub use self::history::{Fate, Reader};
pub use self::memory::MemoryJournal;
use self::open::Opened;
pub use self::open::check;
pub use self::query::{BuildQuery, EventQuery, HistoryError, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
pub use self::storage::Storage;
use self::store::Writer;
pub use self::vitals::{COMMIT_LIMIT, Restored, Vitals};
use crate::scheduler::Snapshot;

/// The front of the journal: hands steps to the thread that owns the database.
pub struct Journal {
    commands: std::sync::mpsc::SyncSender<Commit>,
    thread: std::thread::JoinHandle<()>,
    vitals: Arc<Vitals>,
}

struct Commit {
    puts: Vec<Put>,
    retention: Retention,
    done: oneshot::Sender<Result<Committed, JournalError>>,
}

/// A storage that doesn't answer for this long counts as failed.
const OPEN_LIMIT: Duration = Duration::from_mins(1);
/// How long to wait for a predecessor that is still closing.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// The same for a command that a person waits for.
const COMMAND_PATIENCE: Duration = Duration::from_millis(500);
/// Steps on their way to the thread. The driver makes one at a time, so this never fills up.
const COMMANDS_MAX: usize = 4;

impl Journal {
    /// Opens the journal below `data_dir` exclusively and settles it: from here on, its contents are on disk.
    ///
    /// Blocks while the database opens. Never starts empty where data was: a damaged database is set aside, and the
    /// newest export replaces it ([`Vitals::restored`]).
    pub fn open(data_dir: &Path) -> Result<(Self, Reader, Snapshot), JournalError> {
        let directory = data_dir.to_owned();
        let (sender, opened) = std::sync::mpsc::channel();
        let (commands, inbox) = std::sync::mpsc::sync_channel::<Commit>(COMMANDS_MAX);
        let body = move || {
            // Panics that damage can cause are caught further down; this catches all others.
            let opened = match catch_unwind(AssertUnwindSafe(|| open::open(&directory, LOCK_PATIENCE))) {
                Ok(Ok(opened)) => opened,
                Ok(Err(error)) => return drop(sender.send(Err(error))),
                Err(_) => {
                    let why = "opening it panicked".to_owned();
                    return drop(sender.send(Err(JournalError::Unreadable { directory, why })));
                }
            };
            let Opened { mut store, snapshot, restored, stray_files } = opened;
            let vitals = Arc::new(Vitals::new(restored, stray_files));
            if sender.send(Ok((store.reader(), snapshot, vitals.clone()))).is_ok() {
                serve(&mut store, &inbox, &vitals);
            }
        };
        let unreadable = |why: String| JournalError::Unreadable { directory: data_dir.to_owned(), why };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(body)
            .map_err(|error| unreadable(format!("no thread for it: {error}")))?;
        let opened = opened.recv_timeout(OPEN_LIMIT);
        let (reader, snapshot, vitals) =
            opened.map_err(|_| unreadable(format!("no answer within {} s", OPEN_LIMIT.as_secs())))??;
        Ok((Self { commands, thread, vitals }, reader, snapshot))
    }
}

impl Storage for Journal {
    async fn commit(&self, puts: Vec<Put>, retention: Retention) -> Result<Committed, JournalError> {
        if puts.is_empty() {
            // Everything before is on disk already, since steps follow one another.
            return Ok(Committed(()));
        }
        let (done, answer) = oneshot::channel();
        self.commands.try_send(Commit { puts, retention, done }).map_err(|_| JournalError::Ended)?;
        answer.await.map_err(|_| JournalError::Ended)?
    }

    fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// Lets the thread end and waits for it. The directory is free once the last [`Reader`] is dropped.
    fn close(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("the journal's thread panicked at its end");
        }
    }
}

/// The live state of the journal below `data_dir`. No daemon may be using it.
pub fn state_of(data_dir: &Path) -> Result<LiveState, JournalError> {
    open::state_of(data_dir, COMMAND_PATIENCE)
}

/// Makes a journal from an export, in a data directory that holds none. Returns the export's header.
pub fn import(data_dir: &Path, file: &Path) -> Result<export::ExportHeader, JournalError> {
    open::import(data_dir, file, COMMAND_PATIENCE).map(|(head, _)| head)
}

/// One batch, one flush and one sync per step, until the channel closes or something fails.
fn serve(writer: &mut impl Writer, inbox: &std::sync::mpsc::Receiver<Commit>, vitals: &Vitals) {
    let _serving = vitals.serving();
    let mut failed = None;
    while let Ok(Commit { puts, retention, done }) = inbox.recv() {
        let busy = vitals.busy();
        let written = match failed.take() {
            Some(error) => Err(error),
            None => writer.write(puts, retention).map(|()| Committed(())),
        };
        drop(busy);
        let is_written = written.is_ok();
        let _ = done.send(written);
        if !is_written {
            // sled's errors are sticky, and a failed sync must not be retried: the process has to end.
            return;
        }
        if let Err(error) = writer.after_commit() {
            // What was written is on disk, so no request waits for this error; the next step gets it.
            tracing::error!("the journal can't be read: {error}; the next step will end the daemon");
            failed = Some(error);
        }
    }
}

#[cfg(test)]
mod tests;
