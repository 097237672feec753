//! Lists of events and of builds.

use clap::builder::styling::Style;

use super::super::terminal::Paint;
use super::text::{Cell, Table, plain};
use super::{BAD, BUSY, FAINT, GOOD, HELD, assumed_mark, build_style, build_words, commit_name, ref_name, time};
use crate::model::{CommitId, GitRef, Timestamp};
use crate::status::{BuildView, EventState, Receipt};

/// The events in a table; the last column is what `explain` takes.
pub(in crate::cli) fn events(receipts: &[Receipt], now: Timestamp, paint: Paint, columns: Option<usize>) -> String {
    if receipts.is_empty() {
        return "no such events\n".to_owned();
    }
    let rows = receipts.iter().map(|receipt| event_row(receipt, now)).collect();
    let images = receipts.iter().map(|receipt| receipt.image.as_ref());
    // What to leave out first if the terminal is too narrow: what is the same in every row, then what `explain` says,
    // too.
    let given_up: &[usize] = if all_alike(images) { &[4, 3, 2, 5] } else { &[3, 2, 5, 4] };
    let headings = ["ACCEPTED", "STATE", "BUILD", "COMMIT", "IMAGE", "REF", "EVENT"];
    Table { headings, rows, given_up }.render(paint, columns)
}

fn event_row(receipt: &Receipt, now: Timestamp) -> [Cell; 7] {
    [
        time::ago(now, &receipt.accepted_at).into(),
        Cell::styled(event_style(receipt.state), event_words(receipt)),
        receipt.build.map_or_else(|| "-".to_owned(), |build| build.to_string()).into(),
        commit_cell(receipt.sha.as_ref()),
        receipt.image.as_ref().map_or("-", |image| image.as_str()).into(),
        ref_cell(receipt.git_ref.as_ref()),
        plain(&receipt.id).into(),
    ]
}

fn event_style(state: EventState) -> Style {
    match state {
        EventState::Built => GOOD,
        EventState::Waiting | EventState::Queued | EventState::Building => BUSY,
        EventState::Failed | EventState::Lost => BAD,
        EventState::Cancelled | EventState::Dropped => HELD,
        EventState::Skipped | EventState::Ignored | EventState::RefDeleted | EventState::Duplicate => FAINT,
    }
}

/// The state of an event, in words: `ref deleted`, `built (assumed)`.
pub(in crate::cli) fn event_words(receipt: &Receipt) -> String {
    format!("{}{}", receipt.state.name().replace('_', " "), assumed_mark(receipt.assumed))
}

/// The builds in a table.
pub(in crate::cli) fn builds(builds: &[BuildView], now: Timestamp, paint: Paint, columns: Option<usize>) -> String {
    if builds.is_empty() {
        return "no such builds\n".to_owned();
    }
    let rows = builds.iter().map(|build| build_row(build, now)).collect();
    let given_up: &[usize] =
        if all_alike(builds.iter().map(|build| &build.image)) { &[6, 5, 4, 3] } else { &[5, 4, 3, 7] };
    let headings = ["BUILD", "STATE", "BEGAN", "TOOK", "EVENTS", "COMMIT", "IMAGE", "REF"];
    Table { headings, rows, given_up }.render(paint, columns)
}

fn build_row(build: &BuildView, now: Timestamp) -> [Cell; 8] {
    let began = build.started_at.as_deref().or(build.triggered_at.as_deref());
    let took = time::between(build.started_at.as_deref(), build.finished_at.as_deref());
    [
        build.id.to_string().into(),
        Cell::styled(build_style(build), build_words(build)),
        began.map_or_else(|| "-".to_owned(), |began| time::ago(now, began)).into(),
        took.map_or_else(|| "-".to_owned(), time::span).into(),
        if build.foreign { "foreign".to_owned() } else { build.events_total.to_string() }.into(),
        commit_cell(build.commit.as_ref()),
        build.image.as_str().into(),
        ref_cell(build.git_ref.as_ref()),
    ]
}

fn all_alike<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
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
        (built.state, built.build, built.assumed) = (EventState::Built, Some(crate::model::BuildId(41)), true);
        let expected = "\
ACCEPTED  STATE            BUILD  COMMIT   IMAGE        REF     EVENT
4m ago    waiting          -      3f2a91c  mrraph/blog  master  01JD0000000000000000000001
4m ago    ignored          -      -        -            -       01JD0000000000000000000001
4m ago    built (assumed)  41     3f2a91c  mrraph/blog  master  01JD0000000000000000000001
";
        assert_eq!(events(&[waiting_push(), ignored, built], now(), Paint::Plain, None), expected);
        assert_eq!(events(&[], now(), Paint::Plain, None), "no such events\n");
    }

    #[test]
    fn a_narrow_terminal_gives_up_columns_and_never_the_id() {
        let expected = "\
ACCEPTED  STATE    BUILD  COMMIT   REF     EVENT
4m ago    waiting  -      3f2a91c  master  01JD0000000000000000000001
";
        assert_eq!(events(&[waiting_push()], now(), Paint::Plain, Some(80)), expected);
        let narrow = events(&[waiting_push()], now(), Paint::Plain, Some(40));
        assert_eq!(narrow.lines().next(), Some("ACCEPTED  STATE    EVENT"));
    }

    #[test]
    fn builds_are_a_table() {
        let mut foreign = finished_build();
        (foreign.foreign, foreign.git_ref) = (true, "refs/tags/v1".parse().ok());
        foreign.started_at = None;
        let later: Timestamp = "2026-11-23T10:06:10Z".parse().expect("a moment");
        let expected = "\
BUILD  STATE    BEGAN   TOOK    EVENTS   COMMIT   IMAGE        REF
41     running  5m ago  -       2        3f2a91c  mrraph/blog  master
41     success  5m ago  3m 52s  2        3f2a91c  mrraph/blog  master
41     success  5m ago  -       foreign  3f2a91c  mrraph/blog  tag v1
";
        assert_eq!(builds(&[running_build(), finished_build(), foreign], later, Paint::Plain, None), expected);
        assert_eq!(builds(&[], now(), Paint::Plain, None), "no such builds\n");
    }
}
