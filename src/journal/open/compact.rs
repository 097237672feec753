//! Making a database small again at the start: sled's file never shrinks, and grows where lives are of mixed length.
//!
//! All rows are copied into a database beside it (`journal.new`), which is brought to disk. Then the two change
//! places: `journal` becomes `journal.old`, `journal.new` becomes `journal`, the old one is removed. Each rename is on
//! disk before the next. Killed anywhere between, the next start finds one of them whole ([`finish`]):
//!
//! | there are | so | then |
//! |---|---|---|
//! | `journal`, maybe `journal.new` | the copy may be half | removes the copy |
//! | `journal.old`, `journal.new` | between the renames; nobody has written since | gives the old one its place back |
//! | `journal`, `journal.old` | the copy has its place | removes the old one |

use std::sync::Arc;
use std::time::Duration;

use super::paths::Places;
use super::verify::{Whole, guarded, open_whole, read_whole};
use crate::journal::error::JournalError;
use crate::journal::files::{Deadline, remove_directory, rename};
use crate::journal::lock::{Lock, wait_until_free};
use crate::journal::store::failure::Unopened;
use crate::journal::store::{Store, Survey};

/// A database that takes less on disk is left as it is, in bytes.
const WORTHWHILE_BYTES: u64 = 64 * 1024 * 1024;
/// One that takes no more than so many times what its rows hold is left as it is.
const WORTHWHILE_TIMES: u64 = 8;
/// The start waits no longer for a copy.
const COPY_LIMIT: Duration = Duration::from_secs(20);

/// Makes a database small that takes far more than it holds. Where the copy fails, the start goes on with what is.
pub(super) fn when_worthwhile(places: &Places, lock: &Arc<Lock>, whole: Whole) -> Result<Whole, JournalError> {
    let size = whole.store.size_on_disk()?;
    if !is_worthwhile(size, whole.survey) {
        return Ok(whole);
    }
    compact(places, lock, whole, size)
}

fn is_worthwhile(size: u64, survey: Survey) -> bool {
    survey.is_whole && size > WORTHWHILE_BYTES && size > survey.bytes.saturating_mul(WORTHWHILE_TIMES)
}

fn compact(places: &Places, lock: &Arc<Lock>, whole: Whole, size: u64) -> Result<Whole, JournalError> {
    let begun = Deadline::after(COPY_LIMIT);
    match copy(places, lock, &whole, begun) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("copying the journal to make it small takes too long; it stays at {size} bytes");
            remove_directory(&places.coming)?;
            return Ok(whole);
        }
        Err(error) => {
            tracing::warn!("failed to make the journal small; it stays at {size} bytes: {error}");
            remove_directory(&places.coming)?;
            return Ok(whole);
        }
    }
    let survey = whole.survey;
    drop(whole);
    exchange(places)?;
    let whole = match open_whole(places, lock, COPY_LIMIT) {
        Ok(whole) => whole,
        Err(unopened) => {
            // It opened a moment ago under its other name. Whatever that is, the old one was whole.
            rename(&places.journal, &places.coming)?;
            rename(&places.leaving, &places.journal)?;
            return Err(unopened.into_error(&places.coming));
        }
    };
    remove_directory(&places.leaving)?;
    let smaller = whole.store.size_on_disk()?;
    tracing::info!(
        rows = survey.rows,
        "made the journal small again: {size} bytes before, {smaller} now, in {} ms",
        begun.elapsed().as_millis()
    );
    Ok(whole)
}

/// The copy takes the journal's place.
fn exchange(places: &Places) -> Result<(), JournalError> {
    rename(&places.journal, &places.leaving)?;
    rename(&places.coming, &places.journal)
}

/// Copies all rows beside the journal, brings the copy to disk and reads it back; false where there was no time
/// for all.
fn copy(places: &Places, lock: &Arc<Lock>, whole: &Whole, deadline: Deadline) -> Result<bool, JournalError> {
    remove_directory(&places.coming)?;
    let copied = guarded(|| {
        let mut smaller = Store::open(&places.coming, lock.clone())?;
        if !whole.store.copy_to(&mut smaller, deadline)? {
            return Ok(false);
        }
        smaller.settle()?;
        drop(smaller);
        // Threads of sled's pool may hold it for a moment longer.
        wait_until_free(&places.coming.join("db"), COPY_LIMIT, &places.data_dir)?;
        let back = read_whole(&places.coming, &places.journal, lock)?;
        if back.survey == whole.survey {
            Ok(true)
        } else {
            Err(Unopened::Damaged("the copy is not what was copied".to_owned()))
        }
    });
    copied.map_err(|unopened| unopened.into_error(&places.coming))
}

/// Brings an exchange that a kill cut short to an end, forward or back.
pub(super) fn finish(places: &Places) -> Result<(), JournalError> {
    if !places.journal.exists() && places.leaving.exists() {
        rename(&places.leaving, &places.journal)?;
    }
    remove_directory(&places.coming)?;
    remove_directory(&places.leaving)
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

    /// A data directory whose journal holds a thousand rows.
    fn filled() -> (tempfile::TempDir, Places) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut opened = open(directory.path(), PATIENCE).expect("fresh");
        let puts =
            (0..1_000_u32).map(|n| Put { key: [b"z", &n.to_be_bytes()[..]].concat(), value: Some(vec![7; 300]) });
        opened.store.write(puts.collect(), Retention::NOTHING).expect("written");
        drop(opened);
        let places = Places::below(directory.path());
        (directory, places)
    }

    fn rows(directory: &std::path::Path) -> u64 {
        open(directory, PATIENCE).expect("it opens").store.survey().expect("readable").rows
    }

    fn whole(places: &Places) -> (Arc<Lock>, Whole) {
        let lock = Arc::new(Lock::take(&places.data_dir, PATIENCE).expect("free"));
        let whole = open_whole(places, &lock, PATIENCE).expect("whole");
        (lock, whole)
    }

    #[test]
    fn a_copy_takes_the_place_of_the_journal_and_holds_all_of_it() {
        let (directory, places) = filled();
        let (lock, whole) = whole(&places);
        let before = whole.survey;
        let smaller = compact(&places, &lock, whole, 0).expect("copied");
        assert_eq!((smaller.survey, smaller.survey.rows), (before, 1_002));
        drop((smaller, lock));
        assert!(!places.coming.exists() && !places.leaving.exists());
        assert_eq!(rows(directory.path()), 1_002);
    }

    /// What a kill leaves after each move of the exchange.
    #[test]
    fn a_kill_at_any_point_leaves_a_journal_that_opens_and_holds_all() {
        type Moves = fn(&Places);
        let kills: [(&str, Moves); 6] = [
            ("while the copy is begun", |places| make_directory(&places.coming).expect("made")),
            ("while the copy is half", |places| {
                make_directory(&places.coming).expect("made");
                std::fs::write(places.coming.join("db"), b"half").expect("written");
            }),
            ("before the first rename", |places| copied(places)),
            ("between the renames", |places| {
                copied(places);
                rename(&places.journal, &places.leaving).expect("renamed");
            }),
            ("after the renames", |places| {
                copied(places);
                exchange(places).expect("renamed");
            }),
            ("while the old one is removed", |places| {
                copied(places);
                exchange(places).expect("renamed");
                std::fs::remove_file(places.leaving.join("conf")).expect("removed");
            }),
        ];
        for (when, moves) in kills {
            let (directory, places) = filled();
            moves(&places);
            assert_eq!(rows(directory.path()), 1_002, "{when}");
            assert!(!places.coming.exists() && !places.leaving.exists(), "{when}");
        }
    }

    fn copied(places: &Places) {
        let (lock, whole) = whole(places);
        assert!(copy(places, &lock, &whole, Deadline::after(COPY_LIMIT)).expect("copied"));
    }

    #[test]
    fn only_a_large_database_that_holds_little_is_worth_it() {
        let survey = |bytes| Survey { rows: 1, bytes, is_whole: true };
        assert!(is_worthwhile(WORTHWHILE_BYTES + 1, survey(WORTHWHILE_BYTES / WORTHWHILE_TIMES)));
        assert!(!is_worthwhile(WORTHWHILE_BYTES, survey(0)));
        assert!(!is_worthwhile(10 * WORTHWHILE_BYTES, survey(2 * WORTHWHILE_BYTES)));
        assert!(!is_worthwhile(10 * WORTHWHILE_BYTES, Survey { is_whole: false, ..survey(0) }));
    }
}
