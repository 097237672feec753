//! The demo's result: counted at the emulated Docker Hub, next to what that would have done alone.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::trace::Happening;
use crate::emulator::{AloneReport, Counters, TrueBuild};
use crate::model::CommitId;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    events: u64,
    pushes: u64,
    triggers: u64,
    triggers_ignored: u64,
    builds: u64,
    events_folded: u64,
    /// Pushes that are in no image, neither by themselves nor through a later push.
    pushes_lost: u64,
    last_push_built: bool,
    most_running: usize,
    most_queued: usize,
    docker_hub_alone: AloneReport,
    seconds: f64,
}

impl Outcome {
    pub(super) fn new(
        happenings: &[Happening],
        truth: &[TrueBuild],
        counters: Counters,
        alone: AloneReport,
        took: Duration,
    ) -> Self {
        let commits: Vec<&CommitId> = happenings.iter().filter_map(Happening::commit).collect();
        // A commit contains all that were pushed before it.
        let newest_in_an_image = truth
            .iter()
            .filter(|build| build.pushed)
            .filter_map(|build| commits.iter().rposition(|commit| build.commit.as_ref() == Some(*commit)))
            .max();
        let held = newest_in_an_image.map_or(0, |newest| newest + 1);
        let events = happenings.len() as u64;
        let builds = truth.len() as u64;
        Self {
            events,
            pushes: commits.len() as u64,
            triggers: counters.triggers,
            triggers_ignored: counters.ignored,
            builds,
            events_folded: events.saturating_sub(builds),
            pushes_lost: (commits.len() - held) as u64,
            last_push_built: held == commits.len(),
            most_running: counters.most_running,
            most_queued: counters.most_queued,
            docker_hub_alone: alone,
            seconds: took.as_secs_f64(),
        }
    }

    pub(super) fn nothing_is_lost(&self) -> bool {
        self.pushes_lost == 0 && self.last_push_built && self.triggers_ignored == 0
    }

    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain numbers have a JSON form");
        text.push('\n');
        text
    }

    pub(super) fn to_text(&self) -> String {
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let number = |number: u64| number.to_string();
        let alone = &self.docker_hub_alone;
        let rows = [
            ("pushes and button presses", number(self.events), number(self.events)),
            ("triggers sent to Docker Hub", number(self.triggers), number(alone.triggers)),
            ("triggers ignored by Docker Hub", number(self.triggers_ignored), number(alone.ignored)),
            ("builds run", number(self.builds), number(alone.builds)),
            ("events that shared a build", number(self.events_folded), "-".to_owned()),
            (
                "most builds running / queued",
                format!("{} / {}", self.most_running, self.most_queued),
                "1 / 1".to_owned(),
            ),
            (
                "bursts whose last push was never built",
                number(u64::from(self.pushes_lost > 0)),
                number(alone.last_push_lost),
            ),
            ("the very last push was built", yes(self.last_push_built), yes(alone.last_push_built)),
        ];
        let mut text = format!("\n{:<38}{:>10}{:>20}\n", "", "coalesced", "Docker Hub alone");
        for (what, ours, theirs) in rows {
            writeln!(text, "{what:<38}{ours:>10}{theirs:>20}").expect("a String takes all");
        }
        writeln!(text, "\npushes lost: {}   ({:.0} s)", self.pushes_lost, self.seconds).expect("a String takes all");
        text
    }
}
