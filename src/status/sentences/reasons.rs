//! One function per sentence that says why: short, no full stop, as in `sentences`. A sentence in an older
//! journal is shown unchanged.

use std::time::Duration;

use crate::reason::{BuildNote, EndReason, IgnoreReason, RefusalReason, SkipEvidence, UncertainReason};

/// A remark about a build, besides its state.
pub fn note(note: &BuildNote) -> String {
    match note {
        BuildNote::Uncertain(reason) => uncertain(reason),
        BuildNote::Ended(reason) => ended(reason),
        BuildNote::Foreign { label } => format!("started outside coalesced, for {label}"),
        BuildNote::Sentence(text) => text.clone(),
    }
}

/// Why it is unknown whether a build was triggered.
pub fn uncertain(reason: &UncertainReason) -> String {
    match reason {
        UncertainReason::Answer { detail } | UncertainReason::AlreadyPending { detail } => detail.clone(),
        UncertainReason::DaemonEnded => "the daemon stopped while it was triggering the build".to_owned(),
        UncertainReason::Sentence(text) => text.clone(),
    }
}

/// Why a build ended as it did.
pub fn ended(reason: &EndReason) -> String {
    match reason {
        EndReason::Refused(reason) => format!("trigger refused: {}", refused(reason)),
        EndReason::NotShown => "the back-end lists no build for this trigger, so it never started".to_owned(),
        EndReason::Unverified => "unverified: could not find out whether it started".to_owned(),
        EndReason::CancelledBeforeStart => "cancelled before it started".to_owned(),
        EndReason::Vanished => "it disappeared from the back-end's list".to_owned(),
        EndReason::Overdue { deadline_ms } => {
            format!("given up: it did not finish within {}", length(*deadline_ms))
        }
        EndReason::BackendTimeLimit => "the back-end stopped it at its own time limit".to_owned(),
        EndReason::ImageReported => "assumed: the back-end reported a new image".to_owned(),
        EndReason::Assumed => "assumed: the back-end's builds can't be seen".to_owned(),
        EndReason::Sentence(text) => text.clone(),
    }
}

/// Why a trigger had no effect.
pub fn refused(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::Answer { detail } | RefusalReason::AlreadyPending { detail } => detail.clone(),
        RefusalReason::PendingNotShown => {
            "the back-end says that a build is already pending, but lists none".to_owned()
        }
        RefusalReason::Sentence(text) => text.clone(),
    }
}

/// Why the last try failed, for somebody who waits for the next.
pub fn in_vain(reason: &EndReason) -> String {
    match reason {
        EndReason::Refused(reason) => refused(reason),
        other => ended(other),
    }
}

/// Why a push is not built.
pub fn skipped(evidence: &SkipEvidence) -> String {
    let with = |marker: &Option<String>| marker.as_ref().map(|marker| format!(": {marker}")).unwrap_or_default();
    match evidence {
        SkipEvidence::EveryCommitMarked { marker } => {
            format!("every commit of the push has a skip marker{}", with(marker))
        }
        SkipEvidence::NewestCommitMarked { marker } => format!("the newest commit has a skip marker{}", with(marker)),
        SkipEvidence::OutsidePaths { file, more } => {
            format!("no file matches `paths`: {}", with_more(file, *more))
        }
        SkipEvidence::IgnoredAuthors { author, more } => {
            format!("all commits are by `ignore_authors`: {}", with_more(author, *more))
        }
        SkipEvidence::Sentence(text) => text.clone(),
    }
}

/// Why nothing is built for a request.
pub fn ignored(reason: &IgnoreReason) -> String {
    match reason {
        IgnoreReason::UnknownRepository { repository } => {
            format!("no image is configured for repository {repository}")
        }
        IgnoreReason::UnknownImage => "no such image is configured".to_owned(),
        IgnoreReason::NoTags { tag } => format!("tag {tag} is not built: the image has no `tags`"),
        IgnoreReason::TagUnmatched { tag, globs } => {
            format!("tag {tag} does not match `tags`: {}", globs.join(", "))
        }
        IgnoreReason::BranchUnmatched { branch, globs } => {
            format!("branch {branch} does not match `branches`: {}", globs.join(", "))
        }
        IgnoreReason::NotDefaultBranch { branch, default: Some(default) } => {
            format!("branch {branch} is not built, only the default branch {default}")
        }
        IgnoreReason::NotDefaultBranch { branch, default: None } => {
            format!("branch {branch} is not built, only the default branch")
        }
        IgnoreReason::Sentence(text) => text.clone(),
    }
}

/// `drafts/a.md and 2 more`.
fn with_more(first: &str, more: u32) -> String {
    if more == 0 { first.to_owned() } else { format!("{first} and {more} more") }
}

fn length(millis: u64) -> String {
    humantime::format_duration(Duration::from_millis(millis)).to_string()
}
