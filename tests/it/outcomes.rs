//! Every outcome of a trigger call, through the real client: the last push is still built.

use coalesced::emulator::Fault;
use serde_json::{Value, json};

use crate::daemon::{Push, Stage, Wanted, builds_take, quiet};

fn impatient() -> Wanted {
    Wanted { defaults: "uncertain_grace = \"1s\"\nuncertain_limit = \"2s\"", ..quiet("200ms") }
}

/// One push while `fault` is planned: it ends built, with so many superfluous builds at most.
async fn survives(fault: Fault, superfluous_max: usize) {
    let stage = Stage::set(builds_take(300), impatient()).await;
    stage.hub.plan(fault);
    let push = Push::to_branch("master", 1);
    stage.push(&push).await;
    stage.daemon.until_at_rest().await;
    let (_, events) = stage.daemon.get("/v1/events").await;
    assert_eq!(events[0]["state"], "built", "{fault:?}: {events:#}");
    assert!(stage.has_built(&push.after), "{fault:?}: {}", stage.daemon.log());
    assert!(stage.builds().len() <= 1 + superfluous_max, "{fault:?}: {:#?}", stage.builds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_unknown_effect_is_looked_for_and_not_repeated() {
    survives(Fault::LoseAnswer, 0).await;
    survives(Fault::ErrorAfterEffect, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_effect_is_made_again() {
    survives(Fault::LoseTrigger, 0).await;
    survives(Fault::ErrorWithoutEffect, 0).await;
    survives(Fault::Discard, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_call_is_made_again_when_it_may_be() {
    survives(Fault::Throttle, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_fail_delay_and_lose_nothing() {
    survives(Fault::ListError, 0).await;
    survives(Fault::ListUnauthorized, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_red_build_covers_and_is_not_repeated() {
    let stage = Stage::set(builds_take(300), impatient()).await;
    stage.hub.plan(Fault::Fail);
    stage.push(&Push::to_branch("master", 1)).await;
    stage.daemon.until_at_rest().await;
    let (_, builds) = stage.daemon.get("/v1/builds").await;
    assert_eq!(builds[0]["outcome"], "failure", "{builds:#}");
    assert_eq!(stage.hub.counters().triggers, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_is_gone_blocks_the_image_and_keeps_the_push() {
    let stage = Stage::set(builds_take(300), impatient()).await;
    stage.hub.plan(Fault::TriggerGone);
    stage.push(&Push::to_branch("master", 1)).await;
    let lane = stage.daemon.until("/v1/images/acme/web", "blocked", |lane| lane["blocked"].is_string()).await;
    assert_eq!(lane["keys"][0]["open"], json!(1), "{lane:#}");
    let (_, answer) = stage.daemon.push(&Push::to_branch("master", 2)).await;
    assert_eq!(answer["receipts"][0]["state"], "waiting", "{answer:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_build_takes_the_place_and_the_push_is_built_after_it() {
    let stage = Stage::set(builds_take(500), impatient()).await;
    stage.tip(&Push::to_branch("master", 1));
    stage.hub.foreign_build(&crate::daemon::image(), &"refs/heads/master".parse().expect("a ref"));
    stage.push(&Push::to_branch("master", 2)).await;
    stage.daemon.until_at_rest().await;
    assert!(stage.has_built(&Push::to_branch("master", 2).after), "{:#?}", stage.builds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_login_the_push_is_built_on_assumption() {
    let stage = Stage::set_with(builds_take(100), impatient()).await;
    stage.push(&Push::to_branch("master", 1)).await;
    let lane = stage.daemon.until("/v1/images/acme/web", "handed out", |lane| lane["keys"] == json!([])).await;
    assert_eq!(lane["blind"], Value::Bool(true), "{lane:#}");
    stage.until_triggered(1).await;
    assert!(stage.has_built(&Push::to_branch("master", 1).after), "{:#?}", stage.builds());
}
