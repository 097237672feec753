//! Damage, restore, exports, and a thread that fails: on real files.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::open::open;
use super::places::Places;
use super::*;
use crate::build::BuildState;
use crate::event::{Cause, CauseKind, Closure, End, Event, Fingerprint, Verdict};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::scheduler::lane::{Key, Lane, Live, Running};
use crate::scheduler::open::{Group, Open};
use crate::scheduler::record::{BuildRecord, Remembered};

const AT: Timestamp = Timestamp::from_millis(1_795_000_000_000);
const PATIENCE: Duration = Duration::from_secs(10);

fn image() -> ImageName {
    "acme/web".parse().expect("an image")
}

fn master() -> GitRef {
    GitRef::branch("master").expect("a ref")
}

fn commit() -> CommitId {
    "ae95164c0ffee0000000000000000000000000aa".parse().expect("a commit")
}

fn event(seq: u64) -> Event {
    Event {
        seq: Seq(seq),
        accepted_at: AT,
        image: Some(image()),
        git_ref: Some(master()),
        commit: Some(commit()),
        cause: Arc::new(Cause::new(CauseKind::Push, "github")),
        verdict: Verdict::Opened,
    }
}

fn group(first: u64, last: u64) -> Open {
    Open::new(Group {
        first: Seq(first),
        last: Seq(last),
        first_at: AT,
        last_at: AT,
        count: last - first + 1,
        immediate_at: None,
        manual: false,
        commit: Some(commit()),
        before: None,
        sealed: false,
        mixed: false,
    })
}

fn record(id: u64) -> BuildRecord {
    BuildRecord {
        id: BuildId(id),
        image: image(),
        git_ref: Some(master()),
        state: BuildState::Running,
        outcome: None,
        foreign: false,
        backend_ids: Vec::new(),
        commit: None,
        triggered_at: Some(AT),
        started_at: Some(AT),
        finished_at: None,
        span: Some((Seq(1), Seq(2))),
        events: 2,
        log_url: None,
        note: None,
    }
}

/// Build 7 runs with events 1 and 2; event 3 is open.
fn state() -> LiveState {
    let mut lane = Lane::new(image());
    let key = Key { open: Some(group(3, 3)), closed_through: Seq(2), wanted: Some(commit()), ..Key::default() };
    lane.keys.insert(master(), key);
    lane.heads = Arc::new(BTreeMap::from([(GitRef::branch("dev").expect("a ref"), commit())]));
    let live = Live {
        record: record(7),
        carries: Some(group(1, 2)),
        through: Seq(2),
        missing_since: None,
        answered_at: Some(AT),
        named: false,
        cancelled_by: None,
    };
    lane.running = Some(Running { live, assumed_until: None });
    let snapshot = Snapshot {
        lanes: vec![lane, Lane::new("acme/zoo".parse().expect("an image"))],
        hold: None,
        newest: Seq(3),
        newest_build: BuildId(7),
        deliveries: vec![(Fingerprint([9; 16]), Remembered { first: Seq(3), count: 1, at: AT })],
    };
    LiveState { snapshot, events: vec![event(1), event(2), event(3)] }
}

fn quiet() -> Vitals {
    Vitals::new(None, 0)
}

/// A data directory with a journal of that state, made of an export that lies elsewhere.
fn stored(state: &LiveState) -> (tempfile::TempDir, Places) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = export::write(elsewhere.path(), state, &quiet()).expect("written");
    let directory = tempfile::tempdir().expect("a directory");
    import(directory.path(), &file).expect("imported");
    let places = Places::below(directory.path());
    (directory, places)
}

/// The files below, with what their content comes to: what must stay as it is.
fn content(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            files.insert(path.clone(), hex::encode(Sha256::digest(std::fs::read(&path).expect("readable"))));
        }
    }
    files
}

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

fn same(one: &LiveState, other: &LiveState) {
    assert_eq!(one.snapshot.lanes, other.snapshot.lanes);
    assert_eq!(one.snapshot.deliveries, other.snapshot.deliveries);
    assert_eq!((one.snapshot.newest, one.snapshot.newest_build), (other.snapshot.newest, other.snapshot.newest_build));
    assert_eq!(one.events, other.events);
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
        assert!(!is_whole(&wrong), "byte {at} was another, and nobody saw it");
        assert!(!is_whole(&right[..at]), "it ended after {at} bytes, and nobody saw it");
    }
    assert!(!is_whole(&[&right[..], b"{}\n"].concat()));
}

#[test]
fn a_state_that_is_loaded_reads_back_with_its_receipts_and_with_numbers_well_ahead() {
    let (directory, _) = stored(&state());
    let opened = open(directory.path(), PATIENCE).expect("it opens");
    let back = LiveState::at_rest(&opened.store.reader()).expect("readable");
    let mut expected = state();
    expected.leave_gap();
    same(&back, &expected);
    assert!(expected.snapshot.newest > Seq(1_000_000) && expected.snapshot.newest_build > BuildId(10_000));
    let reader = opened.store.reader();
    assert_eq!(reader.build(BuildId(7)).expect("readable"), Some(record(7)));
    let ended = Fate::Ended(Closure { at: AT, end: End::BuiltBy(BuildId(7)) });
    assert_eq!(reader.fate(&image(), &master(), Seq(1)).expect("readable"), ended);
    assert_eq!(reader.fate(&image(), &master(), Seq(3)).expect("readable"), Fate::Open);
}

#[test]
fn what_a_later_step_wrote_is_not_in_the_state_of_an_earlier_one() {
    let journal = MemoryJournal::default();
    let _committed = journal.commit(rows::encode_state(&state()));
    let mut shown = state();
    shown.snapshot.lanes[0].keys.clear();
    let lanes = shown.snapshot.lanes.into_iter().take(1).map(|lane| (lane.image.clone(), Arc::new(lane))).collect();
    // As it was before event 3 came; the other lane is configured no more.
    let shown = Shown { lanes, hold: None, newest: Seq(2), newest_build: BuildId(7) };
    let of_it = LiveState::of(shown, &journal.reader()).expect("readable");
    assert_eq!(of_it.events, [event(1), event(2)]);
    assert_eq!(of_it.snapshot.deliveries, []);
    assert_eq!(of_it.snapshot.lanes.len(), 2);
    assert!(of_it.snapshot.lanes[0].keys.is_empty());
}

type Damage = fn(&Places);

const DAMAGES: [(&str, Damage); 7] = [
    ("the file is gone", |places| std::fs::remove_file(places.journal.join("db")).expect("removed")),
    ("the file is empty", |places| std::fs::write(places.journal.join("db"), b"").expect("written")),
    ("the file is short", |places| {
        let file = std::fs::OpenOptions::new().write(true).open(places.journal.join("db")).expect("opened");
        file.set_len(100).expect("cut");
    }),
    ("the file is noise", |places| {
        let path = places.journal.join("db");
        let noise: Vec<u8> =
            (0..std::fs::metadata(&path).expect("a file").len()).map(|n| (n * 31 % 251) as u8).collect();
        std::fs::write(&path, noise).expect("written");
    }),
    ("the file is zeroes", |places| {
        let path = places.journal.join("db");
        let length = usize::try_from(std::fs::metadata(&path).expect("a file").len()).expect("small");
        std::fs::write(&path, vec![0; length]).expect("written");
    }),
    ("all files are gone", |places| {
        std::fs::remove_dir_all(&places.journal).expect("removed");
        std::fs::create_dir(&places.journal).expect("made");
    }),
    ("the directory is gone", |places| std::fs::remove_dir_all(&places.journal).expect("removed")),
];

#[test]
fn a_damaged_journal_is_put_aside_and_the_export_takes_its_place() {
    for (what, damage) in DAMAGES {
        let (directory, places) = stored(&state());
        let before = open(directory.path(), PATIENCE).expect("it opens");
        let exported = LiveState::at_rest(&before.store.reader()).expect("readable");
        drop(before);
        export::write(directory.path(), &exported, &quiet()).expect("written");
        damage(&places);
        let was_there = places.journal.exists();

        let opened = open(directory.path(), PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
        let restored = opened.restored.expect(what);
        assert!(restored.export_made_at.is_some(), "{what}");
        assert_eq!(restored.quarantined.is_some_and(|path| path.is_dir()), was_there, "{what}");
        assert!(opened.snapshot.newest > exported.snapshot.newest, "{what}");
        let back = LiveState::at_rest(&opened.store.reader()).expect("readable");
        assert_eq!(back.snapshot.lanes, exported.snapshot.lanes, "{what}");
        assert_eq!(back.events, exported.events, "{what}");
        drop(opened.store);

        // Until somebody has looked at it, every start says so.
        let again = open(directory.path(), PATIENCE).expect(what);
        assert_eq!(again.restored.is_some(), was_there, "{what}");
        drop(again.store);
        for aside in places.quarantined().expect("listed") {
            std::fs::remove_dir_all(aside).expect("removed");
        }
        assert_eq!(open(directory.path(), PATIENCE).expect(what).restored, None, "{what}");
    }
}

#[test]
fn without_an_export_a_damaged_journal_is_left_as_it_is() {
    // Without the directory, and without an export, nothing shows that there ever was one.
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, places) = stored(&state());
        damage(&places);
        let before = content(directory.path());
        let error = open(directory.path(), PATIENCE).err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert!(matches!(error, JournalError::Damaged { .. }), "{what}: {error}");
        assert!(!error.to_string().contains("failed to write"), "{what}: {error}");
        assert_eq!(content(directory.path()), before, "{what}");
        assert!(places.quarantined().expect("listed").is_empty(), "{what}");
    }
}

#[test]
fn without_a_whole_export_a_damaged_journal_is_left_as_it_is() {
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, places) = stored(&state());
        let export = export::write(directory.path(), &state(), &quiet()).expect("written");
        let whole = std::fs::read(&export).expect("readable");
        std::fs::write(&export, &whole[..whole.len() / 2]).expect("written");
        damage(&places);
        let before = content(directory.path());
        let error = open(directory.path(), PATIENCE).err().unwrap_or_else(|| panic!("{what}: it opened"));
        assert!(matches!(error, JournalError::Damaged { .. }), "{what}: {error}");
        assert_eq!(content(directory.path()), before, "{what}");
    }
}

#[test]
fn a_journal_of_another_layout_is_named_and_left_as_it_is() {
    let (directory, places) = stored(&state());
    let mut store = open(directory.path(), PATIENCE).expect("opened").store;
    let head = br#"{"schema":99,"newest":3,"newest_build":7}"#.to_vec();
    store.write(vec![Put { key: b"h".to_vec(), value: Some(head) }], Retention::NOTHING).expect("written");
    drop(store);
    let refused = open(directory.path(), PATIENCE).map(drop).expect_err("another layout");
    assert!(matches!(&refused, JournalError::OtherSchema { found: 99, .. }), "{refused}");
    // Where there is no export a copy is looked at first, but that is not what is named.
    assert!(refused.to_string().contains(&format!("'{}'", places.journal.display())), "{refused}");
    assert!(places.journal.exists() && !places.coming.exists());
    assert!(places.quarantined().expect("listed").is_empty());
}

#[test]
fn a_damaged_export_is_passed_over_for_an_older_one() {
    let (directory, places) = stored(&state());
    let older = export::write(directory.path(), &state(), &quiet()).expect("written");
    let made_at = export::read(&older).expect("whole").0.made_at;
    let mut later = state();
    later.snapshot.newest = Seq(4);
    let newest = export::write(directory.path(), &later, &quiet()).expect("written");
    let mut bytes = std::fs::read(&newest).expect("readable");
    bytes[200] ^= 4;
    std::fs::write(&newest, bytes).expect("written");
    std::fs::remove_file(places.journal.join("db")).expect("removed");
    assert!(export::one_is_whole(&places.exports).expect("listed"), "the older one is");
    let opened = open(directory.path(), PATIENCE).expect("restored");
    assert_eq!(opened.restored.and_then(|restored| restored.export_made_at), Some(made_at));
}

#[test]
fn behind_an_export_of_a_newer_version_no_older_one_is_taken() {
    let (directory, places) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    let mut later = state();
    later.snapshot.newest = Seq(4);
    let newest = export::write(directory.path(), &later, &quiet()).expect("written");
    let text = std::fs::read_to_string(&newest).expect("readable");
    std::fs::write(&newest, text.replacen("\"format\":1", "\"format\":2", 1)).expect("written");
    assert!(!export::one_is_whole(&places.exports).expect("listed"));
    assert!(matches!(export::newest_whole(&places.exports), Err(JournalError::NewerExport { .. })));
}

#[test]
fn what_the_system_says_of_a_file_is_no_damage() {
    let failing = sled::Error::Io(std::io::Error::from_raw_os_error(5));
    let torn = sled::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
    assert!(open::is_of_the_system(&failing) && !open::is_of_the_system(&torn));
    assert!(!open::is_of_the_system(&sled::Error::Corruption { at: None, bt: () }));
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

/// A kill between putting the damaged one aside and putting the new one in its place.
#[test]
fn a_restore_that_was_cut_short_is_done_again() {
    let (directory, places) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    std::fs::rename(&places.journal, directory.path().join("journal.corrupt-20261124T100000.000Z")).expect("renamed");
    std::fs::create_dir(&places.coming).expect("made");
    let opened = open(directory.path(), PATIENCE).expect("restored");
    assert_eq!(opened.snapshot.lanes, state().snapshot.lanes);
    assert!(opened.restored.is_some_and(|restored| restored.quarantined.is_some()));
}

#[test]
fn an_export_is_imported_into_an_empty_directory_only() {
    let (directory, places) = stored(&state());
    let file = export::write(directory.path(), &state(), &quiet()).expect("written");
    for left_over in [None, Some(&places.journal)] {
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
fn the_check_finds_a_sound_journal_sound_and_changes_nothing() {
    let (directory, _) = stored(&state());
    export::write(directory.path(), &state(), &quiet()).expect("written");
    let before = content(directory.path());
    let findings = check::check(directory.path()).expect("looked at");
    let journal = findings.journal.expect("there is one");
    assert_eq!((findings.ok, journal.problems, findings.exports.len()), (true, Vec::new(), 1));
    assert_eq!((journal.lanes, journal.keys, journal.events, journal.builds), (2, 1, 3, 1));
    assert_eq!(content(directory.path()), before);
    let _held = open(directory.path(), PATIENCE).expect("it opens");
    assert!(matches!(check::check(directory.path()), Err(JournalError::InUse { .. })));
}

#[test]
fn the_check_tells_of_rows_that_do_not_fit() {
    let (directory, _) = stored(&state());
    let mut opened = open(directory.path(), PATIENCE).expect("it opens");
    let put = |key: Vec<u8>, value: &str| Put { key, value: Some(value.as_bytes().to_vec()) };
    let mut puts = Vec::new();
    page::pack(&[event(5_000_000_000)], &[], &mut puts);
    puts.extend([
        put(rows::closure_key(&image(), &master(), Seq(2)), "{\"at\":1}"),
        put(b"?".to_vec(), ""),
        Put { key: rows::build_key(BuildId(7)), value: None },
    ]);
    opened.store.write(puts, Retention::NOTHING).expect("written");
    drop(opened);
    let findings = check::check(directory.path()).expect("looked at");
    let problems = findings.journal.expect("there is one").problems.join("\n");
    assert!(!findings.ok);
    for part in ["event 5000000000 is newer", "row cacme", "no known table", "build 7 lives"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

#[test]
fn the_check_tells_of_a_damaged_journal() {
    for (what, damage) in &DAMAGES[..DAMAGES.len() - 1] {
        let (directory, places) = stored(&state());
        damage(&places);
        let findings = check::check(directory.path()).expect(what);
        assert!(!findings.ok && findings.journal.is_some_and(|journal| journal.problems_total > 0), "{what}");
    }
}

/// Writes as it is told, and tidies up with this outcome.
struct Told<F>(F, Result<(), JournalError>);

impl<F: FnMut(Vec<Put>, Retention) -> Result<(), JournalError>> Writer for Told<F> {
    fn write(&mut self, puts: Vec<Put>, retention: Retention) -> Result<(), JournalError> {
        self.0(puts, retention)
    }

    fn relax(&mut self) -> Result<(), JournalError> {
        self.1.clone()
    }
}

/// A journal whose thread does what `write` says.
fn served(write: impl FnMut(Vec<Put>, Retention) -> Result<(), JournalError> + Send + 'static) -> Journal {
    served_by(Told(write, Ok(())))
}

fn served_by(mut writer: impl Writer + Send + 'static) -> Journal {
    let (commands, inbox) = std::sync::mpsc::sync_channel(COMMANDS_MAX);
    let vitals = Arc::new(quiet());
    let of_thread = vitals.clone();
    let thread = std::thread::spawn(move || serve(&mut writer, &inbox, &of_thread));
    Journal { commands, thread, vitals }
}

async fn commit_one(journal: &Journal) -> Result<Committed, JournalError> {
    journal.commit(vec![Put { key: b"h".to_vec(), value: Some(Vec::new()) }], Retention::NOTHING).await
}

#[tokio::test]
async fn a_write_that_fails_is_the_last_one() {
    let journal = served(|_, _| Err(JournalError::Write("no space".to_owned())));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Write(_))));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}

#[tokio::test]
async fn what_fails_after_a_step_is_told_to_the_next_and_ends_the_thread() {
    let mut steps = 0;
    let write = move |_, _| {
        steps += 1;
        assert_eq!(steps, 1, "nothing is written after a failure");
        Ok(())
    };
    let journal = served_by(Told(write, Err(JournalError::Write("not readable".to_owned()))));
    assert!(commit_one(&journal).await.is_ok(), "it is on disk");
    match commit_one(&journal).await {
        Err(JournalError::Write(why)) => assert_eq!(why, "not readable"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}

#[tokio::test]
async fn a_panic_of_the_thread_is_an_error_for_whoever_waits() {
    let journal = served(|_, _| panic!("as sled may"));
    assert!(matches!(commit_one(&journal).await, Err(JournalError::Ended)));
    let vitals = journal.vitals();
    journal.close();
    assert!(!vitals.is_well());
}
