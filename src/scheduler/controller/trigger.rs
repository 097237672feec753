//! PURE: what the answer to a trigger call means (semantics R5, R13).

use std::time::Duration;

use super::ImageController;
use crate::build::TriggerAnswer;
use crate::model::{BuildId, Timestamp};
use crate::notice::NoticeKind;
use crate::reason::{RefusalReason, UncertainReason};
use crate::scheduler::lane::Phase;
use crate::scheduler::record::{Cover, Fact};
use crate::scheduler::turn::Turn;
use crate::scheduler::wait::back_off;

/// How often a blocked image is tried again.
const PROBE_EVERY: Duration = Duration::from_mins(30);
/// Refusals that last this long are reported to the operator.
const REFUSED_NOTICE_AFTER: Duration = Duration::from_mins(15);

impl ImageController {
    /// R5: what the answer to the trigger call means.
    pub(in crate::scheduler) fn answered(&mut self, build: BuildId, answer: TriggerAnswer, turn: &mut Turn) {
        let waits_for_it = self
            .lane
            .queued
            .as_ref()
            .is_some_and(|queued| queued.live.record.id == build && queued.phase == Phase::Triggering);
        if !waits_for_it {
            return;
        }
        match answer {
            TriggerAnswer::Accepted { backend_id } => {
                self.lift_block(!self.policy.capabilities.observes(), turn);
                self.lane.apply(Fact::Accepted { build, at: turn.now, backend_id }, &mut turn.changes);
                if !self.policy.capabilities.observes() {
                    self.assume_started(build, turn);
                }
            }
            TriggerAnswer::AlreadyPending { detail } if self.policy.capabilities.observes() => {
                self.lane.apply(
                    Fact::BecameUncertain { build, at: turn.now, reason: UncertainReason::AlreadyPending { detail } },
                    &mut turn.changes,
                );
            }
            TriggerAnswer::Uncertain { detail } => {
                let reason = UncertainReason::Answer { detail };
                self.lane.apply(Fact::BecameUncertain { build, at: turn.now, reason }, &mut turn.changes);
            }
            TriggerAnswer::AlreadyPending { detail } => {
                self.refused(build, None, RefusalReason::AlreadyPending { detail }, turn);
            }
            TriggerAnswer::RefusedForNow { retry_after, detail } => {
                self.refused(build, retry_after, RefusalReason::Answer { detail }, turn);
            }
            TriggerAnswer::Refused { detail } => {
                let blocked_before = self.lane.refusal.as_ref().is_some_and(|refusal| refusal.blocked);
                let again_at = turn.now.plus(PROBE_EVERY);
                let reason = RefusalReason::Answer { detail };
                let fact = Fact::Refused { build, at: turn.now, reason: reason.clone(), again_at, blocked: true };
                self.lane.apply(fact, &mut turn.changes);
                if !blocked_before {
                    self.notify(NoticeKind::Blocked { reason }, turn);
                }
            }
        }
        // The place changed: an answer to an older question is stale (R4).
        self.watch.asked = None;
        self.watch.next_at = Some(turn.now.plus(self.policy.observe_after));
        self.watch.wait = self.policy.observe_every;
    }

    fn refused(&mut self, build: BuildId, retry_after: Option<Duration>, reason: RefusalReason, turn: &mut Turn) {
        let again_at = match retry_after {
            Some(wait) => turn.now.plus(wait),
            None => self.next_try(turn.jitter(build.0), turn.now),
        };
        self.lane.apply(Fact::Refused { build, at: turn.now, reason, again_at, blocked: false }, &mut turn.changes);
        self.notice_long_refusal(turn);
    }

    /// When the next try is due after one more that failed.
    pub(super) fn next_try(&self, jitter: u64, now: Timestamp) -> Timestamp {
        let times = self.lane.refusal.as_ref().map_or(0, |refusal| refusal.times);
        now.plus(back_off(times, jitter))
    }

    /// Reports once that tries have failed for long.
    pub(super) fn notice_long_refusal(&mut self, turn: &mut Turn) {
        let Some(refusal) = self.lane.refusal.as_ref().filter(|refusal| !refusal.blocked) else { return };
        let (since, reason) = (refusal.since, refusal.reason.clone());
        if turn.now.since(since) >= REFUSED_NOTICE_AFTER && !self.noticed {
            self.noticed = true;
            self.notify(NoticeKind::StillRefused { since, reason }, turn);
        }
    }

    /// Reports that the back-end accepts triggers again.
    pub(super) fn lift_block(&mut self, started: bool, turn: &mut Turn) {
        let blocked = self.lane.refusal.as_ref().is_some_and(|refusal| refusal.blocked);
        if blocked || (started && self.noticed) {
            self.noticed = false;
            self.notify(NoticeKind::Unblocked, turn);
        }
    }

    /// R13: in blind mode, an accepted trigger counts as started at once.
    pub(super) fn assume_started(&mut self, build: BuildId, turn: &mut Turn) {
        let through = self.lane.live(build).expect("just accepted").through;
        let cover = Cover { through, commit: None, contradicted: false };
        // A build queued behind another starts when that one ends.
        let behind = self.lane.running.as_ref().and_then(|running| running.assumed_until);
        let begins = behind.map_or(turn.now, |until| until.max(turn.now));
        let assumed_until = Some(begins.plus(self.policy.expected_build_time));
        self.lane.apply(Fact::Started { build, at: turn.now, cover, assumed_until }, &mut turn.changes);
    }
}
