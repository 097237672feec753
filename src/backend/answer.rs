//! An answer of Docker Hub, as far as it could be read, and what it says in words.
//!
//! The body of an answer is never shown as a whole: that of a trigger repeats the build's environment and its
//! deploy key. Only the text of an error is, after it has passed the redaction.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::dates;
use super::redaction::Redaction;
use crate::config::Secret;
use crate::model::Timestamp;

/// Where an error's text may stand: Docker Hub has used all of them.
const ERROR_FIELDS: [&str; 3] = ["error", "detail", "message"];

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Result<Vec<u8>, Unreadable>,
    /// By our clock, around the wait for the head of the answer.
    pub(super) asked_at: Timestamp,
    pub(super) answered_at: Timestamp,
    /// The token that the call bore: the answer might repeat it.
    pub(super) bearer: Option<Secret>,
}

/// Why a body that had begun could not be read to its end.
pub(super) struct Unreadable(pub(super) String);

impl Answer {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_ref().ok()?).ok()
    }

    /// The status and, where there is one, the error's text: `404 Not Found: no such source`.
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

    /// How long the answer asks to wait, at most an hour.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        dates::retry_after(&self.headers, self.answered_at)
    }
}

/// The text of an error in an object; nothing else of it.
pub(super) fn error_text(body: &Value) -> Option<&str> {
    ERROR_FIELDS.iter().find_map(|field| body.get(field)?.as_str())
}
