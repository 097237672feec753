//! An answer from Docker Hub, as far as it could be read, and its description in words.
//!
//! The body of an answer is never shown as a whole: a trigger's answer repeats the build's environment and its deploy
//! key. Only the error text is shown, after redaction.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::dates;
use super::redaction::Redaction;
use crate::config::Secret;
use crate::model::Timestamp;

/// Where an error text may be: Docker Hub has used all of them.
const ERROR_FIELDS: [&str; 3] = ["error", "detail", "message"];

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Vec<u8>, Unreadable>,
    /// By our clock, around the wait for the answer's head.
    pub(super) asked_at: Timestamp,
    pub(super) answered_at: Timestamp,
    /// The token that the call carried: the answer might repeat it.
    pub(super) bearer: Option<Secret>,
}

/// Why a body that had begun could not be read completely.
pub(super) struct Unreadable(pub(super) String);

impl Answer {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_ref().ok()?).ok()
    }

    /// The status and, if there is one, the error text: `404 Not Found: no such source`.
    pub(super) fn description(&self, redaction: &Redaction) -> String {
        let mut redaction = redaction.clone();
        if let Some(bearer) = &self.bearer {
            redaction.add(bearer.expose());
        }
        match self.json().as_ref().and_then(error_text) {
            Some(text) => format!("{}: {}", self.status, redaction.shown(text)),
            None => self.status.to_string(),
        }
    }

    /// How long the answer asks us to wait, at most an hour.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        dates::retry_after(&self.headers, self.answered_at)
    }
}

/// The error text in an object; nothing else of it.
pub(super) fn error_text(body: &Value) -> Option<&str> {
    ERROR_FIELDS.iter().find_map(|field| body.get(field)?.as_str())
}
