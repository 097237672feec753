//! Opens a database and reads all of it, so that damage is found before anything is served.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::paths::Paths;
use crate::journal::error::JournalError;
use crate::journal::export::{self, ExportHeader};
use crate::journal::files::{copy_directory, io, make_directory, remove_directory, rename};
use crate::journal::history::entries::{SCHEMA, SCHEMA_OLDEST};
use crate::journal::lock::{Lock, wait_until_free};
use crate::journal::store::open_error::OpenError;
use crate::journal::store::{IntegrityScan, Store};
use crate::scheduler::Snapshot;

/// A database that opened, and its contents.
pub(in crate::journal) struct VerifiedStore {
    pub(in crate::journal) store: Store,
    pub(in crate::journal) snapshot: Snapshot,
    pub(in crate::journal) scan: IntegrityScan,
}

/// Opens the journal and reads all of it, so that damage is found now.
pub(in crate::journal) fn open_verified(
    paths: &Paths,
    lock: &Arc<Lock>,
    patience: Duration,
) -> Result<VerifiedStore, OpenError> {
    wait_until_free(&has_file(paths)?, patience, &paths.data_dir)?;
    let whole = guarded(|| verify(&paths.journal, &paths.journal, lock))?;
    not_behind_its_export(paths, &whole.snapshot)?;
    Ok(whole)
}

/// The database's file, if it exists and isn't empty. sled would create a new one.
fn has_file(paths: &Paths) -> Result<PathBuf, OpenError> {
    let path = paths.journal.join("db");
    match std::fs::metadata(&path) {
        Ok(file) if file.len() == 0 => Err(OpenError::Damaged("its file 'db' is empty".to_owned())),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(OpenError::Damaged("its file 'db' is missing".to_owned()))
        }
        Err(error) => Err(io("look at", &path, error).into()),
    }
}

/// Opens a database, which may be a copy of `original`, and reads every entry. Doesn't catch panics.
pub(in crate::journal) fn verify(
    directory: &Path,
    original: &Path,
    lock: &Arc<Lock>,
) -> Result<VerifiedStore, OpenError> {
    let damaged = |error: JournalError| match error {
        JournalError::Read(why) => JournalError::Unreadable { directory: original.to_owned(), why }.into(),
        other => OpenError::Damaged(other.to_string()),
    };
    let store = Store::open(directory, lock.clone())?;
    // Entries of another layout are not damage.
    let known = SCHEMA_OLDEST..=SCHEMA;
    if let Some(found) = store.reader().schema().map_err(damaged)?.filter(|found| !known.contains(found)) {
        let directory = original.to_owned();
        return Err(OpenError::Failed(JournalError::OtherSchema { directory, found, known }));
    }
    let scan = store.scan().map_err(damaged)?;
    match store.reader().snapshot().map_err(damaged)? {
        Some(snapshot) => Ok(VerifiedStore { store, snapshot, scan }),
        None if scan.entries == 0 => Err(OpenError::Damaged("it holds nothing".to_owned())),
        None => Err(OpenError::Damaged("it holds entries, but not the one that says what they are".to_owned())),
    }
}

/// An export is made from what is on disk. A journal that lags behind its export has lost something: sled mistakes a
/// file that ends too early for one that was never longer.
fn not_behind_its_export(paths: &Paths, snapshot: &Snapshot) -> Result<(), OpenError> {
    let Some(path) = export::list(&paths.exports)?.pop() else { return Ok(()) };
    let is_ahead = |head: &ExportHeader| head.newest > snapshot.newest || head.newest_build > snapshot.newest_build;
    if export::read_head(&path).is_ok_and(|head| is_ahead(&head))
        && let Ok((head, _)) = export::read(&path)
        && is_ahead(&head)
    {
        return Err(OpenError::Damaged(format!(
            "it ends at event {} and build {}, but '{}' of {} knows of event {} and build {}",
            snapshot.newest.0,
            snapshot.newest_build,
            path.display(),
            head.made_at,
            head.newest.0,
            head.newest_build
        )));
    }
    Ok(())
}

/// Runs code that may panic on damage, and turns the panic into an error.
pub(in crate::journal) fn guarded<T>(open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(result) => result,
        Err(_) => Err(OpenError::Damaged("the database panicked on it".to_owned())),
    }
}

/// Opening damaged files changes them, so if no export could replace them, a copy is opened first.
pub(in crate::journal) fn try_on_a_copy(paths: &Paths, lock: &Arc<Lock>) -> Result<(), OpenError> {
    if export::one_is_whole(&paths.exports)? {
        return Ok(());
    }
    has_file(paths)?;
    make_directory(&paths.incoming)?;
    let tried = match copy_directory(&paths.journal, &paths.incoming) {
        Ok(()) => guarded(|| verify(&paths.incoming, &paths.journal, lock)).map(drop),
        // There may be no space for two.
        Err(error) => {
            tracing::debug!("opening the journal without having tried it on a copy: {error}");
            Ok(())
        }
    };
    remove_directory(&paths.incoming)?;
    tried
}

/// Creates a database next to the journal, fills it, and moves it into place once it is on disk.
pub(in crate::journal) fn create_at(
    paths: &Paths,
    lock: &Arc<Lock>,
    fill: impl FnOnce(&mut Store) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    remove_directory(&paths.incoming)?;
    let made = guarded(|| {
        let mut store = Store::open(&paths.incoming, lock.clone())?;
        fill(&mut store)?;
        Ok(store.sync_all()?)
    });
    made.map_err(|error| error.into_error(&paths.incoming))?;
    rename(&paths.incoming, &paths.journal)
}

/// What was just created must open.
pub(in crate::journal) fn expect_openable(
    whole: Result<VerifiedStore, OpenError>,
    paths: &Paths,
) -> Result<VerifiedStore, JournalError> {
    whole.map_err(|error| error.into_error(&paths.journal))
}
