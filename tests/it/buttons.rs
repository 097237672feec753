//! Taps of a phone's button, and API builds, as real clients send them.

use reqwest::Method;
use serde_json::json;

use crate::daemon::{BUTTON, Stage, builds_take, quiet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_tap_is_one_build_and_the_answer_one_line() {
    let stage = Stage::set(builds_take(300), quiet("1s")).await;
    let begun = std::time::Instant::now();
    for body in ["", "{\u{201c}reason\u{201d}: \u{201c}it rains\u{201d}}"] {
        let (status, line) = stage.daemon.tap(body).await;
        assert_eq!((status, line.lines().count()), (202, 1), "{line}");
        assert!(line.starts_with("acme/web master: "), "{line}");
    }
    let in_time = begun.elapsed() < std::time::Duration::from_secs(3);
    stage.daemon.until_at_rest().await;
    // A machine too slow for two taps within the fold time made two events.
    assert!(stage.builds().len() <= if in_time { 1 } else { 2 }, "{:#?}", stage.builds());
    assert!(!stage.builds().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_may_stand_in_four_places_and_get_is_refused() {
    let stage = Stage::set(builds_take(300), quiet("1s")).await;
    let with_query = format!("/buttons/phone?token={BUTTON}");
    let post = |path: &str| stage.daemon.request(Method::POST, path);
    let requests = [
        post(&with_query),
        post("/buttons/phone").basic_auth("anybody", Some(BUTTON)),
        post("/buttons/phone").header("x-token", BUTTON),
        post("/buttons/phone").bearer_auth(BUTTON),
    ];
    for request in requests {
        let answer = request.header("accept", "application/json").send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (202, &"application/json".parse().expect("a value"))
        );
    }
    let get = stage.daemon.request(Method::GET, &with_query).send().await.expect("an answer");
    assert_eq!(get.status(), 405);
    let nobody = post("/buttons/phone").header("x-token", "wrong").send().await.expect("an answer");
    assert_eq!(nobody.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_pauses_builds_and_drops() {
    let stage = Stage::set(builds_take(200), quiet("200ms")).await;
    let at = |verb: &str| format!("/v1/images/acme/web/{verb}");
    let (status, lane) = stage.daemon.post(&at("pause"), &json!({ "reason": "release day" })).await;
    assert_eq!((status, lane["held"].is_object()), (200, true), "{lane:#}");
    let asked = json!({ "branch": "master", "start_now": true });
    assert_eq!(stage.daemon.post(&at("builds"), &asked).await.0, 202);
    let (status, lane) = stage.daemon.post(&at("drop"), &json!({})).await;
    assert_eq!((status, &lane["keys"]), (200, &json!([])), "{lane:#}");
    assert_eq!(stage.daemon.post(&at("resume"), &json!({})).await.0, 200);
    assert_eq!(stage.hub.counters().triggers, 0);
    let (status, problem) = stage.daemon.post("/v1/images/acme/nothing/builds", &asked).await;
    assert_eq!((status, &problem["status"]), (404, &json!(404)), "{problem:#}");
}
