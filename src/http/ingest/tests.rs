//! Builds requested over the API, and the answers to deliveries.

use super::*;
use crate::http::body::tests::text_of;
use crate::status::EventState;

fn image(branch_globs: Option<&[&str]>) -> ImageConfig {
    let branch_globs = branch_globs.map(|globs| globs.iter().map(ToString::to_string).collect());
    ImageConfig { branch_globs, ..ImageConfig::sample() }
}

fn asked(headers: &[(&'static str, &str)], body: &str) -> Result<Delivery, Problem> {
    let headers =
        headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
    let config = image(Some(&["master", "release/*"]));
    build_delivery("ci", "mrraph/blog".parse().expect("an image"), &config, &headers, body.as_bytes())
}

fn receipt(state: EventState, why: &str) -> Receipt {
    Receipt {
        id: "01JD0000000000000000000000".to_owned(),
        image: Some("mrraph/blog".parse().expect("an image")),
        git_ref: Some(GitRef::branch("master").expect("a ref")),
        sha: None,
        kind: CauseKind::Push,
        source: "github".to_owned(),
        delivery: None,
        actor: None,
        reason: None,
        accepted_at: "2026-11-23T10:00:00.123Z".to_owned(),
        state,
        assumed: false,
        why: why.to_owned(),
        due: None,
        position: None,
        build: None,
        duplicate_of: None,
        url: "/v1/events/01JD0000000000000000000000".to_owned(),
    }
}

#[test]
fn a_requested_build_is_manual_and_waits_unless_start_now_is_set() {
    let disposition = |body: &str| asked(&[], body).expect("a delivery").new_events.remove(0).disposition;
    assert_eq!(disposition(""), Disposition::Build { immediate: false, manual: true, ensure: false });
    assert_eq!(
        disposition("{\"start_now\": true}"),
        Disposition::Build { immediate: true, manual: true, ensure: false }
    );
    assert_eq!(disposition("{\"ensure\": true}"), Disposition::Build { immediate: false, manual: true, ensure: true });
    assert_eq!(disposition("{\"tag\": \"v1\"}"), Disposition::Build { immediate: true, manual: true, ensure: false });
}

#[test]
fn without_a_ref_the_only_literal_branch_is_meant() {
    let named = |globs| image(globs).only_branch().map(|git_ref| git_ref.short().to_owned());
    assert_eq!(named(Some(&["master", "release/*"])).as_deref(), Some("master"));
    assert_eq!(named(Some(&["master", "next"])), None);
    assert_eq!(named(Some(&["release/{1,2}"])), None);
    assert_eq!(named(None), None);
    let config = image(None);
    let image = "mrraph/blog".parse().expect("an image");
    let problem = build_delivery("ci", image, &config, &HeaderMap::new(), b"").expect_err("refused");
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
}

#[test]
fn an_idempotency_key_stands_for_its_callers_request() {
    let prints = |headers: &[(&'static str, &str)]| asked(headers, "").expect("a delivery").fingerprints;
    assert_eq!(prints(&[]), []);
    assert_eq!(prints(&[("idempotency-key", "a")]), [fingerprint(&[b"idempotency", b"ci", b"a"])]);
    assert_ne!(prints(&[("idempotency-key", "a")]), prints(&[("idempotency-key", "b")]));
    assert_eq!(asked(&[("idempotency-key", " ")], "").expect_err("refused").status, StatusCode::BAD_REQUEST);
}

#[test]
fn an_order_that_is_not_clear_is_refused() {
    for body in ["{\"branch\": \"a\", \"tag\": \"b\"}", "{\"branch\": \"a..b\"}", "{\"now\": true}", "{\"ensure\": 1}"]
    {
        assert_eq!(asked(&[], body).expect_err("refused").status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn a_webhook_gets_its_receipts_and_why_nothing_is_built() {
    let receipts = vec![receipt(EventState::Waiting, "quiet for 23 s more")];
    let waiting = Acceptance { receipts, repeated: false, builds: true };
    let response = hook_answer(waiting.clone());
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let body: serde_json::Value = serde_json::from_str(&text_of(response).await).expect("JSON");
    assert_eq!((body.get("reason"), body.get("repeated")), (None, None));
    assert_eq!(body["receipts"][0]["state"], "waiting");

    let repeated = hook_answer(Acceptance { repeated: true, ..waiting });
    assert_eq!(repeated.status(), StatusCode::ACCEPTED);
    assert!(text_of(repeated).await.contains("\"repeated\":true"));

    let skipped = ["a", "b", "a"].map(|why| receipt(EventState::Skipped, why)).to_vec();
    let response = hook_answer(Acceptance { receipts: skipped, repeated: false, builds: false });
    assert_eq!(response.status(), StatusCode::OK);
    assert!(text_of(response).await.contains("\"reason\":\"a; b\""));
}

#[tokio::test]
async fn a_tap_is_answered_in_one_line_or_as_json() {
    let why = "build asked for; starts when the running build ends";
    let mut headers = HeaderMap::new();
    let line = button_answer(&headers, receipt(EventState::Waiting, why));
    assert_eq!(line.status(), StatusCode::ACCEPTED);
    assert_eq!(line.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text_of(line).await, format!("mrraph/blog master: {why}\n"));
    headers.insert(ACCEPT, "text/html, Application/JSON;q=0.9".parse().expect("a value"));
    let json = button_answer(&headers, receipt(EventState::Duplicate, why));
    assert_eq!(
        (json.status(), json.headers()["content-type"].as_bytes()),
        (StatusCode::ACCEPTED, &b"application/json"[..])
    );
}
