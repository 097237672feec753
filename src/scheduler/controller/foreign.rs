//! PURE: builds that others started take places, and cover as far as their commit proves (semantics R7).

use super::ImageController;
use super::matching::fits_label;
use crate::build::{BackendBuild, BackendBuildState, Observation, Outcome};
use crate::model::{GitRef, Seq, Timestamp};
use crate::scheduler::coverage::contained_through;
use crate::scheduler::lane::FOREIGN_MAX;
use crate::scheduler::policy::Policy;
use crate::scheduler::record::{Fact, Foreign};
use crate::scheduler::turn::Turn;

impl ImageController {
    /// R7: builds of others take places, and cover as far as their commit proves.
    pub(super) fn follow_foreign(&mut self, observation: &Observation, turn: &mut Turn) {
        for known in self.lane.foreign.clone() {
            let theirs = observation.builds.iter().find(|theirs| theirs.id == known.backend_id);
            let outcome = match theirs.map(|theirs| theirs.state) {
                Some(BackendBuildState::Finished(outcome)) => Some(outcome),
                None => Some(Outcome::Lost),
                Some(_) if known.seen_at.plus(self.policy.build_deadline) <= turn.now => Some(Outcome::Lost),
                Some(_) => None,
            };
            if let Some(outcome) = outcome {
                // One that never started, or whose end was never seen, covers nothing, whatever its commit.
                let ran = theirs.filter(|theirs| match theirs.state {
                    BackendBuildState::Finished(Outcome::Cancelled | Outcome::Lost) => {
                        known.started || theirs.started_at.is_some()
                    }
                    state => state.is_final(),
                });
                let covered = ran.map(|theirs| self.covered_by_foreign(theirs)).unwrap_or_default();
                let ended = Fact::ForeignEnded { id: known.id, at: turn.now, outcome, covered };
                self.lane.apply(ended, &mut turn.changes);
            }
        }
        for theirs in &observation.builds {
            let known = self.lane.foreign.iter().find(|foreign| foreign.backend_id == theirs.id).cloned();
            let fresh = known.is_none();
            let started = !matches!(theirs.state, BackendBuildState::Waiting | BackendBuildState::Unknown);
            let changed = known.as_ref().is_some_and(|known| known.started != started || known.commit != theirs.commit);
            let may_be_ours = fresh && self.may_be_of_a_call_under_way(theirs);
            if theirs.state.is_final() || self.lane.owns(&theirs.id) || may_be_ours || !(fresh || changed) {
                continue;
            }
            if fresh && (self.lane.foreign.len() >= FOREIGN_MAX || is_long_over(theirs, &self.policy, turn.now)) {
                continue;
            }
            let id = known.as_ref().map_or_else(|| turn.next_build(), |known| known.id);
            let seen_at = known.map_or(turn.now, |known| known.seen_at);
            let foreign = Foreign {
                id,
                backend_id: theirs.id.clone(),
                started,
                label: theirs.label.clone(),
                commit: theirs.commit.clone(),
                seen_at,
                started_at: theirs.started_at,
                log_url: theirs.log_url.clone(),
            };
            self.lane.apply(Fact::ForeignSeen(foreign), &mut turn.changes);
        }
    }

    /// The keys whose open events a foreign build holds, as its commit proves; its label must be the key's.
    fn covered_by_foreign(&self, theirs: &BackendBuild) -> Vec<(GitRef, Seq)> {
        let Some(commit) = &theirs.commit else { return Vec::new() };
        let keys = self.lane.keys.iter().filter(|(git_ref, _)| {
            let expected = self.policy.labels_of(git_ref);
            !expected.is_empty() && fits_label(theirs, Some(git_ref), &self.policy)
        });
        keys.filter_map(|(git_ref, key)| {
            let groups: Vec<_> = key.open.as_ref()?.groups().iter().collect();
            let named =
                groups.iter().rposition(|group| group.commit.as_ref().is_some_and(|named| named.same_as(commit)))?;
            let through = contained_through(&groups[..=named], Seq(0), commit);
            (through > Seq(0)).then(|| (git_ref.clone(), through))
        })
        .collect()
    }
}

/// A foreign build without an end, too old for anyone to wait for.
fn is_long_over(theirs: &BackendBuild, policy: &Policy, now: Timestamp) -> bool {
    theirs.created_at.is_some_and(|created_at| created_at.plus(policy.build_deadline) <= now)
}
