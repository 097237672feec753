//! The client against a small server on this machine.

use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::super::render::samples::{idle_lane, waiting_push};
use super::*;

/// A server that ends with the test's runtime, and the requests it received.
pub(in crate::cli) struct Server {
    pub(in crate::cli) url: String,
    pub(in crate::cli) asked: Arc<Mutex<Vec<Asked>>>,
}

/// One request, as far as the tests look at it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Asked {
    pub(in crate::cli) method: String,
    pub(in crate::cli) path: String,
    pub(in crate::cli) query: String,
    pub(in crate::cli) authorization: Option<String>,
    pub(in crate::cli) key: Option<String>,
    pub(in crate::cli) body: String,
}

impl Server {
    pub(in crate::cli) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics while it holds this").clone()
    }
}

/// Serves `answer` on its own port: a status and a body for each request.
pub(in crate::cli) async fn serve<F>(answer: F) -> Server
where
    F: Fn(&Asked) -> (u16, String) + Clone + Send + Sync + 'static,
{
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let router = axum::Router::new().fallback(move |request: Request| {
        let (answer, log) = (answer.clone(), Arc::clone(&log));
        async move {
            let asked = read(request).await;
            let (status, body) = answer(&asked);
            log.lock().expect("no test panics while it holds this").push(asked);
            Response::builder().status(status).body(axum::body::Body::from(body)).expect("an answer")
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Server { url, asked }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    let mut asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        key: header("idempotency-key"),
        body: String::new(),
    };
    let bytes = to_bytes(body, 64 * 1024).await.expect("a body");
    asked.body = String::from_utf8(bytes.to_vec()).expect("text");
    asked
}

pub(in crate::cli) fn client_of(server: &Server, token: Option<&str>) -> Client {
    let token = token.map(|text| Secret::new(text.to_owned()));
    Client::new(Target { url: server.url.clone(), token }).expect("a client")
}

#[tokio::test]
async fn a_build_request_is_sent_with_token_key_and_body() {
    let receipt = serde_json::to_string(&waiting_push()).expect("a receipt");
    let text = receipt.clone();
    let server = serve(move |_| (202, receipt.clone())).await;
    let client = client_of(&server, Some("test-token-client"));
    let image = "mrraph/blog".parse().expect("an image");
    let body = BuildRequest { branch: Some("master".to_owned()), start_now: true, ..BuildRequest::default() };
    let first = client.ask_for_build(&image, &body).await.expect("a receipt");
    client.ask_for_build(&image, &body).await.expect("a receipt");
    assert_eq!((first.text, first.value.id.as_str()), (text, "01JD0000000000000000000001"));
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/v1/images/mrraph/blog/builds"));
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer test-token-client"));
    assert_eq!(asked[0].body, r#"{"branch":"master","start_now":true,"ensure":false}"#);
    assert_eq!(asked[0].key.as_ref().map(String::len), Some(32));
    assert_ne!(asked[0].key, asked[1].key, "two new_events are two events");
}

#[tokio::test]
async fn a_verb_takes_one_lane_or_all_for_an_answer() {
    let lane = serde_json::to_string(&idle_lane()).expect("a lane");
    let server =
        serve(move |asked| (200, if asked.path == "/v1/pause" { format!("[{lane},{lane}]") } else { lane.clone() }))
            .await;
    let client = client_of(&server, None);
    let image: ImageName = "mrraph/blog".parse().expect("an image");
    let body = VerbRequest { reason: Some("moving house".to_owned()), lasting: Some("2h".to_owned()) };
    let one = client.act("drop", Some(&image), &VerbRequest::default()).await.expect("a lane");
    let all = client.act("pause", None, &body).await.expect("lanes");
    assert_eq!((one.value.len(), all.value.len()), (1, 2));
    let asked = server.asked();
    assert_eq!((asked[0].path.as_str(), asked[0].body.as_str()), ("/v1/images/mrraph/blog/drop", "{}"));
    assert_eq!(asked[1].body, r#"{"reason":"moving house","for":"2h"}"#);
    assert_eq!(asked[1].authorization, None);
}

#[tokio::test]
async fn a_filter_is_written_as_a_query() {
    let server = serve(|_| (200, "[]".to_owned())).await;
    let client = client_of(&server, None);
    let query = vec![("ref", "refs/heads/a b".to_owned()), ("limit", "5".to_owned())];
    assert!(client.events(&query).await.expect("a list").value.is_empty());
    assert_eq!(server.asked()[0].query, "ref=refs%2Fheads%2Fa+b&limit=5");
}

#[tokio::test]
async fn each_refusal_has_its_exit_code_and_shows_the_detail() {
    let server = serve(|asked| {
        let status = asked.path.trim_start_matches("/v1/events/").parse().expect("a status");
        (status, format!(r#"{{"type":"about:blank","title":"T","status":{status},"detail":"the detail\u001b[2J"}}"#))
    })
    .await;
    let client = client_of(&server, Some("test-token-client"));
    for (status, code, text) in [
        (400, 1, "the detail"),
        (401, 77, "not allowed: the detail"),
        (403, 77, "not allowed: the detail"),
        (404, 1, "the detail"),
        (409, 1, "the detail"),
        (500, 1, "the detail"),
        (503, 69, "can't answer now: the detail"),
        (302, 69, "does not answer like coalesced"),
    ] {
        let error = client.event(&status.to_string()).await.expect_err("a refusal");
        assert_eq!(error.exit_code(), code, "{status}");
        assert!(error.to_string().contains(text), "{status}: {error}");
        assert!(!error.to_string().contains('\u{1b}') && !error.to_string().contains("test-token"), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_without_words_shows_its_status() {
    let server = serve(|_| (500, "<html>".to_owned())).await;
    let error = client_of(&server, None).lanes().await.expect_err("a refusal");
    assert_eq!(error.to_string(), "HTTP 500 Internal Server Error");
}

#[tokio::test]
async fn a_missing_token_is_explained() {
    let server = serve(|_| (401, r#"{"detail":"a token is needed"}"#.to_owned())).await;
    let error = client_of(&server, None).lanes().await.expect_err("a refusal");
    assert_eq!(error.to_string(), "not allowed: a token is needed (no token was sent; pass one with --token)");
}

#[tokio::test]
async fn something_else_at_the_address_is_no_daemon() {
    let server = serve(|_| (200, "<html>hello</html>".to_owned())).await;
    let error = client_of(&server, None).lanes().await.expect_err("no daemon");
    assert_eq!(error.exit_code(), 69);
    assert!(error.to_string().starts_with(&format!("{} does not answer like coalesced", server.url)), "{error}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    let client = Client::new(Target { url: url.clone(), token: None }).expect("a client");
    let error = client.lanes().await.expect_err("no daemon there");
    assert!(error.exit_code() == 69 && error.may_pass());
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("refused") && text.contains("coalesced serve"), "{text}");
}

#[test]
fn an_address_of_this_machine_is_known_as_one() {
    for near in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:80", "http://0.0.0.0:1"] {
        assert!(is_this_machine(near), "{near}");
    }
    assert!(!is_this_machine("https://builds.example.org"));
}
