//! Whole journeys through the real binary and an emulated Docker Hub: what a user would see, told as short stories.

use std::time::Duration;

use coalesced::build::Outcome;
use coalesced::emulator::{EmulatedHub, Fault, HubSettings, Mode, TakesTip, TrueBuild};
use coalesced::model::{CommitId, GitRef, ImageName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::daemon::{BUTTON, Daemon, Push, SECRET, TOKEN, Wanted, commit, run_in, sign, text};

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
    // A person who has mended it says: now.
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
    // A row made within four seconds after the call would be followed as one that may be of it.
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

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_signed_and_well_formed_comes_in() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    let daemon = &world.daemon;
    let push = Push::to_branch("master", 1);
    let body = push.body();
    let good = sign(SECRET, body.as_bytes());
    let json_type = "application/json";
    let cases: [(&str, &str, &str, Option<String>, u16); 13] = [
        (&body, json_type, "push", None, 401),
        (&body, json_type, "push", Some(sign("test-secret-of-nobody", body.as_bytes())), 401),
        (&body, json_type, "push", Some(good.replace("sha256=", "sha1=")), 401),
        (&body, json_type, "push", Some(good[..40].to_owned()), 401),
        ("{\"ref\": }", json_type, "push", Some(sign(SECRET, b"{\"ref\": }")), 400),
        ("{}", json_type, "push", Some(sign(SECRET, b"{}")), 422),
        (&body, "text/xml", "push", Some(good.clone()), 415),
        ("{\"zen\":\"x\"}", json_type, "ping", Some(sign(SECRET, b"{\"zen\":\"x\"}")), 200),
        ("{}", json_type, "star", Some(sign(SECRET, b"{}")), 200),
        (&body, json_type, "push", Some(good.clone()), 202),
        // The same delivery again, the same body under another id, and one signed with the other secret.
        (&body, json_type, "push", Some(good.clone()), 202),
        (&body, json_type, "push", Some(sign("test-secret-of-before-the-rotation", body.as_bytes())), 202),
        ("", json_type, "push", Some(sign(SECRET, b"")), 400),
    ];
    for (index, (body, content_type, event, signature, expected)) in cases.iter().enumerate() {
        let delivery = format!("delivery-{index}");
        let (status, answer) = daemon.hook(body, content_type, event, &delivery, signature.as_deref()).await;
        assert_eq!(status, *expected, "case {index}: {answer:#}");
        if status == 400 && !body.is_empty() {
            assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("line 1")), "{answer:#}");
        }
        if status >= 400 {
            assert!(answer["title"].is_string() && answer["status"] == json!(status), "{answer:#}");
        }
    }
    let (_, events) = daemon.get("/v1/events").await;
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events:#}");
    let form = format!(
        "payload={}",
        form_urlencoded::byte_serialize(Push::to_branch("dev", 2).body().as_bytes()).collect::<String>()
    );
    let signature = sign(SECRET, form.as_bytes());
    let (status, _) = daemon.hook(&form, "application/x-www-form-urlencoded", "push", "form", Some(&signature)).await;
    assert_eq!(status, 202);
    let huge = format!("{{\"x\":\"{}\"}}", "a".repeat(26 * 1024 * 1024));
    let (status, _) = daemon.hook(&huge, json_type, "push", "huge", Some(&good)).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_deletions_skips_and_strangers_are_told_apart() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    let daemon = &world.daemon;
    let tag = Push { git_ref: "refs/tags/v1".to_owned(), ..Push::to_branch("-", 1) };
    world.hub.push(&world.image, &GitRef::tag("v1").expect("a tag"), commit_id(1));
    let (_, answer) = daemon.push(&tag).await;
    assert_eq!(answer["receipts"][0]["state"], "queued", "a tag does not wait: {answer:#}");
    let skipped = Push { message: "Fix a typo [skip ci]".to_owned(), ..Push::to_branch("master", 2) };
    let (status, answer) = daemon.push(&skipped).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("skipped")), "{answer:#}");
    let (_, answer) = daemon.push(&Push::to_branch("dev", 3)).await;
    let waiting = answer["receipts"][0]["id"].as_str().expect("an id").to_owned();
    let gone = Push { after: "0".repeat(40), ..Push::to_branch("dev", 4) };
    let (status, answer) = daemon.push(&gone).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("ref_deleted")), "{answer:#}");
    assert_eq!(daemon.get(&format!("/v1/events/{waiting}")).await.1["state"], "ref_deleted");
    let elsewhere = Push::to_branch("feature/x", 5);
    let (status, answer) = daemon.push(&elsewhere).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("ignored")), "{answer:#}");
    let explained = daemon.run(&["explain", &commit(5)]);
    assert!(text(&explained.stdout).contains("ignored"), "{}", text(&explained.stdout));
    daemon.until_at_rest().await;
    assert_eq!(world.builds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_of_the_phone_gets_a_line_that_a_person_can_read() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.push(&world.image, &master(), commit_id(1));
    let address = world.daemon.url.strip_prefix("http://").expect("an address").to_owned();
    // As the applet makes it: no User-Agent, and quotes as a phone types them.
    let body = "{\u{201c}reason\u{201d}: \u{201c}tuning the style\u{201d}}";
    let request = format!(
        "POST /buttons/phone HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {BUTTON}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, line) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 202") && head.contains("text/plain"), "{head}");
    assert!(line.starts_with("acme/web master: ") && line.trim_end().lines().count() == 1, "{line}");
    // Tapped again at once: one cause, one build.
    let (status, line) = world.daemon.tap("").await;
    assert_eq!(status, 202, "{line}");
    let ways = [
        world.daemon.request(reqwest::Method::POST, "/buttons/phone").basic_auth("anyone", Some(BUTTON)),
        world
            .daemon
            .request(reqwest::Method::POST, "/buttons/phone")
            .header("x-token", BUTTON)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("reason=x"),
        world.daemon.request(reqwest::Method::POST, &format!("/buttons/phone?token={BUTTON}")),
    ];
    for way in ways {
        assert_eq!(way.send().await.expect("an answer").status(), 202);
    }
    let refused = [
        (world.daemon.request(reqwest::Method::GET, &format!("/buttons/phone?token={BUTTON}")), 405),
        (world.daemon.request(reqwest::Method::POST, "/buttons/phone").bearer_auth("test-token-of-nobody"), 401),
        (world.daemon.request(reqwest::Method::POST, "/buttons/doorbell").bearer_auth(BUTTON), 401),
    ];
    for (request, expected) in refused {
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), expected);
    }
    world.daemon.until_at_rest().await;
    assert_eq!(world.builds(), 1);
    let (_, events) = world.daemon.get("/v1/events").await;
    let first = events.as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&first["reason"], &first["kind"]), (&json!("tuning the style"), &json!("button")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_asks_for_builds_and_keeps_to_its_scopes() {
    let more = "\n[token.watcher]\nsecret = \"test-token-that-may-only-read\"\nscope = \"read\"\n".to_owned();
    let world =
        World::with(quick(Mode::Classic, TakesTip::WhenStarted), |wanted| Wanted { more, quiet: "10s", ..wanted })
            .await;
    let daemon = &world.daemon;
    world.hub.push(&world.image, &master(), commit_id(1));
    let path = "/v1/images/acme/web/builds";
    let (status, nothing) = daemon.post(path, &json!({ "branch": "master", "ensure": true })).await;
    assert_eq!((status, &nothing["state"]), (202, &json!("built")), "{nothing:#}");
    let (status, quiet) = daemon.post(path, &json!({ "branch": "master", "reason": "because" })).await;
    assert_eq!((status, &quiet["state"]), (202, &json!("waiting")), "{quiet:#}");
    let key = || {
        let request = daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).header("idempotency-key", "one");
        request.json(&json!({ "branch": "master", "start_now": true })).send()
    };
    let (first, again) = (key().await.expect("an answer"), key().await.expect("an answer"));
    let first: Value = first.json().await.expect("JSON");
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["state"], "waiting", "it does not wait for quiet: {first:#}");
    let watcher =
        |request: reqwest::RequestBuilder| request.bearer_auth("test-token-that-may-only-read").json(&json!({}));
    let cases = [
        (watcher(daemon.request(reqwest::Method::POST, path)), 403),
        (watcher(daemon.request(reqwest::Method::POST, "/v1/pause")), 403),
        (watcher(daemon.request(reqwest::Method::GET, "/v1/images")), 200),
        (daemon.request(reqwest::Method::GET, "/v1/images"), 401),
        (daemon.request(reqwest::Method::GET, "/v1/images/no/body").bearer_auth(TOKEN), 404),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("{\"branch\": }"), 400),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("{\"brunch\": \"x\"}"), 400),
        (daemon.request(reqwest::Method::POST, path).bearer_auth(TOKEN).body("x".repeat(70_000)), 413),
    ];
    for (index, (request, expected)) in cases.into_iter().enumerate() {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "case {index}");
        if expected >= 400 {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "case {index}");
        }
    }
    daemon.until_at_rest().await;
    let (_, all) = daemon.get("/v1/events?limit=2").await;
    let oldest = all[1]["id"].as_str().expect("an id");
    let (_, page) = daemon.get(&format!("/v1/events?before={oldest}&image=acme/web&ref=master")).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1), "{page:#}");
    let (_, builds) = daemon.get("/v1/builds?image=acme/web").await;
    assert_eq!(builds[0]["events"].as_array().map(Vec::len), Some(2), "{builds:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_tell_what_happens_and_their_exit_codes_too() {
    let mut world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.push(&world.image, &master(), commit_id(1));
    let code = |arguments: &[&str]| world.daemon.run(arguments).status.code();
    assert_eq!(code(&["pause", "acme/web", "--for", "2h", "--reason", "registry move"]), Some(0));
    let build = world.daemon.run(&["build", "acme/web", "--branch", "master", "--now"]);
    assert!(build.status.success() && text(&build.stdout).contains("registry move"), "{}", text(&build.stdout));
    let status = world.daemon.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status[0]["held"]["reason"], "registry move");
    assert_eq!(code(&["resume", "acme/web"]), Some(0));
    world.daemon.until_at_rest().await;
    let builds = world.daemon.run(&["builds", "--json"]);
    let builds: Value = serde_json::from_slice(&builds.stdout).expect("JSON");
    assert_eq!(builds[0]["outcome"], "success");
    assert_eq!(code(&["explain", "deadbeef"]), Some(1));
    assert_eq!(code(&["build", "acme"]), Some(2));
    assert_eq!(code(&["--url", "http://127.0.0.1:1", "status"]), Some(69));
    assert_eq!(code(&["--token", "test-token-of-nobody", "status"]), Some(77));
    assert_eq!(code(&["man"]), Some(0));
    assert_eq!(code(&["completions", "bash"]), Some(0));
    // A second daemon on the same directory is told so.
    let second = world.daemon.run(&["serve", "--config", "coalesced.toml"]);
    assert_eq!(second.status.code(), Some(74));
    assert!(text(&second.stderr).contains("another coalesced"), "{}", text(&second.stderr));
    // One that is told of two directories does not choose between them.
    let torn = run_in(world.daemon.directory.path(), &["--data-dir", "no", "serve", "--config", "coalesced.toml"]);
    assert_eq!(torn.status.code(), Some(2), "{}", text(&torn.stderr));
    assert!(text(&torn.stderr).contains("change data_dir"), "{}", text(&torn.stderr));
    assert_eq!(world.daemon.terminate(), Some(0));
    world.daemon.restart().await;
    assert_eq!(world.daemon.get("/v1/builds").await.1[0]["outcome"], "success");
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_its_place_and_a_cure() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = run_in(directory.path(), &["init", "--image", "acme/web", "--repository", "github.com/acme/web"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let path = directory.path().join("coalesced.toml");
    let written = std::fs::read_to_string(&path).expect("it was written");
    std::fs::write(&path, written.replace("quiet =", "quite =")).expect("writable");
    for command in ["check", "serve"] {
        let refused = run_in(directory.path(), &[command]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(78), "{said}");
        let line = said.lines().find(|line| line.contains("quite")).expect("the mistake is named");
        assert!(line.contains("coalesced.toml:") && line.contains("'quiet'"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_shown() {
    let world = World::new(quick(Mode::Classic, TakesTip::WhenStarted)).await;
    world.hub.plan(Fault::ErrorWithoutEffect);
    world.push(1).await;
    world.daemon.tap("{\"reason\": }").await;
    world.daemon.until_at_rest().await;
    let config = std::fs::read_to_string(world.daemon.directory.path().join("coalesced.toml")).expect("readable");
    let trigger_url = config.lines().find_map(|line| line.strip_prefix("trigger_url = ")).expect("it is there");
    let token = trigger_url.trim_matches('"').rsplit('/').nth(2).expect("the secret part").to_owned();
    let mut shown = world.daemon.log();
    for arguments in [&["check"][..], &["status", "acme/web"], &["events", "--json"], &["builds", "--json"]] {
        let output = world.daemon.run(arguments);
        shown.push_str(&text(&output.stdout));
        shown.push_str(&text(&output.stderr));
    }
    shown.push_str(
        &world
            .daemon
            .request(reqwest::Method::GET, "/metrics")
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text"),
    );
    for secret in [SECRET, BUTTON, TOKEN, PASSWORD, &token] {
        assert!(!shown.contains(secret), "a secret is shown: {secret}");
    }
}
