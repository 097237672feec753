//! Damaged databases, on real files: restored from an export, or left as they are.

use super::*;

pub(super) type Damage = fn(&Paths);

pub(super) const DAMAGES: [(&str, Damage); 7] = [
    ("the file is gone", |paths| std::fs::remove_file(paths.journal.join("db")).expect("removed")),
    ("the file is empty", |paths| std::fs::write(paths.journal.join("db"), b"").expect("written")),
    ("the file is short", |paths| {
        let file = std::fs::OpenOptions::new().write(true).open(paths.journal.join("db")).expect("opened");
        file.set_len(100).expect("cut");
    }),
    ("the file is noise", |paths| {
        let path = paths.journal.join("db");
        let noise: Vec<u8> =
            (0..std::fs::metadata(&path).expect("a file").len()).map(|n| (n * 31 % 251) as u8).collect();
        std::fs::write(&path, noise).expect("written");
    }),
    ("the file is zeroes", |paths| {
        let path = paths.journal.join("db");
        let length = usize::try_from(std::fs::metadata(&path).expect("a file").len()).expect("small");
        std::fs::write(&path, vec![0; length]).expect("written");
    }),
    ("all files are gone", |paths| {
        std::fs::remove_dir_all(&paths.journal).expect("removed");
        std::fs::create_dir(&paths.journal).expect("made");
    }),
    ("the directory is gone", |paths| std::fs::remove_dir_all(&paths.journal).expect("removed")),
];

#[test]
fn a_damaged_journal_is_put_aside_and_the_export_takes_its_place() {
    for (what, damage) in DAMAGES {
        let (directory, paths) = stored(&state());
        let before = open(directory.path(), PATIENCE).expect("it opens");
        let exported = LiveState::at_rest(&before.store.reader()).expect("readable");
        drop(before);
        export::write(directory.path(), &exported, &quiet()).expect("written");
        damage(&paths);
        let was_there = paths.journal.exists();

        let opened = open(directory.path(), PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
        let restored = opened.restored.expect(what);
        assert!(restored.export_made_at.is_some(), "{what}");
        assert_eq!(restored.quarantined.is_some_and(|path| path.is_dir()), was_there, "{what}");
        assert!(opened.snapshot.newest > exported.snapshot.newest, "{what}");
        let back = LiveState::at_rest(&opened.store.reader()).expect("readable");
        assert_eq!(back.snapshot.lanes, exported.snapshot.lanes, "{what}");
        assert_eq!(back.events, exported.events, "{what}");
        drop(opened.store);

        // Until an operator has dealt with it, every start reports it.
        let again = open(directory.path(), PATIENCE).expect(what);
        assert_eq!(again.restored.is_some(), was_there, "{what}");
        drop(again.store);
        for aside in paths.quarantined().expect("listed") {
            std::fs::remove_dir_all(aside).expect("removed");
        }
        assert_eq!(open(directory.path(), PATIENCE).expect(what).restored, None, "{what}");
    }
}

#[test]
fn without_an_export_a_damaged_journal_is_left_as_it_is() {
    // Without the directory and without an export, nothing shows that there ever was a journal.
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, paths) = stored(&state());
        damage(&paths);
        let before = content(directory.path());
        let error = open(directory.path(), PATIENCE).err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert!(matches!(error, JournalError::Damaged { .. }), "{what}: {error}");
        assert!(!error.to_string().contains("failed to write"), "{what}: {error}");
        assert_eq!(content(directory.path()), before, "{what}");
        assert!(paths.quarantined().expect("listed").is_empty(), "{what}");
    }
}

#[test]
fn without_a_whole_export_a_damaged_journal_is_left_as_it_is() {
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, paths) = stored(&state());
        let export = export::write(directory.path(), &state(), &quiet()).expect("written");
        let whole = std::fs::read(&export).expect("readable");
        std::fs::write(&export, &whole[..whole.len() / 2]).expect("written");
        damage(&paths);
        let before = content(directory.path());
        let error = open(directory.path(), PATIENCE).err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert!(matches!(error, JournalError::Damaged { .. }), "{what}: {error}");
        assert_eq!(content(directory.path()), before, "{what}");
    }
}

#[test]
fn what_the_system_says_of_a_file_is_no_damage() {
    let failing = sled::Error::Io(std::io::Error::from_raw_os_error(5));
    let torn = sled::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
    assert!(store::open_error::is_system_error(&failing) && !store::open_error::is_system_error(&torn));
    assert!(!store::open_error::is_system_error(&sled::Error::Corruption { at: None, bt: () }));
}

#[test]
fn a_journal_that_knows_less_than_its_export_has_lost_something() {
    let (directory, _) = stored(&state());
    let mut ahead = state();
    ahead.leave_gap();
    ahead.snapshot.newest = ahead.snapshot.newest.next();
    export::write(directory.path(), &ahead, &quiet()).expect("written");
    let opened = open(directory.path(), PATIENCE).expect("restored");
    assert!(opened.restored.is_some());
    assert!(opened.snapshot.newest > ahead.snapshot.newest);
}

/// Killed between setting the damaged one aside and putting the new one in its place.
#[test]
fn a_restore_that_was_cut_short_is_done_again() {
    let (directory, paths) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    std::fs::rename(&paths.journal, directory.path().join("journal.corrupt-20261124T100000.000Z")).expect("renamed");
    std::fs::create_dir(&paths.incoming).expect("made");
    let opened = open(directory.path(), PATIENCE).expect("restored");
    assert_eq!(opened.snapshot.lanes, state().snapshot.lanes);
    assert!(opened.restored.is_some_and(|restored| restored.quarantined.is_some()));
}
