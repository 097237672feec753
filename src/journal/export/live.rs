//! Everything that must survive besides the history: what an export holds and a restored journal starts with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::Hold;
use crate::event::{Closure, End, Event, Verdict};
use crate::journal::error::JournalError;
use crate::journal::history::Reader;
use crate::journal::history::entries::{MetaEntry, SCHEMA, json};
use crate::journal::history::keys::{
    Put, build_key, closure_key, image_build_key, key_state_key, lane_key, meta_key, notice_key, remote_head_key,
};
use crate::journal::history::page;
use crate::journal::query::EventQuery;
use crate::model::{BuildId, EventId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::NoticeId;
use crate::scheduler::Snapshot;
use crate::scheduler::lane::{Lane, LaneState};
use crate::scheduler::open::Open;
use crate::scheduler::outbox::StoredOutbox;
use crate::scheduler::record::BuildRecord;

/// The most events that an export includes: the newest ones. The state still knows that older ones are open, and builds
/// them, but their receipts can't be read any more.
const EVENTS_MAX: usize = 10_000;
/// The most events searched to find those, from the newest back.
const EVENTS_SCANNED_MAX: usize = 100_000;
/// How many are read at once.
const EVENTS_AT_A_TIME: usize = 1_000;
/// How far event numbers jump ahead when a state is loaded: further than could have been assigned since it was written,
/// so that no number is used twice. A million a second for a quarter of an hour.
const EVENT_GAP: u64 = 1_000_000_000;
/// The same for builds, which people read: more than could have been requested in a few hours.
const BUILD_GAP: u64 = 100_000;
/// The same for notices.
const NOTICE_GAP: u64 = 100_000;

/// The scheduler's state after one step, as the driver publishes it.
pub struct Shown {
    pub lanes: BTreeMap<ImageName, Arc<Lane>>,
    pub hold: Option<Hold>,
    pub newest: Seq,
    pub newest_build: BuildId,
    pub newest_notice: NoticeId,
}

/// The whole live state: what the scheduler needs, and the events that are open or part of a live build.
#[derive(Clone, Debug, Default)]
pub struct LiveState {
    pub snapshot: Snapshot,
    /// In the order of their numbers.
    pub events: Vec<Event>,
}

/// How the events of a key up to a number ended.
pub(in crate::journal) type Ending = (ImageName, GitRef, Seq, Closure);

impl LiveState {
    /// Reads the state of a journal that nothing is writing to.
    pub fn at_rest(reader: &Reader) -> Result<Self, JournalError> {
        let snapshot = reader.snapshot()?.unwrap_or_default();
        Self::with_events(snapshot, reader)
    }

    /// Reads the rest of a state while the journal is being written.
    ///
    /// Lanes, keys and counters are those that the driver published, so they belong to one step. Everything else comes
    /// from entries that never change once written: events, deliveries, notices, and lanes that are no longer
    /// configured. Entries with later numbers are left out, so nothing in the state belongs to a later step. (An entry
    /// forgotten in the meantime is missing, which does no harm.)
    pub fn of(shown: Shown, reader: &Reader) -> Result<Self, JournalError> {
        let stored = reader.snapshot()?.unwrap_or_default();
        let mut lanes: BTreeMap<ImageName, LaneState> =
            stored.lanes.into_iter().map(|lane| (lane.image.clone(), lane)).collect();
        let Shown { hold, newest, newest_build, newest_notice, lanes: shown_lanes } = shown;
        let is_of_it = |first: Seq, count: u32| first.0 + u64::from(count) <= newest.0 + 1;
        let mut deliveries = stored.deliveries;
        deliveries.retain(|(_, remembered)| is_of_it(remembered.first, remembered.count));
        lanes.extend(shown_lanes.into_iter().map(|(image, lane)| (image, Arc::unwrap_or_clone(lane).into_state())));
        let lanes = lanes.into_values().collect();
        let mut pending = stored.outbox.pending;
        pending.retain(|notice| notice.id <= newest_notice);
        let outbox = StoredOutbox { newest: newest_notice, pending };
        Self::with_events(Snapshot { lanes, hold, newest, newest_build, deliveries, outbox }, reader)
    }

    /// Reads the newest history once, back to the oldest event that is open or part of a live build.
    fn with_events(snapshot: Snapshot, reader: &Reader) -> Result<Self, JournalError> {
        let wanted = wanted(&snapshot);
        let oldest = wanted.values().flatten().map(|open| open.first()).min();
        let mut newest = wanted.values().flatten().map(|open| open.last()).max();
        let is_wanted = |event: &Event| {
            let key = event.image.as_ref().zip(event.git_ref.as_ref());
            let opens = key.and_then(|key| wanted.get(&key));
            event.verdict == Verdict::Opened
                && opens.is_some_and(|opens| opens.iter().any(|open| open.holds(event.seq)))
        };
        let mut events = Vec::new();
        let mut scanned = 0;
        while let (Some(through), true) = (newest, events.len() < EVENTS_MAX && scanned < EVENTS_SCANNED_MAX) {
            let before = EventId { accepted_at: Timestamp::from_millis(0), seq: through.next() };
            let query = EventQuery { before: Some(before), limit: EVENTS_AT_A_TIME, ..EventQuery::default() };
            let some = reader.events(&query)?;
            scanned += some.len();
            newest = some.last().map(|event| Seq(event.seq.0 - 1)).filter(|through| Some(*through) >= oldest);
            events.extend(some.into_iter().filter(is_wanted));
        }
        events.truncate(EVENTS_MAX);
        events.reverse();
        Ok(Self { snapshot, events })
    }

    /// Skips numbers that may have been assigned after this was written.
    pub(in crate::journal) fn leave_gap(&mut self) {
        self.snapshot.newest = Seq(self.snapshot.newest.0.saturating_add(EVENT_GAP));
        self.snapshot.newest_build = BuildId(self.snapshot.newest_build.0.saturating_add(BUILD_GAP));
        self.snapshot.outbox.newest = NoticeId(self.snapshot.outbox.newest.0.saturating_add(NOTICE_GAP));
    }

    /// The entries of a whole state, for an empty database.
    pub(in crate::journal) fn entries(&self) -> Vec<Put> {
        let Snapshot { lanes, hold, newest, newest_build, deliveries, outbox } = &self.snapshot;
        let mut deliveries = deliveries.clone();
        deliveries.sort_by_key(|(_, remembered)| remembered.first);
        let mut puts = Vec::new();
        page::pack(&self.events, &deliveries, &mut puts);
        let mut put = |key, value| puts.push(Put { key, value: Some(value) });
        let head = MetaEntry {
            schema: SCHEMA,
            newest: *newest,
            newest_build: *newest_build,
            newest_notice: outbox.newest,
            hold: hold.clone(),
        };
        put(meta_key(), json(&head));
        for lane in lanes {
            put(lane_key(&lane.image), json(lane));
            lane.keys.iter().for_each(|(git_ref, key)| put(key_state_key(&lane.image, git_ref), json(key)));
            lane.heads.iter().for_each(|(git_ref, commit)| put(remote_head_key(&lane.image, git_ref), json(commit)));
        }
        for notice in &outbox.pending {
            put(notice_key(notice.id), json(notice));
        }
        for build in self.builds() {
            put(build_key(build.id), json(&build));
            put(image_build_key(&build.image, build.id), Vec::new());
        }
        for (image, git_ref, through, closure) in self.endings() {
            put(closure_key(&image, &git_ref, through), json(&closure));
        }
        puts
    }

    /// The builds that the state knows: the live ones, and the last one of each image.
    pub(in crate::journal) fn builds(&self) -> Vec<BuildRecord> {
        let mut builds = BTreeMap::new();
        for lane in &self.snapshot.lanes {
            let foreign = lane.foreign.iter().map(|foreign| lane.foreign_record(foreign));
            let known = lane.last_build.iter().chain(lane.lives().map(|live| &live.record)).cloned().chain(foreign);
            builds.extend(known.map(|entry| (entry.id, entry)));
        }
        builds.into_values().collect()
    }

    /// What is written for the events of builds that have begun: that these builds ended them.
    pub(in crate::journal) fn endings(&self) -> Vec<Ending> {
        let mut endings = Vec::new();
        for lane in &self.snapshot.lanes {
            for live in lane.lives() {
                if let (Some(at), Some(git_ref), Some(covered)) =
                    (live.record.started_at, &live.record.git_ref, &live.carries)
                {
                    let closure = Closure { at, end: End::BuiltBy(live.record.id) };
                    let of = |through| (lane.image.clone(), git_ref.clone(), through, closure.clone());
                    endings.extend(covered.borders().map(of));
                }
            }
        }
        endings
    }
}

/// The events of each key that are open or part of a live build.
fn wanted(snapshot: &Snapshot) -> BTreeMap<(&ImageName, &GitRef), Vec<&Open>> {
    let mut wanted: BTreeMap<_, Vec<&Open>> = BTreeMap::new();
    for lane in &snapshot.lanes {
        let open = lane.keys.iter().filter_map(|(git_ref, key)| Some((git_ref, key.open.as_ref()?)));
        let live = lane.lives().filter_map(|live| Some((live.record.git_ref.as_ref()?, live.carries.as_ref()?)));
        for (git_ref, open) in open.chain(live) {
            wanted.entry((&lane.image, git_ref)).or_default().push(open);
        }
    }
    wanted
}
