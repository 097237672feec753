//! The routes that request builds: webhooks, buttons, and the API.
//!
//! Each turns a request into a [`Delivery`] and answers only with the driver's result.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::auth::Caller;
use super::body::{BODY_BYTES_MAX, HOOK_BYTES_MAX};
use super::fields::Fields;
use super::problem::Problem;
use super::{Shared, image_of};
use crate::clock::wall;
use crate::config::{ImageConfig, TokenScope};
use crate::driver::Acceptance;
use crate::event::{Cause, CauseKind, Delivery, Disposition, NewEvent};
use crate::model::{GitRef, ImageName, RefKind};
use crate::source::button::{self, Tap};
use crate::source::{self, Reading, fingerprint};
use crate::status::Receipt;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The most distinct reasons that an answer quotes from its receipts.
const REASONS_MAX: usize = 10;

/// `POST /hooks/{source}`
pub(super) async fn hook(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let app = &shared.app;
    let rules = app.handle.rules();
    let source = rules.sources.get(&name).ok_or_else(|| Problem::not_found("no source of this name"))?;
    let (parts, body) = request.into_parts();
    let body = shared.bodies.read(&parts.headers, body, HOOK_BYTES_MAX).await?;
    let request = source::Request {
        now: wall(),
        headers: &parts.headers,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        body: &body.bytes,
    };
    let reading = source::read(&name, source, &rules.images, &request)?;
    // While waiting for the disk, only the delivery is held in memory.
    drop((parts, body, rules));
    match reading {
        Reading::Hint(image) => {
            let reason = format!("the back-end of {image} will be asked");
            app.handle.hint(image);
            Ok(Json(HookAnswer::nothing(reason)).into_response())
        }
        Reading::Nothing { reason } => Ok(Json(HookAnswer::nothing(reason)).into_response()),
        Reading::Delivery(delivery) => {
            let acceptance = app.handle.accept(delivery).await?;
            Ok(hook_answer(acceptance))
        }
    }
}

/// `POST /buttons/{name}`, and GET where the button allows it.
pub(super) async fn button(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let app = &shared.app;
    let (parts, body) = request.into_parts();
    let body = shared.bodies.read(&parts.headers, body, BODY_BYTES_MAX).await?;
    let tap = Tap {
        method: &parts.method,
        headers: &parts.headers,
        query: parts.uri.query().unwrap_or_default(),
        body: &body.bytes,
    };
    let delivery = button::read(&name, app.handle.rules().buttons.get(&name), tap)?;
    let receipt = only_receipt(app.handle.accept(delivery).await?)?;
    Ok(button_answer(&parts.headers, receipt))
}

/// `POST /v1/images/{namespace}/{name}/builds`
pub(super) async fn build(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let app = &shared.app;
    let (parts, body) = request.into_parts();
    let rules = app.handle.rules();
    let caller = Caller::of(&rules, app, &parts.headers, TokenScope::Trigger)?;
    let image = image_of(&rules, &caller, &namespace, &name)?;
    let config = rules.images.get(&image).ok_or_else(Problem::unknown_image)?;
    let body = shared.bodies.read(&parts.headers, body, BODY_BYTES_MAX).await?;
    let delivery = build_delivery(caller.name, image, config, &parts.headers, &body.bytes)?;
    let receipt = only_receipt(app.handle.accept(delivery).await?)?;
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

fn build_delivery(
    caller: &str,
    image: ImageName,
    config: &ImageConfig,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Delivery, Problem> {
    let fields = Fields::read(headers, body, &["branch", "tag", "start_now", "ensure", "reason"])?;
    let git_ref = match (fields.text("branch")?, fields.text("tag")?) {
        (Some(_), Some(_)) => return Err(Problem::bad_request("name a branch or a tag, not both")),
        (Some(branch), None) => GitRef::branch(branch).map_err(|error| Problem::bad_request(error.to_string()))?,
        (None, Some(tag)) => GitRef::tag(tag).map_err(|error| Problem::bad_request(error.to_string()))?,
        (None, None) => config.only_branch().ok_or_else(|| {
            Problem::bad_request("name a branch or a tag: this image's configuration doesn't name just one branch")
        })?,
    };
    let immediate = fields.flag("start_now")? || git_ref.kind() == RefKind::Tag;
    let key = idempotency_key(headers)?;
    Ok(Delivery {
        cause: Cause::new(CauseKind::Api, caller).delivery(key).reason(fields.text("reason")?),
        fingerprints: key
            .map(|key| fingerprint(&[b"idempotency", caller.as_bytes(), key.as_bytes()]))
            .into_iter()
            .collect(),
        new_events: vec![NewEvent {
            image: Some(image),
            git_ref: Some(git_ref),
            commit: None,
            before: None,
            disposition: Disposition::Build { immediate, manual: true, ensure: fields.flag("ensure")? },
        }],
    })
}

/// An unreadable key must not count as absent: its sender relies on it.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() => Ok(Some(key)),
        _ => Err(Problem::bad_request("the Idempotency-Key must be a text of visible ASCII characters")),
    }
}

/// The response to a webhook.
#[derive(Serialize)]
struct HookAnswer {
    receipts: Vec<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
}

impl HookAnswer {
    fn nothing(reason: String) -> Self {
        Self { receipts: Vec::new(), reason: Some(reason), repeated: false }
    }
}

fn hook_answer(Acceptance { receipts, repeated, builds }: Acceptance) -> Response {
    let (status, reason) =
        if builds { (StatusCode::ACCEPTED, None) } else { (StatusCode::OK, Some(reasons(&receipts))) };
    (status, Json(HookAnswer { receipts, reason, repeated })).into_response()
}

/// The receipts' reasons, without duplicates.
fn reasons(receipts: &[Receipt]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for receipt in receipts {
        if reasons.len() < REASONS_MAX && !reasons.contains(&receipt.why.as_str()) {
            reasons.push(&receipt.why);
        }
    }
    reasons.join("; ")
}

/// One line that reads well on a phone, or the receipt for programs. Always 202: apps that get errors stop tapping.
fn button_answer(headers: &HeaderMap, receipt: Receipt) -> Response {
    let wants_json = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"));
    if wants_json {
        return (StatusCode::ACCEPTED, Json(receipt)).into_response();
    }
    let image = receipt.image.as_ref().map_or("", ImageName::as_str);
    let short = receipt.git_ref.as_ref().map_or("", GitRef::short);
    let line = format!("{image} {short}: {}\n", receipt.why);
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response()
}

/// A delivery of one event has one receipt.
fn only_receipt(acceptance: Acceptance) -> Result<Receipt, Problem> {
    acceptance.receipts.into_iter().next().ok_or_else(|| {
        tracing::error!("a delivery of one event was accepted without a receipt");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the event was accepted, but its receipt is missing")
    })
}

#[cfg(test)]
mod tests;
