//! Many pushes become few builds, and the last push is in one of them, as the Hub itself shows.

use coalesced::emulator::{HubSettings, Mode, TakesTip};

use crate::daemon::{Push, Stage, builds_take, quiet};

const PUSHES: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_a_classic_hub_that_takes_the_tip_when_triggered() {
    burst(Mode::Classic, TakesTip::WhenTriggered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_a_classic_hub_that_takes_the_tip_when_started() {
    burst(Mode::Classic, TakesTip::WhenStarted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_a_current_hub_that_takes_the_tip_when_triggered() {
    burst(Mode::Current, TakesTip::WhenTriggered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_a_current_hub_that_takes_the_tip_when_started() {
    burst(Mode::Current, TakesTip::WhenStarted).await;
}

async fn burst(mode: Mode, takes_tip: TakesTip) {
    let stage = Stage::set(HubSettings { mode, takes_tip, ..builds_take(400) }, quiet("1s")).await;
    for number in 1..=PUSHES {
        stage.push(&Push::to_branch("master", number)).await;
    }
    stage.daemon.until_at_rest().await;
    let builds = stage.builds();
    assert!((1..=2).contains(&builds.len()), "{builds:#?}");
    assert!(stage.has_built(&Push::to_branch("master", PUSHES).after), "{builds:#?}");
    let counters = stage.hub.counters();
    assert!(counters.most_queued <= 1 && counters.most_running <= 1, "{counters:?}");
    assert_eq!((counters.ignored, counters.discarded), (0, 0), "{counters:?}");
    let (_, events) = stage.daemon.get("/v1/events?limit=1000").await;
    let events = events.as_array().expect("a list");
    assert_eq!(events.len(), PUSHES as usize);
    assert!(events.iter().all(|event| event["state"] == "built"), "{events:#?}");
}

/// Builds go on while pushes come: one runs, one waits, never more, and the newest push ends in a build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_without_a_pause_never_fill_more_than_both_places() {
    for takes_tip in [TakesTip::WhenTriggered, TakesTip::WhenStarted] {
        let stage = Stage::set(HubSettings { takes_tip, ..builds_take(700) }, quiet("0s")).await;
        for number in 1..=PUSHES {
            stage.push(&Push::to_branch("master", number)).await;
            if number % 10 == 0 {
                stage.until_triggered(u64::from(number / 10).min(2)).await;
            }
        }
        stage.daemon.until_at_rest().await;
        let counters = stage.hub.counters();
        assert!(counters.most_queued <= 1 && counters.most_running <= 1, "{counters:?}");
        assert_eq!(counters.ignored, 0, "{counters:?}");
        assert!(stage.builds().len() < PUSHES as usize / 2, "{:#?}", stage.builds());
        assert!(stage.has_built(&Push::to_branch("master", PUSHES).after), "{:#?}", stage.builds());
    }
}
