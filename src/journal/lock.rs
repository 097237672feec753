//! One process per data directory: the lock that keeps others out.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::error::JournalError;
use super::files::{Deadline, io, open_file};

/// How often to retry a lock that another process holds.
const RETRY_EVERY: Duration = Duration::from_millis(20);
/// A longer wait is logged, with the process that holds the lock.
const LOGGED_AFTER: Duration = Duration::from_millis(200);

/// The data directory is ours while this lives. Everything that may touch the database shares it, so a successor finds
/// the directory free only when nothing of ours is left.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting at most `patience` for a process that is closing, and writes our process id into it for
    /// those that wait.
    pub(super) fn take(data_dir: &Path, patience: Duration) -> Result<Self, JournalError> {
        let path = data_dir.join("lock");
        let mut file = open_file(&path).map_err(|error| io("open", &path, error))?;
        wait_for(&file, patience, data_dir, &path)?;
        // Only a hint for those that find it taken; a failure does no harm.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }

    /// Takes the lock of a directory that is only inspected: creates and writes nothing. Without a lock file no daemon
    /// ever ran there.
    pub(super) fn look(data_dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = data_dir.join("lock");
        match File::open(&path) {
            Ok(file) => {
                wait_for(&file, Duration::ZERO, data_dir, &path)?;
                Ok(Some(Self { _file: file }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("open", &path, error)),
        }
    }
}

/// Waits until no other process holds `file`, as sled locks its own: a process that is being killed may release one
/// lock a moment before the other.
pub(super) fn wait_until_free(path: &Path, patience: Duration, data_dir: &Path) -> Result<(), JournalError> {
    let file = File::open(path).map_err(|error| io("open", path, error))?;
    wait_for(&file, patience, data_dir, path)?;
    file.unlock().map_err(|error| io("unlock", path, error))
}

fn wait_for(file: &File, patience: Duration, data_dir: &Path, path: &Path) -> Result<(), JournalError> {
    let patience = Deadline::after(patience);
    let mut logged = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => return Err(io("lock", path, error)),
            Err(std::fs::TryLockError::WouldBlock) if patience.is_over() => {
                return Err(JournalError::InUse { directory: data_dir.to_owned(), pid: holder(data_dir) });
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                if !logged && patience.elapsed() >= LOGGED_AFTER {
                    logged = true;
                    let holder = holder(data_dir).map(|pid| format!(" (process {pid})")).unwrap_or_default();
                    tracing::warn!("waiting for another coalesced{holder} to leave '{}'", data_dir.display());
                }
                std::thread::sleep(RETRY_EVERY);
            }
        }
    }
}

/// The process that last took the lock.
fn holder(data_dir: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(data_dir.join("lock")).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_gets_the_lock_when_it_is_released_and_otherwise_learns_who_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let held = Lock::take(directory.path(), Duration::ZERO).expect("free");
        let refused = Lock::take(directory.path(), Duration::from_millis(30)).expect_err("held").to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        let path = directory.path().to_owned();
        let waits = std::thread::spawn(move || Lock::take(&path, Duration::from_mins(1)).map(drop));
        std::thread::sleep(Duration::from_millis(50));
        drop(held);
        waits.join().expect("no panic").expect("it is free now");
    }

    #[test]
    fn a_look_makes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(Lock::look(directory.path()).expect("nothing there").is_none());
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 0);
    }
}
