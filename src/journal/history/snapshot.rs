//! Reads the scheduler's whole state back at startup.

use std::sync::Arc;

use super::entries::{MetaEntry, SchemaEntry};
use super::page::{self, Record};
use super::{Reader, keys, parse};
use crate::event::Fingerprint;
use crate::journal::error::{JournalError, parse_failed};
use crate::model::{CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::scheduler::Snapshot;
use crate::scheduler::deliveries::REMEMBERED_MAX;
use crate::scheduler::lane::{Key, LaneState};
use crate::scheduler::outbox::StoredOutbox;
use crate::scheduler::record::Remembered;

impl Reader {
    /// The version of the entries' layout, or None if there are none yet.
    pub(in crate::journal) fn schema(&self) -> Result<Option<u32>, JournalError> {
        Ok(self.entry::<SchemaEntry>(&keys::meta_key())?.map(|head| head.schema))
    }

    /// The scheduler's whole stored state, or None if there is none yet.
    pub(in crate::journal) fn snapshot(&self) -> Result<Option<Snapshot>, JournalError> {
        let Some(head) = self.entry::<MetaEntry>(&keys::meta_key())? else { return Ok(None) };
        let mut lanes: Vec<LaneState> = self.table(b"l", |_, value| parse(value))?;
        for (image, git_ref, key) in self.table(b"k", named::<Key>)? {
            lane_of(&mut lanes, &image).keys.insert(git_ref, key);
        }
        for (image, git_ref, commit) in self.table(b"r", named::<CommitId>)? {
            Arc::make_mut(&mut lane_of(&mut lanes, &image).heads).insert(git_ref, commit);
        }
        let (newest, newest_build) = (head.newest, head.newest_build);
        let deliveries = self.deliveries()?;
        let outbox = StoredOutbox { newest: head.newest_notice, pending: self.table(b"o", |_, value| parse(value))? };
        Ok(Some(Snapshot { lanes, hold: head.hold, newest, newest_build, deliveries, outbox }))
    }

    /// The fingerprints of the newest deliveries, as many as are remembered.
    fn deliveries(&self) -> Result<Vec<(Fingerprint, Remembered)>, JournalError> {
        let mut deliveries = Vec::new();
        let mut failed = None;
        self.scan(b"e", b"f", true, &mut |_, value| {
            let read = page::read(value, |record| {
                if let Record::Seen { first, count, at, fingerprints } = record {
                    let remembered = Remembered { first: Seq(first), count, at: Timestamp::from_millis(at) };
                    deliveries.extend(fingerprints.into_iter().map(|bytes| (Fingerprint(bytes), remembered)));
                }
            });
            failed = read.err();
            failed.is_none() && deliveries.len() < REMEMBERED_MAX
        })?;
        failed.map_or(Ok(deliveries), Err)
    }

    fn table<T>(
        &self,
        prefix: &[u8],
        parse: impl Fn(&[u8], &[u8]) -> Result<T, JournalError>,
    ) -> Result<Vec<T>, JournalError> {
        let mut all = Ok(Vec::new());
        self.scan(prefix, &keys::end_of(prefix), false, &mut |key, value| {
            match (&mut all, parse(key, value)) {
                (Ok(entries), Ok(entry)) => entries.push(entry),
                (_, Err(error)) => all = Err(error),
                (Err(_), _) => {}
            }
            all.is_ok()
        })?;
        all
    }
}

/// An entry whose key names an image and a ref.
fn named<T: serde::de::DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<(ImageName, GitRef, T), JournalError> {
    let names = keys::image_and_ref(key);
    let (image, git_ref) = names.ok_or_else(|| parse_failed("it names no image and ref"))?;
    Ok((image, git_ref, parse(value)?))
}

/// The lane of an image; created if only its other entries exist.
fn lane_of<'a>(lanes: &'a mut Vec<LaneState>, image: &ImageName) -> &'a mut LaneState {
    let index = lanes.binary_search_by(|lane| lane.image.cmp(image)).unwrap_or_else(|index| {
        lanes.insert(index, LaneState::new(image.clone()));
        index
    });
    &mut lanes[index]
}
