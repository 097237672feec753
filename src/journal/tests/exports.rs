//! Exports: written, read back, distinguished from broken ones, imported.

use super::*;
use crate::scheduler::lane::Lane;

#[test]
fn an_export_comes_back_as_it_was_for_its_owner_only_and_three_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let vitals = quiet();
    let mut written = Vec::new();
    let mut state = state();
    for newest in 1..=5 {
        state.snapshot.newest = Seq(newest);
        written.push(export::write(directory.path(), &state, &vitals).expect("written"));
    }
    let again = export::write(directory.path(), &state, &vitals).expect("written");
    assert_eq!(again, written[4], "nothing has changed");
    assert!(vitals.exported_at().is_some());
    let kept = export::list(&directory.path().join("exports")).expect("listed");
    assert_eq!(kept, written[2..]);
    let mode = std::fs::metadata(&kept[0]).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (head, back) = export::read(&kept[2]).expect("whole");
    assert_eq!((head.newest, head.newest_build), (Seq(5), BuildId(7)));
    same(&back, &state);
}

#[test]
fn no_flipped_bit_and_no_missing_end_passes_for_a_whole_export() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = export::write(directory.path(), &state(), &quiet()).expect("written");
    let right = std::fs::read(&path).expect("readable");
    let is_whole = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        let whole = export::one_is_whole(path.parent().expect("a directory")).expect("listed");
        assert_eq!(whole, export::read_from(bytes, &path).is_ok(), "seen by one of the two ways only");
        whole
    };
    assert!(is_whole(&right));
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1 << (at % 8);
        assert!(!is_whole(&wrong), "a change of byte {at} went unnoticed");
        assert!(!is_whole(&right[..at]), "a cut after {at} bytes went unnoticed");
    }
    assert!(!is_whole(&[&right[..], b"{}\n"].concat()));
}

#[test]
fn a_damaged_export_is_passed_over_for_an_older_one() {
    let (directory, paths) = stored(&state());
    let older = export::write(directory.path(), &state(), &quiet()).expect("written");
    let made_at = export::read(&older).expect("whole").0.made_at;
    let mut later = state();
    later.snapshot.newest = Seq(4);
    let newest = export::write(directory.path(), &later, &quiet()).expect("written");
    let mut bytes = std::fs::read(&newest).expect("readable");
    bytes[200] ^= 4;
    std::fs::write(&newest, bytes).expect("written");
    std::fs::remove_file(paths.journal.join("db")).expect("removed");
    assert!(export::one_is_whole(&paths.exports).expect("listed"), "the older one is");
    let opened = open(directory.path(), PATIENCE).expect("restored");
    assert_eq!(opened.restored.and_then(|restored| restored.export_made_at), Some(made_at));
}

#[test]
fn behind_an_export_of_a_newer_version_no_older_one_is_taken() {
    let (directory, paths) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    let mut later = state();
    later.snapshot.newest = Seq(4);
    let newest = export::write(directory.path(), &later, &quiet()).expect("written");
    let text = std::fs::read_to_string(&newest).expect("readable");
    std::fs::write(&newest, text.replacen("\"format\":2", "\"format\":3", 1)).expect("written");
    assert!(!export::one_is_whole(&paths.exports).expect("listed"));
    assert!(matches!(export::newest_whole(&paths.exports), Err(JournalError::NewerExport { .. })));
}

#[test]
fn an_export_is_imported_into_an_empty_directory_only() {
    let (directory, paths) = stored(&state());
    let file = export::write(directory.path(), &state(), &quiet()).expect("written");
    for left_over in [None, Some(&paths.journal)] {
        if let Some(path) = left_over {
            std::fs::remove_dir_all(path).expect("removed");
        }
        let before = content(directory.path());
        let error = import(directory.path(), &file).expect_err("not empty");
        assert!(matches!(error, JournalError::NotEmpty { .. }), "{error}");
        assert_eq!(content(directory.path()), before);
    }
}

#[test]
fn what_a_later_step_wrote_is_not_in_the_state_of_an_earlier_one() {
    let journal = MemoryJournal::default();
    let _committed = journal.commit(state().entries());
    let mut shown = state();
    shown.snapshot.lanes[0].keys.clear();
    let lanes = shown
        .snapshot
        .lanes
        .into_iter()
        .take(1)
        .map(|lane| (lane.image.clone(), Arc::new(Lane::restore(lane))))
        .collect();
    // As it was before event 3 came; the other lane is no longer configured.
    let shown = Shown { lanes, hold: None, newest: Seq(2), newest_build: BuildId(7), newest_notice: NoticeId(3) };
    let of_it = LiveState::of(shown, &journal.reader()).expect("readable");
    assert_eq!(of_it.events, [event(1), event(2)]);
    assert_eq!(of_it.snapshot.deliveries, []);
    assert_eq!(of_it.snapshot.outbox, StoredOutbox { newest: NoticeId(3), pending: Vec::new() });
    assert_eq!(of_it.snapshot.lanes.len(), 2);
    assert!(of_it.snapshot.lanes[0].keys.is_empty());
}
