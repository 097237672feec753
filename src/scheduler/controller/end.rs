//! PURE: how a build of ours ends: as the back-end reports, or given up if that can't be known (semantics R8, R11).

use super::ImageController;
use crate::build::Outcome;
use crate::model::{BuildId, Timestamp};
use crate::notice::NoticeKind;
use crate::reason::EndReason;
use crate::scheduler::lane::Phase;
use crate::scheduler::record::Fact;
use crate::scheduler::turn::Turn;

impl ImageController {
    /// R8: a started build ends. A failure is retried only as often as the policy allows; a loss once.
    pub(super) fn end(
        &mut self,
        build: BuildId,
        outcome: Outcome,
        at: Timestamp,
        log_url: Option<String>,
        reason: Option<EndReason>,
        turn: &mut Turn,
    ) {
        let live = self.lane.live(build).expect("it ends because it lived");
        let key = live.record.git_ref.as_ref().and_then(|git_ref| self.lane.keys.get(git_ref));
        let reopened = key.is_some_and(|key| match outcome {
            Outcome::Failure => key.retries < self.policy.retry_failed,
            Outcome::Lost => live.carries.as_ref().is_some_and(|carries| carries.last() > key.lost_through),
            Outcome::Success | Outcome::Cancelled | Outcome::NotStarted => false,
        });
        let red_before = self.lane.last_build.as_ref().is_some_and(|last| last.outcome == Some(Outcome::Failure));
        match outcome {
            Outcome::Failure if !reopened => self.notify(NoticeKind::Failed { build }, turn),
            Outcome::Success if red_before => self.notify(NoticeKind::Recovered { build }, turn),
            _ => {}
        }
        self.lane.apply(Fact::Finished { build, at, outcome, log_url, reason, reopened }, &mut turn.changes);
    }

    /// The build in the waiting place ends without having started. `jitter`: wait before the next try.
    pub(super) fn never_started(&mut self, outcome: Outcome, reason: EndReason, jitter: Option<u64>, turn: &mut Turn) {
        let live = &self.lane.queued.as_ref().expect("a build that never started is in the waiting place").live;
        let build = live.record.id;
        let cancelled_by = live.cancelled_by.clone().filter(|_| outcome == Outcome::Cancelled);
        let again_at = jitter.map(|jitter| self.next_try(jitter, turn.now));
        self.lane.apply(
            Fact::NeverStarted { build, at: turn.now, outcome, reason, cancelled_by, again_at },
            &mut turn.changes,
        );
        self.notice_long_refusal(turn);
    }

    pub(super) fn lose(&mut self, build: BuildId, reason: EndReason, turn: &mut Turn) {
        self.notify(NoticeKind::Lost { build, reason: reason.clone() }, turn);
        let started = self.lane.live(build).expect("it is lost because it lived").record.started_at.is_some();
        if started {
            self.end(build, Outcome::Lost, turn.now, None, Some(reason), turn);
        } else {
            self.never_started(Outcome::NotStarted, reason, Some(0), turn);
        }
    }

    /// R11: gives a build up only after the back-end was asked, and not because the first question after a start
    /// failed.
    pub(super) fn give_up_overdue(&mut self, turn: &mut Turn) {
        let deadline = self.policy.build_deadline;
        let overdue = self.lane.lives().filter(|live| {
            let since = live.record.started_at.or(live.record.triggered_at);
            since.is_some_and(|since| since.plus(deadline) <= turn.now)
        });
        let overdue: Vec<BuildId> = overdue.map(|live| live.record.id).collect();
        for build in overdue {
            let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            self.lose(build, EndReason::Overdue { deadline_ms }, turn);
        }
    }

    /// Reopens the events of a trigger whose build could not be looked for, for too long: one build too many is cheaper
    /// than one too few.
    pub(super) fn give_up_if_uncertain_for_long(&mut self, turn: &mut Turn) {
        let Some(queued) = &self.lane.queued else { return };
        let unseen = queued.live.record.backend_ids.is_empty()
            && matches!(queued.phase, Phase::Uncertain { .. } | Phase::Accepted);
        let called_at = queued.live.record.triggered_at.unwrap_or(turn.now);
        if unseen && called_at.max(self.since).plus(self.policy.uncertain_limit) <= turn.now {
            self.give_up_uncertain(turn);
        }
    }

    pub(super) fn give_up_uncertain(&mut self, turn: &mut Turn) {
        let build = self.lane.queued.as_ref().expect("looked up by the caller").live.record.id;
        self.notify(NoticeKind::Unverified { build }, turn);
        self.never_started(Outcome::NotStarted, EndReason::Unverified, None, turn);
    }

    /// Only time in which we could have seen a build counts: not time before a restart, nor the gap made by a clock
    /// set forward or a machine that slept.
    pub(super) fn grace_is_over(&self, since: Timestamp, now: Timestamp) -> bool {
        since.max(self.since).plus(self.policy.uncertain_grace) <= now
    }
}
