//! The check looks at everything and changes nothing.

use super::damage::DAMAGES;
use super::*;

#[test]
fn the_check_finds_a_sound_journal_sound_and_changes_nothing() {
    let (directory, _) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    let before = content(directory.path());
    let findings = check::check(directory.path()).expect("looked at");
    let journal = findings.journal.expect("there is one");
    assert_eq!((findings.ok, journal.problems, findings.exports.len()), (true, Vec::new(), 1));
    assert_eq!((journal.images, journal.keys, journal.events, journal.builds), (2, 1, 3, 1));
    assert_eq!(content(directory.path()), before);
    let _held = open(directory.path(), PATIENCE).expect("it opens");
    assert!(matches!(check::check(directory.path()), Err(JournalError::InUse { .. })));
}

#[test]
fn the_check_reports_inconsistent_entries() {
    let (directory, _) = stored(&state());
    let mut opened = open(directory.path(), PATIENCE).expect("it opens");
    let put = |key: Vec<u8>, value: &str| Put { key, value: Some(value.as_bytes().to_vec()) };
    let mut puts = Vec::new();
    page::pack(&[event(5_000_000_000)], &[], &mut puts);
    puts.extend([
        put(keys::closure_key(&image(), &master(), Seq(2)), "{\"at\":1}"),
        put(b"?".to_vec(), ""),
        Put { key: keys::build_key(BuildId(7)), value: None },
    ]);
    opened.store.write(puts, Retention::NOTHING).expect("written");
    drop(opened);
    let findings = check::check(directory.path()).expect("looked at");
    let problems = findings.journal.expect("there is one").problems.join("\n");
    assert!(!findings.ok);
    for part in ["event 5000000000 is newer", "entry cacme", "no known table", "build 7 lives"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

#[test]
fn the_check_reports_a_damaged_journal() {
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, paths) = stored(&state());
        damage(&paths);
        let findings = check::check(directory.path()).expect(what);
        assert!(!findings.ok && findings.journal.is_some_and(|journal| journal.problems_total > 0), "{what}");
    }
}
