//! sled, opened and written so that a 2xx is on disk. The only file that names it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::history::{Reader, Rows};
use super::retention::Oldest;
use super::rows::{Head, SCHEMA, head_key};
use super::tally::{self, Tally};
use super::witness::{self, Witness};
use super::{JournalError, Put, Retention};
use crate::model::{BuildId, Seq};
use crate::scheduler::Snapshot;

/// Pages that sled keeps in memory, in bytes.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The most pages of history that are forgotten with one step: more than one step can fill.
const FORGOTTEN_PAGES: usize = 64;
/// The most builds that are forgotten at once.
const FORGOTTEN_BUILDS: usize = 32;
/// No builds are looked for to forget more often than once in so many steps.
const FORGET_BUILDS_EVERY: u32 = 16;
/// How often the database is tried to be opened while its file is held, ten milliseconds apart.
const OPEN_TRIES: u32 = 200;

pub(super) struct Store {
    directory: PathBuf,
    db: sled::Db,
    reader: Reader,
    /// The oldest page of history, where it was looked for.
    oldest: Option<Oldest>,
    /// A second handle of the database's file, for our own sync.
    file: File,
    /// What is in the database, kept with every batch.
    tally: Tally,
    witness: Witness,
    steps: u32,
    /// Held for as long as we live: two daemons never share a directory.
    _lock: File,
}

impl Store {
    pub(super) fn open(data_dir: &Path, patience: Duration) -> Result<Self, JournalError> {
        make_directory(data_dir)?;
        let lock = lock(data_dir, patience)?;
        let directory = data_dir.join("journal");
        if !directory.exists() {
            make_whole(data_dir, &directory)?;
        }
        let had_data = directory.join("db").exists();
        make_directory(&directory)?;
        remove_unfinished_snapshots(&directory)?;
        let unreadable = |why: String| JournalError::Unreadable { directory: directory.clone(), why };
        let db = open_database(&directory)?;
        let file = File::open(directory.join("db")).map_err(|error| io("open", &directory.join("db"), error))?;
        let reader = Reader::new(Arc::new(Tree((*db).clone())));
        let tally = checked_tally(&db, &directory)?;
        let witness = Witness::open(&directory).map_err(|error| io("open the witness in", &directory, error))?;
        let oldest = None;
        let mut store =
            Self { directory: directory.clone(), db, reader, oldest, file, tally, witness, steps: 0, _lock: lock };
        match store.reader.schema()? {
            Some(found) if found != SCHEMA => {
                return Err(JournalError::OtherSchema { directory, found, known: SCHEMA });
            }
            Some(_) => {}
            None if had_data && !store.db.is_empty() => {
                return Err(unreadable("it holds rows, but not the row that says what they are".to_owned()));
            }
            None => store.begin()?,
        }
        store.settle()?;
        Ok(store)
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, JournalError> {
        Ok(self.reader.snapshot()?.unwrap_or_default())
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Writes one step as one batch and brings it to disk. After an error the store is not to be used again.
    pub(super) fn write(&mut self, puts: Vec<Put>, retention: Retention) -> Result<(), JournalError> {
        // The last word on a row counts.
        let mut rows: BTreeMap<_, _> = puts.into_iter().map(|Put { key, value }| (key, value)).collect();
        self.steps += 1;
        if self.steps.is_multiple_of(FORGET_BUILDS_EVERY) {
            let outdated = self.reader.outdated_builds(&retention, FORGOTTEN_BUILDS)?;
            rows.extend(outdated.into_iter().map(|key| (key, None)));
        }
        let outdated = self.reader.outdated_pages(&retention, FORGOTTEN_PAGES, &mut self.oldest)?;
        rows.extend(outdated.into_iter().map(|key| (key, None)));
        self.apply(rows)
    }

    /// A fresh database says what it is before anything else is in it.
    fn begin(&mut self) -> Result<(), JournalError> {
        let head = Head { schema: SCHEMA, newest: Seq(0), newest_build: BuildId(0), hold: None };
        let head = serde_json::to_vec(&head).map_err(|error| JournalError::Write(error.to_string()))?;
        self.apply(BTreeMap::from([(head_key(), Some(head))]))
    }

    fn apply(&mut self, rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), JournalError> {
        let failed = |error: sled::Error| JournalError::Write(error.to_string());
        let mut tally = self.tally;
        tally.batches += 1;
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            let old = self.db.get(&key).map_err(failed)?;
            tally.replace(&key, old.as_deref(), value.as_deref());
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(tally::KEY, &tally.encode());
        self.db.apply_batch(batch).map_err(failed)?;
        self.db.flush().map_err(failed)?;
        // sled's flush on Linux is sync_file_range: not durable. This is.
        self.file.sync_data().map_err(|error| io("sync", &self.directory.join("db"), error))?;
        self.tally = tally;
        self.witness.note(tally.batches).map_err(|error| io("write the witness in", &self.directory, error))
    }

    /// Brings every file of the directory to disk, and their names: sled itself never does.
    fn settle(&mut self) -> Result<(), JournalError> {
        self.db.flush().map_err(|error| JournalError::Write(error.to_string()))?;
        sync_all_of(&self.directory)?;
        let parent = self.directory.parent().unwrap_or(Path::new("."));
        sync(parent)?;
        if let Some(above) = parent.parent().filter(|above| !above.as_os_str().is_empty()) {
            // Best effort: the directory above is not ours and may be closed to us.
            let _ = sync(above);
        }
        Ok(())
    }
}

/// A tree, read by others than the journal's thread.
struct Tree(sled::Tree);

impl Rows for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError> {
        Ok(self.0.get(key).map_err(|error| read_failed(&error))?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        (from, to): (&[u8], &[u8]),
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        if from >= to {
            return Ok(());
        }
        let mut rows = self.0.range(from..to);
        while let Some(row) = if newest_first { rows.next_back() } else { rows.next() } {
            let (key, value) = row.map_err(|error| read_failed(&error))?;
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}

fn read_failed(error: &sled::Error) -> JournalError {
    JournalError::Write(error.to_string())
}

/// A database that was just closed by us holds its file for a moment longer: sled's own threads let go of it late.
fn open_database(directory: &Path) -> Result<sled::Db, JournalError> {
    let config = sled::Config::new()
        .path(directory)
        .cache_capacity(CACHE_BYTES)
        // Our own flush and sync follow every batch; an idle daemon writes nothing.
        .flush_every_ms(None);
    let mut tries = 0;
    loop {
        let why = match config.open() {
            Ok(db) => return Ok(db),
            Err(error) => error.to_string(),
        };
        tries += 1;
        if tries == OPEN_TRIES || !why.contains("could not acquire lock") {
            return Err(JournalError::Unreadable { directory: directory.to_owned(), why });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reads every row and compares: with the tally that the last batch left, and with the witness beside the database. A
/// database from before there were tallies gets its own with the next batch.
fn checked_tally(db: &sled::Db, directory: &Path) -> Result<Tally, JournalError> {
    let lost = |why: String| JournalError::Unreadable { directory: directory.to_owned(), why };
    let mut found = Tally::default();
    for row in db.iter() {
        let (key, value) = row.map_err(|error| lost(error.to_string()))?;
        found.add(&key, &value);
    }
    let kept = db.get(tally::KEY).map_err(|error| lost(error.to_string()))?;
    let kept = kept.and_then(|bytes| Tally::decode(&bytes));
    if let Some(missing) = witness::missing(directory, kept.map_or(0, |kept| kept.batches)) {
        return Err(lost(format!(
            "the newest {missing} batches that were written to it are gone. If an older copy was put there on purpose, \
             remove the file 'witness' beside it"
        )));
    }
    match kept {
        Some(kept) if !kept.agrees_with(found) => {
            Err(lost(format!("its {} rows are not the {} that were written to it", found.rows, kept.rows)))
        }
        Some(kept) => Ok(kept),
        None => Ok(found),
    }
}

/// Makes an empty database beside its place and puts it there when all of it is on disk: a power cut during the very
/// first start leaves nothing in its place that no later start could open.
fn make_whole(data_dir: &Path, directory: &Path) -> Result<(), JournalError> {
    let coming = data_dir.join("journal.new");
    match std::fs::remove_dir_all(&coming) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &coming, error)),
        Ok(()) | Err(_) => {}
    }
    make_directory(&coming)?;
    let db = open_database(&coming)?;
    db.flush().map_err(|error| JournalError::Write(error.to_string()))?;
    drop(db);
    sync_all_of(&coming)?;
    std::fs::rename(&coming, directory).map_err(|error| io("rename", &coming, error))?;
    sync(data_dir)
}

/// Brings every file of a directory to disk, and their names.
fn sync_all_of(directory: &Path) -> Result<(), JournalError> {
    let entries = std::fs::read_dir(directory).map_err(|error| io("list", directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| io("list", directory, error))?.path();
        if path.is_file() {
            sync(&path)?;
        }
    }
    sync(directory)
}

/// Takes the directory's lock, waiting for a predecessor that is closing.
fn lock(data_dir: &Path, patience: Duration) -> Result<File, JournalError> {
    let path = data_dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io("open", &path, error))?;
    #[expect(clippy::disallowed_methods, reason = "opening waits on the real clock; nothing is decided by it")]
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::Error(error)) => return Err(io("lock", &path, error)),
            Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(JournalError::InUse { directory: data_dir.to_owned(), pid: pid.trim().parse().ok() });
            }
        }
    }
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

/// A kill while sled wrote a snapshot leaves an unfinished one, and every later open would fail on it. The one
/// before it is whole until the new one is: removing the unfinished loses nothing.
fn remove_unfinished_snapshots(directory: &Path) -> Result<(), JournalError> {
    let entries = std::fs::read_dir(directory).map_err(|error| io("list", directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| io("list", directory, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("snap.") && path.extension().is_some_and(|end| end == "generating") {
            std::fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), JournalError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| io("make the directory", path, error))
}

fn sync(path: &Path) -> Result<(), JournalError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| io("sync", path, error))
}

fn io(what: &'static str, path: &Path, error: std::io::Error) -> JournalError {
    JournalError::Io { what, path: path.to_owned(), why: Arc::new(error) }
}
