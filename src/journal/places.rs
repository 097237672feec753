//! Where the journal's directories and exports are, and the few moves of files that must survive a power cut.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::JournalError;
use crate::clock::wall;
use crate::model::Timestamp;

/// What begins the names of journals that were found damaged; a moment follows.
const QUARANTINED: &str = "journal.corrupt-";
/// Damaged journals that are kept. The newest always is.
const QUARANTINED_MAX: usize = 3;
/// A moment in a name: in the order of names as in the order of time.
const STAMP: &str = "%Y%m%dT%H%M%S%.3fZ";

/// Bytes of a file that are copied at a time.
const COPIED_AT_A_TIME: usize = 256 * 1024;

/// The places below one data directory.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) data_dir: PathBuf,
    /// The database. It comes here by a rename, whole: one that is here and is not whole was damaged.
    pub(super) journal: PathBuf,
    /// A database that is being made, to be renamed when it is whole and on disk.
    pub(super) coming: PathBuf,
    /// The database whose place a smaller copy is taking.
    pub(super) leaving: PathBuf,
    pub(super) exports: PathBuf,
}

impl Places {
    pub(super) fn below(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            journal: data_dir.join("journal"),
            coming: data_dir.join("journal.new"),
            leaving: data_dir.join("journal.old"),
            exports: data_dir.join("exports"),
        }
    }

    /// Damaged journals that were put aside, oldest first.
    pub(super) fn quarantined(&self) -> Result<Vec<PathBuf>, JournalError> {
        let mut paths = named(&self.data_dir, |name| name.starts_with(QUARANTINED))?;
        paths.retain(|path| moment_of(path, QUARANTINED, "").is_some());
        Ok(paths)
    }

    /// Puts the damaged journal aside, under a name with the present moment in it.
    pub(super) fn quarantine(&self) -> Result<PathBuf, JournalError> {
        let newest = self.quarantined()?.pop().and_then(|path| moment_of(&path, QUARANTINED, ""));
        let aside = self.data_dir.join(format!("{QUARANTINED}{}", stamp(after(newest))));
        rename(&self.journal, &aside)?;
        Ok(aside)
    }

    /// When the newest damaged journal was put aside, and where it is.
    pub(super) fn newest_quarantined(&self) -> Result<Option<(PathBuf, Timestamp)>, JournalError> {
        let newest = self.quarantined()?.pop();
        Ok(newest.map(|path| {
            let at = moment_of(&path, QUARANTINED, "").unwrap_or_else(wall);
            (path, at)
        }))
    }

    /// Removes the oldest damaged journals beyond those that are kept. A failure is told and does no harm.
    pub(super) fn forget_quarantined(&self) {
        let kept = self.quarantined().unwrap_or_default();
        for path in kept.iter().take(kept.len().saturating_sub(QUARANTINED_MAX)) {
            if let Err(error) = remove_directory(path) {
                tracing::warn!("{error}");
            }
        }
    }
}

/// What in `directory` has such a name, in the order of names; nothing where there is no such directory.
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

/// The present moment, or one just after `newest` where the clock has gone back: the newest name is the last.
pub(super) fn after(newest: Option<Timestamp>) -> Timestamp {
    newest.map_or_else(wall, |newest| wall().max(newest.plus(Duration::from_millis(1))))
}

/// A moment as part of a name.
pub(super) fn stamp(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.strftime(STAMP).to_string(),
        Err(_) => at.as_millis().to_string(),
    }
}

/// The moment in a name; None where it holds none.
pub(super) fn moment_of(path: &Path, before: &str, behind: &str) -> Option<Timestamp> {
    let name = path.file_name()?.to_str()?;
    let text = name.strip_prefix(before)?.strip_suffix(behind)?;
    let at = jiff::civil::DateTime::strptime(STAMP, text).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_millis(at.timestamp().as_millisecond()))
}

/// Renames, and brings the new name to disk.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), JournalError> {
    std::fs::rename(from, to).map_err(|error| io("rename", from, error))?;
    sync(to.parent().unwrap_or(Path::new(".")))
}

/// Removes a directory and all in it; it is no error where there is none.
pub(super) fn remove_directory(path: &Path) -> Result<(), JournalError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Copies the files of a directory, and of those in it, into one that is there. Not brought to disk.
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

/// By plain reads and writes: what is written is the same on every file system, and shares nothing with what it is a copy
/// of.
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

/// Makes a directory for its owner only, where there is none.
pub(super) fn make_directory(path: &Path) -> Result<(), JournalError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| io("make the directory", path, error))
}

/// Brings a file, or the names in a directory, to disk.
pub(super) fn sync(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io("sync", path, error))
}

/// Opens a file as it is, for reading and writing; for its owner only where it is made.
pub(super) fn open_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

pub(super) fn io(what: &'static str, path: &Path, error: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.to_owned(), why: Arc::new(error) }
}

/// A moment after which something is given up. Nothing is decided by it but how long is waited.
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
        let path = PathBuf::from(format!("/x/{QUARANTINED}{}", stamp(at)));
        assert_eq!(moment_of(&path, QUARANTINED, ""), Some(at));
        assert_eq!(moment_of(Path::new("/x/journal.corrupt-old"), QUARANTINED, ""), None);
        assert!(stamp(at) < stamp(at.plus(Duration::from_millis(1))));
    }

    #[test]
    fn the_newest_damaged_journal_is_kept_though_the_clock_has_gone_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let places = Places::below(directory.path());
        let ahead = wall().plus(Duration::from_hours(48));
        for hours in 0..4 {
            let at = ahead.plus(Duration::from_hours(hours));
            make_directory(&directory.path().join(format!("{QUARANTINED}{}", stamp(at)))).expect("made");
        }
        make_directory(&places.journal).expect("made");
        let aside = places.quarantine().expect("put aside");
        places.forget_quarantined();
        let kept = places.quarantined().expect("listed");
        assert_eq!((kept.len(), kept.last()), (QUARANTINED_MAX, Some(&aside)));
    }
}
