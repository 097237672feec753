//! What every request passes through: the time limit, the error format, the metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::problem::{PROBLEM_JSON, Problem};
use crate::clock::Stopwatch;

/// How long a request may take, from the end of its header to the start of its response.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The route label of requests that match none.
const NO_ROUTE: &str = "none";

pub(super) async fn pass(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let began = Stopwatch::start();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await;
    let response = as_problem(
        answer
            .unwrap_or_else(|_| Problem::unavailable("the request took longer than 30 s").and_close().into_response()),
    );
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    shared.metrics.add(route, response.status().as_u16(), began.elapsed());
    response
}

/// Turns errors that the router or an extractor worded itself into problems like all others.
pub(super) fn as_problem(mut response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if is_error && !is_problem {
        let allow = response.headers_mut().remove(axum::http::header::ALLOW);
        response = Problem::new(status, detail_of(status)).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(axum::http::header::ALLOW, allow);
        }
    }
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn detail_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is nothing at this address",
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method; the header Allow says which",
        StatusCode::BAD_REQUEST => "the request can't be understood",
        _ => "the request can't be answered",
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;
    use crate::http::body::tests::text_of;

    #[tokio::test]
    async fn errors_of_the_router_become_problems() {
        let router = Router::new()
            .route("/here/{x}", post(async |_: axum::extract::Path<u8>| "ok"))
            .layer(axum::middleware::map_response(async |response: Response| as_problem(response)));
        for (method, path, status) in [("GET", "/there", 404), ("GET", "/here/1", 405), ("POST", "/here/x", 400)] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
            let response = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
            if status == 405 {
                assert_eq!(response.headers()["allow"], "POST");
            }
            let body: serde_json::Value = serde_json::from_str(&text_of(response).await).expect("JSON");
            assert_eq!(body["status"], status);
        }
    }
}
