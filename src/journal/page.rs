//! Pages of history: the events of one step, packed many to a row, and by what their deliveries are known again.
//!
//! A row for each event, and one for each way to find it, would make a burst as slow as its rows are many, and would
//! leave holes of every size in the database's file. A page is written once, read from front to back, and forgotten
//! whole. What it holds is in postcard's format (its wire format is documented and stable), behind one byte that names
//! the layout.

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::rows::{Put, page_key};
use super::{JournalError, parse_failed};
use crate::event::{Cause, CauseKind, Event, Fingerprint, Verdict};
use crate::model::{Seq, Timestamp};
use crate::reason::{IgnoreReason, SkipEvidence};
use crate::scheduler::record::Remembered;

/// The layout of what follows.
const LAYOUT: u8 = 2;
/// A page is closed when it holds this many bytes: with one event more, of at most 4 KiB, it stays below what sled
/// keeps beside its log and never syncs.
const PAGE_BYTES: usize = 4 * 1024;

/// What stands in a page, one after the other.
pub(super) enum Record<'a> {
    /// The delivery that made the events from a number on, and what it is known by when it comes again.
    Seen {
        first: u64,
        count: u32,
        at: i64,
        fingerprints: Vec<[u8; 16]>,
    },
    Event(StoredEvent<'a>),
}

/// An event as it is stored; its texts are borrowed from the page.
pub(super) struct StoredEvent<'a> {
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) image: Option<&'a str>,
    pub(super) git_ref: Option<&'a str>,
    pub(super) commit: Option<Commit<'a>>,
    kind: StoredKind,
    source: &'a str,
    actor: Option<&'a str>,
    pub(super) delivery: Option<DeliveryId<'a>>,
    reason: Option<&'a str>,
    pub(super) verdict: StoredVerdict<'a>,
}

/// A record as it lies in the page: the order of fields and variants here and below is the format.
#[derive(Serialize, Deserialize)]
enum Packed<'a> {
    Seen {
        first: u64,
        count: u32,
        at: i64,
        fingerprints: Vec<[u8; 16]>,
    },
    #[serde(borrow)]
    Event(PackedEvent<'a>),
}

#[derive(Serialize, Deserialize)]
struct PackedEvent<'a> {
    seq: u64,
    at: i64,
    image: Again<'a>,
    git_ref: Again<'a>,
    #[serde(borrow)]
    commit: Option<Commit<'a>>,
    kind: StoredKind,
    source: Again<'a>,
    actor: Again<'a>,
    #[serde(borrow)]
    delivery: Option<DeliveryId<'a>>,
    reason: Again<'a>,
    #[serde(borrow)]
    verdict: StoredVerdict<'a>,
}

/// A text that may be the same as in the event before it in the page: in a burst most are.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Again<'a> {
    None,
    Same,
    Text(&'a str),
}

/// A commit: nearly all are 40 hexadecimal digits.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Commit<'a> {
    Sha1([u8; 20]),
    Other(&'a str),
}

/// The id of a delivery: GitHub, and most who send one, write a UUID.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum DeliveryId<'a> {
    Uuid([u8; 16]),
    Other(&'a str),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum StoredKind {
    Push,
    Button,
    Api,
    Recovered,
}

/// What says why is a text: a sentence, as journals of before hold it, or a reason as JSON. Which of the two the first
/// byte tells: no sentence begins with a brace or a quotation mark.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum StoredVerdict<'a> {
    Opened,
    AlreadyBuilt,
    #[serde(borrow)]
    Skipped(Cow<'a, str>),
    #[serde(borrow)]
    Ignored(Cow<'a, str>),
    RefDeleted,
    DuplicateOf(&'a str),
}

/// Packs what one step accepted, in the order of numbers: as few pages as hold it.
pub(super) fn pack<E: Borrow<Event>>(events: &[E], remembered: &[(Fingerprint, Remembered)], puts: &mut Vec<Put>) {
    let mut page = Page::default();
    let mut deliveries = remembered.chunk_by(|(_, one), (_, other)| one.first == other.first).peekable();
    let mut seen_upto = |seq: Option<Seq>, page: &mut Page<'_>, puts: &mut Vec<Put>| {
        while let Some(delivery) = deliveries.next_if(|delivery| seq.is_none_or(|seq| delivery[0].1.first <= seq)) {
            let Remembered { first, count, at } = delivery[0].1;
            let fingerprints = delivery.iter().map(|(fingerprint, _)| fingerprint.0).collect();
            page.begin(first, puts);
            page.add(&Packed::Seen { first: first.0, count, at: at.as_millis(), fingerprints });
        }
    };
    for event in events {
        let event: &Event = event.borrow();
        seen_upto(Some(event.seq), &mut page, puts);
        // An event that follows on its delivery shares its page: no two pages begin with the same number.
        if page.first != Some(event.seq) {
            page.begin(event.seq, puts);
        }
        page.add_event(event);
    }
    seen_upto(None, &mut page, puts);
    page.close(puts);
}

/// The page that is being filled.
#[derive(Default)]
struct Page<'a> {
    first: Option<Seq>,
    bytes: Vec<u8>,
    last: Texts<'a>,
}

/// What the last event of a page said.
#[derive(Clone, Copy, Default)]
struct Texts<'a> {
    image: Option<&'a str>,
    git_ref: Option<&'a str>,
    source: Option<&'a str>,
    actor: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Page<'a> {
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

    fn add(&mut self, record: &Packed<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).expect("plain values can be written to memory");
    }

    fn add_event(&mut self, event: &'a Event) {
        let texts = Texts {
            image: event.image.as_ref().map(AsRef::as_ref),
            git_ref: event.git_ref.as_ref().map(AsRef::as_ref),
            source: Some(&event.cause.source),
            actor: event.cause.actor.as_deref(),
            reason: event.cause.reason.as_deref(),
        };
        let last = std::mem::replace(&mut self.last, texts);
        self.add(&Packed::Event(PackedEvent {
            seq: event.seq.0,
            at: event.accepted_at.as_millis(),
            image: Again::of(texts.image, last.image),
            git_ref: Again::of(texts.git_ref, last.git_ref),
            commit: event.commit.as_ref().map(|commit| Commit::of(commit.as_str())),
            kind: match event.cause.kind {
                CauseKind::Push => StoredKind::Push,
                CauseKind::Button => StoredKind::Button,
                CauseKind::Api => StoredKind::Api,
                CauseKind::Recovered => StoredKind::Recovered,
            },
            source: Again::of(texts.source, last.source),
            actor: Again::of(texts.actor, last.actor),
            delivery: event.cause.delivery.as_deref().map(DeliveryId::of),
            reason: Again::of(texts.reason, last.reason),
            verdict: match &event.verdict {
                Verdict::Opened => StoredVerdict::Opened,
                Verdict::AlreadyBuilt => StoredVerdict::AlreadyBuilt,
                Verdict::Skipped { evidence: SkipEvidence::Told(told) } => StoredVerdict::Skipped(told.into()),
                Verdict::Skipped { evidence } => StoredVerdict::Skipped(reason_text(evidence)),
                Verdict::Ignored { reason: IgnoreReason::Told(told) } => StoredVerdict::Ignored(told.into()),
                Verdict::Ignored { reason } => StoredVerdict::Ignored(reason_text(reason)),
                Verdict::RefDeleted => StoredVerdict::RefDeleted,
                Verdict::DuplicateOf { event } => StoredVerdict::DuplicateOf(event),
            },
        }));
    }

    fn close(&mut self, puts: &mut Vec<Put>) {
        if let Some(first) = self.first.take() {
            puts.push(Put { key: page_key(first), value: Some(std::mem::take(&mut self.bytes)) });
        }
        self.last = Texts::default();
    }
}

/// Calls `take` with what stands in a page, oldest first.
pub(super) fn read<'a>(page: &'a [u8], mut take: impl FnMut(Record<'a>)) -> Result<(), JournalError> {
    let Some((&LAYOUT, mut rest)) = page.split_first() else {
        return Err(parse_failed("a page of history has a layout that is not known"));
    };
    let mut last = Texts::default();
    while !rest.is_empty() {
        let (record, left) = postcard::take_from_bytes(rest).map_err(parse_failed)?;
        rest = left;
        take(match record {
            Packed::Seen { first, count, at, fingerprints } => Record::Seen { first, count, at, fingerprints },
            Packed::Event(event) => Record::Event(event.unpack(&mut last)?),
        });
    }
    Ok(())
}

impl<'a> PackedEvent<'a> {
    fn unpack(self, last: &mut Texts<'a>) -> Result<StoredEvent<'a>, JournalError> {
        let texts = Texts {
            image: self.image.text(last.image)?,
            git_ref: self.git_ref.text(last.git_ref)?,
            source: self.source.text(last.source)?,
            actor: self.actor.text(last.actor)?,
            reason: self.reason.text(last.reason)?,
        };
        *last = texts;
        Ok(StoredEvent {
            seq: self.seq,
            at: self.at,
            image: texts.image,
            git_ref: texts.git_ref,
            commit: self.commit,
            kind: self.kind,
            source: texts.source.ok_or_else(|| parse_failed("an event has no source"))?,
            actor: texts.actor,
            delivery: self.delivery,
            reason: texts.reason,
            verdict: self.verdict,
        })
    }
}

impl<'a> Again<'a> {
    fn of(text: Option<&'a str>, last: Option<&str>) -> Self {
        match text {
            None => Self::None,
            Some(_) if text == last => Self::Same,
            Some(text) => Self::Text(text),
        }
    }

    fn text(self, last: Option<&'a str>) -> Result<Option<&'a str>, JournalError> {
        match self {
            Self::None => Ok(None),
            Self::Same if last.is_none() => Err(parse_failed("an event repeats what the one before it does not say")),
            Self::Same => Ok(last),
            Self::Text(text) => Ok(Some(text)),
        }
    }
}

impl<'a> Commit<'a> {
    /// Of digits in lower case.
    fn of(text: &'a str) -> Self {
        let mut bytes = [0; 20];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Self::Sha1(bytes),
            Err(_) => Self::Other(text),
        }
    }

    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Sha1(bytes) => hex::encode(bytes).into(),
            Self::Other(text) => (*text).into(),
        }
    }
}

impl<'a> DeliveryId<'a> {
    fn of(text: &'a str) -> Self {
        let mut digits = [0; 32];
        let mut bytes = [0; 16];
        for (place, digit) in digits.iter_mut().zip(text.bytes().filter(|byte| *byte != b'-')) {
            *place = digit;
        }
        match hex::decode_to_slice(digits, &mut bytes) {
            // Only what is written just so: other ids come back as they were, too.
            Ok(()) if uuid(bytes) == text => Self::Uuid(bytes),
            _ => Self::Other(text),
        }
    }

    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Uuid(bytes) => uuid(*bytes).into(),
            Self::Other(text) => (*text).into(),
        }
    }
}

fn reason_text<T: Serialize>(reason: &T) -> Cow<'static, str> {
    serde_json::to_string(reason).expect("plain values can be written to memory").into()
}

fn reason_of<T: DeserializeOwned>(text: &str, told: impl FnOnce(String) -> T) -> Result<T, JournalError> {
    if is_json(text) { serde_json::from_str(text).map_err(parse_failed) } else { Ok(told(text.to_owned())) }
}

fn is_json(text: &str) -> bool {
    text.starts_with(['{', '"'])
}

/// As RFC 9562 writes it, in lower case.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = hex::encode(bytes);
    for dash in [20, 16, 12, 8] {
        text.insert(dash, '-');
    }
    text
}

impl StoredEvent<'_> {
    /// The event itself.
    pub(super) fn whole(&self) -> Result<Event, JournalError> {
        let name = |error: crate::model::NameError| parse_failed(error);
        Ok(Event {
            seq: Seq(self.seq),
            accepted_at: Timestamp::from_millis(self.at),
            image: self.image.map(str::parse).transpose().map_err(name)?,
            git_ref: self.git_ref.map(str::parse).transpose().map_err(name)?,
            commit: self.commit.map(|commit| commit.text().parse()).transpose().map_err(name)?,
            cause: Arc::new(Cause {
                kind: match self.kind {
                    StoredKind::Push => CauseKind::Push,
                    StoredKind::Button => CauseKind::Button,
                    StoredKind::Api => CauseKind::Api,
                    StoredKind::Recovered => CauseKind::Recovered,
                },
                source: self.source.to_owned(),
                actor: self.actor.map(str::to_owned),
                delivery: self.delivery.map(|delivery| delivery.text().into_owned()),
                reason: self.reason.map(str::to_owned),
            }),
            verdict: match &self.verdict {
                StoredVerdict::Opened => Verdict::Opened,
                StoredVerdict::AlreadyBuilt => Verdict::AlreadyBuilt,
                StoredVerdict::Skipped(text) => Verdict::Skipped { evidence: reason_of(text, SkipEvidence::Told)? },
                StoredVerdict::Ignored(text) => Verdict::Ignored { reason: reason_of(text, IgnoreReason::Told)? },
                StoredVerdict::RefDeleted => Verdict::RefDeleted,
                StoredVerdict::DuplicateOf(event) => Verdict::DuplicateOf { event: (*event).to_owned() },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every third has a commit or a delivery of another form than nearly all have.
    fn event(seq: u32, verdict: Verdict) -> Arc<Event> {
        let delivery = match seq % 3 {
            0 => "D".repeat(36),
            1 => format!("{seq:08X}-0000-4000-8000-0123456789AB"),
            _ => format!("{seq:08x}-0000-4000-8000-0123456789ab"),
        };
        let digits = if seq.is_multiple_of(3) { 64 } else { 40 };
        let kind = [CauseKind::Push, CauseKind::Button, CauseKind::Api, CauseKind::Recovered][index(seq) % 4];
        Arc::new(Event {
            seq: Seq(u64::from(seq)),
            accepted_at: Timestamp::from_millis(1_795_428_000_000 + i64::from(seq)),
            image: (seq % 8 > 2).then(|| ["acme/web", "acme/api"][index(seq / 16) % 2].parse().expect("an image")),
            git_ref: Some("refs/heads/master".parse().expect("a ref")),
            commit: Some(format!("{seq:0digits$x}").parse().expect("a commit")),
            cause: Arc::new(
                Cause::new(kind, ["github", "desk"][index(seq / 4) % 2])
                    .actor((!seq.is_multiple_of(5)).then_some("ada"))
                    .delivery(Some(&delivery))
                    .reason(Some("Zeile ü")),
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
            Verdict::Skipped { evidence: SkipEvidence::EveryCommitMarked { marker: Some("[skip ci]".to_owned()) } },
            Verdict::Ignored { reason: IgnoreReason::UnknownImage },
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
    fn sentences_of_before_are_read_as_they_stand() {
        let (skipped, ignored) = ("every commit of the push carries a skip marker", "no image is configured for it");
        let mut page = vec![LAYOUT];
        for verdict in [StoredVerdict::Skipped(skipped.into()), StoredVerdict::Ignored(ignored.into())] {
            let event = PackedEvent {
                seq: 7,
                at: 5,
                image: Again::None,
                git_ref: Again::None,
                commit: None,
                kind: StoredKind::Push,
                source: Again::Text("github"),
                actor: Again::None,
                delivery: None,
                reason: Again::None,
                verdict,
            };
            page = postcard::to_extend(&Packed::Event(event), page).expect("written");
        }
        let mut verdicts = Vec::new();
        read(&page, |record| {
            let Record::Event(event) = record else { return };
            verdicts.push(event.whole().expect("whole").verdict);
        })
        .expect("readable");
        let told = [
            Verdict::Skipped { evidence: SkipEvidence::Told(skipped.to_owned()) },
            Verdict::Ignored { reason: IgnoreReason::Told(ignored.to_owned()) },
        ];
        assert_eq!(verdicts, told);
        // And they are written as they were, where a journal is written anew.
        let events: Vec<_> = [1, 2].into_iter().zip(verdicts).map(|(seq, verdict)| event(seq, verdict)).collect();
        let mut puts = Vec::new();
        pack(&events, &[], &mut puts);
        let rewritten: Vec<Verdict> = all_of(&puts).0.into_iter().map(|event| event.verdict).collect();
        assert_eq!(rewritten, told);
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
        let event = PackedEvent {
            seq: 7,
            at: 5,
            image: Again::Same,
            git_ref: Again::None,
            commit: None,
            kind: StoredKind::Push,
            source: Again::Text("github"),
            actor: Again::None,
            delivery: None,
            reason: Again::None,
            verdict: StoredVerdict::Opened,
        };
        let first_repeats = postcard::to_extend(&Packed::Event(event), vec![LAYOUT]).expect("written");
        assert!(read(&first_repeats, |_| {}).is_err(), "there is nothing before it");
    }
}
