//! Errors as `application/problem+json` (RFC 9457).
//!
//! A problem says what is wrong in our words. It must never repeat a body, a header or a secret.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::driver::{CommandError, Unavailable};
use crate::journal::HistoryError;
use crate::source::SourceError;
use crate::source::button::TapError;

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// How long a client that met a full queue should wait, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// One error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: Cow<'static, str>,
    /// If a text with positions was refused: each mistake, as `file:line:column: what`.
    pub mistakes: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), mistakes: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The same for every image out of the caller's reach, whether it exists or not.
    pub(super) fn unknown_image() -> Self {
        Self::not_found("no image of this name is configured")
    }

    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    pub(super) fn unauthorized(challenge: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(super) fn with_mistakes(self, mistakes: Vec<String>) -> Self {
        Self { mistakes, ..self }
    }

    /// The request was not read to its end, so the connection can't be reused.
    pub(super) fn and_close(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mistakes: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            mistakes: &self.mistakes,
        };
        let mut response = (self.status, Json(document)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        let status = match &error {
            SourceError::Unsigned => return Self::unauthorized("Signature", error.to_string()),
            SourceError::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            SourceError::Malformed(_) => StatusCode::BAD_REQUEST,
            SourceError::Unusable(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.to_string())
    }
}

impl From<TapError> for Problem {
    fn from(error: TapError) -> Self {
        let status = match &error {
            TapError::Unauthorized => return Self::unauthorized("Bearer realm=\"coalesced\"", error.to_string()),
            TapError::PostOnly => {
                return Self::new(StatusCode::METHOD_NOT_ALLOWED, error.to_string())
                    .with(ALLOW, HeaderValue::from_static("POST"));
            }
            TapError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            TapError::OverrideForbidden(_) => StatusCode::FORBIDDEN,
            TapError::Json(_) | TapError::NotText(_) | TapError::BranchAndTag | TapError::Name(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownImage(_) => Self::unknown_image(),
            CommandError::Unavailable(error) => error.into(),
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        // File system errors may contain paths: those are for the log, not for strangers.
        tracing::error!(%error, "a page of history could not be read");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the history could not be read; the log says why")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::tests::text_of;

    #[tokio::test]
    async fn a_problem_has_its_four_members_and_its_type() {
        let response = Problem::from(Unavailable::Full).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "1");
        let body: serde_json::Value = serde_json::from_str(&text_of(response).await).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Service Unavailable", "status": 503,
                "detail": "too many requests wait to be written; try again in a second",
            })
        );
    }

    #[test]
    fn each_refusal_has_its_status() {
        let json = |body: &[u8]| {
            let error = serde_json::from_slice::<Vec<u8>>(body).expect_err("refused");
            SourceError::from(crate::source::json::JsonMistake::new(&error, body))
        };
        for (error, status) in [
            (SourceError::Unsigned, 401),
            (SourceError::ContentType("the body must be JSON"), 415),
            (json(b"[1,"), 400),
            (json(b"{}"), 422),
            (SourceError::Unusable("the push lacks ref".to_owned()), 422),
            (SourceError::Malformed("the header X-GitHub-Event is missing".to_owned()), 400),
        ] {
            assert_eq!(Problem::from(error.clone()).status, status, "{error}");
        }
        assert_eq!(Problem::from(TapError::Unauthorized).status, 401);
        assert_eq!(Problem::from(TapError::PostOnly).into_response().headers()["allow"], "POST");
        assert_eq!(Problem::from(TapError::OverrideForbidden("branch 'master'".to_owned())).status, 403);
    }
}
