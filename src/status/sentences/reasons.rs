//! One function per sentence that says why: short, no full stop, as in `sentences`. What stands in a journal of before as
//! a sentence is shown as it is.

use std::time::Duration;

use crate::reason::{BuildNote, EndReason, IgnoreReason, RefusalReason, SkipEvidence, UncertainReason};

/// What is to be said of a build beside its state.
pub fn note(note: &BuildNote) -> String {
    match note {
        BuildNote::Uncertain(reason) => uncertain(reason),
        BuildNote::Ended(reason) => ended(reason),
        BuildNote::Foreign { label } => format!("started by somebody else, for {label}"),
        BuildNote::Told(told) => told.clone(),
    }
}

/// Why it is not known whether a build was triggered.
pub fn uncertain(reason: &UncertainReason) -> String {
    match reason {
        UncertainReason::Answer { detail } | UncertainReason::AlreadyPending { detail } => detail.clone(),
        UncertainReason::DaemonEnded => "the daemon ended while the trigger was being called".to_owned(),
        UncertainReason::Told(told) => told.clone(),
    }
}

/// Why a build ended as it did.
pub fn ended(reason: &EndReason) -> String {
    match reason {
        EndReason::Refused(reason) => format!("the trigger was refused: {}", refused(reason)),
        EndReason::NotShown => "the back-end shows no build of this trigger, so it never started".to_owned(),
        EndReason::Unverified => "unverified: it could not be found out whether it started".to_owned(),
        EndReason::CancelledBeforeStart => "it was cancelled before it began".to_owned(),
        EndReason::Vanished => "it vanished from the back-end's list".to_owned(),
        EndReason::Overdue { deadline_ms } => {
            format!("given up: no end was seen within {}", length(*deadline_ms))
        }
        EndReason::BackendTimeLimit => "the back-end ended it at its own time limit".to_owned(),
        EndReason::ImageReported => "assumed: the back-end reported a new image".to_owned(),
        EndReason::Assumed => "assumed: the back-end's builds can't be seen".to_owned(),
        EndReason::Told(told) => told.clone(),
    }
}

/// Why a trigger had no effect.
pub fn refused(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::Answer { detail } | RefusalReason::AlreadyPending { detail } => detail.clone(),
        RefusalReason::PendingNotShown => {
            "the back-end says that a build is pending already, and shows none".to_owned()
        }
        RefusalReason::Told(told) => told.clone(),
    }
}

/// Why the last try came to nothing, to somebody who waits for the next.
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
            format!("every file of the push is outside `paths`: {}", with_more(file, *more))
        }
        SkipEvidence::IgnoredAuthors { author, more } => {
            format!("every commit is by authors in `ignore_authors`: {}", with_more(author, *more))
        }
        SkipEvidence::Told(told) => told.clone(),
    }
}

/// Why nothing is built for what somebody asked for.
pub fn ignored(reason: &IgnoreReason) -> String {
    match reason {
        IgnoreReason::UnknownRepository { repository } => {
            format!("no image is configured for repository {repository}")
        }
        IgnoreReason::UnknownImage => "no image is configured for it".to_owned(),
        IgnoreReason::NoTags { tag } => format!("the tag '{tag}' is not built: no tags are configured for this image"),
        IgnoreReason::TagUnmatched { tag, globs } => {
            format!("the tag '{tag}' matches none of the configured tags: {}", globs.join(", "))
        }
        IgnoreReason::BranchUnmatched { branch, globs } => {
            format!("the branch '{branch}' matches none of the configured branches: {}", globs.join(", "))
        }
        IgnoreReason::NotDefaultBranch { branch, default: Some(default) } => {
            format!("the branch '{branch}' is not built: only the default branch '{default}' is")
        }
        IgnoreReason::NotDefaultBranch { branch, default: None } => {
            format!("the branch '{branch}' is not built: only the default branch is")
        }
        IgnoreReason::Told(told) => told.clone(),
    }
}

/// `drafts/a.md and 2 more`.
fn with_more(first: &str, more: u32) -> String {
    if more == 0 { first.to_owned() } else { format!("{first} and {more} more") }
}

fn length(millis: u64) -> String {
    humantime::format_duration(Duration::from_millis(millis)).to_string()
}
