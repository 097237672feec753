//! PURE: how an image resumes from its stored state, and under new rules (semantics R11, R13).

use std::sync::Arc;

use super::ImageController;
use crate::build::Outcome;
use crate::reason::UncertainReason;
use crate::scheduler::lane::{Lane, Phase};
use crate::scheduler::policy::Policy;
use crate::scheduler::question::Watch;
use crate::scheduler::record::{Fact, Foreign};
use crate::scheduler::turn::Turn;

impl ImageController {
    pub(in crate::scheduler) fn recover(&mut self, turn: &mut Turn) {
        let ahead = |lane: &Lane| {
            let refusal = lane.refusal.as_ref().is_some_and(|refusal| refusal.since > turn.now);
            let lives = lane.lives().any(|live| live.record.triggered_at.max(live.record.started_at) > Some(turn.now));
            refusal
                || lives
                || lane.keys.values().any(|key| key.open.as_ref().is_some_and(|open| open.lies_ahead_of(turn.now)))
        };
        if ahead(&self.lane) {
            self.lane.apply(Fact::ClockWentBack { at: turn.now }, &mut turn.changes);
        }
        if let Some(queued) = self.lane.queued.as_ref().filter(|queued| queued.phase == Phase::Triggering) {
            let build = queued.live.record.id;
            let reason = UncertainReason::DaemonEnded;
            self.lane.apply(Fact::BecameUncertain { build, at: turn.now, reason }, &mut turn.changes);
        }
        self.give_up_what_is_unseen(turn);
    }

    /// Continues under new rules. Nothing open or in flight is lost.
    pub(in crate::scheduler) fn follow(&mut self, policy: Arc<Policy>, turn: &mut Turn) {
        if self.policy == policy {
            return;
        }
        if policy.capabilities.observes() && !self.policy.capabilities.observes() {
            self.since = turn.now;
        }
        self.policy = policy;
        // A question in flight was asked under the old rules, perhaps with another login.
        self.watch = Watch::default();
        self.give_up_what_is_unseen(turn);
    }

    /// Ends, or takes as started, what a back-end without a login can no longer show.
    fn give_up_what_is_unseen(&mut self, turn: &mut Turn) {
        // Their end can no longer be seen.
        let unseen = if self.policy.capabilities.observes() { Vec::new() } else { self.lane.foreign.clone() };
        for Foreign { id, .. } in unseen {
            let ended = Fact::ForeignEnded { id, at: turn.now, outcome: Outcome::Lost, covered: Vec::new() };
            self.lane.apply(ended, &mut turn.changes);
        }
        // Queued while there was a login; now there is none.
        if let Some(queued) = self.lane.queued.as_ref().filter(|queued| queued.phase == Phase::Accepted)
            && !self.policy.capabilities.observes()
        {
            self.assume_started(queued.live.record.id, turn);
        }
    }
}
