//! Missed pushes come back: the real program, the real `git`, and real repositories behind real servers.

use std::time::{Duration, Instant};

use coalesced::emulator::{EmulatedHub, HubSettings};
use coalesced::model::ImageName;
use serde_json::Value;

use crate::binary::{found, serve};
use crate::daemon::{Daemon, PATIENCE, Push, Wanted};
use crate::remote::{Repository, Server};

const TOKEN: &str = "test-token-of-the-git-remote";

fn image() -> ImageName {
    "acme/web".parse().expect("an image")
}

async fn hub() -> EmulatedHub {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let settings = HubSettings { build_time: Duration::from_millis(300), ..HubSettings::default() };
    EmulatedHub::serve(listener, settings, "acme", "test-password-of-acme").expect("it serves")
}

/// A daemon whose one image watches `remote`.
fn wanted(hub: &EmulatedHub, remote: &str, more: &str) -> Wanted {
    Wanted {
        trigger_url: hub.register(&image()).current,
        hub: hub.url().to_owned(),
        login: Some(("acme".to_owned(), "test-password-of-acme".to_owned())),
        quiet: "100ms",
        image: format!("remote = \"{remote}\"\nreconcile_every = \"1s\"\n{more}\n"),
        ..Wanted::default()
    }
}

async fn until(what: &str, daemon: &Daemon, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never {what}:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for two more whole looks at the remote: the first may be under way.
async fn look_again(daemon: &Daemon, server: &Server) {
    let before = server.asked();
    until("looked again", daemon, || server.asked() >= before + 3).await;
}

fn recovered(events: &Value) -> Vec<(String, String, String)> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let events = events["events"].as_array().or(events.as_array()).cloned().unwrap_or_default();
    let mut found: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "recovered")
        .map(|event| (text(event, "ref"), text(event, "sha"), text(event, "state")))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_the_daemon_was_down_is_built_after_its_start_and_only_once() {
    let repository = Repository::new();
    let (one, old) = (repository.commit("one"), repository.commit("old"));
    repository.set("refs/heads/master", &one);
    repository.set("refs/tags/v1", &old);
    // "x-access-token:test-token-of-the-git-remote"
    let basic = "Basic eC1hY2Nlc3MtdG9rZW46dGVzdC10b2tlbi1vZi10aGUtZ2l0LXJlbW90ZQ==";
    let server = Server::http(repository.root.path(), Some(basic));
    let hub = hub().await;
    let remote = format!("http://{}/web.git", server.address);
    let mut daemon = Daemon::start(&wanted(&hub, &remote, &format!("remote_token = \"{TOKEN}\""))).await;

    // The first look builds nothing of what is there.
    look_again(&daemon, &server).await;
    assert_eq!(hub.counters().triggers, 0, "{}", daemon.log());

    daemon.kill();
    let two = repository.commit("two");
    repository.set("refs/heads/master", &two);
    repository.set("refs/heads/unwatched", &two);
    repository.annotate("v2", &one);
    let asked = server.asked();
    daemon.restart().await;
    until("looked at the remote", &daemon, || server.asked() > asked).await;
    let expected = [
        ("refs/heads/master".to_owned(), two.clone(), "built".to_owned()),
        ("refs/tags/v2".to_owned(), one.clone(), "built".to_owned()),
    ];
    let events = daemon.until("/v1/events?image=acme/web", "built", |events| recovered(events) == expected).await;
    daemon.until_at_rest().await;
    look_again(&daemon, &server).await;
    let (_, later) = daemon.get("/v1/events?image=acme/web").await;
    assert_eq!(recovered(&later), recovered(&events), "no look makes an event twice");
    assert_eq!(hub.true_builds(&image()).len(), 2);

    // A push that comes as it should makes no other event, and one that doesn't is found while we run.
    let three = repository.commit("three");
    let push = Push { before: two, after: three.clone(), ..Push::to_branch("master", 3) };
    assert_eq!(daemon.push(&push).await.0, 202);
    repository.set("refs/heads/master", &three);
    repository.set("refs/heads/dev", &three);
    daemon
        .until("/v1/events?image=acme/web", "found", |events| {
            recovered(events).iter().any(|(git_ref, sha, _)| git_ref == "refs/heads/dev" && *sha == three)
        })
        .await;
    look_again(&daemon, &server).await;
    let (_, events) = daemon.get("/v1/events?image=acme/web").await;
    assert_eq!(recovered(&events).len(), 3, "{events:#}");
    assert!(!daemon.log().contains(TOKEN) && !daemon.log().contains("eC1hY2"), "a token in the log");
    assert_eq!(daemon.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_images_of_one_repository_make_one_request() {
    let repository = Repository::new();
    repository.set("refs/heads/master", &repository.commit("one"));
    let server = Server::git(repository.root.path());
    let hub = hub().await;
    let remote = format!("git://{}/web.git", server.address);
    let mut wanted = wanted(&hub, &remote, "");
    let other = hub.register(&"acme/site".parse().expect("an image")).current;
    wanted.more = format!(
        "[image.\"acme/site\"]\nremote = \"{remote}\"\nreconcile_every = \"1s\"\n\
         backend = {{ kind = \"docker_hub\", trigger_url = \"{other}\" }}\n"
    );
    let mut daemon = Daemon::start(&wanted).await;
    look_again(&daemon, &server).await;
    daemon.terminate();
    server.await_idle();
    let asked = server.asked();
    let file = daemon.directory.path().join("coalesced.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("reconcile_every = \"1s\"", "reconcile_every = \"1h\"")).expect("written");
    let two = repository.commit("two");
    repository.set("refs/heads/master", &two);
    daemon.restart().await;
    for name in ["acme/web", "acme/site"] {
        daemon.until(&format!("/v1/events?image={name}"), "found", |events| recovered(events).len() == 1).await;
    }
    server.await_idle();
    assert_eq!(server.asked(), asked + 1 + 1, "one request, and the one that waits for idleness");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_can_not_be_read_is_told_once_and_blocks_nothing() {
    let repository = Repository::new();
    let server = Server::http(repository.root.path(), Some("Basic another"));
    let hub = hub().await;
    let daemon = Daemon::start(&wanted(&hub, &format!("http://{}/web.git", server.address), "")).await;
    assert_eq!(daemon.push(&Push::to_branch("master", 1)).await.0, 202);
    daemon.until("/v1/builds?image=acme/web", "a build", |builds| builds.to_string().contains("success")).await;
    until("asked again", &daemon, || server.asked() >= 2).await;
    let log = daemon.log();
    assert_eq!(log.matches("missed pushes can't be detected").count(), 1, "{log}");
    assert!(log.contains("could not read Username") && log.contains("terminal prompts disabled"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_git_it_warns_once_and_works() {
    let hub = hub().await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = wanted(&hub, "file:///nowhere", "").to_toml();
    std::fs::write(directory.path().join("coalesced.toml"), text).expect("a configuration");
    let mut child = serve(directory.path(), &[]).env("PATH", "/nowhere").spawn().expect("the binary runs");
    let begun = Instant::now();
    while found(directory.path()).is_none() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = child.try_wait().expect("it was ours").is_none();
    child.kill().expect("it runs");
    child.wait().expect("it was ours");
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    assert!(running, "{log}");
    assert_eq!(log.matches("'git' is not installed").count(), 1, "{log}");
}
