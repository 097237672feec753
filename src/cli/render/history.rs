//! Lists of events and of builds.

use super::super::terminal::Paint;
use super::text::{Cell, plain, table};
use super::{BAD, BUSY, FAINT, GOOD, build_style, build_word, commit_name, ref_name, time};
use crate::model::{CommitId, GitRef, Timestamp};
use crate::status::{BuildView, EventState, Receipt};

/// The events in a table; the first column is what `explain` takes.
pub(in crate::cli) fn events(receipts: &[Receipt], now: Timestamp, paint: Paint) -> String {
    if receipts.is_empty() {
        return "no such events\n".to_owned();
    }
    let rows = receipts.iter().map(|receipt| event_row(receipt, now)).collect();
    table(["EVENT", "ACCEPTED", "STATE", "BUILD", "COMMIT", "IMAGE", "REF"], rows, paint)
}

fn event_row(receipt: &Receipt, now: Timestamp) -> [Cell; 7] {
    let style = match receipt.state {
        EventState::Built => GOOD,
        EventState::Waiting | EventState::Riding => BUSY,
        EventState::Dropped => BAD,
        EventState::Skipped | EventState::Ignored | EventState::RefDeleted | EventState::Duplicate => FAINT,
    };
    [
        plain(&receipt.id).into(),
        time::ago(now, &receipt.accepted_at).into(),
        Cell::styled(style, event_word(receipt.state)),
        receipt.build.map_or_else(|| "-".to_owned(), |build| build.to_string()).into(),
        commit_cell(receipt.sha.as_ref()),
        receipt.image.as_ref().map_or("-", |image| image.as_str()).into(),
        ref_cell(receipt.git_ref.as_ref()),
    ]
}

/// The state of an event, in words.
pub(in crate::cli) fn event_word(state: EventState) -> &'static str {
    match state {
        EventState::Waiting => "waiting",
        EventState::Riding => "riding",
        EventState::Built => "built",
        EventState::Skipped => "skipped",
        EventState::Ignored => "ignored",
        EventState::Dropped => "dropped",
        EventState::RefDeleted => "ref deleted",
        EventState::Duplicate => "duplicate",
    }
}

/// The builds in a table.
pub(in crate::cli) fn builds(builds: &[BuildView], now: Timestamp, paint: Paint) -> String {
    if builds.is_empty() {
        return "no such builds\n".to_owned();
    }
    let rows = builds.iter().map(|build| build_row(build, now)).collect();
    table(["BUILD", "STATE", "BEGAN", "TOOK", "EVENTS", "COMMIT", "IMAGE", "REF"], rows, paint)
}

fn build_row(build: &BuildView, now: Timestamp) -> [Cell; 8] {
    let began = build.started_at.as_deref().or(build.triggered_at.as_deref());
    let took = time::between(build.started_at.as_deref(), build.finished_at.as_deref());
    [
        build.id.to_string().into(),
        Cell::styled(build_style(build), build_word(build)),
        began.map_or_else(|| "-".to_owned(), |began| time::ago(now, began)).into(),
        took.map_or_else(|| "-".to_owned(), time::span).into(),
        if build.foreign { "foreign".to_owned() } else { build.events_total.to_string() }.into(),
        commit_cell(build.commit.as_ref()),
        build.image.as_str().into(),
        ref_cell(build.git_ref.as_ref()),
    ]
}

fn commit_cell(commit: Option<&CommitId>) -> Cell {
    commit.map_or("-", commit_name).into()
}

fn ref_cell(git_ref: Option<&GitRef>) -> Cell {
    git_ref.map_or_else(|| "-".to_owned(), ref_name).into()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{finished_build, now, running_build, waiting_push};
    use super::*;

    #[test]
    fn events_are_a_table() {
        let mut ignored = waiting_push();
        (ignored.image, ignored.git_ref, ignored.sha) = (None, None, None);
        ignored.state = EventState::Ignored;
        let mut built = waiting_push();
        (built.state, built.build) = (EventState::Built, Some(crate::model::BuildId(41)));
        let expected = "\
EVENT                       ACCEPTED  STATE    BUILD  COMMIT   IMAGE        REF
01JD0000000000000000000001  4 m ago   waiting  -      3f2a91c  mrraph/blog  master
01JD0000000000000000000001  4 m ago   ignored  -      -        -            -
01JD0000000000000000000001  4 m ago   built    41     3f2a91c  mrraph/blog  master
";
        assert_eq!(events(&[waiting_push(), ignored, built], now(), Paint::Plain), expected);
        assert_eq!(events(&[], now(), Paint::Plain), "no such events\n");
    }

    #[test]
    fn builds_are_a_table() {
        let mut foreign = finished_build();
        (foreign.foreign, foreign.git_ref) = (true, "refs/tags/v1".parse().ok());
        foreign.started_at = None;
        let later: Timestamp = "2026-11-23T10:06:10Z".parse().expect("a moment");
        let expected = "\
BUILD  STATE    BEGAN    TOOK      EVENTS   COMMIT   IMAGE        REF
41     running  5 m ago  -         2        3f2a91c  mrraph/blog  master
41     success  5 m ago  3 m 52 s  2        3f2a91c  mrraph/blog  master
41     success  5 m ago  -         foreign  3f2a91c  mrraph/blog  tag v1
";
        assert_eq!(builds(&[running_build(), finished_build(), foreign], later, Paint::Plain), expected);
        assert_eq!(builds(&[], now(), Paint::Plain), "no such builds\n");
    }
}
