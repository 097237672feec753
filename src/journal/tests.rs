//! The journal on real files: fixtures for the tests below, and how a state is loaded.

mod checks;
mod damage;
mod exports;
mod take_over;
mod thread;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::history::{keys, page};
use super::open::open;
use super::open::paths::Paths;
use super::*;
use crate::build::BuildState;
use crate::event::{Cause, CauseKind, Closure, End, Event, Fingerprint, Verdict};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId, NoticeKind};
use crate::scheduler::lane::{Key, LaneState, Live, Running};
use crate::scheduler::open::{Group, Open};
use crate::scheduler::outbox::StoredOutbox;
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
        cancelled_by: None,
    }
}

/// Build 7 runs with events 1 and 2; event 3 is open.
fn state() -> LiveState {
    let mut lane = LaneState::new(image());
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
        lanes: vec![lane, LaneState::new("acme/zoo".parse().expect("an image"))],
        hold: None,
        newest: Seq(3),
        newest_build: BuildId(7),
        deliveries: vec![(Fingerprint([9; 16]), Remembered { first: Seq(3), count: 1, at: AT })],
        outbox: StoredOutbox {
            newest: NoticeId(4),
            pending: vec![Notice {
                id: NoticeId(4),
                at: AT,
                image: Some(image()),
                kind: NoticeKind::Failed { build: BuildId(7) },
            }],
        },
    };
    LiveState { snapshot, events: vec![event(1), event(2), event(3)] }
}

fn quiet() -> Vitals {
    Vitals::new(None, 0)
}

/// A data directory with a journal of that state, made from an export stored elsewhere.
fn stored(state: &LiveState) -> (tempfile::TempDir, Paths) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = export::write(elsewhere.path(), state, &quiet()).expect("written");
    let directory = tempfile::tempdir().expect("a directory");
    import(directory.path(), &file).expect("imported");
    let paths = Paths::below(directory.path());
    (directory, paths)
}

/// The files below, with hashes of their contents: what must not change.
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

fn same(one: &LiveState, other: &LiveState) {
    assert_eq!(one.snapshot.lanes, other.snapshot.lanes);
    assert_eq!(one.snapshot.deliveries, other.snapshot.deliveries);
    assert_eq!(one.snapshot.outbox, other.snapshot.outbox);
    assert_eq!((one.snapshot.newest, one.snapshot.newest_build), (other.snapshot.newest, other.snapshot.newest_build));
    assert_eq!(one.events, other.events);
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
fn a_journal_of_another_layout_is_named_and_left_as_it_is() {
    let (directory, paths) = stored(&state());
    let mut store = open(directory.path(), PATIENCE).expect("opened").store;
    let head = br#"{"schema":99,"newest":3,"newest_build":7}"#.to_vec();
    store.write(vec![Put { key: b"h".to_vec(), value: Some(head) }], Retention::NOTHING).expect("written");
    drop(store);
    let refused = open(directory.path(), PATIENCE).map(drop).expect_err("another layout");
    assert!(matches!(&refused, JournalError::OtherSchema { found: 99, .. }), "{refused}");
    // Without an export a copy is checked first, but the error is not about that.
    assert!(refused.to_string().contains(&format!("'{}'", paths.journal.display())), "{refused}");
    assert!(paths.journal.exists() && !paths.incoming.exists());
    assert!(paths.quarantined().expect("listed").is_empty());
}
