//! What operators do and see: commands and their exit codes, mistakes in the configuration, and no secret anywhere.

use coalesced::emulator::{Fault, Mode, TakesTip};
use serde_json::Value;

use super::{PASSWORD, World, commit_id, master, quick};
use crate::daemon::{BUTTON, SECRET, TOKEN, run_in, text};

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
    // A second daemon on the same directory reports the conflict.
    let second = world.daemon.run(&["serve", "--config", "coalesced.toml"]);
    assert_eq!(second.status.code(), Some(74));
    assert!(text(&second.stderr).contains("another coalesced"), "{}", text(&second.stderr));
    // Given two directories, a client does not choose between them.
    let torn = run_in(world.daemon.directory.path(), &["--data-dir", "no", "serve", "--config", "coalesced.toml"]);
    assert_eq!(torn.status.code(), Some(2), "{}", text(&torn.stderr));
    assert!(text(&torn.stderr).contains("change data_dir"), "{}", text(&torn.stderr));
    assert_eq!(world.daemon.terminate(), Some(0));
    world.daemon.restart().await;
    assert_eq!(world.daemon.get("/v1/builds").await.1[0]["outcome"], "success");
}

#[test]
fn a_configuration_error_is_reported_with_its_place_and_a_fix() {
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
