//! One HTTP call to Docker Hub: its limits, and what is known when it fails.
//!
//! Follows no redirects, uses no proxy and never retries. Errors that leave this module carry no URL.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, Request, Response, Url};
use serde_json::Value;

use super::answer::{Answer, Unreadable};
use crate::backend::BackendError;
use crate::config::Secret;

/// The longest wait for a connection: DNS, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest a call may take, from its start to the last byte of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("coalesced/", env!("CARGO_PKG_VERSION"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
}

/// Where the configured addresses are. Each was checked: only this machine is called without encryption.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    Internet,
    Both,
    ThisMachine,
}

/// A call that is ready to be sent, and the most bytes its answer may have.
pub(super) struct Call {
    request: Request,
    answer_bytes_max: usize,
}

/// Why there is no answer at all.
pub(super) enum CallError {
    /// Not one byte of the request was sent: the call can't have had an effect.
    NotSent(String),
    /// The request, or part of it, may have arrived.
    Unanswered(String),
}

impl Client {
    pub(super) fn new(reach: Reach) -> Result<Self, BackendError> {
        Self::with_time_limit(reach, CALL_TIMEOUT)
    }

    pub(super) fn with_time_limit(reach: Reach, time_limit: Duration) -> Result<Self, BackendError> {
        // A provider that is already installed is as good as ours, so a refusal is not an error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(time_limit)
            // An idle connection may be dead without our knowing, and a trigger lost on it would be uncertain. A fresh
            // connection per call fails before anything is sent.
            .pool_max_idle_per_host(0)
            .referer(false)
            .user_agent(USER_AGENT);
        builder = match reach {
            Reach::Internet => builder.https_only(true),
            Reach::Both => builder,
            // Nothing is encrypted, so the system needs no certificates. With an empty list of authorities a TLS
            // connection would be refused, not trusted.
            Reach::ThisMachine => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(|error| BackendError::Client(root_cause(error)))?;
        Ok(Self { http })
    }

    pub(super) async fn send(&self, call: Call) -> Result<Answer, CallError> {
        let asked_at = crate::clock::wall();
        let response = self.http.execute(call.request).await.map_err(call_error)?;
        let answered_at = crate::clock::wall();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response, call.answer_bytes_max).await;
        Ok(Answer { status, headers, body, asked_at, answered_at, bearer: None })
    }
}

impl Call {
    pub(super) fn get(url: Url, answer_bytes_max: usize) -> Self {
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert(ACCEPT, JSON);
        Self { request, answer_bytes_max }
    }

    /// With a body of known length, hence a `Content-Length`: without one the trigger has been seen to answer 400
    /// (docker/hub-feedback issue 2090).
    pub(super) fn post(url: Url, body: &Value, answer_bytes_max: usize) -> Self {
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(ACCEPT, JSON);
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        *request.body_mut() = Some(body.to_string().into());
        Self { request, answer_bytes_max }
    }

    /// The same with a shorter time limit.
    pub(super) fn within(mut self, time_limit: Option<Duration>) -> Self {
        *self.request.timeout_mut() = time_limit;
        self
    }

    /// The same with a bearer token; None if the token can't be a header value.
    pub(super) fn bearing(mut self, token: &Secret) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
        value.set_sensitive(true);
        self.request.headers_mut().insert(AUTHORIZATION, value);
        Some(self)
    }
}

/// Reads in pieces, so that an endless body costs no memory.
async fn read_body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > bytes_max => {
                return Err(Unreadable(format!("its body is longer than {bytes_max} bytes")));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Unreadable("its body did not end in time".to_owned())),
            Err(error) => return Err(Unreadable(format!("its body broke off: {}", root_cause(error)))),
        }
    }
}

fn call_error(error: reqwest::Error) -> CallError {
    // A request that could not even be built is as unsent as one without a connection.
    if error.is_connect() || error.is_builder() {
        let what = if error.is_timeout() { "no connection in time" } else { "no connection" };
        CallError::NotSent(format!("{what}: {}", root_cause(error)))
    } else if error.is_timeout() {
        CallError::Unanswered("no answer in time".to_owned())
    } else {
        CallError::Unanswered(format!("the connection broke before the answer: {}", root_cause(error)))
    }
}

/// The innermost cause, which names no URL: the outer ones do.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
