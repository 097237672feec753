//! One function per sentence that says what becomes of an event. Read on phones: short, no full stop.

pub mod reasons;

use std::time::Duration;

use crate::build::{BuildState, Outcome};
use crate::command::Hold;
use crate::model::{BuildId, Timestamp};
use crate::scheduler::record::BuildRecord;
use crate::scheduler::wait::{Standing, Taken};

/// Why an open key waits.
pub(super) fn waits(standing: &Standing, now: Timestamp) -> String {
    match standing {
        Standing::AtRest => "nothing is open".to_owned(),
        Standing::Paused { hold, all_images } => paused(hold, *all_images),
        Standing::Riding { build } => {
            format!("build {build} is queued and may contain it; if not, it is built next")
        }
        Standing::Quiet { until, at_the_latest } => {
            format!("quiet for {} more, at the latest at {}", short(until.since(now)), clock(*at_the_latest))
        }
        Standing::PlaceTaken { build, how } => place_taken(*build, *how),
        Standing::Blocked { again_at, detail } => {
            format!("blocked, an operator must act: {detail}; tried again at {}", clock(*again_at))
        }
        Standing::BackingOff { again_at, detail } => {
            format!("tried again in {}: {detail}", short(again_at.since(now)))
        }
        Standing::AccountLimit => "the account builds as much at once as it may".to_owned(),
        Standing::Ready => "its build is being triggered".to_owned(),
    }
}

fn paused(hold: &Hold, all_images: bool) -> String {
    let what = if all_images { "all images are paused" } else { "paused" };
    let reason = hold.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let until = hold.until.map(|until| format!(" until {}", clock(until))).unwrap_or_default();
    format!("{what} by {}{reason}{until}", hold.actor)
}

fn place_taken(build: BuildId, how: Taken) -> String {
    match how {
        Taken::Triggering => format!("build {build} is being triggered; the next follows it"),
        Taken::Uncertain => format!("it is not known yet whether build {build} started; the next waits for that"),
        Taken::Queued => format!("build {build} is queued; the next waits for its place"),
        Taken::Running => format!("build {build} is running; the next starts when it ends"),
        Taken::ForeignQueued => format!("build {build}, which somebody else started, is queued"),
        Taken::ForeignRunning => format!("build {build}, which somebody else started, is running"),
    }
}

/// An event that was handed out with a build that has not begun.
pub(super) fn rides(build: &BuildRecord) -> String {
    match build.state {
        BuildState::Triggering => format!("build {} is being triggered for it", build.id),
        BuildState::Uncertain => {
            format!("build {} was triggered for it; whether it started is being asked", build.id)
        }
        _ => format!("build {} is queued and will contain it", build.id),
    }
}

/// An event that a build covers.
pub(super) fn covered(build: &BuildRecord, now: Timestamp) -> String {
    let id = build.id;
    let running = |since: Option<Timestamp>| match since {
        Some(since) => format!("build {id} contains it and has been running for {}", short(now.since(since))),
        None => format!("build {id} contains it and is running"),
    };
    let ago = build.finished_at.map(|at| format!(" {} ago", short(now.since(at)))).unwrap_or_default();
    match (build.state, build.outcome) {
        (BuildState::Finished, Some(Outcome::Success)) => format!("build {id} contains it and succeeded{ago}"),
        (BuildState::Finished, Some(Outcome::Failure)) => format!("build {id} contained it and failed{ago}"),
        (BuildState::Finished, Some(Outcome::Cancelled)) => format!("build {id} contained it and was cancelled{ago}"),
        (BuildState::Finished, _) => format!("build {id} contained it; its end was never seen"),
        _ => running(build.started_at),
    }
}

/// An event that a build covers whose row is forgotten.
pub(super) fn covered_long_ago(build: BuildId) -> String {
    format!("build {build} contained it")
}

pub(super) fn dropped(actor: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("dropped by {actor}{reason}")
}

/// An event whose build was cancelled before it began.
pub(super) fn cancelled(build: BuildId, actor: &str) -> String {
    format!("{actor} cancelled build {build} before it began")
}

pub(super) const REF_DELETED: &str = "the ref was deleted";
pub(super) const DELETES_REF: &str = "this push deleted the ref; there is nothing to build";
pub(super) const ALREADY_BUILT: &str = "nothing is open: the newest state is built, or its build is under way";
pub(super) const NOT_CONFIGURED: &str =
    "its image is configured no more; it is built when the image is configured again";

pub(super) fn duplicate_of(event: &str) -> String {
    format!("the same button was pressed just before; that tap is event {event}")
}

/// `23 s`, `4 min`, `2 h 5 min`, `3 d`: two parts at most.
pub(super) fn short(span: Duration) -> String {
    // Rounded up, so that nothing is due in "0 s".
    let seconds = span.as_millis().div_ceil(1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The time of day in UTC: `10:10:00`.
pub(super) fn clock(at: Timestamp) -> String {
    let whole = at.to_string();
    whole.get(11..19).map_or_else(|| whole.clone(), ToOwned::to_owned)
}
