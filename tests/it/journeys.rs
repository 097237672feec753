//! Whole journeys through the real binary and an emulated Docker Hub: what a user would see, as short stories.

mod entrances;
mod operators;

use std::time::Duration;

use coalesced::build::Outcome;
use coalesced::emulator::{EmulatedHub, Fault, HubSettings, Mode, TakesTip, TrueBuild};
use coalesced::model::{CommitId, GitRef, ImageName};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::daemon::{Daemon, Push, Wanted, commit, text};

const PASSWORD: &str = "test-token-of-the-hub";

/// The emulated Docker Hub, the daemon, and the repository whose pushes reach both.
struct World {
    hub: EmulatedHub,
    daemon: Daemon,
    image: ImageName,
}

impl World {
    async fn new(settings: HubSettings) -> Self {
        Self::with(settings, |wanted| wanted).await
    }

    async fn with(settings: HubSettings, change: impl FnOnce(Wanted) -> Wanted) -> Self {
        let image: ImageName = "acme/web".parse().expect("an image");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let hub = EmulatedHub::serve(listener, settings, "acme", PASSWORD).expect("it serves");
        let wanted = Wanted {
            trigger_url: hub.register(&image).current,
            hub: hub.url().to_owned(),
            login: Some(("acme".to_owned(), PASSWORD.to_owned())),
            quiet: "300ms",
            image: "uncertain_grace = \"1s\"\nuncertain_limit = \"3s\"".to_owned(),
            log: "trace",
            ..Wanted::default()
        };
        let daemon = Daemon::start(&change(wanted)).await;
        Self { hub, daemon, image }
    }

    /// A push reaches the repository, and its webhook the daemon.
    async fn push(&self, number: u32) -> (u16, Value) {
        let push = Push::to_branch("master", number);
        self.hub.push(&self.image, &master(), commit_id(number));
        self.daemon.push(&push).await
    }

    /// The ended builds whose image holds the push with this number, or a later one.
    fn builds_holding(&self, number: u32) -> Vec<TrueBuild> {
        let later: Vec<CommitId> = (number..number + 200).map(commit_id).collect();
        let holds =
            |build: &TrueBuild| build.pushed && build.commit.as_ref().is_some_and(|built| later.contains(built));
        self.hub.true_builds(&self.image).into_iter().filter(holds).collect()
    }

    fn builds(&self) -> usize {
        self.hub.true_builds(&self.image).len()
    }
}

fn master() -> GitRef {
    GitRef::branch("master").expect("a branch")
}

fn commit_id(number: u32) -> CommitId {
    commit(number).parse().expect("a commit")
}

fn quick(mode: Mode, takes_tip: TakesTip) -> HubSettings {
    HubSettings { mode, takes_tip, build_time: Duration::from_millis(1_500), ..HubSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_pushes_make_two_builds_at_most_and_the_last_is_in_one() {
    for (mode, takes_tip) in [(Mode::Classic, TakesTip::WhenTriggered), (Mode::Current, TakesTip::WhenStarted)] {
        let world = World::with(quick(mode, takes_tip), |wanted| Wanted { quiet: "1s", ..wanted }).await;
        for number in 1..=50 {
            let (status, answer) = world.push(number).await;
            assert_eq!((status, &answer["receipts"][0]["state"]), (202, &json!("waiting")), "{answer:#}");
        }
        world.daemon.until_at_rest().await;
        assert!(world.builds() <= 2, "{mode:?}: {} builds", world.builds());
        assert!(!world.builds_holding(50).is_empty(), "{mode:?}: the last push is in no image");
        let counters = world.hub.counters();
        assert!(counters.most_running <= 1 && counters.most_queued <= 1 && counters.ignored == 0, "{counters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_burst_loses_nothing_that_was_acknowledged() {
    let mut world =
        World::with(quick(Mode::Classic, TakesTip::WhenTriggered), |wanted| Wanted { quiet: "1s", ..wanted }).await;
    for number in 1..=50 {
        let (status, first) = world.push(number).await;
        assert_eq!(status, 202);
        if number % 17 == 0 {
            world.daemon.kill();
            world.daemon.restart().await;
            // The acknowledged push is there, under the same id, and its redelivery changes nothing.
            let (status, again) = world.push(number).await;
            assert_eq!((status, &again["repeated"]), (202, &json!(true)));
            assert_eq!(again["receipts"][0]["id"], first["receipts"][0]["id"]);
        }
    }
    world.daemon.until_at_rest().await;
    assert!(world.builds() <= 2, "{} builds", world.builds());
    assert!(!world.builds_holding(50).is_empty());
    let (_, events) = world.daemon.get("/v1/events?limit=1000").await;
    let events = events.as_array().expect("a list");
    assert_eq!(events.len(), 50);
    assert!(events.iter().all(|event| event["state"] == "built"), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_while_a_build_runs_are_built_next_and_the_receipts_say_so() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenTriggered)).await;
    world.push(1).await;
    world.daemon.until("/v1/images/acme/web", "running", |lane| !lane["running"].is_null()).await;
    world.push(2).await;
    world.daemon.until("/v1/images/acme/web", "queued", |lane| !lane["queued"].is_null()).await;
    let (_, last) = world.push(3).await;
    assert_eq!(last["receipts"][0]["state"], "queued", "{last:#}");
    world.daemon.until_at_rest().await;
    assert_eq!(world.hub.counters().ignored, 0);
    assert!(!world.builds_holding(3).is_empty());
    let explained = world.daemon.run(&["explain", &commit(3)[..10]]);
    let said = text(&explained.stdout);
    assert!(explained.status.success() && said.contains("built") && said.contains("success"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_trigger_call_the_push_is_built_and_at_most_one_build_is_superfluous() {
    // Each with how many builds there may be of one push.
    let faults = [
        (Fault::LoseAnswer, 1),
        (Fault::LoseTrigger, 1),
        (Fault::ErrorAfterEffect, 1),
        (Fault::ErrorWithoutEffect, 1),
        (Fault::Throttle, 1),
        (Fault::Discard, 1),
        (Fault::ListError, 1),
        (Fault::ListUnauthorized, 1),
        (Fault::Vanish, 2),
    ];
    let mut worlds = tokio::task::JoinSet::new();
    for (fault, most) in faults {
        worlds.spawn(async move {
            let world = World::new(quick(Mode::Classic, TakesTip::WhenTriggered)).await;
            world.hub.plan(fault);
            assert_eq!(world.push(1).await.0, 202);
            world.daemon.until_at_rest().await;
            assert!(!world.builds_holding(1).is_empty(), "{fault:?}: in no image\n{}", world.daemon.log());
            assert!(world.builds() <= most, "{fault:?}: {} builds\n{}", world.builds(), world.daemon.log());
            let (_, events) = world.daemon.get("/v1/events").await;
            assert_eq!(events[0]["state"], "built", "{fault:?}: {events:#}");
        });
    }
    while let Some(done) = worlds.join_next().await {
        done.expect("each story ends well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_gone_blocks_the_image_and_goes_on_accepting() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.plan(Fault::TriggerGone);
    world.push(1).await;
    let lane = world.daemon.until("/v1/images/acme/web", "blocked", |lane| !lane["blocked"].is_null()).await;
    assert!(lane["blocked"].as_str().is_some_and(|why| why.contains("404")), "{lane:#}");
    let (_, answer) = world.push(2).await;
    assert!(answer["receipts"][0]["why"].as_str().is_some_and(|why| why.starts_with("blocked: 404")), "{answer:#}");
    let (status, health) = world.daemon.get("/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    // A person has fixed it and says: now.
    assert!(world.daemon.run(&["start", "acme/web"]).status.success());
    world.daemon.until_at_rest().await;
    assert!(!world.builds_holding(2).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_is_red_and_not_repeated() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.plan(Fault::Fail);
    world.push(1).await;
    world.daemon.until_at_rest().await;
    let builds = world.hub.true_builds(&world.image);
    assert_eq!((builds.len(), builds[0].outcome), (1, Some(Outcome::Failure)));
    let (_, seen) = world.daemon.get("/v1/builds").await;
    assert_eq!((&seen[0]["outcome"], &seen[0]["events_total"]), (&json!("failure"), &json!(1)));
    let waited = world.daemon.run(&["build", "acme/web", "--branch", "master", "--now", "--wait"]);
    assert_eq!(waited.status.code(), Some(0), "{}", text(&waited.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_build_takes_its_place_and_ours_waits() {
    // Long enough that the foreign build is still queued when it is seen, also on a busy machine.
    let build_time = Duration::from_secs(9);
    let world = World::new(HubSettings { build_time, ..quick(Mode::Classic, TakesTip::WhenTriggered) }).await;
    world.push(1).await;
    world.daemon.until("/v1/images/acme/web", "running", |lane| !lane["running"].is_null()).await;
    // A build made within four seconds after the call would be followed as possibly ours.
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.hub.foreign_build(&world.image, &master());
    world.daemon.until("/v1/images/acme/web", "foreign", |lane| lane["foreign"] != json!([])).await;
    world.push(2).await;
    world.daemon.until_at_rest().await;
    assert_eq!(world.hub.counters().ignored, 0, "a trigger was sent into a full queue");
    assert!(!world.builds_holding(2).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_login_it_works_blind_and_says_so() {
    let world = World::with(quick(Mode::Classic, TakesTip::WhenTriggered), |wanted| Wanted {
        login: None,
        image: String::new(),
        ..wanted
    })
    .await;
    world.push(1).await;
    let lane = world.daemon.until("/v1/images/acme/web", "running", |lane| !lane["running"].is_null()).await;
    assert_eq!(lane["blind"], true);
    let (_, events) = world.daemon.get("/v1/events").await;
    assert_eq!((&events[0]["state"], &events[0]["assumed"]), (&json!("building"), &json!(true)), "{events:#}");
    let (_, builds) = world.daemon.get("/v1/builds").await;
    assert_eq!((&builds[0]["state"], &builds[0]["assumed"]), (&json!("running"), &json!(true)), "{builds:#}");
}
