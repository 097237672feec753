//! Lanes: the overview of all images, one image in detail, and the line that tells of a change.

use clap::builder::styling::Style;

use super::super::terminal::Paint;
use super::text::{count, padded, plain, width, wrap};
use super::{BAD, BUSY, FAINT, HEADING, HELD, build_name, build_style, build_word, commit_name, ref_name, time};
use crate::model::Timestamp;
use crate::status::{BuildState, BuildView, HoldView, KeyView, LaneView};

/// The columns that the overview fills at most, as long as names are short.
const COLUMNS: usize = 80;
/// A longer name of an image gets a line of its own.
const IMAGE_COLUMNS_MAX: usize = 26;
/// `running`, `waiting`, `blocked`.
const STATE_COLUMNS: usize = 7;
/// `cancelled 59 m ago`.
const LAST_COLUMNS: usize = 18;
/// The least that is left for what happens now.
const NOW_COLUMNS_MIN: usize = 20;
const GAP_COLUMNS: usize = 2;
/// The keys of one image that the overview shows; `status IMAGE` shows all.
const KEYS_SHOWN: usize = 3;

/// The one word for how an image stands. What needs a person comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    Blocked,
    Paused,
    Running,
    Queued,
    /// Something is open and was pushed a moment ago.
    Quiet,
    /// Something is open and due, and waits for something else than quiet.
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

/// All images: how each stands, what runs and waits and why, and the last build.
pub(in crate::cli) fn overview(lanes: &[LaneView], now: Timestamp, paint: Paint) -> String {
    if lanes.is_empty() {
        return "no image is configured\n".to_owned();
    }
    let names = lanes.iter().map(|lane| width(lane.image.as_str()));
    let image_columns = names.filter(|&name| name <= IMAGE_COLUMNS_MAX).max().unwrap_or(0).max(width("IMAGE"));
    let fixed = image_columns + STATE_COLUMNS + LAST_COLUMNS + 3 * GAP_COLUMNS;
    let now_columns = COLUMNS.saturating_sub(fixed).max(NOW_COLUMNS_MIN);
    let columns = [image_columns, STATE_COLUMNS, now_columns];
    let mut text = row(columns, ["IMAGE", "STATE", "NOW", "LAST BUILD"], [HEADING; 4], paint);
    for lane in lanes {
        text.push_str(&lane_rows(lane, columns, now, paint));
    }
    text
}

fn lane_rows(lane: &LaneView, columns: [usize; 3], now: Timestamp, paint: Paint) -> String {
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

/// One line: three columns that are filled up, and the last as it is.
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
        Some(finished_at) => format!("{} {}", build_word(build), time::ago(now, finished_at)),
        None => build_word(build).to_owned(),
    }
}

/// What is to be said of the lane as it is now, a sentence each.
fn facts(lane: &LaneView, now: Timestamp) -> Vec<String> {
    let mut facts = Vec::new();
    facts.extend(lane.blocked.as_deref().map(plain));
    facts.extend(lane.held.as_ref().map(|hold| hold_text(hold, now)));
    facts.extend(live_builds(lane).map(|build| live_build(build, now)));
    facts.extend(open_keys(lane).take(KEYS_SHOWN).map(key_text));
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

fn hold_text(hold: &HoldView, now: Timestamp) -> String {
    let all = if hold.all_images { "all images " } else { "" };
    let reason = hold.hold.reason.as_deref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
    let until = hold.hold.until.map(|until| format!(", until {}", time::short(now, &until.to_string())));
    format!("{all}paused by {}{reason}{}", plain(&hold.hold.actor), until.unwrap_or_default())
}

fn live_build(build: &BuildView, now: Timestamp) -> String {
    let name = build_name(build);
    let lasting = |since: &Option<String>| match since {
        Some(since) => format!(" for {}", time::about(time::since(now, since))),
        None => String::new(),
    };
    match build.state {
        BuildState::Triggering => format!("{name} is being triggered"),
        BuildState::Uncertain => format!("{name} may have been triggered: asking"),
        BuildState::Queued => format!("{name} queued{}", lasting(&build.triggered_at)),
        BuildState::Running => format!("{name} runs{}", lasting(&build.started_at)),
        BuildState::Finished => format!("{name} ended"),
    }
}

fn key_text(key: &KeyView) -> String {
    format!("{}, {}: {}", ref_name(&key.git_ref), count(key.open, "event"), plain(&key.why))
}

/// The line that is written when something changed: no word of it changes by the mere passing of time.
pub(in crate::cli) fn change_line(lane: &LaneView, now: Timestamp) -> String {
    let mut parts = vec![LaneState::of(lane, now).word().to_owned()];
    parts.extend(lane.blocked.as_deref().map(plain));
    if let Some(hold) = &lane.held {
        let until = hold.hold.until.map(|until| format!(" until {}", time::date_and_clock(&until.to_string())));
        let reason = hold.hold.reason.as_deref().map(|reason| format!(": {}", plain(reason)));
        let actor = plain(&hold.hold.actor);
        parts.push(format!("held by {actor}{}{}", until.unwrap_or_default(), reason.unwrap_or_default()));
    }
    parts.extend(live_builds(lane).map(|build| format!("{} {}", build_name(build), build_word(build))));
    parts.extend(open_keys(lane).map(|key| format!("{} open on {}", count(key.open, "event"), ref_name(&key.git_ref))));
    parts.extend(lane.last_build.iter().map(|build| format!("last build {} {}", build.id, build_word(build))));
    format!("{}: {}", lane.image, parts.join("; "))
}

/// Everything about one image.
pub(in crate::cli) fn detail(lane: &LaneView, now: Timestamp, paint: Paint) -> String {
    let state = LaneState::of(lane, now);
    let mut lines = vec![format!("{}: {}", lane.image, paint.on(state.style(), state.word()))];
    let mut say = |label: &str, text: String| lines.push(format!("  {:<11} {text}", format!("{label}:")));
    if let Some(blocked) = &lane.blocked {
        say("blocked", plain(blocked));
    }
    if let Some(hold) = &lane.held {
        let since = time::moment(now, &hold.hold.since.to_string());
        say("paused", format!("{}; since {since}", hold_text(hold, now)));
    }
    for (label, build) in [("running", &lane.running), ("queued", &lane.queued), ("last build", &lane.last_build)] {
        if let Some(build) = build {
            say(label, build_text(build, now, paint));
        }
    }
    for build in &lane.foreign {
        say("foreign", build_text(build, now, paint));
    }
    if let Some(since) = &lane.behind_since {
        say("behind", format!("the image lacks what was pushed since {}", time::moment(now, since)));
    }
    if lane.blind {
        say("blind", "the back-end can't be asked: starts and ends are assumed".to_owned());
    }
    for key in &lane.keys {
        lines.push(format!("  {}", key_line(key, now)));
        if !key.why.is_empty() {
            lines.push(format!("    {}", plain(&key.why)));
        }
    }
    lines.join("\n") + "\n"
}

fn key_line(key: &KeyView, now: Timestamp) -> String {
    if key.open == 0 {
        return format!("{}: nothing open", key.git_ref);
    }
    let since = key.first_open_at.as_deref().map(|at| format!(", the first since {}", time::moment(now, at)));
    let due = key.due.as_deref().map(|due| format!(", due {}", time::moment(now, due)));
    let open = count(key.open, "open event");
    format!("{}: {open}{}{}", key.git_ref, since.unwrap_or_default(), due.unwrap_or_default())
}

fn build_text(build: &BuildView, now: Timestamp, paint: Paint) -> String {
    let mut parts = vec![build_name(build)];
    parts.extend(build.commit.as_ref().map(|commit| format!("commit {}", commit_name(commit))));
    parts.push(paint.on(build_style(build), build_word(build)));
    let moments = [("triggered", &build.triggered_at), ("started", &build.started_at), ("ended", &build.finished_at)];
    // The latest of them is the one that tells where it stands.
    if let Some((word, Some(at))) = moments.iter().rev().find(|(_, at)| at.is_some()) {
        parts.push(format!("{word} {}", time::moment(now, at)));
    }
    parts.push(count(build.events_total, "event"));
    parts.extend(build.note.as_deref().map(plain));
    parts.join(", ")
}

#[cfg(test)]
mod tests;
