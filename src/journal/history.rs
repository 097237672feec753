//! Reading what was written: events, builds, and what became of an event. Never writes.

pub(super) mod entries;
pub(super) mod keys;
pub(super) mod page;
pub(super) mod retention;
mod snapshot;

use std::sync::Arc;

use serde::de::DeserializeOwned;

use self::page::{Record, StoredEvent};
use super::error::{JournalError, parse_failed};
use super::query::{BuildQuery, EventQuery};
use crate::event::{Closure, Event, Verdict};
use crate::model::{BuildId, GitRef, ImageName, Seq};
use crate::scheduler::record::BuildRecord;

/// Entries in key order: sled's tree, or the twin's map.
pub(super) trait Entries: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError>;
    /// Calls `take` with the entries from one key up to, but not including, another, in ascending or descending order,
    /// until it returns false.
    fn scan(
        &self,
        range: (&[u8], &[u8]),
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError>;
}

/// Reads the history while the journal is being written. Cheap to clone; every call blocks briefly.
#[derive(Clone)]
pub struct Reader {
    pub(super) entries: Arc<dyn Entries>,
}

/// What became of an event, as far as the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The events of its key up to its number ended like this.
    Ended(Closure),
    /// The journal doesn't say that it ended.
    Open,
}

/// The most build entries that one query reads to find its matches.
const BUILDS_SCANNED_MAX: usize = 200_000;

impl Reader {
    pub(super) fn new(entries: Arc<dyn Entries>) -> Self {
        Self { entries }
    }

    pub fn event(&self, seq: Seq) -> Result<Option<Event>, JournalError> {
        let mut found = Ok(None);
        self.scan(&keys::page_key(Seq(0)), &keys::page_key(seq.next()), true, &mut |_, value| {
            found = event_in(value, seq);
            // Either the page that begins at or before the number holds it, or none does.
            false
        })?;
        found
    }

    pub fn build(&self, build: BuildId) -> Result<Option<BuildRecord>, JournalError> {
        self.entry(&keys::build_key(build))
    }

    /// What became of the event of a key with this number. The first closure at or above the number decides.
    pub fn fate(&self, image: &ImageName, git_ref: &GitRef, seq: Seq) -> Result<Fate, JournalError> {
        let from = keys::closure_key(image, git_ref, seq);
        let mut fate = Ok(Fate::Open);
        self.scan(&from, &keys::end_of(&from[..from.len() - 8]), false, &mut |_, value| {
            fate = parse(value).map(Fate::Ended);
            false
        })?;
        fate
    }

    /// The newest `limit` events of a key between two numbers, oldest first.
    pub fn span(
        &self,
        image: &ImageName,
        git_ref: &GitRef,
        (first, last): (Seq, Seq),
        limit: usize,
    ) -> Result<Vec<Event>, JournalError> {
        let mut events = Vec::new();
        self.each_event(last.next(), &mut |event| {
            if event.seq < first.0 || events.len() == limit {
                return Ok(false);
            }
            let same_key = event.image == Some(image.as_str()) && event.git_ref == Some(git_ref.as_str());
            if same_key && matches!(event.verdict, page::StoredVerdict::Opened) {
                events.push(event.whole()?);
            }
            Ok(true)
        })?;
        debug_assert!(events.iter().all(|event| event.verdict == Verdict::Opened));
        events.reverse();
        Ok(events)
    }

    /// The events that match, newest first. Reads backwards from the newest until it has enough.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<Event>, JournalError> {
        let before = query.before.map_or(Seq(u64::MAX), |before| before.seq);
        let sha = query.sha.as_ref().map(|sha| sha.to_ascii_lowercase());
        let mut events = Vec::new();
        self.each_event(before, &mut |event| {
            if events.len() == query.limit || query.since.is_some_and(|since| event.at < since.as_millis()) {
                return Ok(false);
            }
            if fits(event, query, sha.as_deref()) {
                events.push(event.whole()?);
            }
            Ok(true)
        })?;
        Ok(events)
    }

    /// The builds that match, newest first.
    pub fn builds(&self, query: &BuildQuery) -> Result<Vec<BuildRecord>, JournalError> {
        let prefix = match &query.image {
            Some(image) => keys::image_builds(image),
            None => b"b".to_vec(),
        };
        let mut numbers = Vec::new();
        self.scan(&prefix, &keys::end_of(&prefix), true, &mut |key, _| {
            numbers.extend(keys::last_number(key).map(BuildId));
            numbers.len() < BUILDS_SCANNED_MAX
        })?;
        let mut builds = Vec::new();
        for id in numbers {
            if builds.len() == query.limit {
                break;
            }
            if query.before.is_some_and(|before| id >= before) {
                continue;
            }
            let Some(build) = self.build(id)? else { continue };
            let moment = build.triggered_at.or(build.started_at).or(build.finished_at);
            if query.since.is_some_and(|since| moment.is_some_and(|moment| moment < since)) {
                break;
            }
            if query.git_ref.is_none() || build.git_ref == query.git_ref {
                builds.push(build);
            }
        }
        Ok(builds)
    }

    /// Calls `take` with the events below a number, newest first, until it returns false.
    fn each_event(
        &self,
        below: Seq,
        take: &mut dyn FnMut(&StoredEvent<'_>) -> Result<bool, JournalError>,
    ) -> Result<(), JournalError> {
        let mut outcome = Ok(true);
        self.scan(&keys::page_key(Seq(0)), &keys::page_key(below), true, &mut |_, value| {
            outcome = events_of(value).and_then(|events| {
                for event in events.iter().rev().filter(|event| event.seq < below.0) {
                    if !take(event)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            });
            matches!(outcome, Ok(true))
        })?;
        outcome.map(drop)
    }

    pub(super) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError> {
        self.entries.scan((from, to), newest_first, take)
    }

    pub(super) fn entry<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, JournalError> {
        self.entries.get(key)?.map(|value| parse(&value)).transpose()
    }
}

fn event_in(value: &[u8], seq: Seq) -> Result<Option<Event>, JournalError> {
    let mut found = None;
    page::read(value, |record| match record {
        Record::Event(event) if event.seq == seq.0 => found = Some(event.whole()),
        _ => {}
    })?;
    found.transpose()
}

/// The events of a page, oldest first.
fn events_of(value: &[u8]) -> Result<Vec<StoredEvent<'_>>, JournalError> {
    let mut events = Vec::new();
    page::read(value, |record| {
        if let Record::Event(event) = record {
            events.push(event);
        }
    })?;
    Ok(events)
}

fn fits(event: &StoredEvent<'_>, query: &EventQuery, sha: Option<&str>) -> bool {
    let image = query.image.as_ref().is_none_or(|image| event.image == Some(image.as_str()));
    let git_ref = query.git_ref.as_ref().is_none_or(|git_ref| event.git_ref == Some(git_ref.as_str()));
    let delivery = query.delivery.as_ref();
    let delivery = delivery.is_none_or(|wanted| event.delivery.is_some_and(|delivery| delivery.text() == *wanted));
    let sha = sha.is_none_or(|sha| event.commit.is_some_and(|commit| commit.text().starts_with(sha)));
    image && git_ref && delivery && sha
}

pub(super) fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(value).map_err(parse_failed)
}
