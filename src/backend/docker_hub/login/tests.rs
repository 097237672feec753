//! One account's logins, against a server that counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::super::fake::{self, assert_no_secret};
use super::super::{Calls as _, DockerHub};
use super::*;
use crate::build::Observation;
use crate::model::ImageName;

/// The server's state and behaviour.
#[derive(Default)]
struct Hub {
    logins: AtomicUsize,
    lists: AtomicUsize,
    /// Tokens of logins up to this number are refused.
    revoked: AtomicUsize,
    /// The status of login answers; 0: a token.
    login_status: AtomicUsize,
    silent: AtomicBool,
    /// The token's life in seconds; 0: it doesn't say.
    life: AtomicUsize,
    echo_token: AtomicBool,
}

async fn log_in(State(hub): State<Arc<Hub>>, Json(body): Json<Value>) -> impl IntoResponse {
    assert_eq!(body, json!({ "identifier": "mrraph", "secret": fake::PASSWORD }));
    let number = hub.logins.fetch_add(1, Ordering::SeqCst) + 1;
    if hub.silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    // Long enough for every other call to arrive in the meantime.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let status = u16::try_from(hub.login_status.load(Ordering::SeqCst)).expect("a status");
    if status != 0 {
        let status = StatusCode::from_u16(status).expect("a status");
        let detail = format!("Incorrect credentials {}", fake::PASSWORD);
        return (status, Json(json!({ "detail": detail, "message": "no" })));
    }
    let payload = match hub.life.load(Ordering::SeqCst) {
        0 => json!({}),
        life => json!({ "exp": crate::clock::wall().as_millis() / 1_000 + i64::try_from(life).expect("a life") }),
    };
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    (StatusCode::OK, Json(json!({ "access_token": format!("test-token-jwt-{number}.{payload}.x") })))
}

async fn list(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> impl IntoResponse {
    hub.lists.fetch_add(1, Ordering::SeqCst);
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let number = bearer.trim_start_matches("Bearer test-token-jwt-").split('.').next().unwrap_or_default();
    let good = number.parse::<usize>().is_ok_and(|number| number > hub.revoked.load(Ordering::SeqCst));
    if good {
        return (StatusCode::OK, Json(json!({ "meta": { "next": null }, "objects": [] })));
    }
    let echo = if hub.echo_token.load(Ordering::SeqCst) { bearer } else { String::new() };
    (StatusCode::UNAUTHORIZED, Json(json!({ "detail": format!("no access {echo}") })))
}

async fn start() -> (Arc<Hub>, String) {
    let hub = Arc::new(Hub::default());
    let router = Router::new()
        .route("/v2/auth/token", post(log_in))
        .route("/api/audit/v1/action/", get(list))
        .with_state(Arc::clone(&hub));
    (hub, fake::serve(router).await)
}

fn counts(hub: &Hub) -> (usize, usize) {
    (hub.logins.load(Ordering::SeqCst), hub.lists.load(Ordering::SeqCst))
}

#[tokio::test]
async fn twenty_questions_at_once_make_one_login() {
    let (hub, base) = start().await;
    let backend = fake::hub(&base);
    for result in ask_at_once(&backend, 20).await {
        result.expect("an observation");
    }
    assert_eq!(counts(&hub), (1, 20));
    // Their shared token is revoked: again one login, whose token serves all.
    hub.revoked.store(1, Ordering::SeqCst);
    for result in ask_at_once(&backend, 20).await {
        result.expect("an observation with the second token");
    }
    assert_eq!(hub.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn images_with_the_same_login_share_it_and_others_do_not() {
    let (hub, base) = start().await;
    let account = crate::config::backend::docker_hub::DockerHubAccount { api: base.clone() };
    let backend = |token: &str| crate::config::backend::docker_hub::DockerHubKeys {
        trigger_url: Secret::new(format!("{base}{}", fake::TRIGGER_PATH)),
        login: Some(Login { username: "mrraph".to_owned(), token: Secret::new(token.to_owned()) }),
    };
    let names: Vec<ImageName> = ["a/one", "a/two"].map(|name| name.parse().expect("an image")).to_vec();
    let same = [backend(fake::PASSWORD), backend(fake::PASSWORD)];
    let hubs = DockerHub::for_images(&account, names.iter().zip(&same), []).expect("back-ends");
    for (image, backend) in &hubs {
        backend.observe(image).await.expect("an observation");
    }
    assert_eq!(counts(&hub), (1, 2));
    let different = [backend(fake::PASSWORD), backend("test-token-other")];
    let hubs = DockerHub::for_images(&account, names.iter().zip(&different), []).expect("back-ends");
    let sessions: Vec<_> = hubs.values().filter_map(|hub| hub.session.as_ref()).collect();
    assert!(!Arc::ptr_eq(sessions[0], sessions[1]));
}

#[tokio::test]
async fn a_login_that_did_not_change_is_kept_through_a_reload_and_a_new_one_is_made() {
    let (hub, base) = start().await;
    let account = crate::config::backend::docker_hub::DockerHubAccount { api: base.clone() };
    let backend = |token: &str, trigger: &str| crate::config::backend::docker_hub::DockerHubKeys {
        trigger_url: Secret::new(format!("{base}{trigger}")),
        login: Some(Login { username: "mrraph".to_owned(), token: Secret::new(token.to_owned()) }),
    };
    let names: Vec<ImageName> = ["a/one", "a/two"].map(|name| name.parse().expect("an image")).to_vec();
    let first = [backend(fake::PASSWORD, fake::TRIGGER_PATH)];
    let before = DockerHub::for_images(&account, names.iter().zip(&first), []).expect("back-ends");
    before[&names[0]].observe(&names[0]).await.expect("an observation");
    // Another trigger, and another image of the same login.
    let next = [backend(fake::PASSWORD, "/another/trigger/"), backend(fake::PASSWORD, fake::TRIGGER_PATH)];
    let hubs = DockerHub::for_images(&account, names.iter().zip(&next), before.values()).expect("back-ends");
    for (image, backend) in &hubs {
        backend.observe(image).await.expect("an observation");
    }
    assert_eq!(counts(&hub), (1, 3), "one login for all");
    let rotated = [backend("test-token-rotated", fake::TRIGGER_PATH)];
    let rotated = DockerHub::for_images(&account, names.iter().zip(&rotated), hubs.values()).expect("back-ends");
    let sessions = [&hubs, &rotated].map(|hubs| hubs[&names[0]].session.as_ref().expect("a login"));
    assert!(!Arc::ptr_eq(sessions[0], sessions[1]));
}

#[tokio::test]
async fn a_token_that_was_good_and_is_refused_is_renewed_once() {
    let (hub, base) = start().await;
    let backend = fake::hub(&base);
    backend.observe(&fake::image()).await.expect("an observation");
    hub.revoked.store(1, Ordering::SeqCst);
    backend.observe(&fake::image()).await.expect("an observation with the second token");
    assert_eq!(counts(&hub), (2, 3));
    // All tokens are refused from now on: one more login, and then none, however many calls are made.
    hub.revoked.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..5 {
        let error = backend.observe(&fake::image()).await.expect_err("a refusal");
        assert!(matches!(error, ObserveError::Forbidden { .. }), "{error}");
    }
    assert_eq!(counts(&hub), (3, 3 + 2 + 4));
}

#[tokio::test]
async fn a_first_token_that_is_refused_costs_no_second_login() {
    let (hub, base) = start().await;
    hub.revoked.store(usize::MAX, Ordering::SeqCst);
    hub.echo_token.store(true, Ordering::SeqCst);
    let backend = fake::hub(&base);
    for _ in 0..3 {
        let error = backend.observe(&fake::image()).await.expect_err("a refusal");
        assert!(matches!(&error, ObserveError::Forbidden { detail } if detail.contains("no access")), "{error}");
        assert_no_secret(&format!("{error} {error:?} {backend:?}"));
    }
    assert_eq!(counts(&hub), (1, 3));
}

#[tokio::test]
async fn a_refused_login_is_not_repeated() {
    for (status, kind) in [(401, "Forbidden"), (429, "Throttled"), (500, "Unavailable"), (404, "Unavailable")] {
        let (hub, base) = start().await;
        hub.login_status.store(status, Ordering::SeqCst);
        let backend = fake::hub(&base);
        for result in ask_at_once(&backend, 5).await {
            let error = result.expect_err("a refusal");
            assert!(format!("{error:?}").starts_with(kind), "{status}: {error:?}");
            assert_no_secret(&format!("{error} {error:?}"));
        }
        assert_eq!(counts(&hub), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn after_the_pause_a_login_is_tried_again() {
    let (hub, base) = start().await;
    hub.login_status.store(429, Ordering::SeqCst);
    let backend = fake::hub(&base);
    let error = backend.observe(&fake::image()).await.expect_err("a refusal");
    assert_eq!(error, ObserveError::Throttled { retry_after: Some(PAUSE_AFTER_REFUSAL) });
    hub.login_status.store(0, Ordering::SeqCst);
    pass(&backend, PAUSE_AFTER_REFUSAL.checked_sub(Duration::from_secs(5)).expect("a wait")).await;
    let error = backend.observe(&fake::image()).await.expect_err("still refused");
    assert!(matches!(error, ObserveError::Throttled { retry_after: Some(left) } if left <= Duration::from_secs(5)));
    pass(&backend, Duration::from_secs(5)).await;
    backend.observe(&fake::image()).await.expect("an observation");
    assert_eq!(counts(&hub), (2, 1));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    for (life, good_for) in [(300, 270), (0, 570)] {
        let (hub, base) = start().await;
        hub.life.store(life, Ordering::SeqCst);
        let backend = fake::hub(&base);
        backend.observe(&fake::image()).await.expect("an observation");
        pass(&backend, Duration::from_secs(good_for - 5)).await;
        backend.observe(&fake::image()).await.expect("an observation");
        assert_eq!(counts(&hub), (1, 2), "{life}");
        pass(&backend, Duration::from_secs(10)).await;
        backend.observe(&fake::image()).await.expect("an observation");
        assert_eq!(counts(&hub), (2, 3), "{life}");
    }
}

#[tokio::test]
async fn a_login_that_was_given_up_is_not_repeated_at_once() {
    let (hub, base) = start().await;
    hub.silent.store(true, Ordering::SeqCst);
    let backend = fake::hub(&base);
    tokio::time::timeout(Duration::from_millis(20), backend.observe(&fake::image())).await.expect_err("given up");
    let error = backend.observe(&fake::image()).await.expect_err("a pause");
    assert!(matches!(error, ObserveError::Unavailable { .. }), "{error}");
    assert!(hub.logins.load(Ordering::SeqCst) <= 1, "the second question made no login");
    hub.silent.store(false, Ordering::SeqCst);
    pass(&backend, PAUSE_AFTER_OUTAGE).await;
    backend.observe(&fake::image()).await.expect("an observation");
}

#[test]
fn the_end_of_a_token_is_read_leniently() {
    let token = |payload: &str| format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload));
    let end = Some(Timestamp::from_millis(1_795_000_000_000));
    for payload in [r#"{"exp":1795000000}"#, r#"{"exp":1.795e9}"#, r#"{"exp":"1795000000"}"#] {
        assert_eq!(token_end(&token(payload)), end, "{payload}");
        assert_eq!(token_end(&format!("{}==", token(payload).trim_end_matches(".s"))), end, "{payload}");
    }
    for odd in ["", "opaque", "a.b.c", &token("[]"), &token(r#"{"exp":null}"#), &token("{")] {
        assert_eq!(token_end(odd), None, "{odd}");
    }
}

async fn ask_at_once(backend: &DockerHub, times: usize) -> Vec<Result<Observation, ObserveError>> {
    let ask = |_| {
        let backend = backend.clone();
        tokio::spawn(async move { backend.observe(&fake::image()).await })
    };
    let asked: Vec<_> = (0..times).map(ask).collect();
    let mut results = Vec::new();
    for question in asked {
        results.push(question.await.expect("a task"));
    }
    results
}

/// Simulates the passing of time for the session: moves all its deadlines closer by that much.
async fn pass(backend: &DockerHub, time: Duration) {
    let session = backend.session.as_ref().expect("a session");
    let mut state = session.state.lock().await;
    let earlier = |moment: Instant| moment.checked_sub(time).expect("a moment");
    if let Some(bearer) = &mut state.bearer {
        bearer.good_until = earlier(bearer.good_until);
    }
    if let Some((until, _)) = &mut state.pause {
        *until = earlier(*until);
    }
}
