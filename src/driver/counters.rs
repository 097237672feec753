//! What the driver counts, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::build::{BuildState, TriggerAnswer};
use crate::event::{Event, Verdict};
use crate::journal::Vitals;
use crate::model::{ImageName, Timestamp};
use crate::scheduler::record::Changes;
use crate::status::Picture;

/// Counts since the start. Bounded: one series an image, source and state.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    events: BTreeMap<(String, String, &'static str), u64>,
    builds: BTreeMap<(ImageName, &'static str), u64>,
    saved: BTreeMap<ImageName, u64>,
    triggers: BTreeMap<(ImageName, &'static str), u64>,
}

impl Counters {
    pub(super) fn count(&mut self, changes: &Changes) {
        for event in &changes.events {
            let image = event.image.as_ref().map(ToString::to_string).unwrap_or_default();
            *self.events.entry((image, event.cause.source.clone(), state_of(event))).or_default() += 1;
        }
        for build in changes.builds.values().filter(|build| build.state == BuildState::Finished) {
            let outcome = match build.outcome {
                Some(crate::build::Outcome::Success) => "success",
                Some(crate::build::Outcome::Failure) => "failure",
                Some(crate::build::Outcome::Cancelled) => "cancelled",
                Some(crate::build::Outcome::Lost) | None => "lost",
            };
            *self.builds.entry((build.image.clone(), outcome)).or_default() += 1;
            if build.started_at.is_some() && build.events > 1 {
                *self.saved.entry(build.image.clone()).or_default() += build.events - 1;
            }
        }
    }

    pub(super) fn count_trigger(&mut self, image: &ImageName, answer: &TriggerAnswer) {
        let class = match answer {
            TriggerAnswer::Accepted { .. } => "accepted",
            TriggerAnswer::AlreadyPending { .. } => "already_pending",
            TriggerAnswer::Uncertain { .. } => "uncertain",
            TriggerAnswer::RefusedForNow { .. } => "refused_for_now",
            TriggerAnswer::Refused { .. } => "refused",
        };
        *self.triggers.entry((image.clone(), class)).or_default() += 1;
    }

    /// The text format of Prometheus, version 0.0.4.
    pub(super) fn render(&self, picture: &Picture, now: Timestamp) -> String {
        let mut text = String::new();
        head(&mut text, "coalesced_events_total", "counter", "Events accepted, by what was decided when they came.");
        for ((image, source, state), n) in &self.events {
            let (image, source) = (escape(image), escape(source));
            line(
                &mut text,
                format_args!("coalesced_events_total{{image=\"{image}\",source=\"{source}\",state=\"{state}\"}} {n}"),
            );
        }
        head(&mut text, "coalesced_builds_total", "counter", "Builds that ended, ours and others'.");
        for ((image, outcome), n) in &self.builds {
            line(&mut text, format_args!("coalesced_builds_total{{image=\"{image}\",outcome=\"{outcome}\"}} {n}"));
        }
        head(&mut text, "coalesced_builds_saved_total", "counter", "Events folded into a build with others.");
        for (image, n) in &self.saved {
            line(&mut text, format_args!("coalesced_builds_saved_total{{image=\"{image}\"}} {n}"));
        }
        head(&mut text, "coalesced_trigger_calls_total", "counter", "Trigger calls, by what their answer meant.");
        for ((image, class), n) in &self.triggers {
            line(&mut text, format_args!("coalesced_trigger_calls_total{{image=\"{image}\",class=\"{class}\"}} {n}"));
        }
        head(&mut text, "coalesced_open_events", "gauge", "Events that no build covers yet.");
        for (image, lane) in &picture.lanes {
            line(&mut text, format_args!("coalesced_open_events{{image=\"{image}\"}} {}", lane.open_events()));
        }
        head(&mut text, "coalesced_behind_seconds", "gauge", "Age of the oldest event that no ended build covers.");
        for image in picture.lanes.keys() {
            let behind = picture.behind_since(image).map_or(0.0, |since| now.since(since).as_secs_f64());
            line(&mut text, format_args!("coalesced_behind_seconds{{image=\"{image}\"}} {behind}"));
        }
        head(&mut text, "coalesced_blocked", "gauge", "1 where the back-end refuses until an operator acts.");
        for (image, lane) in &picture.lanes {
            let blocked = u8::from(lane.refusal.as_ref().is_some_and(|refusal| refusal.blocked));
            line(&mut text, format_args!("coalesced_blocked{{image=\"{image}\"}} {blocked}"));
        }
        head(&mut text, "coalesced_build_info", "gauge", "Which coalesced this is.");
        line(&mut text, format_args!("coalesced_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
        text
    }
}

/// What there is to tell of the journal.
pub(super) fn render_journal(vitals: &Vitals, text: &mut String) {
    let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.as_millis() / 1_000);
    let restored = u8::from(vitals.restored().is_some());
    head(text, "coalesced_journal_restored", "gauge", "1 where a damaged journal was replaced by an export.");
    line(text, format_args!("coalesced_journal_restored {restored}"));
    head(text, "coalesced_journal_stray_files", "gauge", "Files of the journal that are never synced; 0 is right.");
    line(text, format_args!("coalesced_journal_stray_files {}", vitals.stray_files()));
    let help = "When this process last made an export; 0 if it has not.";
    head(text, "coalesced_journal_export_timestamp_seconds", "gauge", help);
    line(text, format_args!("coalesced_journal_export_timestamp_seconds {}", seconds(vitals.exported_at())));
    head(text, "coalesced_journal_exports_failed_total", "counter", "Exports that could not be written.");
    line(text, format_args!("coalesced_journal_exports_failed_total {}", vitals.exports_failed()));
}

fn state_of(event: &Event) -> &'static str {
    match event.verdict {
        Verdict::Opened => "waiting",
        Verdict::AlreadyBuilt => "built",
        Verdict::Skipped { .. } => "skipped",
        Verdict::Ignored { .. } => "ignored",
        Verdict::RefDeleted => "ref_deleted",
        Verdict::DuplicateOf { .. } => "duplicate",
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a String takes all that is written to it");
}

/// A label's value with what the format reserves escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
