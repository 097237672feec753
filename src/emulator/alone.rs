//! What Docker Hub alone would have made of a series of pushes, each of which calls the trigger.

use std::collections::BTreeMap;

use super::hub::{Hub, HubSettings, Reply, Wanted};
use crate::model::{CommitId, GitRef, ImageName, Timestamp};

/// What became of the pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AloneReport {
    pub triggers: u64,
    /// Triggers that were answered OK but made no build.
    pub ignored: u64,
    pub builds: u64,
    /// How often the last push of a burst was never built: all builds had ended, and none of them contained the ref's
    /// newest commit.
    pub last_push_lost: u64,
    /// Whether the very last push was built.
    pub last_push_built: bool,
}

/// Plays `pushes`, oldest first, against its own Docker Hub.
pub fn alone(settings: &HubSettings, image: &ImageName, pushes: &[(Timestamp, GitRef, CommitId)]) -> AloneReport {
    let mut hub = Hub::new(settings.clone());
    hub.register(image.clone());
    let mut report = AloneReport::default();
    for (index, (at, git_ref, commit)) in pushes.iter().enumerate() {
        hub.push(*at, image, git_ref, commit.clone());
        let reply = hub.trigger(*at, image, &Wanted::Ref(git_ref.clone()));
        debug_assert_eq!(reply, Reply::Ok, "nothing goes wrong here but what always does");
        let until = pushes.get(index + 1).map(|(next, ..)| *next);
        if comes_to_rest(&mut hub, until) {
            report.last_push_lost += stale_refs(&hub, image, &pushes[..=index]);
        }
    }
    let counters = hub.counters();
    report.triggers = counters.triggers;
    report.ignored = counters.ignored + counters.discarded;
    let builds = hub.true_builds(image);
    report.builds = builds.len() as u64;
    report.last_push_built =
        pushes.last().is_none_or(|(_, _, commit)| builds.iter().any(|build| build.commit.as_ref() == Some(commit)));
    report
}

/// Runs builds until none is left; false if the next push comes first.
fn comes_to_rest(hub: &mut Hub, until: Option<Timestamp>) -> bool {
    while let Some(next) = hub.next_event() {
        if until.is_some_and(|until| next >= until) {
            return false;
        }
        hub.advance(next);
    }
    true
}

/// How many of the pushed refs have a newest commit that no build contains, counted once per such commit.
fn stale_refs(hub: &Hub, image: &ImageName, pushes: &[(Timestamp, GitRef, CommitId)]) -> u64 {
    let newest: BTreeMap<&GitRef, &CommitId> = pushes.iter().map(|(_, git_ref, commit)| (git_ref, commit)).collect();
    let last = pushes.last().map(|(_, git_ref, _)| git_ref);
    let builds = hub.true_builds(image);
    let is_stale = |(git_ref, commit): &(&GitRef, &CommitId)| {
        // Only the ref of the newest push: others were counted when their own burst came to rest.
        Some(*git_ref) == last && !builds.iter().any(|build| build.commit.as_ref() == Some(commit))
    };
    newest.into_iter().filter(is_stale).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::TakesTip;

    fn pushes(seconds: &[i64]) -> Vec<(Timestamp, GitRef, CommitId)> {
        let push = |(index, second): (usize, &i64)| {
            let commit = format!("{index:040x}").parse().expect("a commit");
            (Timestamp::from_millis(second * 1000), GitRef::branch("master").expect("a branch"), commit)
        };
        seconds.iter().enumerate().map(push).collect()
    }

    #[test]
    fn a_burst_of_four_loses_its_last_push_and_a_later_push_heals_nothing_of_it() {
        let image: ImageName = "acme/web".parse().expect("an image");
        let settings = HubSettings { takes_tip: TakesTip::WhenTriggered, ..HubSettings::default() };
        let report = alone(&settings, &image, &pushes(&[0, 60, 120, 180, 100_000]));
        assert_eq!((report.triggers, report.ignored, report.builds), (5, 2, 3));
        assert_eq!((report.last_push_lost, report.last_push_built), (1, true));
    }

    #[test]
    fn a_service_that_takes_the_tip_at_the_start_loses_nothing_by_ignoring() {
        let image: ImageName = "acme/web".parse().expect("an image");
        let report = alone(&HubSettings::default(), &image, &pushes(&[0, 60, 120, 180]));
        assert_eq!((report.ignored, report.last_push_lost), (2, 0));
    }
}
