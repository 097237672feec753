//! What the answer to a trigger call means (semantics R5).
//!
//! A duplicate build is a nuisance, a lost one is a broken promise: what can't be decided is `Uncertain`, and the list
//! of builds settles it.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::urls;
use crate::backend::answer::{Answer, Unreadable, error_text};
use crate::backend::redaction::Redaction;
use crate::build::{BackendBuildId, TriggerAnswer};

/// The header in which Docker Cloud named the action that a call started; Docker Hub inherited its API.
const ACTION_HEADER: &str = "x-dockercloud-action-uri";

pub(super) fn classify(answer: &Answer, redaction: &Redaction) -> TriggerAnswer {
    match answer.status.as_u16() {
        200..=299 => taken(answer, redaction),
        429 => {
            TriggerAnswer::RefusedForNow { retry_after: answer.retry_after(), detail: answer.description(redaction) }
        }
        // 409 says that the call had no effect because of a state that may pass, such as a build in the way, and 425
        // that it came too early: unlike the other refusals they resolve without an operator.
        409 | 425 => TriggerAnswer::RefusedForNow { retry_after: None, detail: answer.description(redaction) },
        // By the standard 408 means that the request did not arrive completely, but gateways also send it when the
        // service behind them, which has the request, is slow. Statuses of 600 and above have no known meaning.
        408 | 500.. => TriggerAnswer::Uncertain { detail: answer.description(redaction) },
        404 | 410 => TriggerAnswer::Refused {
            detail: format!(
                "{}; the trigger was deleted, or Docker Hub no longer offers builds",
                answer.description(redaction)
            ),
        },
        // Repeating a call doesn't change 400, 401, 402, 403, 405, 415 and the like, and a redirect is never followed:
        // the trigger would be revealed to another host.
        _ => TriggerAnswer::Refused { detail: answer.description(redaction) },
    }
}

/// What the body of a 2xx says.
enum Word {
    Accepted,
    AlreadyPending,
    NoRule,
    /// Neither yes nor no.
    Unclear(&'static str),
}

fn taken(answer: &Answer, redaction: &Redaction) -> TriggerAnswer {
    let named = named_action(&answer.headers);
    let (word, body) = match &answer.body {
        Ok(body) => (word_of(answer.status, body), body.as_slice()),
        // The header arrived completely, and it names a build that was started.
        Err(_) if named.is_some() => return TriggerAnswer::Accepted { backend_id: named },
        Err(Unreadable(why)) => {
            let detail = redaction.shown(&format!("{}, but {why}", answer.status));
            return TriggerAnswer::Uncertain { detail };
        }
    };
    match word {
        Word::Accepted => TriggerAnswer::Accepted { backend_id: named },
        Word::AlreadyPending => TriggerAnswer::AlreadyPending { detail: redaction.shown(&refusal(body)) },
        Word::NoRule => TriggerAnswer::Refused { detail: format!("{}, but no build rule matches", answer.status) },
        Word::Unclear(_) if named.is_some() => TriggerAnswer::Accepted { backend_id: named },
        Word::Unclear(why) => TriggerAnswer::Uncertain { detail: format!("{}, but {why}", answer.status) },
    }
}

fn word_of(status: StatusCode, body: &[u8]) -> Word {
    let Ok(text) = std::str::from_utf8(body) else {
        return Word::Unclear("its body is no text");
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(elements)) => word_of_list(&elements),
        Ok(object @ Value::Object(_)) => word_of_element(&object),
        Ok(Value::String(text)) => word_of_text(status, &text),
        _ => word_of_text(status, text),
    }
}

/// One element for each build rule that the trigger reached.
fn word_of_list(elements: &[Value]) -> Word {
    let words: Vec<Word> = elements.iter().map(word_of_element).collect();
    if words.is_empty() {
        Word::NoRule
    } else if words.iter().any(|word| matches!(word, Word::Accepted)) {
        Word::Accepted
    } else if words.iter().all(|word| matches!(word, Word::AlreadyPending)) {
        Word::AlreadyPending
    } else {
        Word::Unclear("it says of no build that it was started")
    }
}

/// The outcome for one rule, as `{"build_code", "msg"}`, or the source's settings, which have neither. Their `state` is
/// the previous build's, so it says nothing.
fn word_of_element(element: &Value) -> Word {
    let Value::Object(fields) = element else {
        return Word::Unclear("its body has an unknown form");
    };
    match fields.get("build_code") {
        Some(Value::Null) | None => {}
        Some(_) => return Word::Accepted,
    }
    if fields.get("msg").and_then(Value::as_str).is_some_and(says_pending) {
        Word::AlreadyPending
    } else if fields.contains_key("build_code") || error_text(element).is_some() {
        Word::Unclear("it says of no build that it was started")
    } else {
        Word::Accepted
    }
}

fn word_of_text(status: StatusCode, text: &str) -> Word {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("ok") {
        Word::Accepted
    } else if text.starts_with(['{', '[', '<']) {
        // An object that was cut off, so that its end is missing, or the page of something in between.
        Word::Unclear("its body can't be read")
    } else if says_pending(text) {
        Word::AlreadyPending
    } else if status == StatusCode::ACCEPTED {
        Word::Accepted
    } else {
        Word::Unclear("its body says neither yes nor no")
    }
}

fn says_pending(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("already pending") || text.contains("ignoring") || text.contains("ignored")
}

/// The sentence in a rule's element that says that nothing new was started. Nothing else of a body is repeated.
fn refusal(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let element = json.get(0).unwrap_or(&json);
    element.get("msg").and_then(Value::as_str).unwrap_or("a build is said to be pending already").to_owned()
}

fn named_action(headers: &HeaderMap) -> Option<BackendBuildId> {
    urls::build_id_in_path(headers.get(ACTION_HEADER)?.to_str().ok()?)
}

#[cfg(test)]
mod tests;
