//! PURE: what happens to a delivery on arrival (semantics R1, R2, R9, R10).

use std::sync::Arc;

use super::record::{Fact, Remembered, Tap};
use super::turn::Turn;
use super::{Decision, Effect, ImageController, Scheduler, Ticket};
use crate::event::{Cause, CauseKind, Delivery, Disposition, End, Event, NewEvent, Touches, Verdict};
use crate::model::{EventId, Seq, Timestamp};
use crate::reason::IgnoreReason;
use crate::scheduler::open::Group;

impl Scheduler {
    /// Accepts a delivery, or finds that it is a repeat. Either way the ticket's holder gets an answer, but
    /// not before all of it is on disk.
    pub(super) fn arrive(&mut self, delivery: Delivery, ticket: Ticket, turn: &mut Turn) {
        if let Some(Remembered { first, count, .. }) = self.deliveries.find(&delivery.fingerprints) {
            turn.effects.push(Effect::Answer { ticket, decision: Decision::Repeated { first, count } });
            return;
        }
        let first = turn.ids.event.next();
        let cause = Arc::new(delivery.cause);
        let events: Vec<Arc<Event>> =
            delivery.new_events.into_iter().map(|new_event| self.accept(new_event, &cause, turn)).collect();
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        if count > 0 {
            for fingerprint in delivery.fingerprints {
                let remembered = Remembered { first, count, at: turn.now };
                self.deliveries.remember(fingerprint, remembered);
                turn.changes.remembered.push((fingerprint, remembered));
            }
        }
        turn.changes.events.extend(events.iter().cloned());
        turn.changes.meta = true;
        turn.effects.push(Effect::Answer { ticket, decision: Decision::Recorded { events } });
    }

    /// Numbers one request and lets it open its key.
    pub(super) fn accept(&mut self, new_event: NewEvent, cause: &Arc<Cause>, turn: &mut Turn) -> Arc<Event> {
        let seq = turn.next_event();
        let verdict = match new_event.disposition.clone() {
            Disposition::Skip { evidence, touches } => {
                self.pass_over(&new_event, seq, touches, turn);
                Verdict::Skipped { evidence }
            }
            Disposition::Outside { evidence, paths } if self.all_is_outside(&new_event, &paths) => {
                self.pass_over(&new_event, seq, Touches::Outside { paths }, turn);
                Verdict::Skipped { evidence }
            }
            Disposition::Ignore { reason } => Verdict::Ignored { reason },
            Disposition::DeleteRef => {
                self.delete_ref(&new_event, seq, turn);
                Verdict::RefDeleted
            }
            Disposition::Outside { .. } => {
                let opens = Opening { seq, immediate: false, manual: false, ensure: false, at: turn.now };
                self.open(&new_event, cause, &opens, turn)
            }
            Disposition::Build { immediate, manual, ensure } => {
                self.open(&new_event, cause, &Opening { seq, immediate, manual, ensure, at: turn.now }, turn)
            }
        };
        Arc::new(Event {
            seq,
            accepted_at: turn.now,
            image: new_event.image,
            git_ref: new_event.git_ref,
            commit: new_event.commit,
            cause: Arc::clone(cause),
            verdict,
        })
    }

    fn open(&mut self, new_event: &NewEvent, cause: &Cause, opens: &Opening, turn: &mut Turn) -> Verdict {
        let fold = self.button_fold;
        let not_configured = || Verdict::Ignored { reason: IgnoreReason::UnknownImage };
        let (Some(image), Some(git_ref)) = (&new_event.image, &new_event.git_ref) else { return not_configured() };
        let Some(ImageController { lane, .. }) = self.images.get_mut(image) else { return not_configured() };
        let key = lane.keys.get(git_ref);
        let is_open = key.is_some_and(|key| key.open.is_some());
        if opens.ensure && !is_open {
            return Verdict::AlreadyBuilt;
        }
        let tap = (cause.kind == CauseKind::Button).then(|| Tap {
            button: cause.source.clone(),
            seq: opens.seq,
            at: opens.at,
        });
        if let (Some(tap), Some(before)) = (&tap, key.and_then(|key| key.tap.as_ref()))
            && before.button == tap.button
            // The wall clock may have been set back since the previous one.
            && before.at <= tap.at
            && tap.at.since(before.at) <= fold
        {
            // One cause: a push between the two has an event of its own.
            let event = EventId { accepted_at: before.at, seq: before.seq }.to_string();
            return Verdict::DuplicateOf { event };
        }
        let group = Group {
            first: opens.seq,
            last: opens.seq,
            first_at: opens.at,
            last_at: opens.at,
            count: 1,
            immediate_at: opens.immediate.then_some(opens.at),
            manual: opens.manual,
            commit: new_event.commit.clone(),
            before: new_event.before.clone().filter(|before| !before.is_zero()),
            mixed: false,
            sealed: false,
        };
        lane.apply(Fact::Opened { git_ref: git_ref.clone(), group, tap }, &mut turn.changes);
        turn.touched.insert(image.clone());
        Verdict::Opened
    }

    /// R10: whether a push outside `paths` follows a known head, with nothing between that head and the
    /// last started build that must, or may, still be built.
    fn all_is_outside(&self, new_event: &NewEvent, paths: &str) -> bool {
        let (Some(image), Some(git_ref)) = (&new_event.image, &new_event.git_ref) else { return false };
        let Some(ImageController { lane, .. }) = self.images.get(image) else { return false };
        let Some(key) = lane.keys.get(git_ref) else { return false };
        let follows = new_event.commit.is_some() && lane.knows_base(git_ref, new_event.before.as_ref());
        follows && key.open.is_none() && !lane.is_under_way(git_ref) && key.lookback.is_clear(paths)
    }

    /// R10, R11: a push that is not built has still moved its ref. A push missed before it must
    /// still be found, so this one counts only if it follows what is known.
    fn pass_over(&mut self, new_event: &NewEvent, seq: Seq, touches: Touches, turn: &mut Turn) {
        let (Some(image), Some(git_ref)) = (&new_event.image, &new_event.git_ref) else { return };
        let Some(controller) = self.images.get_mut(image) else { return };
        // Without a key, no build has started that could be looked back to.
        if controller.lane.keys.contains_key(git_ref) {
            // A missed push before it may have touched anything.
            let known = controller.lane.knows_base(git_ref, new_event.before.as_ref());
            let touches = if known { touches } else { Touches::Inside };
            controller.lane.apply(Fact::PassedOver { git_ref: git_ref.clone(), seq, touches }, &mut turn.changes);
        }
        let Some(commit) = &new_event.commit else { return };
        let follows = match (controller.lane.known_head(git_ref), &new_event.before) {
            (Some(known), Some(before)) => known.same_as(before),
            // A branch that is not new and that no delivery has named.
            (None, Some(before)) => before.is_zero() || controller.lane.heads_by.is_none(),
            _ => true,
        };
        if follows {
            let moved = Fact::HeadMoved { git_ref: git_ref.clone(), commit: Some(commit.clone()), seq };
            controller.lane.apply(moved, &mut turn.changes);
        }
    }

    fn delete_ref(&mut self, new_event: &NewEvent, seq: Seq, turn: &mut Turn) {
        let (Some(image), Some(git_ref)) = (&new_event.image, &new_event.git_ref) else { return };
        let Some(controller) = self.images.get_mut(image) else { return };
        if controller.lane.keys.contains_key(git_ref) || controller.lane.heads.contains_key(git_ref) {
            // If it returns, even at the same commit, it is new.
            controller.lane.apply(Fact::HeadMoved { git_ref: git_ref.clone(), commit: None, seq }, &mut turn.changes);
        }
        if controller.lane.keys.get(git_ref).is_some_and(|key| key.open.is_some()) {
            let closed = Fact::Closed { git_ref: git_ref.clone(), end: End::RefDeleted, at: turn.now };
            controller.lane.apply(closed, &mut turn.changes);
            turn.touched.insert(image.clone());
        }
    }
}

/// How an event opens its key.
struct Opening {
    seq: Seq,
    immediate: bool,
    manual: bool,
    ensure: bool,
    at: Timestamp,
}
