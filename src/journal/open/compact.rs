//! Compacts a database at startup: sled's file never shrinks, and it grows when entries of mixed lifetimes share it.
//!
//! All entries are copied into a new database (`journal.new`), which is synced. Then the two change places: `journal`
//! becomes `journal.old`, `journal.new` becomes `journal`, and the old one is removed. Each rename is on disk before
//! the next. If killed in between, the next start finds one of them complete ([`finish`]):
//!
//! | present | so | then |
//! |---|---|---|
//! | `journal`, maybe `journal.new` | the copy may be incomplete | removes the copy |
//! | `journal.old`, `journal.new` | between the renames; nothing was written since | restores the old one |
//! | `journal`, `journal.old` | the copy is in place | removes the old one |

use std::sync::Arc;
use std::time::Duration;

use super::paths::Paths;
use super::verify::{VerifiedStore, guarded, open_verified, verify};
use crate::journal::error::JournalError;
use crate::journal::files::{Deadline, remove_directory, rename};
use crate::journal::lock::{Lock, wait_until_free};
use crate::journal::store::open_error::OpenError;
use crate::journal::store::{IntegrityScan, Store};

/// A database smaller than this on disk, in bytes, is left alone.
const WORTHWHILE_BYTES: u64 = 64 * 1024 * 1024;
/// A database at most this many times the size of its entries is left alone.
const WORTHWHILE_TIMES: u64 = 8;
/// Startup waits no longer than this for a copy.
const COPY_LIMIT: Duration = Duration::from_secs(20);

/// Compacts a database that is far larger than its contents. If the copy fails, startup continues with the old one.
pub(super) fn when_worthwhile(
    paths: &Paths,
    lock: &Arc<Lock>,
    whole: VerifiedStore,
) -> Result<VerifiedStore, JournalError> {
    let size = whole.store.size_on_disk()?;
    if !is_worthwhile(size, whole.scan) {
        return Ok(whole);
    }
    compact(paths, lock, whole, size)
}

fn is_worthwhile(size: u64, scan: IntegrityScan) -> bool {
    scan.is_whole && size > WORTHWHILE_BYTES && size > scan.bytes.saturating_mul(WORTHWHILE_TIMES)
}

fn compact(paths: &Paths, lock: &Arc<Lock>, whole: VerifiedStore, size: u64) -> Result<VerifiedStore, JournalError> {
    let begun = Deadline::after(COPY_LIMIT);
    match copy(paths, lock, &whole, begun) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("copying the journal to make it small takes too long; it stays at {size} bytes");
            remove_directory(&paths.incoming)?;
            return Ok(whole);
        }
        Err(error) => {
            tracing::warn!("failed to make the journal small; it stays at {size} bytes: {error}");
            remove_directory(&paths.incoming)?;
            return Ok(whole);
        }
    }
    let scan = whole.scan;
    drop(whole);
    exchange(paths)?;
    let whole = match open_verified(paths, lock, COPY_LIMIT) {
        Ok(whole) => whole,
        Err(error) => {
            // It opened under its other name a moment ago. Whatever went wrong, the old one was complete.
            rename(&paths.journal, &paths.incoming)?;
            rename(&paths.outgoing, &paths.journal)?;
            return Err(error.into_error(&paths.incoming));
        }
    };
    remove_directory(&paths.outgoing)?;
    let smaller = whole.store.size_on_disk()?;
    tracing::info!(
        entries = scan.entries,
        "made the journal small again: {size} bytes before, {smaller} now, in {} ms",
        begun.elapsed().as_millis()
    );
    Ok(whole)
}

/// Puts the copy in the journal's place.
fn exchange(paths: &Paths) -> Result<(), JournalError> {
    rename(&paths.journal, &paths.outgoing)?;
    rename(&paths.incoming, &paths.journal)
}

/// Copies all entries to a database next to the journal, syncs it and reads it back; false if time ran out.
fn copy(paths: &Paths, lock: &Arc<Lock>, whole: &VerifiedStore, deadline: Deadline) -> Result<bool, JournalError> {
    remove_directory(&paths.incoming)?;
    let copied = guarded(|| {
        let mut smaller = Store::open(&paths.incoming, lock.clone())?;
        if !whole.store.copy_to(&mut smaller, deadline)? {
            return Ok(false);
        }
        smaller.sync_all()?;
        drop(smaller);
        // Threads of sled's pool may hold it a moment longer.
        wait_until_free(&paths.incoming.join("db"), COPY_LIMIT, &paths.data_dir)?;
        let back = verify(&paths.incoming, &paths.journal, lock)?;
        if back.scan == whole.scan {
            Ok(true)
        } else {
            Err(OpenError::Damaged("the copy is not what was copied".to_owned()))
        }
    });
    copied.map_err(|error| error.into_error(&paths.incoming))
}

/// Completes an exchange that a kill interrupted, forward or back.
pub(super) fn finish(paths: &Paths) -> Result<(), JournalError> {
    if !paths.journal.exists() && paths.outgoing.exists() {
        rename(&paths.outgoing, &paths.journal)?;
    }
    remove_directory(&paths.incoming)?;
    remove_directory(&paths.outgoing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::files::make_directory;
    use crate::journal::history::keys::Put;
    use crate::journal::history::retention::Retention;
    use crate::journal::open::open;
    use crate::journal::store::Writer as _;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A data directory whose journal holds a thousand entries.
    fn filled() -> (tempfile::TempDir, Paths) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut opened = open(directory.path(), PATIENCE).expect("fresh");
        let puts =
            (0..1_000_u32).map(|n| Put { key: [b"z", &n.to_be_bytes()[..]].concat(), value: Some(vec![7; 300]) });
        opened.store.write(puts.collect(), Retention::NOTHING).expect("written");
        drop(opened);
        let paths = Paths::below(directory.path());
        (directory, paths)
    }

    fn entries(directory: &std::path::Path) -> u64 {
        open(directory, PATIENCE).expect("it opens").store.scan().expect("readable").entries
    }

    fn whole(paths: &Paths) -> (Arc<Lock>, VerifiedStore) {
        let lock = Arc::new(Lock::take(&paths.data_dir, PATIENCE).expect("free"));
        let whole = open_verified(paths, &lock, PATIENCE).expect("whole");
        (lock, whole)
    }

    #[test]
    fn a_copy_takes_the_place_of_the_journal_and_holds_all_of_it() {
        let (directory, paths) = filled();
        let (lock, whole) = whole(&paths);
        let before = whole.scan;
        let smaller = compact(&paths, &lock, whole, 0).expect("copied");
        assert_eq!((smaller.scan, smaller.scan.entries), (before, 1_002));
        drop((smaller, lock));
        assert!(!paths.incoming.exists() && !paths.outgoing.exists());
        assert_eq!(entries(directory.path()), 1_002);
    }

    /// What a kill leaves after each move of the exchange.
    #[test]
    fn a_kill_at_any_point_leaves_a_journal_that_opens_and_holds_all() {
        type Moves = fn(&Paths);
        let kills: [(&str, Moves); 6] = [
            ("while the copy is begun", |paths| make_directory(&paths.incoming).expect("made")),
            ("while the copy is half", |paths| {
                make_directory(&paths.incoming).expect("made");
                std::fs::write(paths.incoming.join("db"), b"half").expect("written");
            }),
            ("before the first rename", |paths| copied(paths)),
            ("between the renames", |paths| {
                copied(paths);
                rename(&paths.journal, &paths.outgoing).expect("renamed");
            }),
            ("after the renames", |paths| {
                copied(paths);
                exchange(paths).expect("renamed");
            }),
            ("while the old one is removed", |paths| {
                copied(paths);
                exchange(paths).expect("renamed");
                std::fs::remove_file(paths.outgoing.join("conf")).expect("removed");
            }),
        ];
        for (when, moves) in kills {
            let (directory, paths) = filled();
            moves(&paths);
            assert_eq!(entries(directory.path()), 1_002, "{when}");
            assert!(!paths.incoming.exists() && !paths.outgoing.exists(), "{when}");
        }
    }

    fn copied(paths: &Paths) {
        let (lock, whole) = whole(paths);
        assert!(copy(paths, &lock, &whole, Deadline::after(COPY_LIMIT)).expect("copied"));
    }

    #[test]
    fn only_a_large_database_that_holds_little_is_worth_it() {
        let scan = |bytes| IntegrityScan { entries: 1, bytes, is_whole: true };
        assert!(is_worthwhile(WORTHWHILE_BYTES + 1, scan(WORTHWHILE_BYTES / WORTHWHILE_TIMES)));
        assert!(!is_worthwhile(WORTHWHILE_BYTES, scan(0)));
        assert!(!is_worthwhile(10 * WORTHWHILE_BYTES, scan(2 * WORTHWHILE_BYTES)));
        assert!(!is_worthwhile(10 * WORTHWHILE_BYTES, IntegrityScan { is_whole: false, ..scan(0) }));
    }
}
