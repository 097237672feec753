//! PURE: how a build leaves its place, and what is kept of it.

use std::time::Duration;

use crate::build::{BackendBuildId, BuildState, Outcome};
use crate::model::{BuildId, GitRef, Timestamp};
use crate::reason::{BuildNote, EndReason};
use crate::scheduler::lane::{LaneState, Live, Phase, Queued, Running};
use crate::scheduler::record::Changes;

/// How many ended back-end builds are remembered, so that none is taken for a new one.
const CLAIMED_MAX: usize = 24;

impl LaneState {
    /// Ends a started build. `words`: where its log is, and what to say about its end.
    pub(super) fn finish(
        &mut self,
        build: BuildId,
        at: Timestamp,
        outcome: Outcome,
        words: (Option<&String>, Option<&EndReason>),
        reopened: bool,
        changes: &mut Changes,
    ) {
        let mut live = self.take_place(build);
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        self.note_outcome(&git_ref, &live, outcome, reopened, changes);
        if reopened && let Some(covered) = &live.carries {
            self.record_closure(&git_ref, covered, None, changes);
            // A later build of the key that has started covers these events as well.
            if self.key(&git_ref, changes).closed_through <= covered.last() {
                self.reopen(&mut live, changes);
            }
        }
        if let (Outcome::Success, Some(started_at)) = (outcome, live.record.started_at) {
            self.learn_build_time(at.since(started_at));
        }
        let (log_url, reason) = words;
        live.record.log_url = log_url.cloned().or(live.record.log_url.take());
        live.end(at, outcome, reason.cloned());
        self.archive(live, changes);
    }

    /// Takes a build out of its place. One that ran in parallel now gets the running place to itself.
    fn take_place(&mut self, build: BuildId) -> Live {
        let live = if self.running.as_ref().is_some_and(|running| running.live.record.id == build) {
            self.running.take().expect("just seen").live
        } else {
            self.queued.take().expect("a build that ends sits in one of the two places").live
        };
        assert_eq!(live.record.id, build, "another build sits in the place of the one that ended");
        if let Some(Queued { phase: Phase::Overlapping { assumed_until }, .. }) = &self.queued {
            let assumed_until = *assumed_until;
            let beside = self.queued.take().expect("just seen").live;
            self.running = Some(Running { live: beside, assumed_until });
        }
        live
    }

    /// How the outcome affects the way the key's next builds are judged.
    fn note_outcome(&mut self, git_ref: &GitRef, live: &Live, outcome: Outcome, reopened: bool, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        key.retries = if outcome == Outcome::Failure && reopened { key.retries + 1 } else { 0 };
        if let Some(lost) = live.carries.as_ref().filter(|_| outcome == Outcome::Lost && reopened) {
            key.lost_through = key.lost_through.max(lost.last());
        }
        if let Some(lost) = live.carries.as_ref().filter(|_| outcome == Outcome::Lost && !reopened)
            && key.closed_through <= lost.last()
        {
            key.lookback.leave(lost.last());
        }
    }

    pub(super) fn end_foreign(&mut self, id: BuildId, at: Timestamp, outcome: Outcome, changes: &mut Changes) {
        let Some(index) = self.foreign.iter().position(|known| known.id == id) else { return };
        let known = self.foreign.remove(index);
        let mut record = self.foreign_record(&known);
        record.state = BuildState::Finished;
        record.outcome = Some(outcome);
        record.finished_at = Some(at);
        changes.write(&record);
        self.remember(known.backend_id);
    }

    /// Moves an ended build from its place into the history.
    pub(super) fn archive(&mut self, live: Live, changes: &mut Changes) {
        for id in &live.record.backend_ids {
            self.remember(id.clone());
        }
        changes.write(&live.record);
        // A refused call doesn't count as the last build.
        if live.record.started_at.is_some() {
            self.last_build = Some(live.record);
        }
    }

    fn remember(&mut self, id: BackendBuildId) {
        self.claimed.push_back(id);
        while self.claimed.len() > CLAIMED_MAX {
            self.claimed.pop_front();
        }
    }

    fn learn_build_time(&mut self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.build_time_ms = Some(self.build_time_ms.map_or(took, |mean| mean - mean / 4 + took / 4));
    }
}

impl Live {
    pub(super) fn end(&mut self, at: Timestamp, outcome: Outcome, reason: Option<EndReason>) {
        self.record.state = BuildState::Finished;
        self.record.outcome = Some(outcome);
        self.record.finished_at = Some(at);
        self.record.cancelled_by = self.cancelled_by.clone().filter(|_| outcome == Outcome::Cancelled);
        if let Some(reason) = reason {
            self.record.note = Some(BuildNote::Ended(reason));
        }
    }
}
