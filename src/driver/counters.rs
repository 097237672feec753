//! What the driver has counted since the start.
//!
//! Bounded: one series per image, source and state, all of which the configuration names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::build::{BuildState, Outcome, TriggerAnswer};
use crate::event::{Event, Verdict};
use crate::model::ImageName;
use crate::scheduler::record::Changes;

/// Cheap to clone: every clone counts into the same numbers.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    events: Family<EventLabels, Counter>,
    builds: Family<BuildLabels, Counter>,
    saved: Family<ImageLabel, Counter>,
    triggers: Family<TriggerLabels, Counter>,
    commit_seconds: Histogram,
    commit_batch: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    /// Empty for an event without an image.
    image: String,
    source: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    image: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ImageLabel {
    image: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TriggerLabels {
    image: String,
    class: &'static str,
}

/// Upper bounds, in seconds.
const COMMIT_SECONDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];
/// Upper bounds, in events.
const COMMIT_BATCH: [f64; 10] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1_024.0];

impl Counters {
    /// The registry appends `_total` to a counter's name and a full stop to its help text.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let counters = Self {
            events: Family::default(),
            builds: Family::default(),
            saved: Family::default(),
            triggers: Family::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commit_batch: Histogram::new(COMMIT_BATCH),
        };
        let Self { events, builds, saved, triggers, commit_seconds, commit_batch } = counters.clone();
        registry.register("coalesced_events", "Events accepted, by what was decided when they came", events);
        registry.register("coalesced_builds", "Builds that ended, ours and others'", builds);
        registry.register("coalesced_builds_saved", "Events folded into a build with others", saved);
        registry.register("coalesced_trigger_calls", "Trigger calls, by what their answer meant", triggers);
        registry.register("coalesced_commit_seconds", "How long a step took to be on disk", commit_seconds);
        registry.register("coalesced_commit_batch", "How many events were written with one flush", commit_batch);
        counters
    }

    /// Counts a step that was written, and how long that took.
    pub(super) fn count(&self, changes: &Changes, took: Option<Duration>) {
        if let Some(took) = took {
            self.commit_seconds.observe(took.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "a histogram's value")]
            self.commit_batch.observe(changes.events.len() as f64);
        }
        for event in &changes.events {
            let image = event.image.as_ref().map(ToString::to_string).unwrap_or_default();
            let labels = EventLabels { image, source: event.cause.source.clone(), state: state_of(event) };
            self.events.get_or_create(&labels).inc();
        }
        for build in changes.builds.values().filter(|build| build.state == BuildState::Finished) {
            let image = build.image.to_string();
            if build.started_at.is_some() && build.events > 1 {
                self.saved.get_or_create(&ImageLabel { image: image.clone() }).inc_by(build.events - 1);
            }
            let outcome = build.outcome.unwrap_or(Outcome::Lost).name();
            self.builds.get_or_create(&BuildLabels { image, outcome }).inc();
        }
    }

    pub(super) fn count_trigger(&self, image: &ImageName, answer: &TriggerAnswer) {
        let class = match answer {
            TriggerAnswer::Accepted { .. } => "accepted",
            TriggerAnswer::AlreadyPending { .. } => "already_pending",
            TriggerAnswer::Uncertain { .. } => "uncertain",
            TriggerAnswer::RefusedForNow { .. } => "refused_for_now",
            TriggerAnswer::Refused { .. } => "refused",
        };
        self.triggers.get_or_create(&TriggerLabels { image: image.to_string(), class }).inc();
    }
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
