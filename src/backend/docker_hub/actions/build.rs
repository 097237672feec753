//! One entry of the list of actions, as a build.

use serde_json::Value;

use super::super::urls;
use crate::backend::dates;
use crate::build::{BackendBuild, BackendBuildId, BackendBuildState, Outcome};
use crate::model::{CommitId, ImageName, NAME_BYTES_MAX, Timestamp};

/// The entry as a build, with its times converted to our clock by `ours`. None if it is no build or has no id.
pub(super) fn build(
    entry: &Value,
    api: &str,
    image: &ImageName,
    ours: impl Fn(Timestamp) -> Timestamp,
) -> Option<BackendBuild> {
    if !is_build(entry) {
        return None;
    }
    let id = id(entry)?;
    let state = state(entry.get("state").or_else(|| entry.get("status")).unwrap_or(&Value::Null));
    let moment = |field| entry.get(field).and_then(dates::moment).map(&ours);
    Some(BackendBuild {
        state,
        label: label(entry, image),
        commit: text(entry, "commit")
            .and_then(|commit| commit.parse().ok())
            .filter(|commit: &CommitId| !commit.is_zero()),
        created_at: created(entry).map(&ours),
        // A waiting build has not started, whatever its start date says; a running one has not ended.
        started_at: moment("start_date").filter(|_| state != BackendBuildState::Waiting),
        finished_at: moment("end_date").filter(|_| state.is_final()),
        // The page of one build, as in docker/hub-feedback issues 1787 and 2063; it requires a login.
        log_url: Some(format!("{api}/repository/docker/{image}/builds/{}", id.0)),
        id,
    })
}

/// When the entry was created, or else its start as the nearest known time.
pub(super) fn created(entry: &Value) -> Option<Timestamp> {
    ["created", "start_date"].iter().find_map(|field| entry.get(field).and_then(dates::moment))
}

/// Whether an action is a build. The list shows everything that was done to the repository, for example "Repository
/// Push", when an image arrives.
///
/// What a build's `action` says is not known, so anything that only builds have counts as evidence: an image tag to be
/// built, a build's code, a commit, the path of a call that starts one. An entry with none of these, or one that says
/// it is a push, is not a build: it would hold a slot for ever, or be mistaken for the build we requested.
fn is_build(entry: &Value) -> bool {
    let action = text(entry, "action").unwrap_or_default().to_ascii_lowercase();
    if action.contains("build") {
        return true;
    }
    if action.contains("push") {
        return false;
    }
    let has_trait = ["build_tag", "build_code", "commit"].iter().any(|field| text(entry, field).is_some());
    has_trait
        || text(entry, "path")
            .is_some_and(|path| path.contains("/api/build/") && (path.ends_with("/build/") || path.ends_with("/call/")))
}

fn id(entry: &Value) -> Option<BackendBuildId> {
    let own = ["uuid", "id"].iter().find_map(|field| match entry.get(field)? {
        Value::String(id) => urls::is_build_id(id).then(|| BackendBuildId(id.clone())),
        Value::Number(id) => Some(BackendBuildId(id.to_string())),
        _ => None,
    });
    own.or_else(|| urls::build_id_in_path(text(entry, "resource_uri")?))
}

/// The image's tag: `build_tag`, which may be a comma-separated list and is kept as it is, or the last part of the
/// object's path below the repository.
fn label(entry: &Value, image: &ImageName) -> Option<String> {
    let of_object = || {
        let (_, below) = text(entry, "object")?.split_once(&format!("/repository/{image}/"))?;
        below.trim_matches('/').rsplit('/').next().filter(|tag| !tag.is_empty())
    };
    let label = text(entry, "build_tag").or_else(of_object)?;
    Some(label.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect())
}

/// The states of Docker Cloud's API reference and those of the list that Docker Hub had until 2019, whose
/// numbers are: 10 success, below 0 failed, all others on their way.
fn state(value: &Value) -> BackendBuildState {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    if let Some(number) = number {
        return state_of_number(number);
    }
    let word = value.as_str().unwrap_or_default().trim().to_ascii_lowercase().replace(['_', '-'], " ");
    match word.as_str() {
        "success" => BackendBuildState::Finished(Outcome::Success),
        "failed" => BackendBuildState::Finished(Outcome::Failure),
        "canceled" | "cancelled" => BackendBuildState::Finished(Outcome::Cancelled),
        "canceling" | "cancelling" => BackendBuildState::Stopping,
        "pending" | "queued" => BackendBuildState::Waiting,
        "in progress" | "building" => BackendBuildState::Running,
        _ => BackendBuildState::Unknown,
    }
}

fn state_of_number(number: f64) -> BackendBuildState {
    #[expect(clippy::cast_possible_truncation, reason = "a number beyond the range is no state and stays none")]
    match number.round() as i64 {
        10 => BackendBuildState::Finished(Outcome::Success),
        -4 => BackendBuildState::Finished(Outcome::Cancelled),
        ..0 => BackendBuildState::Finished(Outcome::Failure),
        0 | 1 | 11 => BackendBuildState::Waiting,
        2..=9 => BackendBuildState::Running,
        _ => BackendBuildState::Unknown,
    }
}

/// A field's text, if it has one.
fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}
