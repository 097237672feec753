//! The calls to back-ends, each within a time limit, and what the log says about steps.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;

use super::configuration::Backends;
use super::counters::Counters;
use crate::build::{BackendBuildId, BuildRequest, CancelAnswer, ObserveError, TriggerAnswer};
use crate::config::Rules;
use crate::event::Verdict;
use crate::model::{BuildId, ImageName};
use crate::notice::{Notice, Severity};
use crate::refs;
use crate::scheduler::Input;
use crate::scheduler::record::{Changes, Fact};
use crate::status::sentences::{notices, reasons};

/// No call takes longer, whatever the HTTP client's own limit.
const CALL_LIMIT: Duration = Duration::from_secs(45);

/// The most events of one step that get a log line each.
const EVENTS_LOGGED_MAX: usize = 4;

pub(super) async fn trigger(backends: Arc<Backends>, request: BuildRequest, counters: Counters) -> Input {
    let answer = match backends.get(&request.image) {
        Some(backend) => {
            within(backend.trigger(&request)).await.unwrap_or_else(|| TriggerAnswer::Uncertain { detail: no_answer() })
        }
        None => TriggerAnswer::Refused { detail: "it has no back-end".to_owned() },
    };
    counters.count_trigger(&request.image, &answer);
    Input::Answered { image: request.image, build: request.build, answer }
}

pub(super) async fn observe(backends: Arc<Backends>, image: ImageName, question: u64) -> Input {
    let late = || Err(ObserveError::Unavailable { detail: no_answer() });
    let answer = match backends.get(&image) {
        Some(backend) => within(backend.observe(&image)).await.unwrap_or_else(late),
        None => Err(ObserveError::Unavailable { detail: "it has no back-end".to_owned() }),
    };
    if let Err(error) = &answer {
        tracing::warn!(%image, "failed to ask the back-end for its builds: {error}");
    }
    Input::Observed { image, question, answer }
}

pub(super) async fn heads(rules: Arc<Rules>, remote: Arc<str>, question: u64) -> Input {
    let answer = within(refs::heads(&rules, &remote)).await.unwrap_or_else(|| Err(no_answer()));
    let answer = answer.map_err(|detail| format!("{remote}: {detail}"));
    if let Err(detail) = &answer {
        tracing::debug!("failed to ask a remote: {detail}");
    }
    Input::Heads { remote, question, answer }
}

pub(super) async fn cancel(
    backends: Arc<Backends>,
    image: ImageName,
    build: BuildId,
    backend_id: BackendBuildId,
) -> Input {
    let answer = match backends.get(&image) {
        Some(backend) => {
            within(backend.cancel(&backend_id)).await.unwrap_or_else(|| CancelAnswer::Failed { detail: no_answer() })
        }
        None => CancelAnswer::Unsupported,
    };
    Input::CancelAnswered { image, build, answer }
}

/// The result of a call, or None if it was aborted at shutdown. A back-end's times are wall-clock times: they are moved
/// by `ahead` to our clock.
///
/// # Panics
///
/// If the call panicked: its lane would wait for ever, so the process must exit.
pub(super) fn outcome(answer: Result<Input, JoinError>, ahead: Duration) -> Option<Input> {
    match answer {
        Ok(mut input) => {
            if let Input::Observed { answer: Ok(observation), .. } = &mut input {
                observation.to_clock_ahead_by(ahead);
            }
            Some(input)
        }
        Err(error) if error.is_cancelled() => None,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn within<T>(call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(CALL_LIMIT, call).await.ok()
}

/// What is said of a call that reached its limit.
fn no_answer() -> String {
    format!("no answer within {} s", CALL_LIMIT.as_secs())
}

/// Logs what a step decided.
pub(super) fn log(changes: &Changes) {
    // The rest of a burst gets one line, or the log would cost more than the events.
    let (logged, rest) = changes.events.split_at(changes.events.len().min(EVENTS_LOGGED_MAX));
    if !rest.is_empty() {
        tracing::info!(events = rest.len(), "more events accepted at the same time");
    }
    for event in logged {
        let text = |value: Option<String>| value.unwrap_or_default();
        let image = text(event.image.as_ref().map(ToString::to_string));
        let git_ref = text(event.git_ref.as_ref().map(ToString::to_string));
        let sha = text(event.commit.as_ref().map(ToString::to_string));
        let (id, source) = (event.id(), &event.cause.source);
        match &event.verdict {
            Verdict::Opened => tracing::info!(event = %id, image, git_ref, sha, source, "event accepted"),
            other => {
                let why = not_built(other);
                tracing::info!(event = %id, image, git_ref, sha, source, "event accepted, not built: {why}");
            }
        }
    }
    for record in &changes.records {
        let image = &record.image;
        match &record.fact {
            Fact::Opened { .. } | Fact::StillQueued { .. } | Fact::HeadMoved { .. } => {}
            Fact::HeadsSeen { heads, .. } => {
                tracing::debug!(%image, refs = heads.len(), "read the remote's refs");
            }
            Fact::Intended { build, git_ref, .. } => tracing::info!(%image, %build, %git_ref, "triggering a build"),
            Fact::Accepted { build, .. } => tracing::info!(%image, %build, "trigger accepted"),
            Fact::BecameUncertain { build, reason, .. } => {
                let why = reasons::uncertain(reason);
                tracing::warn!(%image, %build, "not sure whether the build was triggered; checking: {why}");
            }
            Fact::Refused { build, reason, again_at, .. } => {
                let why = reasons::refused(reason);
                tracing::warn!(%image, %build, %again_at, "trigger refused: {why}");
            }
            Fact::Started { build, cover, .. } => {
                let commit = cover.commit.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::info!(%image, %build, commit, "build started");
            }
            Fact::NeverStarted { build, reason, .. } => {
                tracing::warn!(%image, %build, "the build never started: {}", reasons::ended(reason));
            }
            Fact::Finished { build, outcome, reopened, .. } => {
                tracing::info!(%image, %build, outcome = outcome.name(), reopened, "build ended");
            }
            other => tracing::debug!(%image, fact = ?other, "changed"),
        }
    }
}

/// Why an event opened nothing.
fn not_built(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Opened => "it is built".to_owned(),
        Verdict::AlreadyBuilt => "nothing new to build".to_owned(),
        Verdict::Skipped { evidence } => reasons::skipped(evidence),
        Verdict::Ignored { reason } => reasons::ignored(reason),
        Verdict::RefDeleted => "the branch or tag was deleted".to_owned(),
        Verdict::DuplicateOf { event } => format!("the same as event {event}"),
    }
}

/// Delivers a notice. The log is the only receiver for now, and it never fails.
pub(super) fn deliver(notice: &Notice) -> Input {
    let image = notice.image.as_ref().map(ToString::to_string).unwrap_or_default();
    let build = notice.kind.build().map(|build| build.0);
    let told = notices::notice(&notice.kind);
    match notice.kind.severity() {
        Severity::Info => tracing::info!(image, build, "{told}"),
        Severity::Warning => tracing::warn!(image, build, "{told}"),
        Severity::Error => tracing::error!(image, build, "{told}"),
    }
    Input::Delivered { id: notice.id, result: Ok(()) }
}
