//! Opening: what is found below the data directory, and what becomes of it. Never starts empty where data was.
//!
//! A journal gets its name by a rename, once it is complete and on disk. So anything under that name that can't be read
//! was damaged: it is set aside, and the newest complete export replaces it. Without one nothing is touched.

pub mod check;
mod compact;
pub(super) mod paths;
mod restore;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::paths::Paths;
use self::restore::restore;
use self::verify::{VerifiedStore, create_at, expect_openable, open_verified, try_on_a_copy};
use super::error::JournalError;
use super::export::live::LiveState;
use super::export::{self, ExportHeader};
use super::files::make_directory;
use super::lock::Lock;
use super::store::Store;
use super::store::open_error::OpenError;
use super::vitals::Restored;
use crate::scheduler::Snapshot;

/// The result of opening.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) snapshot: Snapshot,
    /// Set while a damaged journal is set aside: an operator should look at it.
    pub(super) restored: Option<Restored>,
    pub(super) stray_files: usize,
}

/// Opens the journal below `data_dir` and syncs all of it.
pub(super) fn open(data_dir: &Path, patience: Duration) -> Result<Opened, JournalError> {
    make_directory(data_dir)?;
    let lock = Arc::new(Lock::take(data_dir, patience)?);
    let paths = Paths::below(data_dir);
    compact::finish(&paths)?;
    let mut restored = None;
    let whole = match find_remains(&paths)? {
        Remains::None => {
            create_at(&paths, &lock, Store::begin)?;
            expect_openable(open_verified(&paths, &lock, patience), &paths)?
        }
        Remains::Journal => match try_on_a_copy(&paths, &lock).and_then(|()| open_verified(&paths, &lock, patience)) {
            Ok(whole) => compact::when_worthwhile(&paths, &lock, whole)?,
            Err(OpenError::Damaged(why)) => restore(&paths, &lock, &why, patience, &mut restored)?,
            Err(OpenError::Failed(error)) => return Err(error),
        },
        Remains::Other(what) => {
            restore(&paths, &lock, &format!("there is none, though {what}"), patience, &mut restored)?
        }
    };
    let VerifiedStore { mut store, snapshot, .. } = whole;
    store.take_over(&snapshot)?;
    store.sync_all()?;
    let stray_files = store.stray_files()?;
    if stray_files > 0 {
        tracing::error!(
            "{stray_files} files in '{}': values this large are not safe from a power cut, and none should be",
            paths.journal.join("blobs").display()
        );
    }
    if restored.is_none() {
        let lies_aside = paths.newest_quarantined()?;
        restored = lies_aside.map(|(path, at)| Restored { at, quarantined: Some(path), export_made_at: None });
    }
    Ok(Opened { store, snapshot, restored, stray_files })
}

/// Traces that data was here.
enum Remains {
    None,
    Journal,
    Other(String),
}

fn find_remains(paths: &Paths) -> Result<Remains, JournalError> {
    if paths.journal.exists() {
        return Ok(Remains::Journal);
    }
    if let Some((aside, _)) = paths.newest_quarantined()? {
        return Ok(Remains::Other(format!("'{}' was put aside", aside.display())));
    }
    match export::list(&paths.exports)?.pop() {
        Some(path) => Ok(Remains::Other(format!("there is the export '{}'", path.display()))),
        None => Ok(Remains::None),
    }
}

/// Whether no journal was ever here.
pub(super) fn is_fresh(data_dir: &Path) -> Result<bool, JournalError> {
    let paths = Paths::below(data_dir);
    let half_done = paths.incoming.exists() || paths.outgoing.exists();
    Ok(!half_done && matches!(find_remains(&paths)?, Remains::None))
}

/// Loads an export into an empty data directory that no process uses.
pub(super) fn import(
    data_dir: &Path,
    file: &Path,
    patience: Duration,
) -> Result<(ExportHeader, Snapshot), JournalError> {
    if !is_fresh(data_dir)? {
        return Err(JournalError::NotEmpty { directory: data_dir.to_owned() });
    }
    let (head, mut state) = export::read(file)?;
    make_directory(data_dir)?;
    let lock = Arc::new(Lock::take(data_dir, patience)?);
    // It was empty a moment ago; while we hold the lock, no other process can change that.
    if !is_fresh(data_dir)? {
        return Err(JournalError::NotEmpty { directory: data_dir.to_owned() });
    }
    state.leave_gap();
    let paths = Paths::below(data_dir);
    create_at(&paths, &lock, |store| store.load(&state.entries()))?;
    let VerifiedStore { mut store, snapshot, .. } = expect_openable(open_verified(&paths, &lock, patience), &paths)?;
    store.sync_all()?;
    Ok((head, snapshot))
}

/// The live state of the journal below `data_dir`, which no daemon uses.
pub(super) fn state_of(data_dir: &Path, patience: Duration) -> Result<LiveState, JournalError> {
    let paths = Paths::below(data_dir);
    let missing = || JournalError::NoJournal { directory: data_dir.to_owned() };
    if !paths.journal.exists() && !paths.outgoing.exists() {
        return Err(missing());
    }
    let lock = Arc::new(Lock::take(data_dir, patience)?);
    compact::finish(&paths)?;
    let VerifiedStore { store, .. } = expect_openable(open_verified(&paths, &lock, patience), &paths)?;
    LiveState::at_rest(&store.reader())
}
