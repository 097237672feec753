//! Opening: what is found below the data directory, and what is made of it. Never begins empty where data was.
//!
//! A journal takes its name by a rename, when it is whole and on disk. So whatever bears the name and can't be read
//! was damaged: it is put aside, and the newest whole export takes its place. Without a whole one nothing is touched.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::export::{self, ExportHeader};
use super::live::LiveState;
use super::lock::{Lock, wait_until_free};
use super::places::{Places, copy_directory, io, make_directory, remove_directory, rename};
use super::rows::SCHEMA;
use super::store::{Store, Survey};
use super::vitals::Restored;
use super::{JournalError, compact};
use crate::clock::wall;
use crate::scheduler::Snapshot;

/// What opening came to.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) snapshot: Snapshot,
    /// Set for as long as a damaged journal lies aside: an operator is to look at it.
    pub(super) restored: Option<Restored>,
    pub(super) stray_files: usize,
}

/// Why a database did not open.
#[derive(Debug)]
pub(super) enum Unopened {
    /// What is stored can't be what was written.
    Damaged(String),
    /// The reason lies elsewhere, and another start may find it gone.
    Failed(JournalError),
}

/// A database that opened, and what is in it.
pub(super) struct Whole {
    pub(super) store: Store,
    pub(super) snapshot: Snapshot,
    pub(super) survey: Survey,
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

/// Makes a database beside the journal's place, fills it, and puts it there when it is on disk.
fn place(
    places: &Places,
    lock: &Arc<Lock>,
    fill: impl FnOnce(&mut Store) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    remove_directory(&places.coming)?;
    let made = guarded(|| {
        let mut store = Store::open(&places.coming, lock.clone())?;
        fill(&mut store)?;
        Ok(store.settle()?)
    });
    made.map_err(|unopened| unopened.into_error(&places.coming))?;
    rename(&places.coming, &places.journal)
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
    place(&places, &lock, |store| store.load(&state))?;
    let Whole { mut store, snapshot, .. } = sure(open_whole(&places, &lock, patience), &places)?;
    store.settle()?;
    Ok((head, snapshot))
}

/// Puts the newest whole export in the place of a journal that is damaged or gone.
fn restore(
    places: &Places,
    lock: &Arc<Lock>,
    why: &str,
    patience: Duration,
    restored: &mut Option<Restored>,
) -> Result<Whole, JournalError> {
    let Some((export, head, mut state)) = export::newest_whole(&places.exports)? else {
        return Err(JournalError::Damaged {
            directory: places.journal.clone(),
            exports: places.exports.clone(),
            why: why.to_owned(),
        });
    };
    state.leave_gap();
    let quarantined = if places.journal.exists() { Some(places.quarantine()?) } else { None };
    // A kill between the two leaves what was put aside and no journal: the next start is here again.
    place(places, lock, |store| store.load(&state))?;
    let whole = sure(open_whole(places, lock, patience), places)?;
    places.forget_quarantined();
    let at = wall();
    let age = humantime::format_duration(Duration::from_secs(at.since(head.made_at).as_secs()));
    let kept = quarantined.as_deref().map(|path| format!(" and kept as '{}'", path.display())).unwrap_or_default();
    tracing::error!(
        "the journal in '{}' was damaged ({why}){kept}; '{}', made {age} ago, was loaded in its place: what was \
         accepted since then may be lost",
        places.journal.display(),
        export.display(),
    );
    let quarantined = match quarantined {
        Some(path) => Some(path),
        None => places.newest_quarantined()?.map(|(path, _)| path),
    };
    *restored = Some(Restored { at, quarantined, export_made_at: Some(head.made_at) });
    Ok(whole)
}

/// Opening damaged files changes them, so where no export could take their place, a copy is opened first.
fn try_first(places: &Places, lock: &Arc<Lock>) -> Result<(), Unopened> {
    if export::one_is_whole(&places.exports)? {
        return Ok(());
    }
    has_file(places)?;
    make_directory(&places.coming)?;
    let tried = match copy_directory(&places.journal, &places.coming) {
        Ok(()) => guarded(|| read_whole(&places.coming, &places.journal, lock)).map(drop),
        // It may be that there is no space for two.
        Err(error) => {
            tracing::debug!("opening the journal without having tried it on a copy: {error}");
            Ok(())
        }
    };
    remove_directory(&places.coming)?;
    tried
}

/// Opens the journal and reads all of it, so that damage is told from data.
pub(super) fn open_whole(places: &Places, lock: &Arc<Lock>, patience: Duration) -> Result<Whole, Unopened> {
    wait_until_free(&has_file(places)?, patience, &places.data_dir)?;
    let whole = guarded(|| read_whole(&places.journal, &places.journal, lock))?;
    not_behind_its_export(places, &whole.snapshot)?;
    Ok(whole)
}

/// The database's file, where there is one with something in it. sled would make a new one.
fn has_file(places: &Places) -> Result<PathBuf, Unopened> {
    let path = places.journal.join("db");
    match std::fs::metadata(&path) {
        Ok(file) if file.len() == 0 => Err(Unopened::Damaged("its file 'db' is empty".to_owned())),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Unopened::Damaged("its file 'db' is missing".to_owned()))
        }
        Err(error) => Err(io("look at", &path, error).into()),
    }
}

/// Opens a database, which may be a copy of `original`, and reads every row of it. Without a panic's guard.
pub(super) fn read_whole(directory: &Path, original: &Path, lock: &Arc<Lock>) -> Result<Whole, Unopened> {
    let damaged = |error: JournalError| match error {
        JournalError::Read(why) => JournalError::Unreadable { directory: original.to_owned(), why }.into(),
        other => Unopened::Damaged(other.to_string()),
    };
    let store = Store::open(directory, lock.clone())?;
    // Rows of another layout are no damage.
    if let Some(found) = store.reader().schema().map_err(damaged)?.filter(|found| *found != SCHEMA) {
        let directory = original.to_owned();
        return Err(Unopened::Failed(JournalError::OtherSchema { directory, found, known: SCHEMA }));
    }
    let survey = store.survey().map_err(damaged)?;
    match store.reader().snapshot().map_err(damaged)? {
        Some(snapshot) => Ok(Whole { store, snapshot, survey }),
        None if survey.rows == 0 => Err(Unopened::Damaged("it holds nothing".to_owned())),
        None => Err(Unopened::Damaged("it holds rows, but not the one that says what they are".to_owned())),
    }
}

/// An export is made of what is on disk. A journal that knows less than its export has lost something: sled takes a
/// file that ends too early for one that was never longer.
fn not_behind_its_export(places: &Places, snapshot: &Snapshot) -> Result<(), Unopened> {
    let Some(path) = export::list(&places.exports)?.pop() else { return Ok(()) };
    let is_ahead = |head: &ExportHeader| head.newest > snapshot.newest || head.newest_build > snapshot.newest_build;
    if export::read_head(&path).is_ok_and(|head| is_ahead(&head))
        && let Ok((head, _)) = export::read(&path)
        && is_ahead(&head)
    {
        return Err(Unopened::Damaged(format!(
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

/// Runs what may panic on damage; the panic is an error like others.
pub(super) fn guarded<T>(open: impl FnOnce() -> Result<T, Unopened>) -> Result<T, Unopened> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(result) => result,
        Err(_) => Err(Unopened::Damaged("the database panicked on it".to_owned())),
    }
}

/// What was just made must open.
fn sure(whole: Result<Whole, Unopened>, places: &Places) -> Result<Whole, JournalError> {
    whole.map_err(|unopened| unopened.into_error(&places.journal))
}

/// Whether the system said so. What it says of a file (no right, no space, no more descriptors, a failing disk) is no
/// damage: the file may be whole, and the next start may read it.
pub(super) fn is_of_the_system(error: &sled::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let sled::Error::Io(io) = error else { return false };
    io.raw_os_error().is_some()
        || error.to_string().contains("could not acquire lock")
        || !matches!(io.kind(), Kind::UnexpectedEof | Kind::InvalidData | Kind::InvalidInput | Kind::Other)
}

impl Unopened {
    /// What sled's error at opening means.
    pub(super) fn by(error: &sled::Error, directory: &Path) -> Self {
        let why = error.to_string();
        if is_of_the_system(error) {
            Self::Failed(JournalError::Unreadable { directory: directory.to_owned(), why })
        } else {
            Self::Damaged(why)
        }
    }

    pub(super) fn into_error(self, directory: &Path) -> JournalError {
        match self {
            Self::Damaged(why) => JournalError::Unreadable { directory: directory.to_owned(), why },
            Self::Failed(error) => error,
        }
    }
}

impl From<JournalError> for Unopened {
    fn from(error: JournalError) -> Self {
        Self::Failed(error)
    }
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

/// The damaged journals of a data directory, oldest first, for whoever tells of them.
pub(super) fn quarantined(data_dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    Places::below(data_dir).quarantined()
}
