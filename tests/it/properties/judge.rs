//! The invariants, by the truth of the back-end.

use std::time::Duration;

use coalesced::build::BackendBuildId;
use coalesced::event::{End, Verdict};
use coalesced::journal::Fate;
use coalesced::model::Seq;

use super::History;
use super::plan::TrueBuild;

impl History {
    /// I3, by the truth of the back-end: of the builds that we triggered.
    pub(super) fn check_places(&self) {
        if self.unverified || self.taken_for_ours || self.setting.visible_after > Duration::from_mins(2) {
            return;
        }
        let ours = self.builds.iter().filter(|build| build.ours.is_some() && build.ended_at.is_none());
        let (running, queued): (Vec<_>, Vec<_>) = ours.partition(|build| build.started_at.is_some());
        assert!(running.len() + queued.len() <= 2, "I3: three builds of ours at once: {running:?} {queued:?}");
        if self.setting.serial {
            assert!(running.len() <= 1 && queued.len() <= 1, "I3: {running:?} {queued:?}");
        }
        if !self.setting.prequeue {
            assert!(running.len() + queued.len() <= 1, "I3 without prequeue: {running:?} {queued:?}");
        }
    }

    /// I6: no due time lies past `first open event + max_wait`.
    pub(super) fn check_folding(&self) {
        let scheduler = self.driver.scheduler();
        // None while the image is removed: nothing is due then.
        let Some((policy, lane)) = scheduler.policy(&self.image).zip(scheduler.lane(&self.image)) else { return };
        for open in lane.keys.values().filter_map(|key| key.open.as_ref()) {
            assert!(open.due(policy.quiet, policy.max_wait) <= open.first_at().plus(policy.max_wait), "I6");
        }
    }

    /// I2 and I4 at the end: every event is in a build whose source was taken after it was accepted.
    pub(super) fn check_coverage(&self) {
        let reader = self.driver.store().reader();
        for number in 1..=self.driver.scheduler().counters().0.0 {
            let event = reader.event(Seq(number)).expect("readable").expect("no number is left out");
            if event.verdict != Verdict::Opened {
                continue;
            }
            let git_ref = event.git_ref.as_ref().expect("it has one");
            let fate = reader.fate(&self.image, git_ref, event.seq).expect("readable");
            let Fate::Ended(closure) = fate else { panic!("I2: event {number} is still open at rest") };
            match closure.end {
                End::DroppedBy { .. } | End::Cancelled { .. } | End::RefDeleted => {}
                End::BuiltBy(id) => {
                    let rows = reader.build(id).expect("readable").expect("kept").backend_ids;
                    let anybodys = self.taken_for_ours;
                    let truly = |build: &&TrueBuild| {
                        anybodys && build.git_ref == *git_ref
                            || rows.contains(&BackendBuildId(format!("row-{}", build.id)))
                    };
                    let truth: Vec<&TrueBuild> = self.builds.iter().filter(truly).collect();
                    let holds = |build: &&TrueBuild| build.contains >= event.seq;
                    assert!(truth.iter().any(holds), "I2: event {number} is not in build {id}: {truth:?}");
                }
            }
        }
        assert!(self.triggers <= self.opened + self.uncertain_calls, "I4: {} triggers", self.triggers);
    }
}
