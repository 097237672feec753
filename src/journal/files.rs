//! Files and directories: how the journal creates, moves and syncs them, so that what must survive a power cut reaches
//! the disk. Knows nothing of the database or the layout of a data directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::JournalError;
use crate::clock::wall;
use crate::model::Timestamp;

/// A timestamp in a file name: sorting by name sorts by time.
const STAMP: &str = "%Y%m%dT%H%M%S%.3fZ";

/// How many bytes of a file are copied at a time.
const COPIED_AT_A_TIME: usize = 256 * 1024;

/// The entries of `directory` with matching names, sorted by name; empty if the directory doesn't exist.
pub(super) fn named(directory: &Path, is_one: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("list", directory, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io("list", directory, error))?;
        if entry.file_name().to_str().is_some_and(&is_one) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The current time, or just after `newest` if the clock went back, so that the newest name sorts last.
pub(super) fn after(newest: Option<Timestamp>) -> Timestamp {
    newest.map_or_else(wall, |newest| wall().max(newest.plus(Duration::from_millis(1))))
}

/// A timestamp as part of a file name.
pub(super) fn stamp(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.strftime(STAMP).to_string(),
        Err(_) => at.as_millis().to_string(),
    }
}

/// The timestamp in a file name, or None if there is none.
pub(super) fn moment_of(path: &Path, before: &str, behind: &str) -> Option<Timestamp> {
    let name = path.file_name()?.to_str()?;
    let text = name.strip_prefix(before)?.strip_suffix(behind)?;
    let at = jiff::civil::DateTime::strptime(STAMP, text).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

/// Renames, and syncs the directory, so that the new name survives a power cut.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    std::fs::rename(from, to).map_err(|error| io("rename", from, error))?;
    sync(to.parent().unwrap_or(Path::new(".")))
}

/// Removes a directory and everything in it; not an error if it doesn't exist.
pub(super) fn remove_directory(path: &Path) -> Result<(), JournalError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Copies the files of a directory and its subdirectories into an existing one. Not synced.
pub(super) fn copy_directory(from: &Path, to: &Path) -> Result<(), JournalError> {
    for entry in std::fs::read_dir(from).map_err(|error| io("list", from, error))? {
        let path = entry.map_err(|error| io("list", from, error))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            std::fs::create_dir(&target).map_err(|error| io("make", &target, error))?;
            copy_directory(&path, &target)?;
        } else {
            copy_file(&path, &target).map_err(|error| io("copy", &path, error))?;
        }
    }
    Ok(())
}

/// By plain reads and writes, so that the result is the same on every file system and shares nothing with the original.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, open_file(to)?);
    let mut piece = vec![0; COPIED_AT_A_TIME];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            read => to.write_all(&piece[..read])?,
        }
    }
}

/// Creates a directory for its owner only, if it doesn't exist.
pub(super) fn make_directory(path: &Path) -> Result<(), JournalError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| io("make the directory", path, error))
}

/// Syncs a file, or the entries of a directory.
pub(super) fn sync(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io("sync", path, error))
}

/// Opens a file as it is for reading and writing; creates it for its owner only if it doesn't exist.
pub(super) fn open_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

pub(super) fn io(what: &'static str, path: &Path, error: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.to_owned(), why: Arc::new(error) }
}

/// A point in time at which to give up. It decides only how long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    begun: Instant,
    limit: Duration,
}

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "opening waits on the real clock; nothing is decided by it")]
    pub(super) fn after(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn is_over(&self) -> bool {
        self.elapsed() >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_a_name_comes_back_and_names_sort_as_moments_do() {
        let at = Timestamp::from_millis(1_795_000_000_123);
        let path = PathBuf::from(format!("/x/state-{}.jsonl", stamp(at)));
        assert_eq!(moment_of(&path, "state-", ".jsonl"), Some(at));
        assert_eq!(moment_of(Path::new("/x/state-old.jsonl"), "state-", ".jsonl"), None);
        assert!(stamp(at) < stamp(at.plus(Duration::from_millis(1))));
    }
}
