//! The commands of the same binary, by their exit codes.

use crate::daemon::{Push, Stage, builds_take, quiet, run_in, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_commands_follow_a_build() {
    let mut stage = Stage::set(builds_take(200), quiet("200ms")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    stage.daemon.until_at_rest().await;
    let commit = Push::to_branch("master", 1).after;
    let (build, events) = (["build", "acme/web", "--branch", "master", "--wait"], ["events", "--json"]);
    for arguments in [&build[..], &["status"], &["explain", &commit], &events, &["pause", "acme/web"]] {
        let output = stage.daemon.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    }
    serde_json::from_slice::<serde_json::Value>(&stage.daemon.run(&events).stdout).expect("JSON");
    stage.daemon.kill();
    assert_eq!(stage.daemon.run(&["status"]).status.code(), Some(69));
}

#[test]
fn a_mistake_in_the_configuration_is_shown_at_its_place() {
    let directory = tempfile::TempDir::new().expect("a directory");
    std::fs::write(directory.path().join("coalesced.toml"), "[defaults]\nquite = \"1s\"\n").expect("a file");
    let output = run_in(directory.path(), &["check"]);
    assert_eq!(output.status.code(), Some(78));
    let said = text(&output.stderr);
    assert!(said.contains("coalesced.toml:2:1") && said.contains("quiet"), "{said}");
}
