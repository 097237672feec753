//! The HTTP layer around the model: routes, logins, broken connections. Decides nothing that the service would decide.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::response::{IntoResponse, Json};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::hub::{Fault, Reply};
use super::{SESSION, Shared, wire};
use crate::clock::wall;
use crate::model::{CommitId, GitRef, ImageName, Timestamp};

/// A login's token and its expiry.
pub(super) type Session = (String, Timestamp);

/// Silent connections are closed after this time.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// The entries on a page by default, and at most.
const PAGE_DEFAULT: usize = 25;
const PAGE_MAX: usize = 500;
/// The most tokens remembered.
const SESSIONS_MAX: usize = 1_000;

/// Serves until told to stop; then closes every connection.
pub(super) async fn serve(listener: TcpListener, shared: Shared, mut stopped: oneshot::Receiver<()>) {
    let router = router(shared);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
            _ = &mut stopped => break,
        };
        let router = router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let router = router.clone();
            async move {
                let answer: Result<Response<Body>, Infallible> = router.oneshot(request.map(Body::new)).await;
                let Ok(response) = answer;
                // An error here closes the connection without an answer.
                if response.extensions().get::<Broken>().is_some() {
                    Err(std::io::Error::other("the answer is lost on purpose"))
                } else {
                    Ok(response)
                }
            }
        });
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

/// Marks a response that must not arrive.
#[derive(Clone)]
struct Broken;

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/u/{namespace}/{name}/trigger/{token}/", post(legacy_trigger))
        .route("/api/build/v1/source/{source}/trigger/{trigger}/call/", post(current_trigger))
        .route("/v2/auth/token", post(auth_token))
        .route("/v2/users/login", post(users_login))
        .route("/api/audit/v1/action/", get(list))
        .route("/api/audit/v1/action/{uuid}/", get(one))
        .route("/api/audit/v1/action/{uuid}/cancel/", post(cancel))
        .route("/_hub/repositories", post(control_register))
        .route("/_hub/push", post(control_push))
        .route("/_hub/foreign-build", post(control_foreign))
        .route("/_hub/faults", post(control_faults))
        .route("/_hub/builds/{namespace}/{name}", get(control_builds))
        .route("/_hub/counters", get(control_counters))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({ "detail": "Object not found" }))) })
        .with_state(shared)
}

/// The unguessable part of a repository's trigger URLs. Here it only has to be unique.
pub(super) fn trigger_token(image: &ImageName) -> String {
    uuid_of("trigger", image)
}

pub(super) fn source_uuid(image: &ImageName) -> String {
    uuid_of("source", image)
}

fn uuid_of(what: &str, image: &ImageName) -> String {
    let digits = hex::encode(Sha256::digest(format!("{what} {image}")));
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[12..15], &digits[15..18], &digits[18..30])
}

async fn legacy_trigger(
    State(shared): State<Shared>,
    Path((namespace, name, token)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let image = format!("{namespace}/{name}").parse::<ImageName>().ok();
    match image.filter(|image| shared.hub().knows(image) && trigger_token(image) == token) {
        Some(image) => trigger(&shared, &image, &headers, &body, || "OK".into_response()),
        None => not_found("Object not found"),
    }
}

async fn current_trigger(
    State(shared): State<Shared>,
    Path((source, token)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let image = shared.hub().images().iter().find(|image| source_uuid(image) == source).cloned();
    match image.filter(|image| trigger_token(image) == token) {
        Some(image) => {
            let accepted = || {
                let source = wire::source(&shared.hub(), &image, &source);
                (StatusCode::ACCEPTED, Json(source)).into_response()
            };
            trigger(&shared, &image, &headers, &body, accepted)
        }
        None => not_found("Selected Source does not exist"),
    }
}

fn trigger(
    shared: &Shared,
    image: &ImageName,
    headers: &HeaderMap,
    body: &[u8],
    accepted: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(wanted) = wire::wanted(content_type, body) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "Bad Request" }))).into_response();
    };
    let reply = shared.hub().trigger(wall(), image, &wanted);
    match reply {
        Reply::Ok => accepted(),
        Reply::NoAnswer => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Broken);
            response
        }
        Reply::Error => {
            let error = json!({ "error": "Our service is temporarily unavailable. We'll be back soon!" });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response()
        }
        Reply::Throttled => {
            let again = wall().plus(Duration::from_secs(1)).as_millis() / 1000;
            (StatusCode::TOO_MANY_REQUESTS, [("x-retry-after", again.to_string())], "Too Many Requests").into_response()
        }
        Reply::Gone => not_found("Selected Source does not exist"),
    }
}

fn not_found(error: &str) -> Response<Body> {
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    identifier: String,
    secret: String,
}

async fn auth_token(State(shared): State<Shared>, Json(request): Json<TokenRequest>) -> Response<Body> {
    match log_in(&shared, &request.identifier, &request.secret) {
        Some(token) => Json(json!({ "access_token": token })).into_response(),
        None => unauthorized(),
    }
}

#[derive(Deserialize)]
struct LoginRequest {
    username: String,
    password: String,
}

async fn users_login(State(shared): State<Shared>, Json(request): Json<LoginRequest>) -> Response<Body> {
    match log_in(&shared, &request.username, &request.password) {
        Some(token) => Json(json!({ "token": token })).into_response(),
        None => unauthorized(),
    }
}

fn unauthorized() -> Response<Body> {
    let detail = json!({ "detail": "Incorrect authentication credentials", "message": "unauthorized" });
    (StatusCode::UNAUTHORIZED, Json(detail)).into_response()
}

/// A token in the shape of a JWT, valid for ten minutes.
fn log_in(shared: &Shared, username: &str, password: &str) -> Option<String> {
    let number = {
        let mut hub = shared.hub();
        hub.counters.logins += 1;
        hub.counters.logins
    };
    if (username, password) != (&shared.login.0, &shared.login.1) {
        return None;
    }
    let ends = wall().plus(SESSION);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "exp": ends.as_millis() / 1000, "jti": number, "sub": username });
    let token = format!("{}.{}.{}", part(json!({ "alg": "none" })), part(claims), URL_SAFE_NO_PAD.encode("unsigned"));
    let mut sessions = shared.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if sessions.len() == SESSIONS_MAX {
        sessions.remove(0);
    }
    sessions.push((token.clone(), ends));
    Some(token)
}

fn is_logged_in(shared: &Shared, headers: &HeaderMap) -> bool {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = shown.strip_prefix("Bearer ").or_else(|| shown.strip_prefix("JWT "));
    let sessions = shared.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    token.is_some_and(|token| sessions.iter().any(|(known, ends)| known == token && *ends > wall()))
}

#[derive(Deserialize)]
struct ListRequest {
    limit: Option<usize>,
    offset: Option<usize>,
    #[serde(default)]
    object: String,
}

async fn list(State(shared): State<Shared>, headers: HeaderMap, Query(request): Query<ListRequest>) -> Response<Body> {
    if !is_logged_in(&shared, &headers) {
        return unauthorized();
    }
    let image =
        request.object.trim_matches('/').strip_prefix("api/repo/v1/repository/").and_then(|name| name.parse().ok());
    let limit = request.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let offset = request.offset.unwrap_or(0);
    let mut hub = shared.hub();
    let builds = match image.map(|image: ImageName| hub.list(wall(), &image)) {
        Some(Ok(builds)) => builds,
        Some(Err(Fault::ListUnauthorized)) => return unauthorized(),
        Some(Err(_)) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "Internal Server Error" })))
                .into_response();
        }
        None => Vec::new(),
    };
    let limits = [("x-ratelimit-limit", "600"), ("x-ratelimit-remaining", "599")];
    let date = [("date", wire::rfc2822(wall()).replace("+0000", "GMT"))];
    (limits, date, Json(wire::actions(&hub, &builds, limit, offset))).into_response()
}

async fn one(State(shared): State<Shared>, headers: HeaderMap, Path(uuid): Path<String>) -> Response<Body> {
    if !is_logged_in(&shared, &headers) {
        return unauthorized();
    }
    let mut hub = shared.hub();
    hub.advance(wall());
    match wire::build_number(&uuid).and_then(|number| hub.build(number)) {
        Some(build) => Json(wire::action(&hub, build)).into_response(),
        None => not_found("Object not found"),
    }
}

async fn cancel(State(shared): State<Shared>, headers: HeaderMap, Path(uuid): Path<String>) -> Response<Body> {
    if !is_logged_in(&shared, &headers) {
        return unauthorized();
    }
    let mut hub = shared.hub();
    let Some(number) = wire::build_number(&uuid) else { return not_found("Object not found") };
    if !hub.cancel(wall(), number) {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "It can't be canceled" }))).into_response();
    }
    let answer = hub.build(number).map(|build| wire::action(&hub, build));
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

#[derive(Deserialize)]
struct ImageRequest {
    image: ImageName,
}

async fn control_register(State(shared): State<Shared>, Json(request): Json<ImageRequest>) -> Response<Body> {
    Json(shared.register(&request.image)).into_response()
}

#[derive(Deserialize)]
struct PushRequest {
    image: ImageName,
    #[serde(rename = "ref")]
    git_ref: GitRef,
    commit: CommitId,
}

async fn control_push(State(shared): State<Shared>, Json(request): Json<PushRequest>) -> StatusCode {
    shared.hub().push(wall(), &request.image, &request.git_ref, request.commit);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct ForeignRequest {
    image: ImageName,
    #[serde(rename = "ref")]
    git_ref: GitRef,
}

async fn control_foreign(State(shared): State<Shared>, Json(request): Json<ForeignRequest>) -> StatusCode {
    shared.hub().foreign_build(wall(), &request.image, &request.git_ref);
    StatusCode::NO_CONTENT
}

async fn control_faults(State(shared): State<Shared>, Json(faults): Json<Vec<Fault>>) -> StatusCode {
    for fault in faults {
        shared.hub().plan(fault);
    }
    StatusCode::NO_CONTENT
}

async fn control_builds(
    State(shared): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response<Body> {
    let Ok(image) = format!("{namespace}/{name}").parse::<ImageName>() else { return not_found("no such image") };
    let mut hub = shared.hub();
    hub.advance(wall());
    let builds = hub.true_builds(&image);
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let shown = builds.iter().map(|build| {
        json!({
            "number": build.number, "ref": build.git_ref, "tag": build.tag, "foreign": build.foreign,
            "created_at": moment(Some(build.created_at)), "started_at": moment(build.started_at),
            "finished_at": moment(build.finished_at), "outcome": build.outcome, "commit": build.commit,
            "pushed": build.pushed
        })
    });
    Json(shown.collect::<Vec<_>>()).into_response()
}

async fn control_counters(State(shared): State<Shared>) -> Response<Body> {
    let mut hub = shared.hub();
    hub.advance(wall());
    Json(hub.counters()).into_response()
}
