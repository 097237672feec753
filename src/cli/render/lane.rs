//! Lanes: the overview of all images, one image in detail, and the line that reports a change.

use clap::builder::styling::Style;

use super::super::terminal::Paint;
use super::text::{count, padded, plain, width, wrap};
use super::{
    BAD, BUSY, FAINT, HEADING, HELD, assumed_mark, build_name, build_style, build_word, build_words, commit_name,
    ref_name, state_word, time,
};
use crate::model::Timestamp;
use crate::status::{BuildState, BuildView, HoldView, KeyView, LaneView, by};

/// The columns that the overview fills if the terminal's width is unknown, as long as names are short.
pub(in crate::cli) const COLUMNS: usize = 80;
/// A longer image name gets its own line.
const IMAGE_COLUMNS_MAX: usize = 26;
/// `running`, `waiting`, `blocked`.
const STATE_COLUMNS: usize = 7;
/// `cancelled? 59m ago`.
const LAST_COLUMNS: usize = 18;
/// The least width left for the NOW column.
const NOW_COLUMNS_MIN: usize = 20;
const GAP_COLUMNS: usize = 2;
/// `last build:`, in the picture of one image.
const LABEL_COLUMNS: usize = 11;
/// The keys of one image that the overview shows; `status IMAGE` shows all.
const KEYS_SHOWN: usize = 3;

/// The one word for an image's state. What needs a person comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    Blocked,
    Paused,
    Running,
    Queued,
    /// Something is open and was pushed a moment ago.
    Quiet,
    /// Something is open and due, and waits for something other than quiet.
    Waiting,
    Idle,
}

impl LaneState {
    fn of(lane: &LaneView, now: Timestamp) -> Self {
        let is_due = |key: &KeyView| {
            let due = key.due.as_deref().and_then(|due| due.parse::<Timestamp>().ok());
            due.is_some_and(|due| due <= now)
        };
        let foreign_runs = lane.foreign.iter().any(|build| build.state == BuildState::Running);
        if lane.blocked.is_some() {
            Self::Blocked
        } else if lane.held.is_some() {
            Self::Paused
        } else if lane.running.is_some() || foreign_runs {
            Self::Running
        } else if lane.queued.is_some() || !lane.foreign.is_empty() {
            Self::Queued
        } else if open_keys(lane).next().is_none() {
            Self::Idle
        } else if open_keys(lane).any(is_due) {
            Self::Waiting
        } else {
            Self::Quiet
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Quiet => "quiet",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Blocked => BAD,
            Self::Paused => HELD,
            Self::Running | Self::Queued => BUSY,
            Self::Quiet | Self::Waiting => Style::new(),
            Self::Idle => FAINT,
        }
    }
}

/// All images: the state of each, what runs and waits and why, and the last build.
pub(in crate::cli) fn overview(lanes: &[LaneView], now: Timestamp, paint: Paint, columns: usize) -> String {
    if lanes.is_empty() {
        return "no image is configured\n".to_owned();
    }
    let names = lanes.iter().map(|lane| width(lane.image.as_str()));
    let image_columns = names.filter(|&name| name <= IMAGE_COLUMNS_MAX).max().unwrap_or(0).max(width("IMAGE"));
    let fixed = image_columns + STATE_COLUMNS + LAST_COLUMNS + 3 * GAP_COLUMNS;
    if columns < fixed + NOW_COLUMNS_MIN {
        return lanes.iter().map(|lane| stacked(lane, now, paint, columns)).collect();
    }
    let columns = [image_columns, STATE_COLUMNS, columns - fixed];
    let mut text = row(columns, ["IMAGE", "STATE", "NOW", "LAST BUILD"], [HEADING; 4], paint);
    for lane in lanes {
        text.push_str(&lane_entries(lane, columns, now, paint));
    }
    text
}

/// One image below the other, if the terminal is too narrow for a table.
fn stacked(lane: &LaneView, now: Timestamp, paint: Paint, columns: usize) -> String {
    const INDENT: usize = 2;
    let state = LaneState::of(lane, now);
    let heading = format!("{}: {}", lane.image, paint.on(state.style(), state.word()));
    let last = lane.last_build.as_ref().map(|build| format!("last build: {}", last_build(build, now)));
    let facts = facts(lane, now).into_iter().chain(last);
    let lines = facts.flat_map(|fact| wrap(&fact, columns.saturating_sub(INDENT)));
    let indented = lines.map(|line| format!("{}{line}", padded("", INDENT)));
    std::iter::once(heading).chain(indented).map(|line| line + "\n").collect()
}

fn lane_entries(lane: &LaneView, columns: [usize; 3], now: Timestamp, paint: Paint) -> String {
    let state = LaneState::of(lane, now);
    let facts = facts(lane, now);
    let lines: Vec<String> = facts.iter().flat_map(|fact| wrap(fact, columns[2])).collect();
    let last = lane.last_build.as_ref();
    let last_text = last.map(|build| last_build(build, now)).unwrap_or_default();
    let styles = [Style::new(), state.style(), Style::new(), last.map_or(Style::new(), build_style)];
    let mut text = String::new();
    let mut image = lane.image.as_str();
    if width(image) > columns[0] {
        text.push_str(image);
        text.push('\n');
        image = "";
    }
    let first = lines.first().map_or("-", String::as_str);
    text.push_str(&row(columns, [image, state.word(), first, &last_text], styles, paint));
    for line in lines.iter().skip(1) {
        text.push_str(&row(columns, ["", "", line, ""], styles, paint));
    }
    text
}

/// One line: three padded columns, and the last as it is.
fn row(columns: [usize; 3], cells: [&str; 4], styles: [Style; 4], paint: Paint) -> String {
    let mut line = String::new();
    let filled = cells.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    for column in 0..filled {
        let blanks = columns[column].saturating_sub(width(cells[column])) + GAP_COLUMNS;
        line.push_str(&paint.on(styles[column], cells[column]));
        line.push_str(&padded("", blanks));
    }
    line.push_str(&paint.on(styles[filled], cells[filled]));
    line.push('\n');
    line
}

fn last_build(build: &BuildView, now: Timestamp) -> String {
    match &build.finished_at {
        // A mark for "(assumed)", as the column is too narrow for the word; `status IMAGE` and `builds` spell it out.
        Some(ended) if build.assumed => format!("{}? {}", build_word(build), time::ago(now, ended)),
        Some(ended) => format!("{} {}", build_word(build), time::ago(now, ended)),
        None => build_word(build).to_owned(),
    }
}

/// The lane's current situation, one sentence each.
fn facts(lane: &LaneView, now: Timestamp) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(lane.blocked.as_deref().map(plain));
    facts.extend(lane.held.as_ref().map(|hold| hold_text(hold, |at| time::clock(now, at))));
    facts.extend(live_builds(lane).map(|build| live_build(build, now)));
    facts.extend(open_keys(lane).take(KEYS_SHOWN).map(|key| key_text(key, lane)));
    let more = open_keys(lane).skip(KEYS_SHOWN).count();
    if more > 0 {
        facts.push(format!("and {more} more"));
    }
    facts
}

fn open_keys(lane: &LaneView) -> impl Iterator<Item = &KeyView> {
    lane.keys.iter().filter(|key| key.open > 0)
}

fn live_builds(lane: &LaneView) -> impl Iterator<Item = &BuildView> {
    lane.running.iter().chain(&lane.queued).chain(&lane.foreign)
}

/// `paused from the command line until 12:00:00 UTC: moving house`
fn hold_text(hold: &HoldView, until: impl Fn(&str) -> String) -> String {
    let all = if hold.all_images { "all images are " } else { "" };
    let reason = hold.reason.as_deref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
    let until = hold.until.as_deref().map(|at| format!(" until {}", until(at))).unwrap_or_default();
    format!("{all}paused {}{until}{reason}", by(&plain(&hold.actor)))
}

fn live_build(build: &BuildView, now: Timestamp) -> String {
    let name = build_name(build);
    let lasting = |since: &Option<String>| match since {
        Some(since) => format!(" for {}", time::about(time::since(now, since))),
        None => String::new(),
    };
    let mark = assumed_mark(build.assumed);
    match build.state {
        BuildState::Triggering => format!("starting {name}"),
        BuildState::Uncertain => format!("not sure whether {name} was triggered; checking"),
        BuildState::Queued => format!("{name} queued{}", lasting(&build.triggered_at)),
        BuildState::Running => format!("{name} running{}{mark}", lasting(&build.started_at)),
        BuildState::Finished => format!("{name} ended"),
    }
}

fn key_text(key: &KeyView, lane: &LaneView) -> String {
    let (name, events) = (ref_name(&key.git_ref), count(key.open, "event"));
    // The image's pause is reported already.
    if lane.held.is_some() {
        return format!("{name}: {events} waiting");
    }
    format!("{name}, {events}: {}", plain(&key.why))
}

/// The line written when something changed: no word of it changes with the mere passing of time.
pub(in crate::cli) fn change_line(lane: &LaneView, now: Timestamp) -> String {
    let state = LaneState::of(lane, now);
    // A pause's sentence begins with the same word.
    let mut parts: Vec<String> = Vec::new();
    if state != LaneState::Paused {
        parts.push(state.word().to_owned());
    }
    parts.extend(lane.blocked.as_deref().map(plain));
    parts.extend(lane.held.as_ref().map(|hold| hold_text(hold, time::date_and_clock)));
    parts.extend(live_builds(lane).map(|build| format!("{} {}", build_name(build), build_words(build))));
    parts.extend(
        open_keys(lane).map(|key| format!("{} waiting on {}", count(key.open, "event"), ref_name(&key.git_ref))),
    );
    parts.extend(lane.last_build.iter().map(|build| format!("last build {}: {}", build.id, build_words(build))));
    format!("{}: {}", lane.image, parts.join("; "))
}

/// Everything about one image.
pub(in crate::cli) fn detail(lane: &LaneView, now: Timestamp, paint: Paint, columns: Option<usize>) -> String {
    let state = LaneState::of(lane, now);
    let mut lines = vec![format!("{}: {}", lane.image, paint.on(state.style(), state.word()))];
    let mut say = |label: &str, text: String| {
        let label = padded(&format!("{label}:"), LABEL_COLUMNS);
        lines.extend(hanging(&format!("  {label} "), &text, columns));
    };
    if let Some(blocked) = &lane.blocked {
        say("blocked", plain(blocked));
    }
    if let Some(hold) = &lane.held {
        let text = hold_text(hold, |at| time::clock(now, at));
        let text = text.strip_prefix("paused ").unwrap_or(&text);
        say("paused", format!("{text}; since {}", time::moment(now, &hold.since)));
    }
    // By state, not by place: two may run at once.
    for build in lane.running.iter().chain(&lane.queued) {
        say(state_word(build.state), build_text(build, now, paint));
    }
    if let Some(build) = &lane.last_build {
        say("last build", build_text(build, now, paint));
    }
    for build in &lane.foreign {
        say("foreign", build_text(build, now, paint));
    }
    if let Some(since) = &lane.behind_since {
        say("behind", format!("pushes since {} are not in the image yet", time::moment(now, since)));
    }
    if lane.blind {
        say("no login", "start and end of builds are estimated".to_owned());
    }
    for key in &lane.keys {
        lines.extend(hanging("  ", &key_line(key, now), columns));
        if !key.why.is_empty() && lane.held.is_none() {
            lines.extend(hanging("    ", &plain(&key.why), columns));
        }
    }
    lines.join("\n") + "\n"
}

/// The text after its label, wrapped to the terminal's width and aligned with the first word.
fn hanging(head: &str, text: &str, columns: Option<usize>) -> Vec<String> {
    let indent = width(head);
    let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(indent).max(NOW_COLUMNS_MIN));
    let lines = wrap(text, room).into_iter().enumerate();
    lines
        .map(|(index, line)| format!("{}{line}", if index == 0 { head.to_owned() } else { padded("", indent) }))
        .collect()
}

fn key_line(key: &KeyView, now: Timestamp) -> String {
    let name = ref_name(&key.git_ref);
    if key.open == 0 {
        return format!("{name}: nothing waiting");
    }
    let since = key.first_open_at.as_deref().map(|at| format!(", the first since {}", time::moment(now, at)));
    format!("{name}: {} waiting{}", count(key.open, "event"), since.unwrap_or_default())
}

fn build_text(build: &BuildView, now: Timestamp, paint: Paint) -> String {
    let mut parts = vec![build_name(build)];
    parts.extend(build.commit.as_ref().map(|commit| format!("commit {}", commit_name(commit))));
    parts.push(paint.on(build_style(build), &build_words(build)));
    let moments = [("triggered", &build.triggered_at), ("started", &build.started_at), ("ended", &build.finished_at)];
    // The latest of them says where it is now.
    if let Some((word, Some(at))) = moments.iter().rev().find(|(_, at)| at.is_some()) {
        parts.push(format!("{word} {}", time::moment(now, at)));
    }
    parts.push(count(build.events_total, "event"));
    parts.extend(build.note.as_deref().map(plain));
    parts.join(", ")
}

#[cfg(test)]
mod tests;
