//! Reading pages, from front to back.

use std::sync::Arc;

use super::packed::{Commit, DeliveryId, LAYOUT, Packed, PackedEvent, StoredKind, StoredVerdict, Texts, reason_of};
use crate::event::{Cause, CauseKind, Event, Verdict};
use crate::journal::error::{JournalError, parse_failed};
use crate::model::{Seq, Timestamp};
use crate::reason::{IgnoreReason, SkipEvidence};

/// A record of a page.
pub(in crate::journal) enum Record<'a> {
    /// The delivery of the events from a number on, and the fingerprint that identifies it if it is repeated.
    Seen {
        first: u64,
        count: u32,
        at: i64,
        fingerprints: Vec<[u8; 16]>,
    },
    Event(StoredEvent<'a>),
}

/// A stored event; its texts borrow from the page.
pub(in crate::journal) struct StoredEvent<'a> {
    pub(in crate::journal) seq: u64,
    pub(in crate::journal) at: i64,
    pub(in crate::journal) image: Option<&'a str>,
    pub(in crate::journal) git_ref: Option<&'a str>,
    pub(in crate::journal) commit: Option<Commit<'a>>,
    kind: StoredKind,
    source: &'a str,
    actor: Option<&'a str>,
    pub(in crate::journal) delivery: Option<DeliveryId<'a>>,
    reason: Option<&'a str>,
    pub(in crate::journal) verdict: StoredVerdict<'a>,
}

/// Calls `take` with each record of a page, oldest first.
pub(in crate::journal) fn read<'a>(page: &'a [u8], mut take: impl FnMut(Record<'a>)) -> Result<(), JournalError> {
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

impl StoredEvent<'_> {
    /// The event itself.
    pub(in crate::journal) fn whole(&self) -> Result<Event, JournalError> {
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
                StoredVerdict::Skipped(text) => Verdict::Skipped { evidence: reason_of(text, SkipEvidence::Sentence)? },
                StoredVerdict::Ignored(text) => Verdict::Ignored { reason: reason_of(text, IgnoreReason::Sentence)? },
                StoredVerdict::RefDeleted => Verdict::RefDeleted,
                StoredVerdict::DuplicateOf(event) => Verdict::DuplicateOf { event: (*event).to_owned() },
            },
        })
    }
}
