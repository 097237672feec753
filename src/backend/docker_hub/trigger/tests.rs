//! The classes of semantics R5, against servers that answer, refuse, break off and stay silent.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::super::fake::{self, Ending, TRIGGER_PATH, assert_no_secret};
use super::super::{Calls as _, DockerHub, SHORT_ANSWER_BYTES_MAX};
use crate::backend::client::{Client, Reach};
use crate::build::{BackendBuildId, BuildRequest, TriggerAnswer};
use crate::model::{BuildId, GitRef};

const SOURCE: &str = r#"{"autotests":"OFF","channel":"Stable","deploykey":"test-token-deploy",
    "envvars":[{"name":"KEY","value":"test-token-env"}],"image":"mrraph/blog","state":"Failed","uuid":"u-1"}"#;
const PENDING: &str = r#"[{"source_type":"Branch","source_name":"master","build_code":null,
    "msg":"A build for tag latest is already pending. Ignoring request.","queued_for_retry":false}]"#;

fn request(git_ref: &str) -> BuildRequest {
    let git_ref: GitRef = git_ref.parse().expect("a ref");
    BuildRequest { build: BuildId(1), image: fake::image(), git_ref, commit: None }
}

async fn call(hub: &DockerHub) -> TriggerAnswer {
    let answer = hub.trigger(&request("refs/heads/master")).await;
    let shown = format!("{answer:?} {hub:?}");
    assert_no_secret(&shown);
    for word in ["test-token-deploy", "test-token-env"] {
        assert!(!shown.contains(word), "{shown}");
    }
    answer
}

/// The answer to a trigger whose server sends `status`, `headers` and `body`, complete and in order.
async fn answered(status: u16, headers: &str, body: &str) -> TriggerAnswer {
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    let (base, calls) = fake::raw(format!("{head}{body}"), Ending::Close).await;
    let answer = call(&fake::hub(&base)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "a trigger is called once, whatever comes back");
    answer
}

/// The answer to bytes that need not be a complete HTTP response.
async fn broken(bytes: &str, ending: Ending) -> TriggerAnswer {
    let (base, calls) = fake::raw(bytes.to_owned(), ending).await;
    let answer = call(&fake::hub(&base)).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "a trigger is called once, whatever comes back");
    answer
}

fn is_uncertain(answer: &TriggerAnswer) -> bool {
    matches!(answer, TriggerAnswer::Uncertain { .. })
}

fn detail(answer: &TriggerAnswer) -> &str {
    match answer {
        TriggerAnswer::Accepted { .. } => "",
        TriggerAnswer::AlreadyPending { detail }
        | TriggerAnswer::Uncertain { detail }
        | TriggerAnswer::RefusedForNow { detail, .. }
        | TriggerAnswer::Refused { detail } => detail,
    }
}

#[tokio::test]
async fn a_plain_acceptance_names_no_build() {
    let started = r#"[{"build_code":"b9u","msg":null},{"build_code":null,"msg":"already pending. Ignoring request."}]"#;
    for (status, body) in [
        (200, "OK"),
        (200, "\"OK\"\n"),
        (202, SOURCE),
        (200, SOURCE),
        (202, ""),
        (204, ""),
        (202, "taken"),
        (202, started),
    ] {
        assert_eq!(answered(status, "", body).await, TriggerAnswer::Accepted { backend_id: None }, "{status} {body}");
    }
}

#[tokio::test]
async fn a_header_that_names_the_build_is_read() {
    let header = "X-DockerCloud-Action-URI: /api/audit/v1/action/0b1c-2d/\r\n";
    let named = TriggerAnswer::Accepted { backend_id: Some(BackendBuildId("0b1c-2d".to_owned())) };
    assert_eq!(answered(202, header, SOURCE).await, named);
    // The body breaks off, but the header has said enough.
    let cut = format!("HTTP/1.1 202 Accepted\r\ncontent-length: 900\r\n{header}\r\n{{\"autotests\":");
    assert_eq!(broken(&cut, Ending::Close).await, named);
    let odd = "X-DockerCloud-Action-URI: https://example.org/action/..%2f/\r\n";
    assert_eq!(answered(202, odd, SOURCE).await, TriggerAnswer::Accepted { backend_id: None });
}

#[tokio::test]
async fn said_to_be_pending_is_its_own_class() {
    let answer = answered(202, "", PENDING).await;
    assert!(matches!(answer, TriggerAnswer::AlreadyPending { .. }), "{answer:?}");
    assert!(detail(&answer).contains("already pending"), "{answer:?}");
    let answer = answered(200, "", "Ignored, build throttle").await;
    assert!(matches!(answer, TriggerAnswer::AlreadyPending { .. }), "{answer:?}");
}

#[tokio::test]
async fn an_empty_list_is_a_trigger_without_a_rule() {
    let answer = answered(202, "", "[]").await;
    assert!(matches!(answer, TriggerAnswer::Refused { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_2xx_that_can_not_be_read_is_uncertain() {
    let error = r#"[{"build_code":null,"msg":"Unhandled error while submitting build"}]"#;
    for (status, body) in [
        (200, "<html>maintenance</html>"),
        (202, "<html>"),
        (200, r#"{"autotests":"#),
        (202, error),
        (200, r#"{"error":"try later"}"#),
        (200, "what?"),
        (202, "[1]"),
    ] {
        let answer = answered(status, "", body).await;
        assert!(is_uncertain(&answer), "{status} {body}: {answer:?}");
    }
    let too_long = format!(r#"{{"uuid":"{}"}}"#, "x".repeat(SHORT_ANSWER_BYTES_MAX));
    assert!(is_uncertain(&answered(202, "", &too_long).await));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_uncertain() {
    let head = "HTTP/1.1 202 Accepted\r\ncontent-length: 900\r\n\r\n";
    let endless = "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n";
    for bytes in [format!("{head}{{\"autotests\":"), endless.to_owned(), "HTTP/1.1 20".to_owned(), String::new()] {
        for ending in [Ending::Close, Ending::Reset] {
            let answer = broken(&bytes, ending).await;
            assert!(is_uncertain(&answer), "{bytes}: {answer:?}");
        }
    }
    assert!(is_uncertain(&broken("SSH-2.0-OpenSSH_9.2\r\n", Ending::Close).await));
}

#[tokio::test]
async fn statuses_are_classed_by_what_can_be_done() {
    for status in [500, 502, 503, 504, 521, 408] {
        assert!(is_uncertain(&answered(status, "retry-after: 5\r\n", "").await), "{status}");
    }
    for status in [400, 401, 402, 403, 404, 405, 410, 413, 415, 422] {
        let answer = answered(status, "", "").await;
        assert!(matches!(answer, TriggerAnswer::Refused { .. }), "{status}: {answer:?}");
    }
    for status in [409, 425, 429] {
        let answer = answered(status, "", "Too Many Requests (HAP429).").await;
        assert!(matches!(answer, TriggerAnswer::RefusedForNow { retry_after: None, .. }), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_throttle_says_how_long() {
    let wait = |answer| match answer {
        TriggerAnswer::RefusedForNow { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    let dated = "Date: Mon, 29 Feb 2016 10:36:25 GMT\r\nX-Retry-After: 1456742245\r\n";
    assert_eq!(wait(answered(429, dated, "").await), Some(Duration::from_mins(1)));
    assert_eq!(wait(answered(429, "Retry-After: 7\r\n", "").await), Some(Duration::from_secs(7)));
    assert_eq!(wait(answered(429, "Retry-After: 86400\r\n", "").await), Some(Duration::from_hours(1)));
}

#[tokio::test]
async fn a_redirect_is_refused_and_never_followed() {
    let (elsewhere, calls) =
        fake::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK".to_owned(), Ending::Close).await;
    for status in [301, 302, 307, 308] {
        let answer = answered(status, &format!("location: {elsewhere}{TRIGGER_PATH}\r\n"), "").await;
        assert!(matches!(answer, TriggerAnswer::Refused { .. }), "{status}: {answer:?}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_connection_it_may_be_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let no_name = "https://no-such-host.invalid";
    // A server without TLS: the handshake fails before a byte of the request is sent.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let no_tls = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("an answer");
    });
    for base in [&format!("http://{address}"), &format!("https://{address}"), no_name, &no_tls] {
        let hub = fake::hub_with("http://127.0.0.1:1", &format!("{base}{TRIGGER_PATH}"), false);
        let answer = call(&hub).await;
        assert!(matches!(answer, TriggerAnswer::RefusedForNow { retry_after: None, .. }), "{base}: {answer:?}");
    }
}

#[tokio::test]
async fn silence_after_the_request_is_uncertain() {
    let router = Router::new().fallback(std::future::pending::<Response>);
    let mut hub = fake::hub(&fake::serve(router).await);
    hub.client = Client::with_time_limit(Reach::ThisMachine, Duration::from_millis(200)).expect("a client");
    assert!(is_uncertain(&call(&hub).await));
}

#[tokio::test]
async fn an_error_text_is_shown_short_and_without_secrets() {
    let text = format!("Source TEST-SOURCE-1 or test-token-trigger\\r\\n unknown {}", "x".repeat(400));
    let answer = answered(404, "", &format!(r#"{{"error":"{text}","envvars":["test-token-env"]}}"#)).await;
    let shown = detail(&answer);
    assert!(shown.contains("404") && shown.contains("Source (secret) or (secret) unknown xxx"), "{shown}");
    assert!(shown.chars().count() < 350 && !shown.contains(char::is_control), "{shown}");
    assert!(detail(&answered(401, "", r#"{"detail":"bad credentials"}"#).await).contains("bad credentials"));
    assert!(!detail(&answered(400, "", "plain words").await).contains("plain"));
}

#[tokio::test]
async fn the_body_acts_as_a_push_of_the_ref() {
    type Seen = (String, Option<String>, Option<String>, String);
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let log = Arc::clone(&seen);
    let router = Router::new().fallback(move |request: Request| async move {
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (length, kind) = (header("content-length"), header("content-type"));
        let call = format!("{} {}", head.method, head.uri.path());
        let body = axum::body::to_bytes(body, 1024).await.expect("a body");
        log.lock().expect("a log").push((call, length, kind, String::from_utf8_lossy(&body).into_owned()));
        "OK"
    });
    let base = fake::serve(router).await;
    let legacy = fake::hub_with(&base, &format!("{base}/u/mrraph/blog/trigger/test-token-trigger/"), false);
    for (hub, git_ref) in [(&fake::hub(&base), "refs/heads/release/1"), (&legacy, "refs/tags/v1")] {
        assert_eq!(hub.trigger(&request(git_ref)).await, TriggerAnswer::Accepted { backend_id: None });
    }
    let seen = seen.lock().expect("a log");
    let json = Some("application/json".to_owned());
    let expected = [
        (format!("POST {TRIGGER_PATH}"), r#"{"source_name":"release/1","source_type":"Branch"}"#),
        ("POST /u/mrraph/blog/trigger/test-token-trigger/".to_owned(), r#"{"source_name":"v1","source_type":"Tag"}"#),
    ];
    for (seen, (call, body)) in seen.iter().zip(expected) {
        assert_eq!(*seen, (call, Some(body.len().to_string()), json.clone(), body.to_owned()));
    }
    assert_eq!(seen.len(), 2);
}
