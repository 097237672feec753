//! What a journal entry holds: JSON, except for pages of history (see `page`). For the keys see `keys`.

use serde::{Deserialize, Serialize};

use super::keys::{
    Put, build_key, closure_key, image_build_key, key_state_key, lane_key, meta_key, notice_key, remote_head_key,
};
use super::page;
use crate::command::Hold;
use crate::model::{BuildId, Seq};
use crate::notice::NoticeId;
use crate::scheduler::Scheduler;
use crate::scheduler::record::Changes;

/// The version of this layout, as written. Raised if an older daemon could misread a newer journal.
///
/// 4: fields have other names, and reasons are values. Schema 3 entries are read as they are (`serde(alias)` at each
/// renamed field) and rewritten only when they change: both kinds coexist until the old ones are gone.
pub(in crate::journal) const SCHEMA: u32 = 4;
/// The oldest layout that can be read.
pub(in crate::journal) const SCHEMA_OLDEST: u32 = 3;
/// The most bytes of a value: sled keeps larger ones in files that it never syncs.
pub(in crate::journal) const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The one entry that always exists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::journal) struct MetaEntry {
    pub(in crate::journal) schema: u32,
    pub(in crate::journal) newest: Seq,
    pub(in crate::journal) newest_build: BuildId,
    #[serde(default)]
    pub(in crate::journal) newest_notice: NoticeId,
    /// A daemon of schema 3 reads the whole entry before it looks at the schema, and can't read a hold in its current
    /// form. Under another name it skips the hold and refuses the journal, instead of mistaking it for a damaged one.
    #[serde(default, rename = "paused", alias = "hold")]
    pub(in crate::journal) hold: Option<Hold>,
}

/// The part that every version can read.
#[derive(Deserialize)]
pub(in crate::journal) struct SchemaEntry {
    pub(in crate::journal) schema: u32,
}

/// The entries that one step changes.
pub fn encode(changes: &Changes, scheduler: &Scheduler) -> Vec<Put> {
    let mut puts = Vec::new();
    page::pack(&changes.events, &changes.remembered, &mut puts);
    let mut put = |key, value| puts.push(Put { key, value });
    if changes.meta {
        let (newest, newest_build) = scheduler.counters();
        let (newest_notice, hold) = (scheduler.newest_notice(), scheduler.hold().cloned());
        let head = MetaEntry { schema: SCHEMA, newest, newest_build, newest_notice, hold };
        put(meta_key(), Some(json(&head)));
    }
    for image in &changes.lane_entries {
        if let Some(lane) = scheduler.stored_lane(image) {
            put(lane_key(image), Some(json(lane)));
        }
    }
    for (image, git_ref) in &changes.keys {
        let key = scheduler.stored_lane(image).and_then(|lane| lane.keys.get(git_ref));
        put(key_state_key(image, git_ref), key.map(json));
    }
    for (id, build) in &changes.builds {
        put(build_key(*id), Some(json(build)));
        put(image_build_key(&build.image, *id), Some(Vec::new()));
    }
    for (image, git_ref, through, closure) in &changes.closures {
        put(closure_key(image, git_ref, *through), closure.as_ref().map(json));
    }
    for (image, git_ref, commit) in &changes.heads {
        put(remote_head_key(image, git_ref), commit.as_ref().map(json));
    }
    for (id, notice) in &changes.notices {
        put(notice_key(*id), notice.as_ref().map(json));
    }
    puts
}

pub(in crate::journal) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_vec(value).expect("entries are plain values with text keys");
    debug_assert!(value.len() <= VALUE_BYTES_MAX, "an entry of {} bytes", value.len());
    value
}
