//! The configuration changed under a running daemon: by SIGHUP, and by `coalesced reload`.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{BUTTON, Daemon, PATIENCE, Push, Stage, TOKEN, Wanted, builds_take, quiet, text};

/// Puts `to` in the place of `from` in the file, which must hold it.
fn edit(daemon: &Daemon, from: &str, to: &str) {
    let file = daemon.directory.path().join("coalesced.toml");
    let before = std::fs::read_to_string(&file).expect("a configuration");
    assert!(before.contains(from), "no '{from}' in {before}");
    std::fs::write(file, before.replace(from, to)).expect("written");
}

/// Sends SIGHUP, and waits until the log says `what` of it.
async fn hang_up(daemon: &Daemon, what: &str) {
    let told = daemon.log().matches(what).count();
    let client = std::fs::read_to_string(daemon.directory.path().join("data/client.json")).expect("it runs");
    let pid = serde_json::from_str::<Value>(&client).expect("JSON")["pid"].to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    let begun = Instant::now();
    while daemon.log().matches(what).count() == told {
        assert!(begun.elapsed() < PATIENCE, "it never said '{what}': {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const NEW: &str = "test-token-of-the-api-after-rotation";
const RELOADED: &str = "reloaded the configuration";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_rules_are_in_force_for_events_that_are_open_and_nothing_is_lost() {
    let stage = Stage::set(builds_take(1_500), quiet("15s")).await;
    let daemon = &stage.daemon;
    assert_eq!(daemon.tap("").await.0, 202);
    stage.until_triggered(1).await;
    stage.push(&Push::to_branch("dev", 1)).await;
    edit(daemon, "quiet = \"15s\"", "quiet = \"100ms\"");
    hang_up(daemon, RELOADED).await;
    assert!(daemon.log().contains("image acme/web changed: quiet"), "{}", daemon.log());
    let accepted = Instant::now();
    daemon.until_at_rest().await;
    assert!(accepted.elapsed() < Duration::from_secs(14), "the old quiet period was still in force");
    assert!(stage.has_built(&Push::to_branch("dev", 1).after));
    assert_eq!(stage.builds().len(), 2, "what ran went on, and what was open was built once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_mistakes_changes_nothing_and_every_mistake_is_told() {
    let stage = Stage::set(builds_take(100), quiet("100ms")).await;
    let daemon = &stage.daemon;
    edit(daemon, "quiet = \"100ms\"", "quiet = \"soon\"");
    edit(daemon, "scope = \"admin\"", "scope = \"king\"");
    hang_up(daemon, "the old one stays in force").await;
    assert_eq!(daemon.log().matches("coalesced.toml:5:").count(), 1, "{}", daemon.log());

    let refused = daemon.run(&["reload"]);
    assert_eq!(refused.status.code(), Some(78));
    let told = text(&refused.stderr);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines.iter().all(|line| line.starts_with("coalesced.toml:")), "{told}");
    let (status, problem) = daemon.post("/v1/reload", &Value::Null).await;
    assert_eq!((status, problem["mistakes"].as_array().map(Vec::len)), (422, Some(2)), "{problem:#}");

    stage.push(&Push::to_branch("master", 1)).await;
    daemon.until_at_rest().await;
    assert!(stage.has_built(&Push::to_branch("master", 1).after), "the old rules are in force");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_what_changed_and_what_waits_for_a_restart() {
    let stage = Stage::set(builds_take(100), quiet("100ms")).await;
    let daemon = &stage.daemon;
    let nothing = daemon.run(&["reload"]);
    assert_eq!((nothing.status.code(), &*text(&nothing.stdout)), (Some(0), "nothing changed\n"));

    edit(daemon, "listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"");
    edit(daemon, BUTTON, "test-token-of-another-phone");
    edit(daemon, "[docker_hub]", "[docker_hub]\nconcurrent_builds = 1");
    let reloaded = daemon.run(&["reload"]);
    let lines = "button phone changed: token\naccount docker_hub changed: concurrent_builds\n\
                 'listen' changed, too, and takes effect after a restart\n";
    assert_eq!((reloaded.status.code(), &*text(&reloaded.stdout)), (Some(0), lines), "{}", text(&reloaded.stderr));
    assert_eq!(daemon.tap("").await.0, 401, "the old token presses no more");

    // What waits for a restart is said as long as it waits.
    let answer = daemon.run(&["reload", "--json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!((&answer["changes"], &answer["needs_restart"]), (&json!([]), &json!(["listen"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_rotated_without_a_restart() {
    let stage = Stage::set(builds_take(100), quiet("100ms")).await;
    let daemon = &stage.daemon;
    let status = async |token: &str| {
        let request = daemon.request(reqwest::Method::GET, "/v1/images").bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((status(TOKEN).await, status(NEW).await), (200, 401));
    edit(daemon, TOKEN, NEW);
    hang_up(daemon, RELOADED).await;
    assert_eq!((status(TOKEN).await, status(NEW).await), (401, 200));
    assert!(daemon.log().contains("token admin changed: secret") && !daemon.log().contains(NEW), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_removed_and_brought_back_keeps_its_open_events() {
    let mut stage = Stage::set(builds_take(100), quiet("15s")).await;
    let answer = stage.push(&Push::to_branch("master", 1)).await;
    let event = format!("/v1/events/{}", answer["receipts"][0]["id"].as_str().expect("an id"));
    let file = stage.daemon.directory.path().join("coalesced.toml");
    let with_image = std::fs::read_to_string(&file).expect("a configuration").replace("\"15s\"", "\"100ms\"");
    let (tables, rest) = with_image.split_once("[image.").expect("an image");
    let (_, sources) = rest.split_once("[source.github]").expect("a source");
    let sources = sources.replace("image = \"acme/web\"", "image = \"acme/other\"");
    let other = "[image.\"acme/other\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"http://127.0.0.1:1/other/\"\n";
    std::fs::write(&file, format!("{tables}{other}[source.github]{sources}")).expect("written");
    hang_up(&stage.daemon, RELOADED).await;
    assert!(stage.daemon.log().contains("image acme/web removed"), "{}", stage.daemon.log());
    assert_eq!(stage.daemon.get("/v1/images/acme/web").await.0, 404);
    assert_eq!(stage.daemon.get(&event).await.1["state"], "waiting");

    // It is kept over a restart, too.
    stage.daemon.kill();
    stage.daemon.restart().await;
    assert_eq!(stage.daemon.get(&event).await.1["state"], "waiting");
    std::fs::write(&file, with_image).expect("written");
    hang_up(&stage.daemon, RELOADED).await;
    stage.daemon.until_at_rest().await;
    assert_eq!(stage.daemon.get(&event).await.1["state"], "built");
    assert!(stage.has_built(&Push::to_branch("master", 1).after));
}

/// As `Type=notify` and `Type=notify-reload` want it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_when_a_reload_begins_and_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let heard = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).expect("a message in time");
        text(&bytes[..length])
    };
    let under = vec!["env".to_owned(), format!("NOTIFY_SOCKET={}", path.display())];
    let stage = Stage::set(builds_take(100), Wanted { under, ..quiet("1s") }).await;
    assert!(heard().starts_with("READY=1"));
    edit(&stage.daemon, "quiet = \"1s\"", "quiet = \"2s\"");
    hang_up(&stage.daemon, RELOADED).await;
    let begins = heard();
    assert!(begins.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begins}");
    assert!(heard().starts_with("READY=1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_token_reloads_nothing() {
    let more = "\n[token.ci]\nsecret = \"test-token-of-the-ci-pipeline\"\nscope = \"trigger\"\n\
                [token.team]\nsecret = \"test-token-of-one-team-only\"\nscope = \"admin\"\nimages = [\"acme/*\"]\n";
    let stage = Stage::set(builds_take(100), Wanted { more: more.to_owned(), ..quiet("1s") }).await;
    for token in ["test-token-of-the-ci-pipeline", "test-token-of-one-team-only"] {
        let request = stage.daemon.request(reqwest::Method::POST, "/v1/reload").bearer_auth(token);
        assert_eq!(request.send().await.expect("an answer").status(), 403);
    }
}
