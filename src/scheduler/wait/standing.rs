//! PURE: what an open key waits for. The same answer decides and is shown (semantics R12).

use crate::command::Hold;
use crate::model::{BuildId, GitRef, Timestamp};
use crate::reason::EndReason;
use crate::scheduler::lane::{Key, LaneState, Phase};
use crate::scheduler::open::Open;
use crate::scheduler::policy::Policy;

/// What an open key waits for. The first that applies, in the order of this list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no open event.
    AtRest,
    Paused {
        hold: Hold,
        all_images: bool,
    },
    /// A build of this key is queued and may turn out to cover it; if not, it is open again.
    Riding {
        build: BuildId,
    },
    /// It is not yet quiet, and has not waited for as long as it may.
    Quiet {
        until: Timestamp,
        at_the_latest: Timestamp,
    },
    /// The place that its build needs is taken.
    PlaceTaken {
        build: BuildId,
        how: Taken,
    },
    /// The back-end refused; only an operator can fix it.
    Blocked {
        again_at: Timestamp,
        reason: EndReason,
    },
    /// The back-end refused for now.
    BackingOff {
        again_at: Timestamp,
        reason: EndReason,
    },
    /// The account is at its limit.
    AccountLimit,
    /// Nothing is in its way.
    Ready,
}

/// How a place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Triggering,
    Uncertain,
    Queued,
    Running,
    ForeignQueued,
    ForeignRunning,
}

/// What a key of a lane waits for at `now`, account limits and other keys aside.
pub fn standing(
    lane: &LaneState,
    git_ref: &GitRef,
    key: &Key,
    policy: &Policy,
    all_images: Option<&Hold>,
    now: Timestamp,
) -> Standing {
    let Some(open) = &key.open else { return Standing::AtRest };
    if let Some(hold) = all_images {
        return Standing::Paused { hold: hold.clone(), all_images: true };
    }
    if let Some(hold) = &lane.hold {
        return Standing::Paused { hold: hold.clone(), all_images: false };
    }
    if let Some(queued) = &lane.queued
        && queued.live.record.git_ref.as_ref() == Some(git_ref)
        && !matches!(queued.phase, Phase::Overlapping { .. })
    {
        return Standing::Riding { build: queued.live.record.id };
    }
    let refusal = lane.refusal.as_ref().filter(|refusal| refusal.again_at > now);
    if let Some(refusal) = refusal.filter(|refusal| refusal.blocked) {
        return Standing::Blocked { again_at: refusal.again_at, reason: refusal.reason.clone() };
    }
    let due = open.due(policy.quiet, policy.max_wait);
    if due > now {
        return Standing::Quiet { until: due, at_the_latest: open.due_at_the_latest(policy.max_wait) };
    }
    if let Some((build, how)) = place_taken(lane, git_ref, policy) {
        return Standing::PlaceTaken { build, how };
    }
    if let Some(refusal) = refusal {
        return Standing::BackingOff { again_at: refusal.again_at, reason: refusal.reason.clone() };
    }
    Standing::Ready
}

/// The build that takes the place that a build of `git_ref` needs (semantics R3).
pub(super) fn place_taken(lane: &LaneState, git_ref: &GitRef, policy: &Policy) -> Option<(BuildId, Taken)> {
    if let Some(queued) = &lane.queued {
        let how = match queued.phase {
            Phase::Triggering => Taken::Triggering,
            Phase::Uncertain { .. } => Taken::Uncertain,
            Phase::Accepted => Taken::Queued,
            Phase::Overlapping { .. } => Taken::Running,
        };
        return Some((queued.live.record.id, how));
    }
    if let Some(foreign) = lane.foreign.iter().find(|foreign| !foreign.started) {
        return Some((foreign.id, Taken::ForeignQueued));
    }
    let ours = lane.running.as_ref().map(|running| (running.live.record.id, Taken::Running));
    let theirs = lane.foreign.iter().map(|foreign| (foreign.id, Taken::ForeignRunning));
    let running: Vec<_> = ours.into_iter().chain(theirs).collect();
    let same_key = lane.running.as_ref().is_none_or(|running| running.live.record.git_ref.as_ref() == Some(git_ref));
    // Then only the same key can be queued early, and must not be for ever while another waits.
    let in_turn = || same_key && !waits_longer(lane, git_ref);
    let behind_one = policy.prequeue && running.len() == 1 && (!lane.overlaps || in_turn());
    if running.is_empty() || behind_one { None } else { running.first().copied() }
}

/// Whether another key has waited for longer than this one.
fn waits_longer(lane: &LaneState, git_ref: &GitRef) -> bool {
    let first = |key: &Key| key.open.as_ref().map(Open::first);
    let Some(ours) = lane.keys.get(git_ref).and_then(first) else { return false };
    lane.keys.values().filter_map(first).any(|other| other < ours)
}
