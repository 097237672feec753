//! Values to text: pure functions, so that output is tested to the letter.
//!
//! Nothing here reads a clock, a terminal or the network. Any text that a stranger may have written passes through
//! [`text::plain`].

pub(super) mod history;
pub(super) mod lane;
pub(super) mod receipt;
pub(super) mod text;
pub(super) mod time;

use clap::builder::styling::{AnsiColor, Style};

use crate::build::Outcome;
use crate::model::{CommitId, GitRef, RefKind};
use crate::status::{BuildState, BuildView};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const BUSY: Style = AnsiColor::Cyan.on_default();
const HELD: Style = AnsiColor::Yellow.on_default();
const HEADING: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// The digits of a commit shown in tables and sentences.
const COMMIT_DIGITS: usize = 7;

fn commit_name(commit: &CommitId) -> &str {
    commit.as_str().get(..COMMIT_DIGITS).unwrap_or(commit.as_str())
}

/// The short name of a branch; a tag's has the word 'tag', as a branch may have the same name.
fn ref_name(git_ref: &GitRef) -> String {
    match git_ref.kind() {
        RefKind::Branch => git_ref.short().to_owned(),
        RefKind::Tag => format!("tag {}", git_ref.short()),
    }
}

fn state_word(state: BuildState) -> &'static str {
    match state {
        BuildState::Triggering => "triggering",
        BuildState::Uncertain => "uncertain",
        BuildState::Queued => "queued",
        BuildState::Running => "running",
        BuildState::Finished => "finished",
    }
}

/// How the build ended, or else its state.
pub(super) fn build_word(build: &BuildView) -> &'static str {
    match build.outcome {
        Some(Outcome::NotStarted) => "not started",
        Some(outcome) => outcome.name(),
        None => state_word(build.state),
    }
}

fn build_style(build: &BuildView) -> Style {
    match build.outcome {
        Some(Outcome::Success) => GOOD,
        Some(Outcome::Failure | Outcome::Lost | Outcome::NotStarted) => BAD,
        Some(Outcome::Cancelled) => HELD,
        None => BUSY,
    }
}

/// `build 41 (master)`; a foreign build's ref may be unknown.
fn build_name(build: &BuildView) -> String {
    let of = build.git_ref.as_ref().map(|git_ref| format!(" ({})", ref_name(git_ref))).unwrap_or_default();
    let foreign = if build.foreign { "foreign " } else { "" };
    format!("{foreign}build {}{of}", build.id)
}

/// The suffix of a state that was assumed rather than seen.
fn assumed_mark(assumed: bool) -> &'static str {
    if assumed { " (assumed)" } else { "" }
}

/// `success`, or `success (assumed)`.
fn build_words(build: &BuildView) -> String {
    format!("{}{}", build_word(build), assumed_mark(build.assumed))
}

#[cfg(test)]
pub(super) mod samples;
