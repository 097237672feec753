//! What a row of the journal is called and what is in it. Rows are JSON, but for pages of history (see `page`).
//!
//! | first byte | then | holds |
//! |---|---|---|
//! | `h` | | the head: schema, counters, the hold of all images |
//! | `l` | image | a lane |
//! | `k` | image, 0, ref | a key |
//! | `e` | number | a page: the events from that number on, and their deliveries |
//! | `b` | number | a build |
//! | `c` | image, 0, ref, 0, number | how the events of a key up to that number ended |
//! | `r` | image, 0, ref | where a ref was seen at the remote |
//! | `j` | image, 0, number | index of builds by image |
//! | `n` | | the tally of all other rows, in binary |
//!
//! Numbers are big-endian, so that order by bytes is order by number.

use serde::{Deserialize, Serialize};

use super::live::LiveState;
use super::page;
use crate::command::Hold;
use crate::model::{BuildId, GitRef, ImageName, Seq};
use crate::scheduler::record::{BuildRecord, Changes};
use crate::scheduler::{Scheduler, Snapshot};

/// The version of this layout. Raised when an older daemon could misread a newer journal.
pub(super) const SCHEMA: u32 = 3;
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
pub(super) struct MetaEntry {
    pub(super) schema: u32,
    pub(super) newest: Seq,
    pub(super) newest_build: BuildId,
    #[serde(default)]
    pub(super) hold: Option<Hold>,
}

/// The rows that one step changes.
pub fn encode(changes: &Changes, scheduler: &Scheduler) -> Vec<Put> {
    let mut puts = Vec::new();
    page::pack(&changes.events, &changes.remembered, &mut puts);
    let mut put = |key, value| puts.push(Put { key, value });
    if changes.meta {
        let (newest, newest_build) = scheduler.counters();
        let head = MetaEntry { schema: SCHEMA, newest, newest_build, hold: scheduler.hold().cloned() };
        put(head_key(), Some(json(&head)));
    }
    for image in &changes.lane_rows {
        if let Some(lane) = scheduler.stored_lane(image) {
            put(lane_key(image), Some(json(lane)));
        }
    }
    for (image, git_ref) in &changes.keys {
        let key = scheduler.stored_lane(image).and_then(|lane| lane.keys.get(git_ref));
        put(key_key(image, git_ref), key.map(json));
    }
    for (id, build) in &changes.builds {
        put(build_key(*id), Some(json(build)));
        put(image_build_key(&build.image, *id), Some(Vec::new()));
    }
    for (image, git_ref, through, closure) in &changes.closures {
        put(closure_key(image, git_ref, *through), closure.as_ref().map(json));
    }
    for (image, git_ref, commit) in &changes.heads {
        put(head_of_ref_key(image, git_ref), commit.as_ref().map(json));
    }
    puts
}

/// The rows of a whole state, for an empty database.
pub(super) fn encode_state(state: &LiveState) -> Vec<Put> {
    let Snapshot { lanes, hold, newest, newest_build, deliveries } = &state.snapshot;
    let mut deliveries = deliveries.clone();
    deliveries.sort_by_key(|(_, remembered)| remembered.first);
    let mut puts = Vec::new();
    page::pack(&state.events, &deliveries, &mut puts);
    let mut put = |key, value| puts.push(Put { key, value: Some(value) });
    let head = MetaEntry { schema: SCHEMA, newest: *newest, newest_build: *newest_build, hold: hold.clone() };
    put(head_key(), json(&head));
    for lane in lanes {
        put(lane_key(&lane.image), json(lane));
        lane.keys.iter().for_each(|(git_ref, key)| put(key_key(&lane.image, git_ref), json(key)));
        lane.heads.iter().for_each(|(git_ref, commit)| put(head_of_ref_key(&lane.image, git_ref), json(commit)));
    }
    for build in state.builds() {
        put(build_key(build.id), json(&build));
        put(image_build_key(&build.image, build.id), Vec::new());
    }
    for (image, git_ref, through, closure) in state.endings() {
        put(closure_key(&image, &git_ref, through), json(&closure));
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

/// What all rows of the index of an image's builds begin with.
pub(super) fn image_builds(image: &ImageName) -> Vec<u8> {
    let mut prefix = join(b'j', &[image.as_str().as_bytes()]);
    prefix.push(0);
    prefix
}

/// The names in the row of a key, or of a ref at the remote.
pub(super) fn parse_key_key(key: &[u8]) -> Option<(ImageName, GitRef)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (image, git_ref) = text.split_once('\0')?;
    Some((image.parse().ok()?, git_ref.parse().ok()?))
}

/// Where the page is that begins with this number.
pub(super) fn page_key(first: Seq) -> Vec<u8> {
    join(b'e', &[&first.0.to_be_bytes()])
}

pub(super) fn build_key(build: BuildId) -> Vec<u8> {
    join(b'b', &[&build.0.to_be_bytes()])
}

pub(super) fn closure_key(image: &ImageName, git_ref: &GitRef, through: Seq) -> Vec<u8> {
    closure_key_of(image.as_str(), git_ref.as_str(), through)
}

pub(super) fn closure_key_of(image: &str, git_ref: &str, through: Seq) -> Vec<u8> {
    join(b'c', &[image.as_bytes(), git_ref.as_bytes(), &through.0.to_be_bytes()])
}

pub(super) fn image_build_key(image: &ImageName, build: BuildId) -> Vec<u8> {
    join(b'j', &[image.as_str().as_bytes(), &build.0.to_be_bytes()])
}

/// The rows that go when a build is forgotten.
pub(super) fn build_rows(build: &BuildRecord) -> impl Iterator<Item = Vec<u8>> {
    [build_key(build.id), image_build_key(&build.image, build.id)].into_iter()
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
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
