//! The whole back-end against a small Docker Hub: list in pages, cancel, refusals, set-up.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::Value;

use super::fake::{assert_no_secret, hub, hub_with, image};
use super::*;
use crate::config::Secret;
use crate::config::backend::docker_hub::Login;

type Log = Arc<Mutex<Vec<String>>>;

/// A server that accepts every login, and answers everything else with `answer`.
async fn start(answer: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> (String, Log) {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let router = Router::new().fallback(async move |request: Request| {
        if request.uri().path() == "/v2/auth/token" {
            return Json(json!({ "access_token": "test-token-jwt" })).into_response();
        }
        assert_eq!(request.headers()["authorization"], "Bearer test-token-jwt");
        seen.lock().expect("a log").push(format!("{} {}", request.method(), request.uri()));
        answer(&request)
    });
    (fake::serve(router).await, log)
}

fn page(numbers: std::ops::Range<usize>, next: Option<&str>) -> Response {
    let entry = |n| json!({ "uuid": format!("u-{n}"), "build_tag": "latest", "state": "Success" });
    let objects: Vec<Value> = numbers.map(entry).collect();
    Json(json!({ "meta": { "next": next }, "objects": objects })).into_response()
}

#[tokio::test]
async fn at_most_one_further_page_is_read_and_its_address_is_our_own() {
    let elsewhere = Some("http://127.0.0.1:1/elsewhere?offset=7");
    let (base, log) = start(move |request| match request.uri().query() {
        Some(query) if query.contains("offset=50") => page(50..100, elsewhere),
        _ => page(0..50, elsewhere),
    })
    .await;
    let observation = hub(&base).observe(&image()).await.expect("an observation");
    assert_eq!(observation.builds.len(), 100);
    assert!(observation.complete_since.is_some());
    let query = "include_related=true&limit=50&object=%2Fapi%2Frepo%2Fv1%2Frepository%2Fmrraph%2Fblog%2F";
    let first = format!("GET /api/audit/v1/action/?{query}");
    assert_eq!(*log.lock().expect("a log"), [first.clone(), format!("{first}&offset=50")]);
}

#[tokio::test]
async fn a_second_page_that_fails_leaves_the_first() {
    let (base, _) = start(|request| match request.uri().query() {
        Some(query) if query.contains("offset=") => StatusCode::BAD_GATEWAY.into_response(),
        _ => page(0..50, Some("x")),
    })
    .await;
    let observation = hub(&base).observe(&image()).await.expect("an observation");
    assert_eq!(observation.builds.len(), 50);
    assert!(observation.complete_since.is_some());
}

#[tokio::test]
async fn a_list_that_is_refused_is_classed() {
    for (status, kind) in [
        (403, "Forbidden"),
        (401, "Forbidden"),
        (429, "Throttled"),
        (404, "Unavailable"),
        (500, "Unavailable"),
        (302, "Unavailable"),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let body = json!({ "detail": format!("no {} {}", fake::PASSWORD, "test-token-jwt") });
        let (base, _) = start(move |_| (status, [("retry-after", "30")], Json(body.clone())).into_response()).await;
        let error = hub(&base).observe(&image()).await.expect_err("a refusal");
        assert!(format!("{error:?}").starts_with(kind), "{status}: {error:?}");
        assert_no_secret(&format!("{error} {error:?}"));
        if let ObserveError::Throttled { retry_after } = error {
            assert_eq!(retry_after, Some(Duration::from_secs(30)));
        }
    }
}

#[tokio::test]
async fn a_list_without_end_costs_no_memory() {
    let long = Json(json!({ "objects": [], "filler": "x".repeat(LIST_BYTES_MAX) }));
    let (base, _) = start(move |_| long.clone().into_response()).await;
    let error = hub(&base).observe(&image()).await.expect_err("too long");
    assert!(matches!(&error, ObserveError::Unavailable { detail } if detail.contains("longer than")), "{error}");
}

#[tokio::test]
async fn cancel_asks_for_one_build() {
    let (base, log) = start(|request| match request.uri().path() {
        "/api/audit/v1/action/u-1/cancel/" => StatusCode::ACCEPTED.into_response(),
        "/api/audit/v1/action/u-2/cancel/" => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => (StatusCode::BAD_REQUEST, Json(json!({ "error": "it has ended" }))).into_response(),
    })
    .await;
    let hub = hub(&base);
    let backend_id = |id: &str| BackendBuildId(id.to_owned());
    assert_eq!(hub.cancel(&backend_id("u-1")).await, CancelAnswer::Requested);
    assert_eq!(hub.cancel(&backend_id("u-2")).await, CancelAnswer::Unsupported);
    let failed = CancelAnswer::Failed { detail: "400 Bad Request: it has ended".to_owned() };
    assert_eq!(hub.cancel(&backend_id("u-3")).await, failed);
    assert!(matches!(hub.cancel(&backend_id("u-1/../x")).await, CancelAnswer::Failed { .. }));
    assert_eq!(log.lock().expect("a log").len(), 3);
    assert_eq!(log.lock().expect("a log")[0], "POST /api/audit/v1/action/u-1/cancel/");
}

#[tokio::test]
async fn without_a_login_it_is_blind() {
    let hub = hub_with("http://127.0.0.1:1", "http://127.0.0.1:1/u/a/b/trigger/test-token-trigger/", false);
    assert!(!hub.observes());
    assert!(matches!(hub.observe(&image()).await, Err(ObserveError::Forbidden { .. })));
    assert_eq!(hub.cancel(&BackendBuildId("u-1".to_owned())).await, CancelAnswer::Unsupported);
}

#[test]
fn what_can_not_be_called_is_refused_without_being_shown() {
    let set_up = |api: &str, trigger_url: &str| {
        let account = DockerHubAccount { api: api.to_owned() };
        let login = Some(Login { username: "mrraph".to_owned(), token: Secret::new(fake::PASSWORD.to_owned()) });
        let backend = DockerHubKeys { trigger_url: Secret::new(trigger_url.to_owned()), login };
        let name = image();
        DockerHub::for_images(&account, std::iter::once((&name, &backend)), []).map(|hubs| format!("{hubs:?}"))
    };
    let path = fake::TRIGGER_PATH;
    let good = set_up("http://127.0.0.1:1", &format!("https://hub.docker.com{path}")).expect("back-ends");
    assert_no_secret(&good);
    for (api, trigger_url) in [
        ("https://hub.docker.com", format!("http://hub.docker.com{path}")),
        ("https://hub.docker.com", format!("hub.docker.com{path}")),
        ("https://hub.docker.com", format!("https://mrraph:x@hub.docker.com{path}")),
        ("http://hub.docker.com", format!("https://hub.docker.com{path}")),
    ] {
        let error = set_up(api, &trigger_url).expect_err("refused");
        assert_no_secret(&format!("{error} {error:?}"));
    }
}
