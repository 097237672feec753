//! sled, opened and written to so that a 2xx means on disk.

pub(super) mod open_error;
mod tally;
mod tree;
mod witness;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::open_error::{OpenError, read_failed};
use self::tally::Tally;
use self::tree::{Tree, is_large, touch_for_eviction};
use self::witness::Witness;
use super::error::JournalError;
use super::files::{Deadline, io, make_directory, named, sync};
use super::history::Reader;
use super::history::entries::{MetaEntry, SCHEMA};
use super::history::keys::{Put, meta_key};
use super::history::retention::{Oldest, Retention};
use super::lock::Lock;
use crate::scheduler::Snapshot;

/// sled's page cache, in bytes.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The most pages of history forgotten in one step: more than one step can fill.
const FORGOTTEN_PAGES: usize = 64;
/// The most builds forgotten at once.
const FORGOTTEN_BUILDS: usize = 32;
/// Builds to forget are looked for at most once in this many steps.
const FORGET_BUILDS_EVERY: u32 = 16;

/// How many entries are copied or loaded at a time.
const ENTRIES_AT_A_TIME: usize = 1_000;
/// How long the scan of entries may take when the database is opened.
const SCAN_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Store {
    directory: PathBuf,
    db: sled::Db,
    /// A second handle to the database's file, for our own sync.
    file: File,
    reader: Reader,
    /// The oldest page of history, if it was looked up.
    oldest: Option<Oldest>,
    /// The tally of the database, updated with every batch.
    tally: Tally,
    witness: Witness,
    steps: u32,
    /// Large entries of the last batch.
    large: Vec<Vec<u8>>,
}

/// The result of a scan of all entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IntegrityScan {
    pub(super) entries: u64,
    /// Total over all keys and values.
    pub(super) bytes: u64,
    /// False if time ran out.
    pub(super) is_whole: bool,
}

impl Store {
    /// Opens the database in `directory`, or creates one there. May panic if it is damaged.
    pub(super) fn open(directory: &Path, lock: Arc<Lock>) -> Result<Self, OpenError> {
        make_directory(directory)?;
        remove_unfinished_snapshots(directory)?;
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(CACHE_BYTES)
            // We flush and sync after every batch ourselves; an idle daemon writes nothing.
            .flush_every_ms(None)
            .open()
            .map_err(|error| OpenError::by(&error, directory))?;
        let path = directory.join("db");
        let file = File::open(&path).map_err(|error| io("open", &path, error))?;
        let reader = Reader::new(Arc::new(Tree::new((*db).clone(), lock)));
        let kept = db.get(tally::KEY).map_err(|error| OpenError::by(&error, directory))?;
        let tally = kept.and_then(|bytes| Tally::decode(&bytes)).unwrap_or_default();
        let witness = Witness::open(directory).map_err(|error| io("open the witness in", directory, error))?;
        Ok(Self {
            directory: directory.to_owned(),
            db,
            file,
            reader,
            oldest: None,
            tally,
            witness,
            steps: 0,
            large: Vec::new(),
        })
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Writes the meta entry of a fresh database, before anything else.
    pub(super) fn begin(&mut self) -> Result<(), JournalError> {
        self.write_meta(&Snapshot::default())
    }

    /// Raises a journal of an older version to this one: from here on an older daemon refuses it. All other entries are
    /// read as they are, and rewritten when they change.
    pub(super) fn take_over(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        match self.reader.schema()? {
            Some(found) if found != SCHEMA => {
                tracing::info!("taking over the journal of an older coalesced: schema {found} becomes {SCHEMA}");
                self.write_meta(snapshot)
            }
            _ => Ok(()),
        }
    }

    fn write_meta(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let Snapshot { newest, newest_build, hold, outbox, .. } = snapshot;
        let meta = MetaEntry {
            schema: SCHEMA,
            newest: *newest,
            newest_build: *newest_build,
            newest_notice: outbox.newest,
            hold: hold.clone(),
        };
        let meta = serde_json::to_vec(&meta).map_err(|error| JournalError::Write(error.to_string()))?;
        self.apply(BTreeMap::from([(meta_key(), Some(meta))]))
    }

    fn apply(&mut self, entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), JournalError> {
        let failed = |error: sled::Error| JournalError::Write(error.to_string());
        let mut tally = self.tally;
        tally.batches += 1;
        let mut batch = sled::Batch::default();
        for (key, value) in entries {
            let old = self.db.get(&key).map_err(failed)?;
            tally.replace(&key, old.as_deref(), value.as_deref());
            if value.as_deref().is_some_and(is_large) {
                self.large.push(key.clone());
            }
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

    /// Fills an empty database with a whole state. It is on disk once it is settled.
    pub(super) fn load(&mut self, puts: &[Put]) -> Result<(), JournalError> {
        for some in puts.chunks(ENTRIES_AT_A_TIME) {
            self.apply(some.iter().map(|Put { key, value }| (key.clone(), value.clone())).collect())?;
            self.after_commit()?;
        }
        Ok(())
    }

    /// Copies every entry into an empty database; false if time ran out.
    pub(super) fn copy_to(&self, other: &mut Self, deadline: Deadline) -> Result<bool, JournalError> {
        let failed = |error: sled::Error| JournalError::Write(error.to_string());
        let mut entries = self.db.iter();
        loop {
            let mut batch = sled::Batch::default();
            let mut count = 0;
            for entry in entries.by_ref().take(ENTRIES_AT_A_TIME) {
                let (key, value) = entry.map_err(failed)?;
                batch.insert(key, value);
                count += 1;
            }
            if count == 0 {
                return Ok(true);
            }
            if deadline.is_over() {
                return Ok(false);
            }
            other.db.apply_batch(batch).map_err(failed)?;
        }
    }

    /// Reads every entry, so that damage is found now rather than later, and compares with the last batch's tally and
    /// with the witness next to the database.
    pub(super) fn scan(&self) -> Result<IntegrityScan, JournalError> {
        let deadline = Deadline::after(SCAN_LIMIT);
        let lost = |why: String| Err(JournalError::Unsound(why));
        if let Some(missing) = witness::missing(&self.directory, self.tally.batches) {
            return lost(format!(
                "the newest {missing} batches that were written to it are gone. If an older copy was put there on \
                 purpose, remove the file 'witness' beside it"
            ));
        }
        let mut scan = IntegrityScan { is_whole: true, ..IntegrityScan::default() };
        let mut found = Tally::default();
        for entry in self.db.iter() {
            let (key, value) = entry.map_err(|error| read_failed(&error))?;
            found.add(&key, &value);
            if is_large(&value) {
                touch_for_eviction(&self.db, &key)?;
            }
            scan.entries += 1;
            scan.bytes += (key.len() + value.len()) as u64;
            if scan.entries.is_multiple_of(ENTRIES_AT_A_TIME as u64) && deadline.is_over() {
                scan.is_whole = false;
                break;
            }
        }
        if scan.is_whole && !self.tally.agrees_with(found) {
            return lost(format!(
                "its {} entries are not the {} that were written to it",
                found.entries, self.tally.entries
            ));
        }
        Ok(scan)
    }

    /// Visits every entry in key order, until `take` fails.
    pub(super) fn each_entry(&self, take: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), JournalError> {
        for entry in self.db.iter() {
            let (key, value) = entry.map_err(|error| read_failed(&error))?;
            take(&key, &value);
        }
        Ok(())
    }

    pub(super) fn size_on_disk(&self) -> Result<u64, JournalError> {
        self.db.size_on_disk().map_err(|error| read_failed(&error))
    }

    /// Values so large that sled put them in files of their own, which are never synced: there should be none.
    pub(super) fn stray_files(&self) -> Result<usize, JournalError> {
        Ok(named(&self.directory.join("blobs"), |_| true)?.len())
    }

    /// Syncs every file of the directory, and the directory itself: sled never does.
    pub(super) fn sync_all(&mut self) -> Result<(), JournalError> {
        self.db.flush().map_err(|error| JournalError::Write(error.to_string()))?;
        let entries = std::fs::read_dir(&self.directory).map_err(|error| io("list", &self.directory, error))?;
        for entry in entries {
            let path = entry.map_err(|error| io("list", &self.directory, error))?.path();
            if path.is_file() {
                sync(&path)?;
            }
        }
        sync(&self.directory)?;
        let parent = self.directory.parent().unwrap_or(Path::new("."));
        sync(parent)?;
        if let Some(above) = parent.parent().filter(|above| !above.as_os_str().is_empty()) {
            // Best effort: the parent directory is not ours and may be inaccessible.
            let _ = sync(above);
        }
        Ok(())
    }
}

/// What the journal's thread drives.
pub(super) trait Writer {
    /// Writes one step and syncs it.
    fn write(&mut self, puts: Vec<Put>, retention: Retention) -> Result<(), JournalError>;
    /// Tidies up afterwards. The step has been answered by then.
    fn after_commit(&mut self) -> Result<(), JournalError>;
}

impl Writer for Store {
    /// Writes one step as one batch and syncs it. After an error the store must not be used again.
    fn write(&mut self, puts: Vec<Put>, retention: Retention) -> Result<(), JournalError> {
        // The last put for an entry wins.
        let mut entries: BTreeMap<_, _> = puts.into_iter().map(|Put { key, value }| (key, value)).collect();
        self.steps += 1;
        if self.steps.is_multiple_of(FORGET_BUILDS_EVERY) {
            let outdated = self.reader.outdated_builds(&retention, FORGOTTEN_BUILDS)?;
            entries.extend(outdated.into_iter().map(|key| (key, None)));
        }
        let outdated = self.reader.outdated_pages(&retention, FORGOTTEN_PAGES, &mut self.oldest)?;
        entries.extend(outdated.into_iter().map(|key| (key, None)));
        self.apply(entries)
    }

    /// Lets sled evict what was written and won't be needed soon. The step has been answered by then.
    fn after_commit(&mut self) -> Result<(), JournalError> {
        self.large.drain(..).try_for_each(|key| touch_for_eviction(&self.db, &key))
    }
}

/// A kill while sled wrote a snapshot leaves an unfinished one, and every later open would fail on it. The previous one
/// stays intact until the new one is complete: removing the unfinished one loses nothing.
fn remove_unfinished_snapshots(directory: &Path) -> Result<(), JournalError> {
    for path in named(directory, |name| name.starts_with("snap.") && name.ends_with(".generating"))? {
        std::fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
    }
    Ok(())
}
