//! PURE: the order of waiting keys. The same order decides and is shown (semantics R3).

use crate::model::{Seq, Timestamp};
use crate::scheduler::lane::{Key, LaneState};
use crate::scheduler::policy::Policy;

/// Smaller goes first: a person's request, or a push that has waited so long that it counts as one; then the oldest
/// open event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    waits_its_turn: bool,
    first: Seq,
}

/// The rank of a key at `now`; None if it has no open event.
pub fn rank(key: &Key, lane: &LaneState, policy: &Policy, now: Timestamp) -> Option<Rank> {
    let open = key.open.as_ref()?;
    let build_time = lane.build_time().unwrap_or(policy.expected_build_time);
    let aged = now.since(open.first_at()) > policy.max_wait + 2 * build_time;
    Some(Rank { waits_its_turn: !(open.is_manual() || aged), first: open.first() })
}
