//! Opening: what is found below the data directory, and what is made of it. Never begins empty where data was.
//!
//! A journal takes its name by a rename, when it is whole and on disk. So whatever bears the name and can't be read
//! was damaged: it is put aside, and the newest whole export takes its place. Without a whole one nothing is touched.

pub mod check;
mod compact;
pub(super) mod paths;
mod restore;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::paths::Places;
use self::restore::restore;
use self::verify::{Whole, open_whole, place, sure, try_first};
use super::error::JournalError;
use super::export::live::LiveState;
use super::export::{self, ExportHeader};
use super::files::make_directory;
use super::lock::Lock;
use super::store::Store;
use super::store::failure::Unopened;
use super::vitals::Restored;
use crate::scheduler::Snapshot;

/// What opening came to.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) snapshot: Snapshot,
    /// Set for as long as a damaged journal lies aside: an operator is to look at it.
    pub(super) restored: Option<Restored>,
    pub(super) stray_files: usize,
}

/// Opens the journal below `data_dir` and brings all of it to disk.
pub(super) fn open(data_dir: &Path, patience: Duration) -> Result<Opened, JournalError> {
    make_directory(data_dir)?;
    let lock = Arc::new(Lock::take(data_dir, patience)?);
    let places = Places::below(data_dir);
    compact::finish(&places)?;
    let mut restored = None;
    let whole = match trace(&places)? {
        Trace::None => {
            place(&places, &lock, Store::begin)?;
            sure(open_whole(&places, &lock, patience), &places)?
        }
        Trace::Journal => match try_first(&places, &lock).and_then(|()| open_whole(&places, &lock, patience)) {
            Ok(whole) => compact::when_worthwhile(&places, &lock, whole)?,
            Err(Unopened::Damaged(why)) => restore(&places, &lock, &why, patience, &mut restored)?,
            Err(Unopened::Failed(error)) => return Err(error),
        },
        Trace::Other(what) => {
            restore(&places, &lock, &format!("there is none, though {what}"), patience, &mut restored)?
        }
    };
    let Whole { mut store, snapshot, .. } = whole;
    store.take_over(&snapshot)?;
    store.settle()?;
    let stray_files = store.stray_files()?;
    if stray_files > 0 {
        tracing::error!(
            "{stray_files} files in '{}': values this large are not safe from a power cut, and none should be",
            places.journal.join("blobs").display()
        );
    }
    if restored.is_none() {
        let lies_aside = places.newest_quarantined()?;
        restored = lies_aside.map(|(path, at)| Restored { at, quarantined: Some(path), export_made_at: None });
    }
    Ok(Opened { store, snapshot, restored, stray_files })
}

/// What shows that data was here.
enum Trace {
    None,
    Journal,
    Other(String),
}

fn trace(places: &Places) -> Result<Trace, JournalError> {
    if places.journal.exists() {
        return Ok(Trace::Journal);
    }
    if let Some((aside, _)) = places.newest_quarantined()? {
        return Ok(Trace::Other(format!("'{}' was put aside", aside.display())));
    }
    match export::list(&places.exports)?.pop() {
        Some(path) => Ok(Trace::Other(format!("there is the export '{}'", path.display()))),
        None => Ok(Trace::None),
    }
}

/// Whether nothing here was ever a journal's.
pub(super) fn is_fresh(data_dir: &Path) -> Result<bool, JournalError> {
    let places = Places::below(data_dir);
    let half_done = places.coming.exists() || places.leaving.exists();
    Ok(!half_done && matches!(trace(&places)?, Trace::None))
}

/// Loads an export into a data directory in which nothing is; the lock is held by nobody before.
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
    // Nobody was there a moment ago; now nobody can come.
    if !is_fresh(data_dir)? {
        return Err(JournalError::NotEmpty { directory: data_dir.to_owned() });
    }
    state.leave_gap();
    let places = Places::below(data_dir);
    place(&places, &lock, |store| store.load(&state.entries()))?;
    let Whole { mut store, snapshot, .. } = sure(open_whole(&places, &lock, patience), &places)?;
    store.settle()?;
    Ok((head, snapshot))
}

/// The live state of the journal below `data_dir`, which no daemon uses.
pub(super) fn state_of(data_dir: &Path, patience: Duration) -> Result<LiveState, JournalError> {
    let places = Places::below(data_dir);
    let missing = || JournalError::NoJournal { directory: data_dir.to_owned() };
    if !places.journal.exists() && !places.leaving.exists() {
        return Err(missing());
    }
    let lock = Arc::new(Lock::take(data_dir, patience)?);
    compact::finish(&places)?;
    let Whole { store, .. } = sure(open_whole(&places, &lock, patience), &places)?;
    LiveState::at_rest(&store.reader())
}
