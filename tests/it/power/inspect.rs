//! Opens a journal after a power cut, and looks for everything that was acknowledged before.

use std::collections::BTreeMap;
use std::path::Path;

use coalesced::event::{Event, Verdict};
use coalesced::journal::EventQuery;
use coalesced::journal::{Fate, Journal, JournalError, Reader, Storage as _};
use coalesced::model::EventId;
use coalesced::scheduler::Snapshot;
use coalesced::scheduler::lane::LaneState;
use coalesced::source::fingerprint;

use crate::crash::IMAGES;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Fine,
    CantBeOpened(String),
    /// So many acknowledged events are gone.
    Lost(usize),
    /// It opens, but is inconsistent.
    Inconsistent(String),
}

/// The journal below `data_dir` against the events that were acknowledged.
pub(crate) fn inspect(data_dir: &Path, acknowledged: &[EventId]) -> Finding {
    let (journal, reader, snapshot) = match Journal::open(data_dir) {
        Ok(opened) => opened,
        Err(error) => return Finding::CantBeOpened(error.to_string()),
    };
    let found = look(&reader, &snapshot, acknowledged);
    drop(reader);
    journal.close();
    found.unwrap_or_else(|error| Finding::CantBeOpened(error.to_string()))
}

fn look(reader: &Reader, snapshot: &Snapshot, acknowledged: &[EventId]) -> Result<Finding, JournalError> {
    let mut lost = 0;
    for id in acknowledged {
        let found = reader.event(id.seq)?;
        lost += usize::from(found.is_none_or(|event| event.id() != *id));
    }
    if lost > 0 {
        return Ok(Finding::Lost(lost));
    }
    let events = reader.events(&EventQuery { limit: usize::MAX, ..EventQuery::default() })?;
    Ok(consistent(reader, snapshot, &events)?.map_or(Finding::Fine, Finding::Inconsistent))
}

/// Describes what is inconsistent.
fn consistent(reader: &Reader, snapshot: &Snapshot, events: &[Event]) -> Result<Option<String>, JournalError> {
    let rise = events.windows(2).all(|pair| pair[0].seq > pair[1].seq);
    let newest = events.first().map_or(0, |event| event.seq.0);
    if !rise || newest != snapshot.newest.0 || events.len() as u64 != newest {
        return Ok(Some(format!("{} events up to {newest}; the head says {:?}", events.len(), snapshot.newest)));
    }
    let known: BTreeMap<_, _> = snapshot.deliveries.iter().copied().collect();
    for event in events {
        let delivery = event.cause.delivery.as_deref().unwrap_or_default();
        let remembered = known.get(&fingerprint(&[b"delivery", b"github", delivery.as_bytes()]));
        let whole = remembered.is_some_and(|remembered| {
            let last = remembered.first.0 + u64::from(remembered.count);
            remembered.count as usize == IMAGES.len() && (remembered.first.0..last).contains(&event.seq.0)
        });
        if !whole {
            return Ok(Some(format!("the delivery of event {:?} is forgotten: {remembered:?}", event.seq)));
        }
        if event.verdict == Verdict::Opened && !is_accounted_for(reader, snapshot, event)? {
            return Ok(Some(format!("event {:?} has not ended, and nothing holds it", event.seq)));
        }
    }
    Ok(None)
}

/// It ended, or it is open, or a build carries it.
fn is_accounted_for(reader: &Reader, snapshot: &Snapshot, event: &Event) -> Result<bool, JournalError> {
    let (Some(image), Some(git_ref)) = (&event.image, &event.git_ref) else { return Ok(false) };
    let lane = snapshot.lanes.iter().find(|lane| lane.image == *image);
    let open = lane.and_then(|lane| lane.keys.get(git_ref)).and_then(|key| key.open.as_ref());
    let carried = lane.into_iter().flat_map(LaneState::lives).filter_map(|live| live.carries.as_ref());
    let held = open.into_iter().chain(carried).any(|open| open.holds(event.seq));
    Ok(held || matches!(reader.fate(image, git_ref, event.seq)?, Fate::Ended(_)))
}
