//! The journal: the stored form of everything that must survive, and the only maker of [`Committed`].
//!
//! sled is named in this room only. One thread owns it; one step of the scheduler is one batch, one flush and
//! one `fdatasync` of our own, because sled 0.34 on Linux flushes with `sync_file_range`, which by its manual
//! page neither writes metadata nor empties a disk's cache. What is written is plain rows (see `rows`), the
//! same for the in-memory twin on which the simulation runs.
//!
//! Any failure of storage ends the process: in memory nothing may run ahead of the disk.

mod history;
mod memory;
mod page;
mod retention;
mod rows;
mod state;
mod store;
mod tally;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::history::{Fate, Reader};
pub use self::memory::MemoryJournal;
pub use self::retention::Retention;
pub use self::rows::{Put, encode};
use self::store::Store;
use crate::scheduler::Snapshot;

/// The proof that a step's changes are on disk. Only a journal can make one.
#[derive(Debug)]
pub struct Committed(());

/// The journal's door: hands steps to the thread that owns the database.
pub struct Journal {
    commands: std::sync::mpsc::SyncSender<Commit>,
    thread: std::thread::JoinHandle<()>,
}

struct Commit {
    puts: Vec<Put>,
    retention: Retention,
    done: oneshot::Sender<Result<Committed, JournalError>>,
}

/// Why the journal can't be opened, or went out of use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another coalesced{pid} uses the data directory '{directory}'; each daemon needs its own (data_dir)", pid = .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse { directory: PathBuf, pid: Option<u32> },
    #[error("failed to {what} '{path}': {why}")]
    Io { what: &'static str, path: PathBuf, why: Arc<std::io::Error> },
    #[error(
        "failed to open the journal in '{directory}': {why}. Nothing in it was changed. Restore it from a copy, or move the directory away to begin anew"
    )]
    Unreadable { directory: PathBuf, why: String },
    #[error(
        "the journal in '{directory}' was written by another version of coalesced (schema {found}; this one reads {known}): use that version, or move the directory away to begin anew"
    )]
    OtherSchema { directory: PathBuf, found: u32, known: u32 },
    #[error("failed to write the journal: {0}")]
    Write(String),
    #[error("the journal has ended")]
    Ended,
}

/// A row that is not what we write.
fn parse_failed(why: impl std::fmt::Display) -> JournalError {
    JournalError::Write(format!("a row can't be read back: {why}"))
}

/// A storage that does not answer for this long counts as failed.
const OPEN_LIMIT: Duration = Duration::from_mins(1);
/// How long a predecessor that is still closing is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Steps on their way to the thread. The driver makes one at a time, so this is never filled.
const COMMANDS_MAX: usize = 4;

impl Journal {
    /// Opens the journal below `data_dir`, alone, and settles it: from here on, what it holds is on disk.
    ///
    /// Blocks while the database opens. Never begins empty where data was.
    pub fn open(data_dir: &Path) -> Result<(Self, Reader, Snapshot), JournalError> {
        let directory = data_dir.to_owned();
        let (sender, opened) = std::sync::mpsc::channel();
        let (commands, inbox) = std::sync::mpsc::sync_channel::<Commit>(COMMANDS_MAX);
        let body = move || {
            // sled's opening code panics on some damage; that must be an error like others.
            let open = std::panic::AssertUnwindSafe(|| Store::open(&directory, LOCK_PATIENCE));
            let store = match std::panic::catch_unwind(open) {
                Ok(Ok(store)) => store,
                Ok(Err(error)) => return drop(sender.send(Err(error))),
                Err(_) => {
                    let why = "the database panicked while opening; it is damaged".to_owned();
                    return drop(sender.send(Err(JournalError::Unreadable { directory, why })));
                }
            };
            let snapshot = store.snapshot();
            let ready = snapshot.map(|snapshot| (store.reader(), snapshot));
            if sender.send(ready).is_ok() {
                serve(store, &inbox);
            }
        };
        let unreadable = |why: String| JournalError::Unreadable { directory: data_dir.to_owned(), why };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(body)
            .map_err(|error| unreadable(format!("no thread for it: {error}")))?;
        let opened = opened.recv_timeout(OPEN_LIMIT);
        let (reader, snapshot) =
            opened.map_err(|_| unreadable(format!("no answer within {} s", OPEN_LIMIT.as_secs())))??;
        Ok((Self { commands, thread }, reader, snapshot))
    }

    /// Writes one step, whole, and waits until it is on disk.
    pub async fn commit(&self, puts: Vec<Put>, retention: Retention) -> Result<Committed, JournalError> {
        if puts.is_empty() {
            // All that came before is on disk already, since one step follows the other.
            return Ok(Committed(()));
        }
        let (done, answer) = oneshot::channel();
        self.commands.try_send(Commit { puts, retention, done }).map_err(|_| JournalError::Ended)?;
        answer.await.map_err(|_| JournalError::Ended)?
    }

    /// Lets the thread end and waits for it: after this the directory is free.
    pub fn close(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("the journal's thread panicked at its end");
        }
    }
}

/// One batch, one flush, one sync a step, until the door is gone or something fails.
fn serve(mut store: Store, inbox: &std::sync::mpsc::Receiver<Commit>) {
    while let Ok(Commit { puts, retention, done }) = inbox.recv() {
        let written = store.write(puts, retention).map(|()| Committed(()));
        let failed = written.is_err();
        let _ = done.send(written);
        if failed {
            // Errors of sled stick, and a failed sync may not be repeated: the process is to end.
            return;
        }
    }
}
