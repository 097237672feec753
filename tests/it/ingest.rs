//! GitHub's webhook: who is trusted, what is built, and what is answered without building.

use reqwest::Method;
use serde_json::{Value, json};

use crate::daemon::{Push, SECRET, Stage, builds_take, quiet, sign};

const JSON: &str = "application/json";

async fn stage() -> Stage {
    // Nothing comes due here: these tests look at answers.
    Stage::set(builds_take(100), quiet("20s")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_or_replayed_push_gets_its_first_receipt_also_after_a_restart() {
    let mut stage = stage().await;
    let push = Push::to_branch("master", 1);
    let first = stage.push(&push).await["receipts"][0]["id"].clone();
    let replay = Push { delivery: "11111111-0000-4000-8000-000000000001".to_owned(), ..push.clone() };
    for round in 0..2 {
        for again in [&push, &replay] {
            let (status, answer) = stage.daemon.push(again).await;
            assert_eq!((status, &answer["receipts"][0]["id"]), (202, &first), "round {round}: {answer:#}");
        }
        let (_, events) = stage.daemon.get("/v1/events").await;
        assert_eq!(events.as_array().map(Vec::len), Some(1), "round {round}: {events:#}");
        stage.daemon.kill();
        stage.daemon.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_right_signature_is_believed() {
    let stage = stage().await;
    let body = Push::to_branch("master", 1).body();
    let wrong = sign("test-secret-of-somebody-else", body.as_bytes());
    for bad in [None, Some(wrong.as_str()), Some("sha256=zz"), Some("sha1=00"), Some("")] {
        let (status, _) = stage.daemon.hook(&body, JSON, "push", "a", bad).await;
        assert_eq!(status, 401, "{bad:?}");
    }
    let (_, events) = stage.daemon.get("/v1/events").await;
    assert_eq!(events, json!([]));
    let old = sign("test-secret-of-before-the-rotation", body.as_bytes());
    assert_eq!(stage.daemon.hook(&body, JSON, "push", "a", Some(&old)).await.0, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_built_is_answered_with_its_reason() {
    let stage = stage().await;
    let signed = |body: &str| sign(SECRET, body.as_bytes());
    let ping = "{\"zen\":\"Keep it logically awesome.\"}";
    for (event, delivery) in [("ping", "p"), ("fork", "f")] {
        let (status, answer) = stage.daemon.hook(ping, JSON, event, delivery, Some(&signed(ping))).await;
        assert_eq!((status, answer["reason"].is_string()), (200, true), "{event}: {answer:#}");
    }
    let elsewhere = Push::to_branch("master", 1).body().replace("acme/web", "acme/elsewhere");
    let (status, answer) = stage.daemon.hook(&elsewhere, JSON, "push", "u", Some(&signed(&elsewhere))).await;
    assert_eq!((status, answer["reason"].is_string()), (200, true), "{answer:#}");
    let (_, events) = stage.daemon.get("/v1/events?delivery=u").await;
    assert_eq!(events[0]["state"], "ignored", "{events:#}");
    let deletion = Push { after: "0".repeat(40), ..Push::to_branch("master", 2) };
    let (status, answer) = stage.daemon.push(&deletion).await;
    assert_eq!((status, &answer["receipts"][0]["state"]), (200, &json!("ref_deleted")), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_refused_with_the_status_that_says_which() {
    let stage = stage().await;
    let cases: [(&str, &str, u16); 3] =
        [("{\"ref\": oops}", JSON, 400), ("{}", JSON, 422), ("<push/>", "application/xml", 415)];
    for (body, kind, expected) in cases {
        let signature = sign(SECRET, body.as_bytes());
        let (status, answer) = stage.daemon.hook(body, kind, "push", "m", Some(&signature)).await;
        assert_eq!((status, &answer["status"]), (expected, &json!(expected)), "{body}: {answer:#}");
    }
    let unknown = stage.daemon.request(Method::POST, "/hooks/nobody").body("{}").send().await.expect("an answer");
    assert_eq!(unknown.status(), 404);
    let large = vec![b' '; 65 * 1024];
    let request = stage.daemon.request(Method::POST, "/buttons/phone").body(large);
    assert_eq!(request.send().await.expect("an answer").status(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_read_and_a_tag_does_not_wait() {
    let stage = stage().await;
    let push = Push { git_ref: "refs/tags/v1".to_owned(), before: "0".repeat(40), ..Push::to_branch("master", 1) };
    stage.tip(&push);
    let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &push.body()).finish();
    let signature = sign(SECRET, form.as_bytes());
    let kind = "application/x-www-form-urlencoded";
    let (status, answer) = stage.daemon.hook(&form, kind, "push", "t", Some(&signature)).await;
    assert_eq!(status, 202, "{answer:#}");
    stage.daemon.until_at_rest().await;
    assert!(stage.has_built(&push.after), "{answer:#}");
    assert_ne!(answer, Value::Null);
}
