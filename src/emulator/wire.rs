//! The bodies that Docker Hub sends and accepts, as far as they are known.

use serde_json::{Value, json};

use super::hub::{Hub, TrueBuild, Wanted};
use crate::build::Outcome;
use crate::model::{GitRef, ImageName, Timestamp};

/// What the body of a trigger asks for; None if it can't be read.
pub(super) fn wanted(content_type: &str, body: &[u8]) -> Option<Wanted> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Some(Wanted::Everything);
    }
    let fields: Value = if content_type.starts_with("application/x-www-form-urlencoded") {
        let pairs =
            form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())));
        Value::Object(pairs.collect())
    } else {
        serde_json::from_slice(body).ok()?
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    match (text("source_type"), text("source_name"), text("docker_tag")) {
        (Some(kind), Some(name), _) if kind.eq_ignore_ascii_case("branch") => {
            GitRef::branch(name).ok().map(Wanted::Ref)
        }
        (Some(kind), Some(name), _) if kind.eq_ignore_ascii_case("tag") => GitRef::tag(name).ok().map(Wanted::Ref),
        (_, _, Some(tag)) => Some(Wanted::ImageTag(tag.to_owned())),
        _ => Some(Wanted::Everything),
    }
}

/// What the current trigger answers: the *source*, with the state from before this build, and without a build id.
pub(super) fn source(hub: &Hub, image: &ImageName, uuid: &str) -> Value {
    let builds = hub.true_builds(image);
    let newest = builds.iter().rev().nth(1);
    let state = match newest.map(|build| build.outcome) {
        None => "Empty",
        Some(None) => "Building",
        Some(Some(Outcome::Success)) => "Success",
        Some(Some(_)) => "Failed",
    };
    json!({
        "autotests": "OFF", "build_in_farm": true, "build_settings": [], "channel": "Stable", "deploykey": "",
        "envvars": [], "image": image.as_str(), "owner": image.namespace(), "provider": "Github",
        "repo_links": false, "repository": image.name(), "resource_uri": format!("/api/build/v1/source/{uuid}/"),
        "state": state, "uuid": uuid
    })
}

/// One page of the list of actions.
pub(super) fn actions(hub: &Hub, builds: &[TrueBuild], limit: usize, offset: usize) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for build in builds {
        if hub.settings().lists_other_actions && build.pushed {
            all.push(push_action(build));
        }
        all.push(action(hub, build));
    }
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let next =
        (offset + limit < total).then(|| format!("/api/audit/v1/action/?limit={limit}&offset={}", offset + limit));
    json!({
        "meta": { "limit": limit, "next": next, "offset": offset, "previous": Value::Null, "total_count": total },
        "objects": page
    })
}

/// One build as an action.
pub(super) fn action(hub: &Hub, build: &TrueBuild) -> Value {
    let uuid = action_uuid(build.number);
    let settings = hub.settings();
    let state = match (build.outcome, build.is_cancelling(), build.runs()) {
        (Some(Outcome::Success), ..) => "Success",
        (Some(Outcome::Cancelled), ..) => "Canceled",
        (Some(_), ..) => "Failed",
        (None, true, _) => "Canceling",
        (None, false, true) => "In progress",
        (None, false, false) => "Pending",
    };
    let started = build.started_at.filter(|_| !settings.withholds_starts);
    let commit = build.commit.as_ref().filter(|_| !settings.withholds_commits && build.started_at.is_some());
    json!({
        "uuid": uuid, "resource_uri": format!("/api/audit/v1/action/{uuid}/"), "action": "Build", "state": state,
        "build_tag": build.tag, "commit": commit.map(ToString::to_string), "source_repo": build.image.as_str(),
        "object": format!("/api/repo/v1/repository/{}/", build.image),
        "created": rfc2822(build.created_at), "start_date": started.map(rfc2822),
        "end_date": build.finished_at.map(rfc2822),
        "can_be_canceled": !build.is_over(), "can_be_retried": build.is_over(), "is_user_action": true,
        "user": build.image.namespace(), "user_agent": "", "ip": "", "location": "", "method": "POST",
        "path": "/api/build/v1/setting/00000000-0000-4000-8000-00000000feed/build/"
    })
}

/// An entry other than a build in the same list.
fn push_action(build: &TrueBuild) -> Value {
    let uuid = format!("00000000-0000-4000-9000-{:012x}", build.number);
    let at = build.finished_at.unwrap_or(build.created_at);
    json!({
        "uuid": uuid, "resource_uri": format!("/api/audit/v1/action/{uuid}/"), "action": "Repository Push",
        "state": "Success", "object": format!("/api/repo/v1/repository/{}/", build.image),
        "created": rfc2822(at), "start_date": rfc2822(at), "end_date": rfc2822(at), "user": build.image.namespace()
    })
}

/// A build's id in the list.
pub(super) fn action_uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The build with this id.
pub(super) fn build_number(uuid: &str) -> Option<usize> {
    usize::from_str_radix(uuid.strip_prefix("00000000-0000-4000-8000-")?, 16).ok()
}

/// `Mon, 29 Feb 2016 10:36:25 +0000`: whole seconds, as the service writes them.
pub(super) fn rfc2822(at: Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(at.as_millis()).map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    zoned.ok().and_then(|zoned| jiff::fmt::rfc2822::to_string(&zoned).ok()).unwrap_or_default()
}
