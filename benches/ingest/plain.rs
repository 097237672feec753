//! The least that can be done: the same HTTP library with the same deadlines, the same check of the signature, the same
//! parser and a receipt, and nothing decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coalesced::config::Config;
use coalesced::event::{Disposition, Event, Verdict};
use coalesced::model::{Seq, Timestamp};
use coalesced::reason::IgnoreReason;
use coalesced::source::{self, Reading};
use coalesced::status::{Picture, Receipt, receipt};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

struct Plain {
    config: Config,
    picture: Picture,
    newest: AtomicU64,
}

/// The argument that makes this program this server.
pub(super) const ROLE: &str = "--serve-plain";

/// Says where it listens, and serves.
pub(super) async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    println!("{}", listener.local_addr().expect("an address"));
    let text = super::configuration();
    let config = Config::parse(&text, "bench.toml", std::path::Path::new("."), &|_| None).expect("a configuration");
    let plain = Arc::new(Plain { config, picture: Picture::default(), newest: AtomicU64::new(0) });
    let router = axum::Router::new()
        .route("/hooks/{source}", axum::routing::post(hook))
        .layer(axum::middleware::from_fn(within_limit))
        .with_state(plain);
    loop {
        let (stream, _) = listener.accept().await.expect("accepted");
        stream.set_nodelay(true).expect("an option");
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(connection);
    }
}

/// Whatever faces strangers has such a deadline.
async fn within_limit(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(Duration::from_secs(30), next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

#[derive(serde::Serialize)]
struct Answer {
    receipts: Vec<Receipt>,
}

async fn hook(
    State(plain): State<Arc<Plain>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Answer>), StatusCode> {
    let source = plain.config.rules.sources.get(&name).ok_or(StatusCode::NOT_FOUND)?;
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(Duration::from_secs(20), body.collect()).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    let request = source::Request {
        now: coalesced::clock::wall(),
        headers: &parts.headers,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        body: &body,
    };
    let reading = source::read(&name, source, &plain.config.rules.images, &request);
    let Ok(Reading::Delivery(delivery)) = reading else { return Err(StatusCode::UNAUTHORIZED) };
    let now = coalesced::clock::wall();
    let cause = Arc::new(delivery.cause);
    let receipts = delivery.new_events.into_iter().map(|new_event| {
        let reason = match new_event.disposition {
            Disposition::Build { .. } => "quiet for 30 s more, at the latest at 10:10:00".to_owned(),
            _ => String::new(),
        };
        let event = Event {
            seq: Seq(plain.newest.fetch_add(1, Ordering::Relaxed)),
            accepted_at: now,
            image: new_event.image,
            git_ref: new_event.git_ref,
            commit: new_event.commit,
            cause: cause.clone(),
            verdict: Verdict::Ignored { reason: IgnoreReason::Sentence(reason) },
        };
        receipt(&event, None, None, &plain.picture, "http://localhost/v1/events", Timestamp::from_millis(0))
    });
    Ok((StatusCode::ACCEPTED, Json(Answer { receipts: receipts.collect() })))
}
