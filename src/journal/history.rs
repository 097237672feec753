//! Reading what was written: events, builds, and what became of an event. Never writes.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::JournalError;
use super::rows;
use crate::driver::{BuildQuery, EventQuery};
use crate::event::{Closure, Event, Fingerprint};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::scheduler::Snapshot;
use crate::scheduler::lane::{Key, Lane};
use crate::scheduler::record::{BuildRow, Remembered};

/// A row's key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// Rows in the order of their keys: sled's tree, or the twin's map.
pub(super) trait Rows: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, JournalError>;
    /// Calls `take` with the rows that begin so, newest last or newest first, until it answers false.
    fn scan(
        &self,
        prefix: &[u8],
        newest_first: bool,
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), JournalError>;
    /// The first row at or after `from` that begins with `prefix`.
    fn first_from(&self, prefix: &[u8], from: &[u8]) -> Result<Option<Row>, JournalError>;
}

/// Reads the history while the journal is written. Cheap to clone; every call blocks for a moment.
#[derive(Clone)]
pub struct Reader {
    rows: Arc<dyn Rows>,
}

/// What became of an event, as far as the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The events of its key up to its number ended so.
    Ended(Closure),
    /// Nothing in the journal says that it ended.
    Open,
}

/// The most rows that one question reads to find what it asks for.
const SCAN_MAX: usize = 200_000;

impl Reader {
    pub(super) fn new(rows: Arc<dyn Rows>) -> Self {
        Self { rows }
    }

    pub fn event(&self, seq: Seq) -> Result<Option<Event>, JournalError> {
        self.row(&rows::event_key(seq))
    }

    pub fn build(&self, build: BuildId) -> Result<Option<BuildRow>, JournalError> {
        self.row(&rows::build_key(build))
    }

    /// What became of the events of a key at this number. The first closure at or above it tells.
    pub fn fate(&self, image: &ImageName, git_ref: &GitRef, seq: Seq) -> Result<Fate, JournalError> {
        let from = rows::closure_key(image, git_ref, seq);
        let prefix = &from[..from.len() - 8];
        Ok(match self.rows.first_from(prefix, &from)? {
            Some((_, value)) => Fate::Ended(parse(&value)?),
            None => Fate::Open,
        })
    }

    /// The events of a key from one number to another, the newest `limit` of them, oldest first.
    pub fn span(
        &self,
        image: &ImageName,
        git_ref: &GitRef,
        (first, last): (Seq, Seq),
        limit: usize,
    ) -> Result<Vec<Event>, JournalError> {
        let mut numbers = Vec::new();
        self.scan_image(image, &mut |seq| {
            if seq <= last && seq >= first {
                numbers.push(seq);
            }
            seq > first && numbers.len() < limit * 8
        })?;
        let mut events = Vec::new();
        for seq in numbers {
            if let Some(event) = self.event(seq)?
                && event.git_ref.as_ref() == Some(git_ref)
                && event.verdict == crate::event::Verdict::Opened
            {
                events.push(event);
                if events.len() == limit {
                    break;
                }
            }
        }
        events.reverse();
        Ok(events)
    }

    /// The events that fit, newest first.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<Event>, JournalError> {
        let numbers = self.event_numbers(query)?;
        let mut events = Vec::new();
        for seq in numbers {
            if events.len() == query.limit {
                break;
            }
            let Some(event) = self.event(seq)? else { continue };
            if query.since.is_some_and(|since| event.accepted_at < since) {
                break;
            }
            if fits(&event, query) {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// Where to look, newest first, by the narrowest index that the question allows.
    fn event_numbers(&self, query: &EventQuery) -> Result<Vec<Seq>, JournalError> {
        let prefix = match (&query.sha, &query.delivery, &query.image) {
            (Some(sha), _, _) => rows::commit_prefix(&sha.to_ascii_lowercase()),
            (_, Some(delivery), _) => rows::delivery_prefix(delivery),
            (_, _, Some(image)) => image_prefix(&rows::image_event_key(image, Seq(0))),
            _ => b"e".to_vec(),
        };
        let before = query.before.map_or(Seq(u64::MAX), |before| before.seq);
        // Every row found counts, since some may not fit the rest of the question.
        let enough = if query.git_ref.is_some() || query.image.is_some() { SCAN_MAX } else { query.limit };
        let mut numbers = Vec::new();
        self.rows.scan(&prefix, true, &mut |key, _| {
            if let Some(seq) = rows::last_number(key).map(Seq).filter(|seq| *seq < before) {
                numbers.push(seq);
            }
            numbers.len() < enough
        })?;
        numbers.sort_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// The builds that fit, newest first.
    pub fn builds(&self, query: &BuildQuery) -> Result<Vec<BuildRow>, JournalError> {
        let prefix = match &query.image {
            Some(image) => image_prefix(&rows::image_build_key(image, BuildId(0))),
            None => b"b".to_vec(),
        };
        let mut numbers = Vec::new();
        self.rows.scan(&prefix, true, &mut |key, _| {
            numbers.extend(rows::last_number(key).map(BuildId));
            numbers.len() < SCAN_MAX
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

    /// The whole stored state of the scheduler; None where there is none yet.
    pub(super) fn snapshot(&self) -> Result<Option<(u32, Snapshot)>, JournalError> {
        let Some(head) = self.row::<rows::Head>(&rows::head_key())? else { return Ok(None) };
        let mut lanes: Vec<Lane> = self.table(b"l", |_, value| parse(value))?;
        let keys = self.table(b"k", |key, value| {
            let names = rows::parse_key_key(key);
            let (image, git_ref) = names.ok_or_else(|| JournalError::Write("a key's row has no name".to_owned()))?;
            Ok((image, git_ref, parse::<Key>(value)?))
        })?;
        for (image, git_ref, key) in keys {
            lane_of(&mut lanes, &image).keys.insert(git_ref, key);
        }
        let heads = self.table(b"r", |key, value| {
            let names = rows::parse_key_key(key);
            let (image, git_ref) = names.ok_or_else(|| JournalError::Write("a head's row has no name".to_owned()))?;
            Ok((image, git_ref, parse::<CommitId>(value)?))
        })?;
        for (image, git_ref, commit) in heads {
            Arc::make_mut(&mut lane_of(&mut lanes, &image).heads).insert(git_ref, commit);
        }
        let deliveries = self.table(b"d", |key, value| {
            let bytes = key[1..]
                .try_into()
                .map_err(|_| JournalError::Write("a delivery's row has no fingerprint".to_owned()))?;
            Ok((Fingerprint(bytes), parse::<Remembered>(value)?))
        })?;
        let (newest, newest_build) = (head.newest, head.newest_build);
        Ok(Some((head.schema, Snapshot { lanes, hold: head.hold, newest, newest_build, deliveries })))
    }

    /// The rows to remove so that what ended long ago is forgotten, at most `limit` events and builds.
    pub(super) fn outdated(
        &self,
        before: Timestamp,
        keep_from: Seq,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut gone = Vec::new();
        let mut left = limit;
        let mut failed = None;
        self.rows.scan(b"e", false, &mut |_, value| match parse::<Event>(value) {
            Ok(event) if event.accepted_at < before && event.seq < keep_from && left > 0 => {
                gone.extend(rows::event_rows(&event));
                left -= 1;
                true
            }
            Ok(_) => false,
            Err(error) => {
                failed = Some(error);
                false
            }
        })?;
        let mut left = limit;
        self.rows.scan(b"b", false, &mut |_, value| match parse::<BuildRow>(value) {
            Ok(build) if build.finished_at.is_some_and(|at| at < before) && left > 0 => {
                gone.extend(rows::build_rows(&build));
                left -= 1;
                true
            }
            // One that lives, or whose end nobody will see, keeps no later one from being forgotten.
            Ok(build) if build.finished_at.is_none() => true,
            Ok(_) => false,
            Err(error) => {
                failed = Some(error);
                false
            }
        })?;
        failed.map_or(Ok(gone), Err)
    }

    fn scan_image(&self, image: &ImageName, take: &mut dyn FnMut(Seq) -> bool) -> Result<(), JournalError> {
        let prefix = image_prefix(&rows::image_event_key(image, Seq(0)));
        self.rows.scan(&prefix, true, &mut |key, _| rows::last_number(key).is_none_or(|number| take(Seq(number))))
    }

    fn table<T>(
        &self,
        prefix: &[u8],
        parse: impl Fn(&[u8], &[u8]) -> Result<T, JournalError>,
    ) -> Result<Vec<T>, JournalError> {
        let mut all = Ok(Vec::new());
        self.rows.scan(prefix, false, &mut |key, value| {
            match (&mut all, parse(key, value)) {
                (Ok(rows), Ok(row)) => rows.push(row),
                (_, Err(error)) => all = Err(error),
                (Err(_), _) => {}
            }
            all.is_ok()
        })?;
        all
    }

    fn row<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, JournalError> {
        self.rows.get(key)?.map(|value| parse(&value)).transpose()
    }
}

/// The lane of an image, made where only rows beside it are there.
fn lane_of<'a>(lanes: &'a mut Vec<Lane>, image: &ImageName) -> &'a mut Lane {
    let index = lanes.binary_search_by(|lane| lane.image.cmp(image)).unwrap_or_else(|index| {
        lanes.insert(index, Lane::new(image.clone()));
        index
    });
    &mut lanes[index]
}

/// The key of number 0 without the number: where all rows of that image are.
fn image_prefix(key_of_zero: &[u8]) -> Vec<u8> {
    key_of_zero[..key_of_zero.len() - 8].to_vec()
}

fn fits(event: &Event, query: &EventQuery) -> bool {
    let image = query.image.is_none() || event.image == query.image;
    let git_ref = query.git_ref.is_none() || event.git_ref == query.git_ref;
    let delivery = query.delivery.is_none() || event.cause.delivery == query.delivery;
    image && git_ref && delivery
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(value).map_err(|error| JournalError::Write(format!("a row can't be read back: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{BuildState, Outcome};
    use crate::event::{Cause, CauseKind, End, Verdict};
    use crate::journal::{MemoryJournal, Put};

    const OLD: Timestamp = Timestamp::from_millis(1_000);
    const NOW: Timestamp = Timestamp::from_millis(9_000);

    fn image() -> ImageName {
        "acme/web".parse().expect("an image")
    }

    fn event(seq: u64, accepted_at: Timestamp) -> Event {
        Event {
            seq: Seq(seq),
            accepted_at,
            image: Some(image()),
            git_ref: Some(GitRef::branch("master").expect("a ref")),
            commit: None,
            cause: Cause::new(CauseKind::Push, "github"),
            verdict: Verdict::Opened,
        }
    }

    fn build(id: u64, finished_at: Option<Timestamp>) -> BuildRow {
        BuildRow {
            id: BuildId(id),
            image: image(),
            git_ref: None,
            state: BuildState::Finished,
            outcome: Some(Outcome::Success),
            foreign: false,
            rows: Vec::new(),
            commit: None,
            triggered_at: None,
            started_at: None,
            finished_at,
            span: None,
            events: 0,
            log_url: None,
            note: None,
        }
    }

    fn put<T: serde::Serialize>(key: Vec<u8>, value: &T) -> Put {
        Put { key, value: Some(serde_json::to_vec(value).expect("a row")) }
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_with_its_closures_and_nothing_that_is_kept_loses_its_own() {
        let journal = MemoryJournal::default();
        let git_ref = GitRef::branch("master").expect("a ref");
        let closure = |upto: u64, build: u64| {
            let closure = Closure { at: OLD, end: End::BuiltBy(BuildId(build)) };
            put(rows::closure_key(&image(), &git_ref, Seq(upto)), &closure)
        };
        let events = [event(1, OLD), event(2, OLD), event(3, NOW)];
        let builds = [build(1, None), build(2, Some(OLD)), build(3, Some(NOW))];
        let mut puts = vec![closure(2, 2), closure(3, 3)];
        puts.extend(events.iter().map(|event| put(rows::event_key(event.seq), event)));
        puts.extend(builds.iter().map(|build| put(rows::build_key(build.id), build)));
        let _committed = journal.commit(puts);
        let reader = journal.reader();
        let forget = |limit| {
            let gone = reader.outdated(NOW, Seq(u64::MAX), limit).expect("readable");
            let _committed = journal.commit(gone.into_iter().map(|key| Put { key, value: None }).collect());
        };
        let built_by = |seq| match reader.fate(&image(), &git_ref, Seq(seq)).expect("readable") {
            Fate::Ended(Closure { end: End::BuiltBy(build), .. }) => Some(build.0),
            _ => None,
        };

        forget(1);
        assert_eq!(reader.event(Seq(1)).expect("readable"), None);
        assert_eq!(reader.build(BuildId(2)).expect("readable"), None, "one without an end is in its way");
        assert_eq!(built_by(2), Some(2), "event 2 is kept, and with it what became of it");

        forget(10);
        assert_eq!(reader.event(Seq(2)).expect("readable"), None);
        assert_eq!(built_by(2), Some(3), "the closure went with the last of its events");
        assert!(reader.event(Seq(3)).expect("readable").is_some());
        assert!(reader.build(BuildId(1)).expect("readable").is_some(), "a build without an end may live");
    }
}
