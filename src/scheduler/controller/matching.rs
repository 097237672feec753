//! PURE: which of the back-end's builds are ours (semantics R6).

use std::time::Duration;

use super::ImageController;
use crate::build::{BackendBuild, Observation};
use crate::model::{GitRef, Seq, Timestamp};
use crate::scheduler::lane::{Lane, Live};
use crate::scheduler::open::Open;
use crate::scheduler::policy::Policy;

/// A build may seem this much older than our call and still come from it: we know the back-end's clock to
/// about two seconds, and its times are truncated to whole seconds.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(4);
/// The back-end makes the builds of one trigger, one per build rule, within this time.
const SIBLINGS_WITHIN: Duration = Duration::from_secs(10);

impl ImageController {
    /// While a trigger call is in flight, or has no build yet, a new foreign build may turn out to be ours.
    pub(super) fn may_be_of_a_call_under_way(&self, theirs: &BackendBuild) -> bool {
        self.lane
            .queued
            .as_ref()
            .is_some_and(|queued| queued.live.record.backend_ids.is_empty() && fits(theirs, &queued.live, &self.policy))
    }
}

/// The unclaimed back-end builds that fit one of ours that has none, or further ones of the same trigger.
pub(super) fn matching_builds<'a>(
    lane: &Lane,
    live: &Live,
    policy: &Policy,
    observation: &'a Observation,
) -> Vec<&'a BackendBuild> {
    let foreign = |theirs: &BackendBuild| lane.foreign.iter().any(|foreign| foreign.backend_id == theirs.id);
    let candidates: Vec<&BackendBuild> = observation
        .builds
        .iter()
        .filter(|theirs| !lane.owns(&theirs.id) && !foreign(theirs) && fits(theirs, live, policy))
        .collect();
    let attached: Vec<&BackendBuild> =
        observation.builds.iter().filter(|theirs| live.record.backend_ids.contains(&theirs.id)).collect();
    if attached.is_empty() && !live.record.backend_ids.is_empty() {
        return Vec::new();
    }
    // Of the builds made around the time of the call, take the newest: if it isn't ours, it holds all that ours would.
    let about_the_call = |theirs: &&&BackendBuild| theirs.created_at.is_some_and(|at| is_about_the_call(at, live));
    let ours = candidates.iter().rfind(about_the_call).or(candidates.first()).copied();
    let Some(first) = attached.first().copied().or(ours) else { return Vec::new() };
    let mut found: Vec<&BackendBuild> = if attached.is_empty() { vec![first] } else { Vec::new() };
    for theirs in candidates {
        let of_other_rule =
            theirs.label.is_some() && attached.iter().chain(&found).all(|known| known.label != theirs.label);
        let together = match (theirs.created_at, first.created_at) {
            (Some(a), Some(b)) => a.since(b).max(b.since(a)) <= SIBLINGS_WITHIN,
            _ => false,
        };
        // One that turns up late, next to one made a moment before the call, may be ours instead, unless
        // the call's answer named the first.
        let made_after = theirs.created_at > first.created_at;
        let turned_up = made_after && !live.named && theirs.created_at.is_some_and(|at| is_about_the_call(at, live));
        if theirs.id != first.id && ((of_other_rule && together) || turned_up) {
            found.push(theirs);
        }
    }
    found
}

/// The newest carried event that was surely accepted before `theirs` was made, by clocks known to
/// [`CLOCK_TOLERANCE`]. A call of unknown outcome may have had no effect, and `theirs` may be a foreign build made
/// just before; what it can't hold must stay open.
pub(super) fn accepted_surely_before(live: &Live, theirs: &BackendBuild) -> Seq {
    let Some(made_at) = theirs.created_at else { return Seq(0) };
    let groups = live.carries.iter().flat_map(Open::groups);
    let before = groups.take_while(|group| group.last_at.plus(CLOCK_TOLERANCE) <= made_at);
    before.last().map_or(Seq(0), |group| group.last)
}

/// Whether a back-end build can be this one of ours: made after the call, with a label of its ref.
fn fits(theirs: &BackendBuild, live: &Live, policy: &Policy) -> bool {
    let Some(called_at) = live.record.triggered_at else { return false };
    let made_after = match theirs.created_at {
        Some(created_at) => created_at >= called_at.minus(CLOCK_TOLERANCE),
        None => !theirs.state.is_final(),
    };
    made_after && fits_label(theirs, live.record.git_ref.as_ref(), policy)
}

pub(super) fn fits_label(theirs: &BackendBuild, git_ref: Option<&GitRef>, policy: &Policy) -> bool {
    let expected = git_ref.map(|git_ref| policy.labels_of(git_ref)).unwrap_or_default();
    match &theirs.label {
        Some(label) if !expected.is_empty() => {
            label.split(',').any(|part| expected.iter().any(|wanted| wanted == part.trim()))
        }
        _ => true,
    }
}

/// Whether a back-end build was made before the call returned, as far as clocks tell.
fn is_about_the_call(at: Timestamp, live: &Live) -> bool {
    let over = live.answered_at.or(live.record.triggered_at);
    over.is_some_and(|over| at <= over.plus(CLOCK_TOLERANCE))
}
