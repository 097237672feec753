//! Writing pages: packs what one step accepted into as few pages as possible.

use std::borrow::Borrow;

use super::packed::{
    Again, Commit, DeliveryId, LAYOUT, Packed, PackedEvent, StoredKind, StoredVerdict, Texts, reason_text,
};
use crate::event::{CauseKind, Event, Fingerprint, Verdict};
use crate::journal::history::keys::{Put, page_key};
use crate::model::Seq;
use crate::reason::{IgnoreReason, SkipEvidence};
use crate::scheduler::record::Remembered;

/// A page is closed when it reaches this many bytes: with one more event, of at most 4 KiB, it stays below the size
/// that sled stores outside its log and never syncs.
const PAGE_BYTES: usize = 4 * 1024;

/// Packs what one step accepted, in number order, into as few pages as possible.
pub(in crate::journal) fn pack<E: Borrow<Event>>(
    events: &[E],
    remembered: &[(Fingerprint, Remembered)],
    puts: &mut Vec<Put>,
) {
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
        // An event that directly follows its delivery shares its page: no two pages begin with the same number.
        if page.first != Some(event.seq) {
            page.begin(event.seq, puts);
        }
        page.add_event(event);
    }
    seen_upto(None, &mut page, puts);
    page.close(puts);
}

/// The page being filled.
#[derive(Default)]
struct Page<'a> {
    first: Option<Seq>,
    bytes: Vec<u8>,
    last: Texts<'a>,
}

impl<'a> Page<'a> {
    /// Makes room for the record with this number.
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
                Verdict::Skipped { evidence: SkipEvidence::Sentence(told) } => StoredVerdict::Skipped(told.into()),
                Verdict::Skipped { evidence } => StoredVerdict::Skipped(reason_text(evidence)),
                Verdict::Ignored { reason: IgnoreReason::Sentence(told) } => StoredVerdict::Ignored(told.into()),
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
