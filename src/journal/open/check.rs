//! Checks whether stored data is sound, without changing any of it.
//!
//! Opening a database can change its files, so a copy is opened. Exports are read in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::paths::Paths;
use super::verify::{VerifiedStore, guarded, verify};
use crate::event::Closure;
use crate::journal::error::JournalError;
use crate::journal::export;
use crate::journal::files::{copy_directory, io};
use crate::journal::history::entries::MetaEntry;
use crate::journal::history::keys;
use crate::journal::history::page::{self, Record};
use crate::journal::lock::Lock;
use crate::journal::store::Store;
use crate::journal::store::open_error::OpenError;
use crate::model::{BuildId, CommitId, Seq, Timestamp};
use crate::notice::{Notice, NoticeId};
use crate::scheduler::lane::{Key, LaneState};
use crate::scheduler::record::BuildRecord;

/// The most problems listed; the rest are only counted.
const PROBLEMS_MAX: usize = 100;

/// The result of checking a data directory.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// None if there is no journal.
    pub journal: Option<JournalFindings>,
    /// Oldest first.
    pub exports: Vec<ExportFindings>,
    /// Damaged journals that were set aside.
    pub quarantined: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct JournalFindings {
    pub path: PathBuf,
    pub entries: u64,
    /// Total over all keys and values.
    pub bytes: u64,
    pub size_on_disk: u64,
    pub images: u64,
    pub keys: u64,
    pub events: u64,
    pub builds: u64,
    /// The newest event's and the newest build's number.
    pub newest: u64,
    pub newest_build: u64,
    /// One sentence each, at most a hundred.
    pub problems: Vec<String>,
    pub problems_total: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct ExportFindings {
    pub path: PathBuf,
    #[serde(serialize_with = "rfc3339")]
    pub made_at: Option<Timestamp>,
    pub events: u64,
    pub problem: Option<String>,
}

/// Like all times in machine-readable output; stored times are numbers.
#[expect(clippy::ref_option, reason = "serde calls it so")]
fn rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

/// Checks everything below `data_dir`. An error means that it couldn't be checked, for example because a daemon uses
/// it.
pub fn check(data_dir: &Path) -> Result<Findings, JournalError> {
    let paths = Paths::below(data_dir);
    let lock = Lock::look(data_dir)?;
    let exports: Vec<ExportFindings> = export::list(&paths.exports)?.into_iter().map(look_at_export).collect();
    let stored = [&paths.journal, &paths.outgoing].into_iter().find(|path| path.exists());
    let journal = stored.map(|path| look_at_copy(path, lock)).transpose()?;
    let quarantined = paths.quarantined()?;
    if journal.is_none() && exports.is_empty() && quarantined.is_empty() {
        return Err(JournalError::NoJournal { directory: data_dir.to_owned() });
    }
    // A journal that is gone, although there are traces of it, is the gravest problem.
    let sound = journal.as_ref().is_some_and(|journal| journal.problems_total == 0);
    let ok = sound && exports.iter().all(|export| export.problem.is_none());
    Ok(Findings { ok, journal, exports, quarantined })
}

fn look_at_export(path: PathBuf) -> ExportFindings {
    match export::read(&path) {
        Ok((head, state)) => {
            ExportFindings { path, made_at: Some(head.made_at), events: state.events.len() as u64, problem: None }
        }
        Err(error) => ExportFindings { path, made_at: None, events: 0, problem: Some(error.to_string()) },
    }
}

fn look_at_copy(directory: &Path, lock: Option<Lock>) -> Result<JournalFindings, JournalError> {
    let copy = tempfile::tempdir().map_err(|error| io("make a copy in", &std::env::temp_dir(), error))?;
    // We hold the lock, so the database doesn't change during the copy.
    copy_directory(directory, copy.path())?;
    let lock = match lock {
        Some(lock) => lock,
        None => Lock::take(copy.path(), std::time::Duration::ZERO)?,
    };
    let mut findings = JournalFindings { path: directory.to_owned(), ..JournalFindings::default() };
    if std::fs::metadata(copy.path().join("db")).map_or(0, |file| file.len()) == 0 {
        findings.tell("its file 'db' is missing or empty".to_owned());
        return Ok(findings);
    }
    let looked = guarded(|| {
        let VerifiedStore { store, scan, .. } = verify(copy.path(), directory, &Arc::new(lock))?;
        (findings.entries, findings.bytes) = (scan.entries, scan.bytes);
        findings.size_on_disk = store.size_on_disk()?;
        Ok(judge(&store, &mut findings)?)
    });
    match looked {
        Ok(()) => {}
        Err(OpenError::Damaged(why)) => findings.tell(why),
        Err(OpenError::Failed(error @ JournalError::OtherSchema { .. })) => findings.tell(error.to_string()),
        Err(OpenError::Failed(error)) => return Err(error),
    }
    Ok(findings)
}

/// What must be consistent across entries.
#[derive(Default)]
struct Seen {
    head: Option<MetaEntry>,
    live: Vec<BuildId>,
    builds: BTreeSet<BuildId>,
    newest: Seq,
    newest_build: BuildId,
    newest_notice: NoticeId,
}

/// Reads every entry and checks that they are consistent.
fn judge(store: &Store, findings: &mut JournalFindings) -> Result<(), JournalError> {
    let mut seen = Seen::default();
    store.each_entry(&mut |key, value| {
        if let Err(why) = seen.take(key, value, findings) {
            findings.tell(format!("entry {}: {why}", String::from_utf8_lossy(key).escape_debug()));
        }
    })?;
    let Seen { head: Some(head), .. } = &seen else {
        findings.tell("the entry that says which schema it has is missing".to_owned());
        return Ok(());
    };
    (findings.newest, findings.newest_build) = (head.newest.0, head.newest_build.0);
    if seen.newest > head.newest {
        findings.tell(format!("event {} is newer than the newest, {}", seen.newest.0, head.newest.0));
    }
    if seen.newest_build > head.newest_build {
        findings.tell(format!("build {} is newer than the newest, {}", seen.newest_build, head.newest_build));
    }
    if seen.newest_notice > head.newest_notice {
        findings.tell(format!("notice {} is newer than the newest, {}", seen.newest_notice, head.newest_notice));
    }
    for build in seen.live.iter().filter(|build| !seen.builds.contains(*build)) {
        findings.tell(format!("build {build} lives, but has no entry"));
    }
    Ok(())
}

impl Seen {
    /// Takes in one entry, by the table that its first byte names (see `keys`).
    fn take(&mut self, key: &[u8], value: &[u8], findings: &mut JournalFindings) -> Result<(), String> {
        let number = || keys::last_number(key).ok_or("its key has no number");
        match key.first().copied() {
            Some(b'h') => self.head = Some(parse(value)?),
            Some(b'l') => {
                let lane: LaneState = parse(value)?;
                findings.images += 1;
                self.live.extend(lane.lives().map(|live| live.record.id));
                self.newest = self.newest.max(lane.lives().map(|live| live.through).max().unwrap_or_default());
            }
            Some(b'k') => {
                keys::image_and_ref(key).ok_or("its key names no key")?;
                let stored: Key = parse(value)?;
                findings.keys += 1;
                let last = stored.open.as_ref().map_or(Seq(0), crate::scheduler::open::Open::last);
                self.newest = self.newest.max(last).max(stored.closed_through).max(stored.moved);
            }
            Some(b'r') => {
                keys::image_and_ref(key).ok_or("its key names no ref")?;
                let _: CommitId = parse(value)?;
            }
            Some(b'e') => {
                let (first, mut before) = (number()?, 0);
                let mut misplaced = None;
                page::read(value, |record| match record {
                    Record::Seen { first, count, .. } => {
                        self.newest = self.newest.max(Seq((first + u64::from(count)).saturating_sub(1)));
                    }
                    Record::Event(event) => {
                        if event.seq < first || event.seq <= before || event.whole().is_err() {
                            misplaced = Some(event.seq);
                        }
                        before = event.seq;
                        findings.events += 1;
                        self.newest = self.newest.max(Seq(event.seq));
                    }
                })
                .map_err(|error| error.to_string())?;
                if let Some(seq) = misplaced {
                    return Err(format!("event {seq} does not belong where it stands"));
                }
            }
            Some(b'b') => {
                let build: BuildRecord = parse(value)?;
                if build.id.0 != number()? {
                    return Err(format!("it holds build {}", build.id));
                }
                findings.builds += 1;
                self.newest_build = self.newest_build.max(build.id);
                self.builds.insert(build.id);
            }
            Some(b'c') => {
                let _: Closure = parse(value)?;
                self.newest = self.newest.max(Seq(number()?));
            }
            Some(b'o') => {
                let notice: Notice = parse(value)?;
                if notice.id.0 != number()? {
                    return Err(format!("it holds notice {}", notice.id));
                }
                self.newest_notice = self.newest_notice.max(notice.id);
            }
            Some(b'n') if key.len() == 1 => {}
            Some(b'j') => self.newest_build = self.newest_build.max(BuildId(number()?)),
            _ => return Err("it is of no known table".to_owned()),
        }
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| format!("it can't be read: {error}"))
}

impl JournalFindings {
    fn tell(&mut self, problem: String) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}
