//! The words of a scenario: refs, commits, spans, what the back-end answers and what it shows.

use std::fmt::Write;
use std::time::Duration;

use coalesced::build::{BackendBuild, BackendBuildId, BackendBuildState, Outcome, TriggerAnswer};
use coalesced::model::{CommitId, GitRef, Timestamp};

use super::START;

pub(super) fn trigger_answer(words: &[&str]) -> TriggerAnswer {
    let detail = "as told".to_owned();
    match words[0] {
        "accepted" => TriggerAnswer::Accepted { backend_id: words.get(1).map(|row| BackendBuildId((*row).to_owned())) },
        "pending" => TriggerAnswer::AlreadyPending { detail },
        "uncertain" => TriggerAnswer::Uncertain { detail },
        "later" => TriggerAnswer::RefusedForNow { retry_after: words.get(1).map(|after| span(after)), detail },
        "refused" => TriggerAnswer::Refused { detail },
        other => panic!("no answer '{other}'"),
    }
}

pub(crate) fn git_ref(text: &str) -> GitRef {
    text.strip_prefix("tag:").map_or_else(|| GitRef::branch(text), GitRef::tag).expect("a ref")
}

/// A short name for a commit: `c1` is forty digits that begin so.
pub(crate) fn commit(text: &str) -> CommitId {
    let mut digits = String::new();
    for byte in text.bytes() {
        write!(digits, "{byte:02x}").expect("a String takes all");
    }
    format!("{digits:0<40}").parse().expect("hex digits")
}

pub(super) fn span(text: &str) -> Duration {
    humantime::parse_duration(text).expect("a span of time")
}

/// A build as a list of the back-end shows it.
pub(super) fn row(now: Timestamp, text: &str) -> Option<BackendBuild> {
    if text == "nothing" {
        return None;
    }
    let (text, created) = text.split_once('@').map_or((text, None), |(text, at)| (text, Some(at)));
    let mut parts = text.split(':');
    let id = parts.next().expect("an id");
    let state = match parts.next().expect("a state") {
        "waiting" => BackendBuildState::Waiting,
        "running" => BackendBuildState::Running,
        "stopping" => BackendBuildState::Stopping,
        "success" => BackendBuildState::Finished(Outcome::Success),
        "failure" => BackendBuildState::Finished(Outcome::Failure),
        "cancelled" => BackendBuildState::Finished(Outcome::Cancelled),
        other => panic!("no state '{other}'"),
    };
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let label = part().map(ToOwned::to_owned);
    let commit = part().map(commit);
    // A build without a moment was made just now.
    let created_at = created.map_or(now, |span_text| START.plus(span(span_text)));
    Some(BackendBuild {
        label,
        commit,
        created_at: Some(created_at),
        ..BackendBuild::new(BackendBuildId(id.to_owned()), state)
    })
}
