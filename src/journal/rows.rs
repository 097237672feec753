//! What a row of the journal is called and what is in it. Rows are JSON, so that a person can read an export.
//!
//! | first byte | then | holds |
//! |---|---|---|
//! | `h` | | the head: schema, counters, the hold of all images |
//! | `l` | image | a lane |
//! | `k` | image, 0, ref | a key |
//! | `e` | number | an event |
//! | `b` | number | a build |
//! | `c` | image, 0, ref, 0, number | how the events of a key up to that number ended |
//! | `r` | image, 0, ref | where a ref was seen at the remote |
//! | `d` | fingerprint | which events a delivery made |
//! | `i` | image, 0, number | index of events by image |
//! | `j` | image, 0, number | index of builds by image |
//! | `s` | commit, 0, number | index of events by commit |
//! | `v` | delivery id, 0, number | index of events by delivery |
//!
//! Numbers are big-endian, so that order by bytes is order by number.

use serde::{Deserialize, Serialize};

use super::live::LiveState;
use crate::event::{Event, Fingerprint};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq};
use crate::scheduler::record::{BuildRow, Changes};
use crate::scheduler::{Scheduler, Snapshot};
use crate::verb::Hold;

/// The version of this layout. Raised when an older daemon could misread a newer journal.
pub(super) const SCHEMA: u32 = 1;
/// The most bytes of a value: sled keeps larger ones in files that it never syncs.
pub(super) const VALUE_BYTES_MAX: usize = 8 * 1024;

/// One row to write; no value: to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// The one row that is always there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) schema: u32,
    pub(super) newest: Seq,
    pub(super) newest_build: BuildId,
    #[serde(default)]
    pub(super) hold: Option<Hold>,
}

/// The rows that one step changes.
pub fn encode(changes: &Changes, scheduler: &Scheduler) -> Vec<Put> {
    let mut puts = Vec::with_capacity(4 + 5 * changes.events.len());
    let mut put = |key, value| puts.push(Put { key, value });
    if changes.head {
        let (newest, newest_build) = scheduler.counters();
        let head = Head { schema: SCHEMA, newest, newest_build, hold: scheduler.hold().cloned() };
        put(head_key(), Some(json(&head)));
    }
    for image in &changes.lanes {
        if let Some(lane) = scheduler.lane(image) {
            put(lane_key(image), Some(json(lane)));
        }
    }
    for (image, git_ref) in &changes.keys {
        let key = scheduler.lane(image).and_then(|lane| lane.keys.get(git_ref));
        put(key_key(image, git_ref), key.map(json));
    }
    for event in &changes.events {
        put(event_key(event.seq), Some(json(event.as_ref())));
        for key in event_index_keys(event) {
            put(key, Some(Vec::new()));
        }
    }
    for (id, build) in &changes.builds {
        put(build_key(*id), Some(json(build)));
        put(image_build_key(&build.image, *id), Some(Vec::new()));
    }
    for (image, git_ref, upto, closure) in &changes.closures {
        put(closure_key(image, git_ref, *upto), closure.as_ref().map(json));
    }
    for (image, git_ref, commit) in &changes.heads {
        put(head_of_ref_key(image, git_ref), commit.as_ref().map(json));
    }
    for (fingerprint, remembered) in &changes.remembered {
        put(delivery_key(*fingerprint), Some(json(remembered)));
    }
    for fingerprint in &changes.forgotten {
        put(delivery_key(*fingerprint), None);
    }
    puts
}

/// The rows of a whole state, for an empty database.
pub(super) fn encode_state(state: &LiveState) -> Vec<Put> {
    let mut puts = Vec::new();
    let mut put = |key, value| puts.push(Put { key, value: Some(value) });
    let Snapshot { lanes, hold, newest, newest_build, deliveries } = &state.snapshot;
    let head = Head { schema: SCHEMA, newest: *newest, newest_build: *newest_build, hold: hold.clone() };
    put(head_key(), json(&head));
    for lane in lanes {
        put(lane_key(&lane.image), json(lane));
        lane.keys.iter().for_each(|(git_ref, key)| put(key_key(&lane.image, git_ref), json(key)));
        lane.heads.iter().for_each(|(git_ref, commit)| put(head_of_ref_key(&lane.image, git_ref), json(commit)));
    }
    for event in &state.events {
        put(event_key(event.seq), json(event));
        event_index_keys(event).for_each(|key| put(key, Vec::new()));
    }
    for build in state.builds() {
        put(build_key(build.id), json(&build));
        put(image_build_key(&build.image, build.id), Vec::new());
    }
    for (image, git_ref, upto, closure) in state.endings() {
        put(closure_key(&image, &git_ref, upto), json(&closure));
    }
    for (fingerprint, remembered) in deliveries {
        put(delivery_key(*fingerprint), json(remembered));
    }
    puts
}

pub(super) fn head_key() -> Vec<u8> {
    b"h".to_vec()
}

pub(super) fn lane_key(image: &ImageName) -> Vec<u8> {
    join(b'l', &[image.as_str().as_bytes()])
}

fn key_key(image: &ImageName, git_ref: &GitRef) -> Vec<u8> {
    join(b'k', &[image.as_str().as_bytes(), git_ref.as_str().as_bytes()])
}

fn head_of_ref_key(image: &ImageName, git_ref: &GitRef) -> Vec<u8> {
    join(b'r', &[image.as_str().as_bytes(), git_ref.as_str().as_bytes()])
}

/// The names in the row of a key, or of a ref at the remote.
pub(super) fn parse_key_key(key: &[u8]) -> Option<(ImageName, GitRef)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (image, git_ref) = text.split_once('\0')?;
    Some((image.parse().ok()?, git_ref.parse().ok()?))
}

pub(super) fn event_key(seq: Seq) -> Vec<u8> {
    join(b'e', &[&seq.0.to_be_bytes()])
}

pub(super) fn build_key(build: BuildId) -> Vec<u8> {
    join(b'b', &[&build.0.to_be_bytes()])
}

pub(super) fn closure_key(image: &ImageName, git_ref: &GitRef, upto: Seq) -> Vec<u8> {
    join(b'c', &[image.as_str().as_bytes(), git_ref.as_str().as_bytes(), &upto.0.to_be_bytes()])
}

pub(super) fn delivery_key(fingerprint: Fingerprint) -> Vec<u8> {
    join(b'd', &[&fingerprint.0])
}

pub(super) fn image_event_key(image: &ImageName, seq: Seq) -> Vec<u8> {
    join(b'i', &[image.as_str().as_bytes(), &seq.0.to_be_bytes()])
}

pub(super) fn image_build_key(image: &ImageName, build: BuildId) -> Vec<u8> {
    join(b'j', &[image.as_str().as_bytes(), &build.0.to_be_bytes()])
}

/// Where events of this commit, or of commits that begin so, are listed.
pub(super) fn commit_prefix(digits: &str) -> Vec<u8> {
    join(b's', &[digits.as_bytes()])
}

fn commit_event_key(commit: &CommitId, seq: Seq) -> Vec<u8> {
    join(b's', &[commit.as_str().as_bytes(), &seq.0.to_be_bytes()])
}

/// Where events of this delivery are listed; the number follows.
pub(super) fn delivery_prefix(delivery: &str) -> Vec<u8> {
    let mut prefix = join(b'v', &[delivery.as_bytes()]);
    prefix.push(0);
    prefix
}

/// The rows by which an event is found again.
fn event_index_keys(event: &Event) -> impl Iterator<Item = Vec<u8>> {
    let image = event.image.as_ref().map(|image| image_event_key(image, event.seq));
    let commit = event.commit.as_ref().map(|commit| commit_event_key(commit, event.seq));
    let delivery = event.cause.delivery.as_ref().map(|delivery| {
        let mut key = delivery_prefix(delivery);
        key.extend(event.seq.0.to_be_bytes());
        key
    });
    [image, commit, delivery].into_iter().flatten()
}

/// The rows that go when an event is forgotten. A closure goes with the last of the events that it ended: the
/// older ones are gone by then, and whatever is kept still finds its own.
pub(super) fn event_rows(event: &Event) -> impl Iterator<Item = Vec<u8>> {
    let closure = event.image.as_ref().zip(event.git_ref.as_ref());
    let closure = closure.map(|(image, git_ref)| closure_key(image, git_ref, event.seq));
    event_index_keys(event).chain(closure).chain([event_key(event.seq)])
}

/// The rows that go when a build is forgotten.
pub(super) fn build_rows(build: &BuildRow) -> impl Iterator<Item = Vec<u8>> {
    [build_key(build.id), image_build_key(&build.image, build.id)].into_iter()
}

/// The number at the end of a row's key.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    let digits = key.get(key.len().checked_sub(8)?..)?;
    Some(u64::from_be_bytes(digits.try_into().ok()?))
}

fn join(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    key.push(table);
    key.extend(parts.join(&0u8));
    key
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_vec(value).expect("rows are plain values with text keys");
    debug_assert!(value.len() <= VALUE_BYTES_MAX, "a row of {} bytes", value.len());
    value
}
