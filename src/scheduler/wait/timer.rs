//! PURE: when a lane must be looked at next, though nothing happens.

use super::standing::place_taken;
use crate::model::{GitRef, Timestamp};
use crate::scheduler::lane::Lane;
use crate::scheduler::policy::Policy;

/// The earliest moment at which time alone can let this lane trigger; None while something else must happen
/// first.
pub(in crate::scheduler) fn next_due(lane: &Lane, policy: &Policy) -> Option<Timestamp> {
    if lane.hold.is_some() {
        return None;
    }
    let not_before = lane.refusal.as_ref().map(|refusal| refusal.again_at);
    let free = |git_ref: &GitRef| place_taken(lane, git_ref, policy).is_none();
    let dues = lane.keys.iter().filter(|(git_ref, key)| key.open.is_some() && free(git_ref));
    let due = dues.filter_map(|(_, key)| Some(key.open.as_ref()?.due(policy.quiet, policy.max_wait))).min()?;
    Some(not_before.map_or(due, |not_before| due.max(not_before)))
}
