//! How an emulated Docker Hub behaves: its plan, its delays, and what it leaves out of its answers.

use std::time::Duration;

/// How this Docker Hub behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    pub mode: Mode,
    pub build_time: Duration,
    /// How many builds run at once, over all images: 5 or 15 depending on the plan.
    pub concurrent_builds: usize,
    pub takes_tip: TakesTip,
    /// How long after a trigger its build appears in the list.
    pub visible_after: Duration,
    /// Listed builds don't say when they started.
    pub withholds_starts: bool,
    /// Listed builds don't say what they built.
    pub withholds_commits: bool,
    /// Current mode: triggers beyond this are discarded.
    pub pending_max: usize,
    /// … and appear as failed builds at once, as seen in 2018, instead of not at all.
    pub discards_show_as_failed: bool,
    /// How long a cancelled build stays "Canceling" and keeps its slot.
    pub cancel_sticks_for: Duration,
    /// A build cancelled while running still pushes its image.
    pub cancelled_builds_push: bool,
    /// When the service ends a build by itself, and calls it cancelled.
    pub time_limit: Duration,
    /// The list contains entries other than builds between the builds.
    pub lists_other_actions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One running and one queued per image; the rest is ignored, but answered OK.
    Classic,
    /// No folding; builds of one image tag run one at a time.
    Current,
}

/// When a build takes the tip of its branch. Docker never said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesTip {
    WhenTriggered,
    WhenStarted,
    AfterStart(Duration),
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Classic,
            build_time: Duration::from_mins(5),
            concurrent_builds: 5,
            takes_tip: TakesTip::WhenStarted,
            visible_after: Duration::ZERO,
            withholds_starts: false,
            withholds_commits: false,
            pending_max: 30,
            discards_show_as_failed: false,
            cancel_sticks_for: Duration::ZERO,
            cancelled_builds_push: true,
            time_limit: Duration::from_hours(4),
            lists_other_actions: true,
        }
    }
}

impl HubSettings {
    /// The same service with all durations divided by `speed`.
    #[must_use]
    pub fn faster(&self, speed: f64) -> Self {
        let faster = |span: Duration| span.div_f64(speed.max(f64::MIN_POSITIVE));
        let takes_tip = match self.takes_tip {
            TakesTip::AfterStart(span) => TakesTip::AfterStart(faster(span)),
            other => other,
        };
        Self {
            build_time: faster(self.build_time),
            visible_after: faster(self.visible_after),
            cancel_sticks_for: faster(self.cancel_sticks_for),
            time_limit: faster(self.time_limit),
            takes_tip,
            ..self.clone()
        }
    }
}
