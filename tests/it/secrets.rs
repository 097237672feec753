//! Nothing secret is shown: not in the log at its most talkative, not in `check`, the API or the metrics.

use crate::daemon::{BUTTON, HUB_PASSWORD, Push, SECRET, Stage, TOKEN, Wanted, builds_take, quiet, run_in, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_shown_anywhere() {
    let stage = Stage::set(builds_take(100), Wanted { log: "trace", ..quiet("100ms") }).await;
    stage.push(&Push::to_branch("master", 1)).await;
    stage.daemon.tap("").await;
    stage.daemon.until_at_rest().await;
    let directory = stage.daemon.directory.path();
    let check = run_in(directory, &["check"]);
    let mut shown = vec![("log", stage.daemon.log()), ("check", text(&check.stdout) + &text(&check.stderr))];
    for path in ["/v1/images", "/v1/events", "/v1/builds", "/metrics", "/health"] {
        shown.push((path, stage.daemon.get(path).await.1.to_string()));
    }
    let configuration = std::fs::read_to_string(directory.join("coalesced.toml")).expect("a configuration");
    let trigger = configuration.split("/trigger/").nth(1).and_then(|rest| rest.split('/').next()).expect("its token");
    assert!(shown[0].1.contains("TRACE") || shown[0].1.contains("DEBUG"), "the log is not talkative: {}", shown[0].1);
    for (place, text) in &shown {
        for secret in [SECRET, BUTTON, TOKEN, HUB_PASSWORD, trigger] {
            assert!(!text.contains(secret), "{place} shows {secret}: {text}");
        }
    }
}
