//! Pages of history: the events of one step, many packed into one entry, with the fingerprints of their deliveries.
//!
//! An entry for each event, and one for each way to find it, would make a burst as slow as it has entries, and would
//! leave holes of every size in the database's file. A page is written once, read from front to back, and forgotten as
//! a whole. Its contents are in postcard's format (its wire format is documented and stable), after one byte that names
//! the layout.

mod pack;
mod packed;
mod read;

pub(in crate::journal) use self::pack::pack;
pub(in crate::journal) use self::packed::StoredVerdict;
pub(in crate::journal) use self::read::{Record, StoredEvent, read};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::packed::{Again, LAYOUT, Packed, PackedEvent, StoredKind};
    use super::*;
    use crate::event::{Cause, CauseKind, Event, Fingerprint, Verdict};
    use crate::journal::history::keys::Put;
    use crate::model::{Seq, Timestamp};
    use crate::reason::{IgnoreReason, SkipEvidence};
    use crate::scheduler::record::Remembered;

    /// Every third event has a commit or delivery id in an unusual form.
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
        // Deliveries of two events each: the first has no known fingerprint, the others have two.
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

    fn packed(verdict: StoredVerdict<'_>) -> PackedEvent<'_> {
        PackedEvent {
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
        }
    }

    #[test]
    fn sentences_of_older_versions_are_read_unchanged() {
        let (skipped, ignored) = ("every commit of the push carries a skip marker", "no image is configured for it");
        let mut page = vec![LAYOUT];
        for verdict in [StoredVerdict::Skipped(skipped.into()), StoredVerdict::Ignored(ignored.into())] {
            page = postcard::to_extend(&Packed::Event(packed(verdict)), page).expect("written");
        }
        let mut verdicts = Vec::new();
        read(&page, |record| {
            let Record::Event(event) = record else { return };
            verdicts.push(event.whole().expect("whole").verdict);
        })
        .expect("readable");
        let told = [
            Verdict::Skipped { evidence: SkipEvidence::Sentence(skipped.to_owned()) },
            Verdict::Ignored { reason: IgnoreReason::Sentence(ignored.to_owned()) },
        ];
        assert_eq!(verdicts, told);
        // They are also written unchanged when a journal is rewritten.
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
        let event = PackedEvent { image: Again::Same, ..packed(StoredVerdict::Opened) };
        let first_repeats = postcard::to_extend(&Packed::Event(event), vec![LAYOUT]).expect("written");
        assert!(read(&first_repeats, |_| {}).is_err(), "there is nothing before it");
    }
}
