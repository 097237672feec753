//! What the driver counts, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::build::{BuildState, TriggerAnswer};
use crate::event::{Event, Verdict};
use crate::journal::Vitals;
use crate::model::{ImageName, Timestamp};
use crate::scheduler::record::Changes;
use crate::status::Picture;
use crate::telemetry::histogram::Histogram;

/// Counts since the start. Bounded: one series an image, source and state.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    /// By image, source and state.
    events: BTreeMap<Option<ImageName>, BTreeMap<String, BTreeMap<&'static str, u64>>>,
    builds: BTreeMap<(ImageName, &'static str), u64>,
    saved: BTreeMap<ImageName, u64>,
    triggers: BTreeMap<(ImageName, &'static str), u64>,
    commit_seconds: Histogram<{ COMMIT_SECONDS.len() }>,
    commit_batch: Histogram<{ COMMIT_BATCH.len() }>,
}

/// Upper bounds, in seconds.
const COMMIT_SECONDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];
/// Upper bounds, in events.
const COMMIT_BATCH: [f64; 10] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1_024.0];

impl Default for Counters {
    fn default() -> Self {
        Self {
            events: BTreeMap::new(),
            builds: BTreeMap::new(),
            saved: BTreeMap::new(),
            triggers: BTreeMap::new(),
            commit_seconds: Histogram::new(&COMMIT_SECONDS),
            commit_batch: Histogram::new(&COMMIT_BATCH),
        }
    }
}

impl Counters {
    /// A step that was written, and how long that took.
    pub(super) fn count(&mut self, changes: &Changes, took: Option<Duration>) {
        if let Some(took) = took {
            self.commit_seconds.add(took.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "a histogram's value")]
            self.commit_batch.add(changes.events.len() as f64);
        }
        for event in &changes.events {
            let sources = self.events.entry(event.image.clone()).or_default();
            let source = &event.cause.source;
            // Looked up first: a text is made for a new source only.
            if !sources.contains_key(source) {
                sources.insert(source.clone(), BTreeMap::new());
            }
            if let Some(states) = sources.get_mut(source) {
                *states.entry(state_of(event)).or_default() += 1;
            }
        }
        for build in changes.builds.values().filter(|build| build.state == BuildState::Finished) {
            let outcome = match build.outcome {
                Some(crate::build::Outcome::Success) => "success",
                Some(crate::build::Outcome::Failure) => "failure",
                Some(crate::build::Outcome::Cancelled) => "cancelled",
                Some(crate::build::Outcome::NotStarted) => "not_started",
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
        for (image, sources) in &self.events {
            let image = image.as_ref().map_or("", ImageName::as_str);
            for (source, states) in sources {
                let source = escape(source);
                for (state, n) in states {
                    let labels = format_args!("image=\"{image}\",source=\"{source}\",state=\"{state}\"");
                    line(&mut text, format_args!("coalesced_events_total{{{labels}}} {n}"));
                }
            }
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
        head(&mut text, "coalesced_commit_seconds", "histogram", "How long a step took to be on disk.");
        self.commit_seconds.write("coalesced_commit_seconds", "", &mut text);
        head(&mut text, "coalesced_commit_batch", "histogram", "How many events were written with one flush.");
        self.commit_batch.write("coalesced_commit_batch", "", &mut text);
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
