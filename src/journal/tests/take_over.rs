//! A schema 3 journal, made by the previous version, is taken over: `tests/journals/schema-3.txt` holds its entries as
//! that version wrote them (key, then value; keys escaped as in a byte string, pages of history in hexadecimal), and
//! `schema-3.export.jsonl` is that version's export of the same state.

use super::*;
use crate::build::Outcome;
use crate::journal::export::ExportHeader;
use crate::journal::lock::Lock;
use crate::journal::store::Store;
use crate::scheduler::lane::Phase;

const ENTRIES: &str = include_str!("../../../tests/journals/schema-3.txt");
const EXPORT: &[u8] = include_bytes!("../../../tests/journals/schema-3.export.jsonl");

/// What became of each event, in the previous version's words.
const FATES: [&str; 21] = [
    "built by 1",
    "skipped: every file of the push is outside `paths`: drafts/a.md",
    "skipped: every commit of the push carries a skip marker",
    "dropped by admin: not this one",
    "built by 2",
    "built by 3",
    "ignored: no image is configured for repository github.com/acme/unknown",
    "ref deleted",
    "deletes its ref",
    "built by 4",
    "built by 6",
    "open",
    "open",
    "open",
    "open",
    "built by 10",
    "built by 11",
    "built by 12",
    "built by 15",
    "open",
    "open",
];

/// `\x00` and the like in a key.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, length) = match (first, after.first()) {
            (b'\\', Some(b'x')) => (u8::from_str_radix(&text[text.len() - rest.len() + 2..][..2], 16).expect("hex"), 4),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(other)) => (*other, 2),
            (other, _) => (other, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

fn entries() -> Vec<Put> {
    let entry = |line: &str| {
        let (key, value) = line.split_once(' ').expect("a key and a value");
        let key = unescaped(key);
        let value = if key[0] == b'e' { hex::decode(value).expect("hex") } else { value.as_bytes().to_vec() };
        Put { key, value: Some(value) }
    };
    ENTRIES.lines().map(entry).collect()
}

/// A data directory with that journal, as a daemon of the previous version leaves it when killed.
fn left_by_the_version_before() -> (tempfile::TempDir, Paths) {
    let directory = tempfile::tempdir().expect("a directory");
    let paths = Paths::below(directory.path());
    let lock = Arc::new(Lock::take(directory.path(), PATIENCE).expect("free"));
    let mut store = Store::open(&paths.journal, lock).expect("made");
    store.write(entries(), Retention::NOTHING).expect("written");
    drop(store);
    (directory, paths)
}

fn export_of_the_version_before() -> (ExportHeader, LiveState) {
    export::read_from(EXPORT, Path::new("schema-3.export.jsonl")).expect("whole")
}

fn fate(reader: &Reader, event: &Event) -> String {
    match &event.verdict {
        Verdict::Opened => {}
        Verdict::Skipped { evidence } => return format!("skipped: {}", told(evidence)),
        Verdict::Ignored { reason } => return format!("ignored: {}", told(reason)),
        Verdict::RefDeleted => return "deletes its ref".to_owned(),
        other => panic!("{other:?}"),
    }
    let (image, git_ref) = event.image.as_ref().zip(event.git_ref.as_ref()).expect("of a key");
    match reader.fate(image, git_ref, event.seq).expect("readable") {
        Fate::Open => "open".to_owned(),
        Fate::Ended(Closure { end: End::BuiltBy(build), .. }) => format!("built by {build}"),
        Fate::Ended(Closure { end: End::RefDeleted, .. }) => "ref deleted".to_owned(),
        Fate::Ended(Closure { end: End::DroppedBy { actor, reason }, .. }) => {
            format!("dropped by {actor}: {}", reason.unwrap_or_default())
        }
        Fate::Ended(other) => panic!("{other:?}"),
    }
}

/// A sentence of the previous version, which comes back unchanged.
fn told(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value).expect("plain values") {
        serde_json::Value::String(text) => text,
        other => panic!("{other}"),
    }
}

fn lane<'a>(snapshot: &'a Snapshot, image: &str) -> &'a LaneState {
    snapshot.lanes.iter().find(|lane| lane.image.as_str() == image).expect("stored")
}

fn key<'a>(snapshot: &'a Snapshot, image: &str, git_ref: &str) -> &'a Key {
    &lane(snapshot, image).keys[&git_ref.parse::<GitRef>().expect("a ref")]
}

fn ids(record: &BuildRecord) -> Vec<u8> {
    // They differ only in the last digit.
    record.backend_ids.iter().map(|id| *id.0.as_bytes().last().expect("an id")).collect()
}

/// Everything that was renamed, and the rest of a lane.
fn is_the_state_of_then(snapshot: &Snapshot) {
    let hold = snapshot.hold.as_ref().expect("all are paused");
    assert_eq!((hold.actor.as_str(), hold.reason.as_deref()), ("admin", Some("power work")));
    let of = |image| lane(snapshot, image);
    let images: Vec<_> = snapshot.lanes.iter().map(|lane| lane.image.as_str()).collect();
    assert_eq!(images, ["acme/api", "acme/blog", "acme/gone", "acme/shop", "acme/web"]);

    // A build was lost; its event was reopened and is part of the next one, which is queued.
    let lost = of("acme/api").last_build.as_ref().expect("one has ended");
    assert_eq!((lost.id, lost.outcome, ids(lost)), (BuildId(7), Some(Outcome::Lost), vec![b'6']));
    let queued = of("acme/api").queued.as_ref().expect("queued");
    assert_eq!((&queued.phase, queued.live.record.id, queued.live.through), (&Phase::Accepted, BuildId(14), Seq(19)));
    assert_eq!(ids(&queued.live.record), [b'c']);
    let api = key(snapshot, "acme/api", "refs/heads/master");
    assert_eq!((api.closed_through, api.lost_through, api.moved), (Seq(11), Seq(12), Seq(12)));

    // One runs, and another is queued.
    let blog = of("acme/blog");
    let phase = &blog.queued.as_ref().expect("beside").phase;
    assert!(matches!(phase, Phase::Overlapping { assumed_until: Some(_) }), "{phase:?}");
    let running = blog.running.as_ref().expect("running");
    assert_eq!((running.live.record.id, running.live.through), (BuildId(10), Seq(16)));
    assert!(running.assumed_until.is_some() && running.live.answered_at.is_some());

    let refusal = of("acme/gone").refusal.as_ref().expect("refused");
    assert!(refusal.blocked && refusal.times == 1);
    assert!(serde_json::to_string(refusal).expect("plain").contains("Selected Source does not exist"));
    assert_eq!(key(snapshot, "acme/gone", "refs/heads/master").open.as_ref().map(Open::last), Some(Seq(13)));

    let hold = of("acme/shop").hold.as_ref().expect("paused");
    assert_eq!((hold.actor.as_str(), hold.reason.as_deref()), ("admin", Some("registry move")));
    assert_eq!(of("acme/shop").open_events(), 2);

    let web = of("acme/web");
    assert_eq!((web.heads.len(), web.heads_by.is_some(), web.claimed.len()), (3, true, 7));
    assert_eq!(web.build_time_ms, Some(2603));
    let foreign = &web.foreign[0];
    assert_eq!((foreign.id, foreign.label.as_deref(), foreign.started), (BuildId(13), Some("release-1"), true));
    assert!(foreign.backend_id.0.ends_with("00b") && foreign.commit.is_some());
    let newest = web.last_build.as_ref().expect("many");
    assert_eq!((newest.id, newest.outcome, ids(newest)), (BuildId(12), Some(Outcome::Success), vec![b'a']));
    let master = key(snapshot, "acme/web", "refs/heads/master");
    assert_eq!((master.closed_through, master.moved), (Seq(18), Seq(20)));
    assert_eq!(master.tap.as_ref().map(|tap| (tap.button.as_str(), tap.seq)), Some(("phone", Seq(21))));
    assert!(master.lookback != Key::default().lookback);
    assert_eq!(snapshot.deliveries.len(), 36);
}

fn is_the_history_of_then(reader: &Reader) {
    let query = EventQuery { limit: LIST_LIMIT_MAX, ..EventQuery::default() };
    let mut events = reader.events(&query).expect("readable");
    events.reverse();
    let fates: Vec<_> = events.iter().map(|event| fate(reader, event)).collect();
    assert_eq!(fates, FATES);
    let builds = reader.builds(&BuildQuery { limit: LIST_LIMIT_MAX, ..BuildQuery::default() }).expect("readable");
    assert_eq!(builds.iter().map(|build| build.id.0).collect::<Vec<_>>(), (1..=15).rev().collect::<Vec<_>>());
    let without_id = builds.iter().filter(|build| build.backend_ids.is_empty()).map(|build| build.id.0);
    assert_eq!(without_id.collect::<Vec<_>>(), [11, 10, 9], "blind ones, and one whose trigger was refused");
    assert!(builds.iter().all(|build| build.finished_at.is_none() == build.outcome.is_none()));
    let noted = builds.iter().filter(|build| build.note.is_some()).map(|build| build.id.0);
    assert_eq!(noted.collect::<Vec<_>>(), [13, 9, 8, 7, 5]);
    let note = builds.iter().find(|build| build.id == BuildId(8)).and_then(|build| build.note.as_ref());
    assert_eq!(note.map(told).as_deref(), Some("given up: no end was seen within 4s"));
}

#[test]
fn a_journal_of_schema_3_is_taken_over_completely() {
    let (directory, _) = left_by_the_version_before();
    let findings = check::check(directory.path()).expect("looked at").journal.expect("there is one");
    assert_eq!((findings.problems, findings.events, findings.builds), (Vec::new(), 21, 15));

    let mut opened = open(directory.path(), PATIENCE).expect("taken over");
    assert_eq!(opened.store.reader().schema().expect("readable"), Some(4), "an older daemon refuses it from here on");
    is_the_state_of_then(&opened.snapshot);
    is_the_history_of_then(&opened.store.reader());

    // What is now written uses the new names, and reads back the same.
    let before = LiveState::at_rest(&opened.store.reader()).expect("readable");
    let state = before.entries().into_iter().filter(|put| put.key[0] != b'e').collect();
    opened.store.write(state, Retention::NOTHING).expect("written");
    drop(opened);
    let again = open(directory.path(), PATIENCE).expect("it opens");
    same(&LiveState::at_rest(&again.store.reader()).expect("readable"), &before);
    is_the_state_of_then(&again.snapshot);
    is_the_history_of_then(&again.store.reader());
}

#[test]
fn an_export_of_the_version_before_holds_the_same_and_is_imported() {
    let (head, exported) = export_of_the_version_before();
    assert_eq!((head.format, head.schema, head.newest, head.newest_build), (1, 3, Seq(21), BuildId(15)));
    let (directory, _) = left_by_the_version_before();
    let opened = open(directory.path(), PATIENCE).expect("taken over");
    let stored = LiveState::at_rest(&opened.store.reader()).expect("readable");
    same(&exported, &stored);
    assert_eq!(exported.snapshot.hold, stored.snapshot.hold);

    let file = directory.path().join("of-the-version-before.jsonl");
    std::fs::write(&file, EXPORT).expect("written");
    let elsewhere = tempfile::tempdir().expect("a directory");
    import(elsewhere.path(), &file).expect("imported");
    let imported = open(elsewhere.path(), PATIENCE).expect("it opens");
    assert_eq!(imported.store.reader().schema().expect("readable"), Some(4));
    is_the_state_of_then(&imported.snapshot);
}

#[test]
fn a_journal_of_schema_2_is_not_taken_over() {
    let (directory, _) = left_by_the_version_before();
    let mut store = open(directory.path(), PATIENCE).expect("taken over").store;
    let head = br#"{"schema":2,"newest":21,"newest_build":15}"#.to_vec();
    store.write(vec![Put { key: b"h".to_vec(), value: Some(head) }], Retention::NOTHING).expect("written");
    drop(store);
    let refused = open(directory.path(), PATIENCE).map(drop).expect_err("too old");
    assert!(refused.to_string().contains("(schema 2; this one reads 3 to 4)"), "{refused}");
}

/// What the previous version reads of a journal's meta entry, or of an export's first line, before it looks at the
/// schema.
#[derive(serde::Deserialize)]
struct MetaOfThen {
    schema: u32,
    #[serde(default)]
    hold: Option<HoldOfThen>,
}

#[derive(serde::Deserialize)]
struct HoldOfThen {
    #[serde(rename = "whom")]
    _whom: String,
}

/// Otherwise it would mistake the newer one for damaged, and replace it by an older export.
#[test]
fn the_version_before_can_read_that_the_schema_is_newer_while_all_is_paused() {
    let (directory, _) = left_by_the_version_before();
    let opened = open(directory.path(), PATIENCE).expect("taken over");
    let state = LiveState::at_rest(&opened.store.reader()).expect("readable");
    assert!(state.snapshot.hold.is_some());
    let mut meta = None;
    let mut take = |key: &[u8], value: &[u8]| {
        if key == b"h" {
            meta = Some(serde_json::from_slice::<MetaOfThen>(value).expect("readable"));
        }
    };
    opened.store.each_entry(&mut take).expect("readable");
    let mut text = Vec::new();
    export::write_to(&state, AT, &mut text).expect("written");
    let first = text.split(|byte| *byte == b'\n').next().expect("a line");
    let mut first: BTreeMap<String, MetaOfThen> = serde_json::from_slice(first).expect("readable");
    for then in [meta, first.remove("export")] {
        let then = then.expect("there is one");
        assert!(then.schema == 4 && then.hold.is_none());
    }
}
