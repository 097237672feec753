//! What a scenario tells: a line for each fact and each verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use coalesced::event::{Event, Verdict};
use coalesced::model::GitRef;
use coalesced::scheduler::record::Fact;
use coalesced::status::sentences::reasons;

use super::START;

pub(super) fn tell_verdict(event: &Event) -> String {
    let seq = event.seq.0;
    match &event.verdict {
        Verdict::Opened => format!("event {seq} waits"),
        Verdict::AlreadyBuilt => format!("event {seq}: nothing to do"),
        Verdict::Skipped { evidence } => format!("event {seq} skipped: {}", reasons::skipped(evidence)),
        Verdict::Ignored { reason } => format!("event {seq} ignored: {}", reasons::ignored(reason)),
        Verdict::RefDeleted => format!("event {seq}: the ref is deleted"),
        Verdict::DuplicateOf { .. } => format!("event {seq} is one cause with the tap before"),
    }
}

/// What a fact says; nothing for those that the answer to the request tells already.
pub(super) fn tell_fact(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Opened { .. } | Fact::PassedOver { .. } => return None,
        Fact::HeadMoved { git_ref, commit: Some(_), .. } => format!("{git_ref} has moved"),
        Fact::HeadMoved { git_ref, commit: None, .. } => format!("{git_ref} is gone"),
        Fact::HeadsSeen { heads, gone, .. } => {
            let names: Vec<&str> = heads.keys().map(GitRef::short).collect();
            let gone = if gone.is_empty() { String::new() } else { format!(", {} forgotten", gone.len()) };
            format!(
                "seen at the remote: {}{gone}",
                if names.is_empty() { "nothing new".to_owned() } else { names.join(" ") }
            )
        }
        Fact::Closed { git_ref, end, .. } => format!("open events of {git_ref} end: {end:?}"),
        Fact::Expedited { git_ref, .. } => format!("{git_ref} is due now"),
        Fact::Intended { build, git_ref, through, .. } => {
            format!("build {build} of {git_ref} takes all up to {}", through.0)
        }
        Fact::Accepted { build, .. } => format!("build {build} accepted"),
        Fact::BecameUncertain { build, .. } => format!("build {build} uncertain"),
        Fact::Refused { build, again_at, blocked, .. } => {
            let how = if *blocked { "blocked" } else { "refused for now" };
            let again = humantime::format_duration(Duration::from_secs(again_at.since(START).as_secs()));
            format!("build {build} {how}, again at +{again}")
        }
        Fact::Attached { build, backend_ids, only_through } => {
            let rows: Vec<&str> = backend_ids.iter().map(|id| id.0.as_str()).collect();
            let only = only_through.map(|through| format!(", good for events up to {}", through.0)).unwrap_or_default();
            format!("build {build} is {}{only}", rows.join(" "))
        }
        Fact::StillQueued { build, through } => format!("build {build} still queued, covers up to {}", through.0),
        Fact::Started { build, cover, .. } => {
            format!("build {build} begun, covers up to {}{}", cover.through.0, contradiction(cover.contradicted))
        }
        Fact::CoverChanged { build, cover, .. } => {
            format!("build {build} covers up to {}{}", cover.through.0, contradiction(cover.contradicted))
        }
        Fact::Missing { build, since } => {
            format!("build {build} {}", if since.is_some() { "is missing" } else { "is there again" })
        }
        Fact::NeverStarted { build, reason, .. } => format!("build {build} never began: {}", reasons::ended(reason)),
        Fact::Finished { build, outcome, reopened, .. } => {
            format!("build {build} ended: {outcome:?}{}", if *reopened { ", open again" } else { "" })
        }
        Fact::CancelAsked { build, .. } => format!("build {build} is to be cancelled"),
        Fact::Overlapped => "two run at once".to_owned(),
        Fact::Held(hold) => (if hold.is_some() { "paused" } else { "resumed" }).to_owned(),
        Fact::Unblocked => "unblocked".to_owned(),
        Fact::ForeignSeen(foreign) => {
            format!("build {} of somebody else, {}", foreign.id, if foreign.started { "running" } else { "queued" })
        }
        Fact::ForeignEnded { id, outcome, covered, .. } => {
            let covered: BTreeSet<String> =
                covered.iter().map(|(git_ref, through)| format!(", covers {git_ref} up to {}", through.0)).collect();
            format!("build {id} of somebody else ended: {outcome:?}{}", covered.into_iter().collect::<String>())
        }
        Fact::KeyForgotten { git_ref } => format!("{git_ref} was at rest for long and is forgotten"),
        Fact::ClockWentBack { .. } => "the clock went back".to_owned(),
    })
}

pub(super) fn contradiction(contradicted: bool) -> &'static str {
    if contradicted { ": its commit is older" } else { "" }
}

/// The short name of an event's commit again.
pub(super) fn short(event: &Event) -> String {
    let digits = event.commit.as_ref().map(ToString::to_string).unwrap_or_default();
    let bytes = hex::decode(&digits).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
}
