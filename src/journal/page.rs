//! Pages of history: the events of one step, packed many to a row, and by what their deliveries are known again.
//!
//! A row for each event, and one for each way to find it, would make a burst as slow as its rows are many, and would
//! leave holes of every size in the database's file. A page is written once, read from front to back, and forgotten
//! whole. What it holds is in postcard's format (its wire format is documented and stable), behind one byte that names
//! the layout.

use std::borrow::Borrow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::{Put, page_key};
use super::{JournalError, parse_failed};
use crate::event::{Cause, CauseKind, Event, Fingerprint, Verdict};
use crate::model::{Seq, Timestamp};
use crate::scheduler::record::Remembered;

/// The layout of what follows.
const LAYOUT: u8 = 1;
/// A page is closed when it holds this many bytes: with one event more, of at most 4 KiB, it stays below what sled
/// keeps beside its log and never syncs.
const PAGE_BYTES: usize = 4 * 1024;

/// What stands in a page, one after the other.
#[derive(Serialize, Deserialize)]
pub(super) enum Record<'a> {
    /// The delivery that made the events from a number on, and what it is known by when it comes again.
    Seen { first: u64, count: u32, at: i64, fingerprints: Vec<[u8; 16]> },
    #[serde(borrow)]
    Event(StoredEvent<'a>),
}

/// An event as it is stored; its texts are borrowed from the page. The order of fields and variants is the format.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEvent<'a> {
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) image: Option<&'a str>,
    pub(super) git_ref: Option<&'a str>,
    pub(super) commit: Option<&'a str>,
    kind: StoredKind,
    source: &'a str,
    actor: Option<&'a str>,
    pub(super) delivery: Option<&'a str>,
    reason: Option<&'a str>,
    pub(super) verdict: StoredVerdict<'a>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum StoredKind {
    Push,
    Button,
    Api,
    Recovered,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum StoredVerdict<'a> {
    Opened,
    AlreadyBuilt,
    Skipped(&'a str),
    Ignored(&'a str),
    RefDeleted,
    DuplicateOf(&'a str),
}

/// Packs what one step accepted, in the order of numbers: as few pages as hold it.
pub(super) fn pack<E: Borrow<Event>>(events: &[E], remembered: &[(Fingerprint, Remembered)], puts: &mut Vec<Put>) {
    let mut page = Page::default();
    let mut deliveries = remembered.chunk_by(|(_, one), (_, other)| one.first == other.first).peekable();
    let mut seen_upto = |seq: Option<Seq>, page: &mut Page, puts: &mut Vec<Put>| {
        while let Some(delivery) = deliveries.next_if(|delivery| seq.is_none_or(|seq| delivery[0].1.first <= seq)) {
            let Remembered { first, count, at } = delivery[0].1;
            let fingerprints = delivery.iter().map(|(fingerprint, _)| fingerprint.0).collect();
            page.begin(first, puts);
            page.add(&Record::Seen { first: first.0, count, at: at.as_millis(), fingerprints });
        }
    };
    for event in events {
        let event: &Event = event.borrow();
        seen_upto(Some(event.seq), &mut page, puts);
        // An event that follows on its delivery shares its page: no two pages begin with the same number.
        if page.first != Some(event.seq) {
            page.begin(event.seq, puts);
        }
        page.add(&Record::Event(StoredEvent::of(event)));
    }
    seen_upto(None, &mut page, puts);
    page.close(puts);
}

/// The page that is being filled.
#[derive(Default)]
struct Page {
    first: Option<Seq>,
    bytes: Vec<u8>,
}

impl Page {
    /// Makes room for what has this number.
    fn begin(&mut self, number: Seq, puts: &mut Vec<Put>) {
        if self.bytes.len() >= PAGE_BYTES {
            self.close(puts);
        }
        if self.first.is_none() {
            self.first = Some(number);
            self.bytes.reserve(PAGE_BYTES + 512);
            self.bytes.push(LAYOUT);
        }
    }

    fn add(&mut self, record: &Record<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).expect("plain values can be written to memory");
    }

    fn close(&mut self, puts: &mut Vec<Put>) {
        if let Some(first) = self.first.take() {
            puts.push(Put { key: page_key(first), value: Some(std::mem::take(&mut self.bytes)) });
        }
    }
}

/// Calls `take` with what stands in a page, oldest first.
pub(super) fn read<'a>(page: &'a [u8], mut take: impl FnMut(Record<'a>)) -> Result<(), JournalError> {
    let Some((&LAYOUT, mut rest)) = page.split_first() else {
        return Err(parse_failed("a page of history has a layout that is not known"));
    };
    while !rest.is_empty() {
        let (record, left) = postcard::take_from_bytes(rest).map_err(parse_failed)?;
        rest = left;
        take(record);
    }
    Ok(())
}

impl<'a> StoredEvent<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            seq: event.seq.0,
            at: event.accepted_at.as_millis(),
            image: event.image.as_ref().map(AsRef::as_ref),
            git_ref: event.git_ref.as_ref().map(AsRef::as_ref),
            commit: event.commit.as_ref().map(AsRef::as_ref),
            kind: match event.cause.kind {
                CauseKind::Push => StoredKind::Push,
                CauseKind::Button => StoredKind::Button,
                CauseKind::Api => StoredKind::Api,
                CauseKind::Recovered => StoredKind::Recovered,
            },
            source: &event.cause.source,
            actor: event.cause.actor.as_deref(),
            delivery: event.cause.delivery.as_deref(),
            reason: event.cause.reason.as_deref(),
            verdict: match &event.verdict {
                Verdict::Opened => StoredVerdict::Opened,
                Verdict::AlreadyBuilt => StoredVerdict::AlreadyBuilt,
                Verdict::Skipped { rule } => StoredVerdict::Skipped(rule),
                Verdict::Ignored { reason } => StoredVerdict::Ignored(reason),
                Verdict::RefDeleted => StoredVerdict::RefDeleted,
                Verdict::DuplicateOf { event } => StoredVerdict::DuplicateOf(event),
            },
        }
    }

    /// The event itself.
    pub(super) fn whole(&self) -> Result<Event, JournalError> {
        let name = |error: crate::model::NameError| parse_failed(error);
        Ok(Event {
            seq: Seq(self.seq),
            accepted_at: Timestamp::from_millis(self.at),
            image: self.image.map(str::parse).transpose().map_err(name)?,
            git_ref: self.git_ref.map(str::parse).transpose().map_err(name)?,
            commit: self.commit.map(str::parse).transpose().map_err(name)?,
            cause: Arc::new(Cause {
                kind: match self.kind {
                    StoredKind::Push => CauseKind::Push,
                    StoredKind::Button => CauseKind::Button,
                    StoredKind::Api => CauseKind::Api,
                    StoredKind::Recovered => CauseKind::Recovered,
                },
                source: self.source.to_owned(),
                actor: self.actor.map(str::to_owned),
                delivery: self.delivery.map(str::to_owned),
                reason: self.reason.map(str::to_owned),
            }),
            verdict: match self.verdict {
                StoredVerdict::Opened => Verdict::Opened,
                StoredVerdict::AlreadyBuilt => Verdict::AlreadyBuilt,
                StoredVerdict::Skipped(rule) => Verdict::Skipped { rule: rule.to_owned() },
                StoredVerdict::Ignored(reason) => Verdict::Ignored { reason: reason.to_owned() },
                StoredVerdict::RefDeleted => Verdict::RefDeleted,
                StoredVerdict::DuplicateOf(event) => Verdict::DuplicateOf { event: event.to_owned() },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u32, verdict: Verdict) -> Arc<Event> {
        let kind = [CauseKind::Push, CauseKind::Button, CauseKind::Api, CauseKind::Recovered][index(seq) % 4];
        Arc::new(Event {
            seq: Seq(u64::from(seq)),
            accepted_at: Timestamp::from_millis(1_795_428_000_000 + i64::from(seq)),
            image: seq.is_multiple_of(2).then(|| "acme/web".parse().expect("an image")),
            git_ref: Some("refs/heads/master".parse().expect("a ref")),
            commit: Some(format!("{seq:040x}").parse().expect("a commit")),
            cause: Arc::new(
                Cause::new(kind, "github").actor(Some("ada")).delivery(Some(&"d".repeat(36))).reason(Some("Zeile ü")),
            ),
            verdict,
        })
    }

    fn index(number: u32) -> usize {
        usize::try_from(number).expect("small")
    }

    fn all_of(puts: &[Put]) -> (Vec<Event>, Vec<(Fingerprint, Remembered)>) {
        let (mut events, mut deliveries) = (Vec::new(), Vec::new());
        for put in puts {
            read(put.value.as_deref().expect("a page"), |record| match record {
                Record::Event(event) => events.push(event.whole().expect("whole")),
                Record::Seen { first, count, at, fingerprints } => {
                    let remembered = Remembered { first: Seq(first), count, at: Timestamp::from_millis(at) };
                    deliveries.extend(fingerprints.into_iter().map(|bytes| (Fingerprint(bytes), remembered)));
                }
            })
            .expect("readable");
        }
        (events, deliveries)
    }

    #[test]
    fn what_is_packed_comes_back_and_no_page_is_too_large_for_sled() {
        let verdicts = [
            Verdict::Opened,
            Verdict::AlreadyBuilt,
            Verdict::Skipped { rule: "every commit of the push carries a skip marker".to_owned() },
            Verdict::Ignored { reason: "no image is configured".to_owned() },
            Verdict::RefDeleted,
            Verdict::DuplicateOf { event: "01JD0000000000000000000000".to_owned() },
        ];
        let events: Vec<_> = (1..=600).map(|seq| event(seq, verdicts[index(seq) % 6].clone())).collect();
        let at = Timestamp::from_millis(5);
        // Deliveries of two events each, of the first one no fingerprint is known, of the others two.
        let remembered: Vec<_> = (2..=300)
            .flat_map(|number: u32| {
                let one = Remembered { first: Seq(u64::from(number) * 2 - 1), count: 2, at };
                [1u8, 2].map(|which| (Fingerprint([which; 16].map(|byte| byte ^ number.to_be_bytes()[3])), one))
            })
            .collect();
        let mut puts = Vec::new();
        pack(&events, &remembered, &mut puts);
        assert!((10..100).contains(&puts.len()), "{} pages", puts.len());
        assert!(puts.iter().all(|put| put.value.as_ref().is_some_and(|page| page.len() < 8 * 1024)));
        assert!(puts.windows(2).all(|two| two[0].key < two[1].key), "in the order of numbers, each its own key");
        let (events_back, remembered_back) = all_of(&puts);
        assert_eq!(events_back, events.iter().map(|event| (**event).clone()).collect::<Vec<_>>());
        assert_eq!(remembered_back, remembered);
    }

    #[test]
    fn deliveries_without_events_are_kept_too() {
        let known = [(Fingerprint([7; 16]), Remembered { first: Seq(3), count: 1, at: Timestamp::from_millis(9) })];
        let mut puts = Vec::new();
        pack::<Event>(&[], &known, &mut puts);
        assert_eq!(all_of(&puts), (Vec::new(), known.to_vec()));
    }

    #[test]
    fn damage_is_an_error() {
        let mut puts = Vec::new();
        pack(&[event(2, Verdict::Opened)], &[], &mut puts);
        let page = puts[0].value.clone().expect("a page");
        for broken in [&[][..], &[9], &page[..page.len() - 3]] {
            assert!(read(broken, |_| {}).is_err(), "{broken:?}");
        }
    }
}
