//! GitHub's webhooks: the signature, both forms of body, and which events make builds.
//!
//! Only the body is signed; the event's name and the delivery's id are not. So a repeated delivery is recognised by its
//! body as well as by its id. (github/docs, "Validating webhook deliveries".)

mod commits;
mod push;

use std::borrow::Cow;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::push::Push;
use super::{Kind, Reading, Request, Source, SourceError, echoed};
use crate::config::Secret;
use push::PushBody;

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";

/// The bytes of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

pub(super) const KIND: Kind = Kind { name: "github", read };

/// The form of a body.
const CONTENT_TYPES: &str = "the body must be application/json or application/x-www-form-urlencoded";

fn read(source: &Source<'_>, request: &Request<'_>) -> Result<Reading, SourceError> {
    let signatures = signatures(source.secrets, request.headers, request.body).ok_or(SourceError::Unsigned)?;
    let json = json_of(request)?;
    let missing = || SourceError::Malformed("the header X-GitHub-Event is missing".to_owned());
    match request.header(EVENT).ok_or_else(missing)? {
        "push" => pushed(source, request, &signatures, &json),
        "ping" => Ok(nothing("pong: the webhook is set up, and its pushes will arrive here".to_owned())),
        other => Ok(nothing(format!("event {} is not one that builds", echoed(other)))),
    }
}

fn pushed(
    source: &Source<'_>,
    request: &Request<'_>,
    signatures: &[Signature],
    json: &[u8],
) -> Result<Reading, SourceError> {
    let body = PushBody::read(json)?;
    let git_ref = match body.ref_name.parse() {
        Ok(git_ref) => git_ref,
        Err(reason) => return Ok(nothing(format!("{reason}"))),
    };
    Ok(source.pushed(&Push {
        repository: body.repository,
        git_ref,
        commit: body.commit,
        before: body.before,
        deleted: body.deleted,
        default_branch: body.default_branch,
        marked: body.marked,
        commits: &|| commits::read(json),
        actor: body.actor,
        subject: body.subject,
        delivery: request.header(DELIVERY),
        signatures: signatures.iter().map(|signature| signature.to_vec()).collect(),
    }))
}

/// The fingerprints of these bytes by each of `secrets`, if one of them signed the request. All are tried, so that
/// timing doesn't reveal which one.
fn signatures(secrets: &[Secret], headers: &HeaderMap, body: &[u8]) -> Option<Vec<Signature>> {
    let mut values = headers.get_all(SIGNATURE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let mut claimed = [0; SIGNATURE_BYTES];
    hex::decode_to_slice(value.as_bytes().strip_prefix(b"sha256=")?, &mut claimed).ok()?;
    let signatures: Vec<Signature> = secrets.iter().filter_map(|secret| signature(secret, body)).collect();
    let is_claimed = signatures.iter().fold(Choice::from(0), |found, signature| found | signature.ct_eq(&claimed));
    bool::from(is_claimed).then_some(signatures)
}

type Signature = [u8; SIGNATURE_BYTES];

fn signature(secret: &Secret, body: &[u8]) -> Option<Signature> {
    // An empty secret would make anyone's signature valid.
    if secret.expose().is_empty() {
        return None;
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    Some(mac.chain_update(body).finalize().into_bytes().into())
}

/// The JSON text of a body: the body itself, or its form field `payload`.
fn json_of<'a>(request: &Request<'a>) -> Result<Cow<'a, [u8]>, SourceError> {
    match request.media_type().as_deref() {
        Some("application/json") => Ok(Cow::Borrowed(request.body)),
        Some("application/x-www-form-urlencoded") => form_urlencoded::parse(request.body)
            .find(|(key, _)| key == "payload")
            .map(|(_, payload)| Cow::Owned(payload.into_owned().into_bytes()))
            .ok_or_else(|| SourceError::Malformed("the form has no field 'payload'".to_owned())),
        _ => Err(SourceError::ContentType(CONTENT_TYPES)),
    }
}

fn nothing(reason: String) -> Reading {
    Reading::Nothing { reason }
}

#[cfg(test)]
mod tests;
