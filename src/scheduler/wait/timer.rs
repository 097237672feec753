//! PURE: what happens by time alone, and when. Each moment is derived here and nowhere else.

use super::standing::place_taken;
use crate::command::Hold;
use crate::model::{GitRef, Timestamp};
use crate::scheduler::lane::{LaneState, Phase};
use crate::scheduler::policy::Policy;
use crate::scheduler::question::{Question, Watch};

/// What an image waits for that time alone brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum Timer {
    /// A key has been quiet for long enough, or has waited for as long as it may, and a refusal's wait is over: its build
    /// may be handed out.
    BuildDue,
    /// A pause with a length is over.
    PauseOver,
    /// The back-end is due to be asked.
    QuestionDue,
    /// A question had no answer for so long that it counts as lost.
    AnswerLost,
    /// The end of a build that the back-end can't show is assumed.
    EndAssumed,
    /// A trigger of unknown outcome that the back-end can't show is given up.
    Unverifiable,
}

impl Timer {
    const ALL: [Self; 6] =
        [Self::BuildDue, Self::PauseOver, Self::QuestionDue, Self::AnswerLost, Self::EndAssumed, Self::Unverifiable];

    /// When it goes off for this lane; None: not before something else happens.
    pub(in crate::scheduler) fn at(self, lane: &LaneState, policy: &Policy, watch: &Watch) -> Option<Timestamp> {
        match self {
            Self::BuildDue => build_due(lane, policy),
            Self::PauseOver => pause_over(lane.hold.as_ref()),
            Self::QuestionDue => watch.next_at.filter(|_| watch.asked.is_none()),
            Self::AnswerLost => watch.asked.as_ref().map(Question::lost_at),
            Self::EndAssumed => end_assumed(lane, policy),
            Self::Unverifiable => unverifiable(lane, policy),
        }
    }

    /// When a lane must be looked at next without input. `may_trigger`: nothing outside it holds its builds back.
    pub(in crate::scheduler) fn next(
        lane: &LaneState,
        policy: &Policy,
        watch: &Watch,
        may_trigger: bool,
    ) -> Option<Timestamp> {
        let counts = |timer: &Self| may_trigger || *timer != Self::BuildDue;
        Self::ALL.into_iter().filter(counts).filter_map(|timer| timer.at(lane, policy, watch)).min()
    }
}

/// When a pause, of one image or of all, ends by itself.
pub(in crate::scheduler) fn pause_over(hold: Option<&Hold>) -> Option<Timestamp> {
    hold.and_then(|hold| hold.until)
}

/// The earliest moment at which time alone can let this lane trigger.
fn build_due(lane: &LaneState, policy: &Policy) -> Option<Timestamp> {
    if lane.hold.is_some() {
        return None;
    }
    let not_before = lane.refusal.as_ref().map(|refusal| refusal.again_at);
    let free = |git_ref: &GitRef| place_taken(lane, git_ref, policy).is_none();
    let dues = lane.keys.iter().filter(|(git_ref, key)| key.open.is_some() && free(git_ref));
    let due = dues.filter_map(|(_, key)| Some(key.open.as_ref()?.due(policy.quiet, policy.max_wait))).min()?;
    Some(not_before.map_or(due, |not_before| due.max(not_before)))
}

/// Also for a build from before there was a login. One from before a login went away ends at once.
fn end_assumed(lane: &LaneState, policy: &Policy) -> Option<Timestamp> {
    let running = lane.running.as_ref()?;
    let at_once = || running.live.record.started_at.unwrap_or(Timestamp::from_millis(0));
    running.assumed_until.or_else(|| (!policy.capabilities.observes()).then(at_once))
}

fn unverifiable(lane: &LaneState, policy: &Policy) -> Option<Timestamp> {
    let queued = lane.queued.as_ref().filter(|_| !policy.capabilities.observes())?;
    match queued.phase {
        Phase::Uncertain { since, .. } => Some(since.plus(policy.uncertain_limit)),
        _ => None,
    }
}
