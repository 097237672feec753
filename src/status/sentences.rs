//! One function per sentence about an event's state. Read on phones: short, no full stop.
//!
//! The word of the state ([`EventState`](super::EventState)) often precedes it, so a sentence does not repeat it.

pub mod notices;
pub mod reasons;

use crate::build::{BuildState, Outcome};
use crate::command::Hold;
use crate::model::{BuildId, EventId, Timestamp};
use crate::scheduler::record::BuildRecord;
use crate::scheduler::wait::{Standing, Taken};

use super::time::{clock, remaining, span};

/// The actor of commands from the command line on the daemon's own machine.
const COMMAND_LINE: &str = "local";

/// Why an open key waits.
pub(super) fn waits(standing: &Standing, now: Timestamp) -> String {
    match standing {
        Standing::AtRest => "nothing to build".to_owned(),
        Standing::Paused { hold, all_images } => paused(hold, *all_images, now),
        Standing::Riding { build } => {
            format!("build {build} is queued and may include it; otherwise it goes into the next build")
        }
        Standing::Quiet { until, at_the_latest } => quiet(*until, *at_the_latest, now),
        Standing::PlaceTaken { build, how } => place_taken(*build, *how),
        Standing::Blocked { again_at, reason } => {
            format!("blocked: {}; next try at {}", reasons::in_vain(reason), clock(now, *again_at))
        }
        Standing::BackingOff { again_at, reason } => {
            format!("retrying in {}: {}", remaining(again_at.since(now)), reasons::in_vain(reason))
        }
        Standing::AccountLimit => "the account's limit of concurrent builds is reached".to_owned(),
        Standing::Ready => "starting its build".to_owned(),
    }
}

fn quiet(until: Timestamp, at_the_latest: Timestamp, now: Timestamp) -> String {
    let wait = remaining(until.since(now));
    if until >= at_the_latest {
        return format!("builds in {wait}, even if more is pushed");
    }
    format!("builds in {wait} if nothing else is pushed, by {} at the latest", clock(now, at_the_latest))
}

fn paused(hold: &Hold, all_images: bool, now: Timestamp) -> String {
    let what = if all_images { "all images are paused" } else { "paused" };
    let reason = hold.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let until = hold.until.map(|until| format!(" until {}", clock(now, until))).unwrap_or_default();
    format!("{what} {}{until}{reason}", by(&hold.actor))
}

/// Who did something: `by ada`, or `from the command line`.
pub fn by(actor: &str) -> String {
    if actor == COMMAND_LINE { "from the command line".to_owned() } else { format!("by {actor}") }
}

fn place_taken(build: BuildId, how: Taken) -> String {
    match how {
        Taken::Triggering => format!("next, after build {build}, which is starting"),
        Taken::Uncertain => format!("next, once it is clear whether build {build} started"),
        Taken::Queued => format!("next, after build {build}, which is queued"),
        Taken::Running => format!("builds when build {build} ends"),
        Taken::ForeignQueued => format!("next, after build {build}, which was started outside coalesced"),
        Taken::ForeignRunning => format!("builds when build {build} ends, which was started outside coalesced"),
    }
}

/// An event handed out with a build that has not started.
pub(super) fn rides(build: &BuildRecord) -> String {
    let id = build.id;
    match build.state {
        BuildState::Triggering => format!("starting build {id}"),
        BuildState::Uncertain => format!("not sure whether build {id} was triggered; checking"),
        _ => format!("in build {id}, which has not started yet"),
    }
}

/// An event that a build covers. `assumed`: that build's progress can't be seen.
pub(super) fn covered(build: &BuildRecord, assumed: bool, now: Timestamp) -> String {
    let id = build.id;
    let ago = build.finished_at.map(|at| format!(" {}", ago(at, now))).unwrap_or_default();
    let how = match (build.state, build.outcome) {
        (BuildState::Finished, Some(Outcome::Success)) if assumed => format!("assumed to have succeeded{ago}"),
        (BuildState::Finished, Some(Outcome::Success)) => format!("which succeeded{ago}"),
        (BuildState::Finished, Some(Outcome::Failure)) => format!("which failed{ago}"),
        (BuildState::Finished, Some(Outcome::Cancelled)) => {
            let by = build.cancelled_by.as_deref().map(|actor| format!(" {}", by(actor))).unwrap_or_default();
            format!("which was cancelled{by}{ago}")
        }
        (BuildState::Finished, Some(Outcome::NotStarted)) => "which never started".to_owned(),
        (BuildState::Finished, Some(Outcome::Lost) | None) => "whose end was never seen".to_owned(),
        _ => runs(build, assumed, now),
    };
    format!("in build {id}, {how}")
}

fn runs(build: &BuildRecord, assumed: bool, now: Timestamp) -> String {
    let assumed = if assumed { "assumed to be " } else { "" };
    match build.started_at.map(|at| now.since(at)) {
        Some(lasted) if lasted.as_secs() > 0 => format!("{assumed}running for {}", span(lasted)),
        _ => format!("{assumed}running"),
    }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.since(at) {
        short if short.as_secs() == 0 => "just now".to_owned(),
        since => format!("{} ago", span(since)),
    }
}

/// An event covered by a build whose record is forgotten.
pub(super) fn covered_long_ago(build: BuildId) -> String {
    format!("in build {build}, of which nothing more is remembered")
}

pub(super) fn dropped(actor: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("dropped {}{reason}", by(actor))
}

/// An event whose build was cancelled before it started.
pub(super) fn cancelled(build: BuildId, actor: &str) -> String {
    format!("cancelled {} before build {build} started", by(actor))
}

pub(super) const REF_DELETED: &str = "the branch or tag was deleted";
pub(super) const DELETES_REF: &str = "this push deleted the branch or tag; nothing to build";
pub(super) const ALREADY_BUILT: &str = "nothing to build: the newest state is built or being built";
pub(super) const NOT_CONFIGURED: &str =
    "its image is no longer in the configuration; it will be built if you add it back";

/// A tap soon after another on the same button.
pub(super) fn duplicate(first: &str, accepted_at: Timestamp) -> String {
    let earlier = first.parse::<EventId>().map(|first| accepted_at.since(first.accepted_at)).unwrap_or_default();
    match earlier.as_secs() {
        0 => "already on it (tapped just before)".to_owned(),
        _ => format!("already on it (tapped {} earlier)", span(earlier)),
    }
}

pub(super) const OVERLAPS: &str = "running in parallel: the back-end does not run this image's builds one by one";
