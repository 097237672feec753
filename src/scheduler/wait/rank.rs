//! PURE: the order among the keys of a lane. The same order decides and is shown (semantics R3).

use crate::model::{Seq, Timestamp};
use crate::scheduler::lane::{Key, Lane};
use crate::scheduler::policy::Policy;

/// The order among keys that are due: smaller goes first. A person's wish, or a push that has waited so long
/// that it counts as one; then the oldest open event.
pub(in crate::scheduler) fn rank(key: &Key, lane: &Lane, policy: &Policy, now: Timestamp) -> Option<(bool, Seq)> {
    let open = key.open.as_ref()?;
    let build_time = lane.build_time().unwrap_or(policy.expected_build_time);
    let aged = now.since(open.first_at()) > policy.max_wait + 2 * build_time;
    Some((!(open.is_manual() || aged), open.first()))
}
