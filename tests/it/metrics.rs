//! What `/metrics` shows: names, types and labels are of the interface, so dashboards are built on them.

use crate::daemon::{Push, Stage, builds_take, quiet};

/// Each line without its value, in alphabetical order.
fn series(text: &str) -> Vec<String> {
    let without_value = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => series.to_owned(),
        _ => line.to_owned(),
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !line.starts_with("# HELP")).map(without_value).collect();
    lines.sort();
    lines
}

/// `UPDATE_EXPECT=1` writes the list anew: commit that only if dashboards may break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_types_and_labels_are_those_that_dashboards_know() {
    let stage = Stage::set(builds_take(100), quiet("100ms")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    stage.push(&Push::to_branch("master", 2)).await;
    let skipped = Push { message: "[skip ci] Tidy".to_owned(), ..Push::to_branch("dev", 3) };
    assert_eq!(stage.daemon.push(&skipped).await.0, 200);
    assert_eq!(stage.daemon.tap("").await.0, 202);
    stage.daemon.until_at_rest().await;
    assert_eq!(stage.daemon.get("/v1/builds/none").await.0, 404);
    let response = stage.daemon.request(reqwest::Method::GET, "/metrics").send().await.expect("an answer");
    let kind = response.headers()["content-type"].to_str().expect("a text").to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let seen = series(&response.text().await.expect("a text")).join("\n") + "\n";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/metrics.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(file, &seen).expect("written");
    }
    assert_eq!(seen, std::fs::read_to_string(file).expect("a list"));
}
