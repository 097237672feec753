//! GitHub's webhooks: the signature, both forms of body, and which events make builds.
//!
//! Only the body is signed: the event's name and the delivery's id are not. So a delivery is known again by
//! its body as well as by its id. (github/docs, "Validating webhook deliveries".)

mod commits;
mod push;

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::route::{Change, route};
use super::{Kind, Reading, SourceError, fingerprint, media_type};
use crate::config::{ImageConfig, Secret, SourceConfig};
use crate::event::{Cause, CauseKind, Delivery};
use crate::model::{GitRef, ImageName};
pub(super) use commits::Touched;
use push::Push;

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";

/// The bytes of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// The most characters of a stranger's word that a reason repeats.
const ECHO_CHARS_MAX: usize = 80;

pub(super) const KIND: Kind = Kind { name: "github", read };

fn read(
    name: &str,
    source: &SourceConfig,
    images: &BTreeMap<ImageName, ImageConfig>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reading, SourceError> {
    let signatures = signatures(&source.secrets, headers, body).ok_or(SourceError::Unsigned)?;
    let json = json_of(headers, body)?;
    match text_of(headers, EVENT).ok_or(SourceError::HeaderMissing("X-GitHub-Event"))? {
        "push" => {
            let push = Push::read(&json)?;
            Ok(delivery(name, images, text_of(headers, DELIVERY), &signatures, &json, push))
        }
        "ping" => Ok(nothing("pong: the webhook is set up, and its pushes will arrive here".to_owned())),
        other => Ok(nothing(format!("event {} is not one that builds", shown(other)))),
    }
}

/// What each of `secrets` makes of these bytes, if one of them signed the request. All are tried, so that the time tells
/// nothing of which one.
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
    // An empty secret would make everybody's signature a right one.
    if secret.expose().is_empty() {
        return None;
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    Some(mac.chain_update(body).finalize().into_bytes().into())
}

/// The JSON text of a body: the body itself, or its form field `payload`.
fn json_of<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, SourceError> {
    match media_type(headers).as_deref() {
        Some("application/json") => Ok(Cow::Borrowed(body)),
        Some("application/x-www-form-urlencoded") => form_urlencoded::parse(body)
            .find(|(key, _)| key == "payload")
            .map(|(_, payload)| Cow::Owned(payload.into_owned().into_bytes()))
            .ok_or(SourceError::FormWithoutPayload),
        _ => Err(SourceError::ContentType),
    }
}

fn delivery(
    name: &str,
    images: &BTreeMap<ImageName, ImageConfig>,
    id: Option<&str>,
    signatures: &[Signature],
    json: &[u8],
    push: Push,
) -> Reading {
    let git_ref: GitRef = match push.ref_name.parse() {
        Ok(git_ref) => git_ref,
        Err(reason) => return nothing(reason.to_string()),
    };
    let change = Change {
        repository: &push.repository,
        git_ref,
        commit: push.commit,
        before: push.before,
        deleted: push.deleted,
        default_branch: push.default_branch.as_deref(),
        marked: push.marked,
        body: json,
    };
    // A signature stands for the body that it was made over. One for each secret, so that a body is known again whichever
    // signed it, and while secrets are replaced.
    let by_body = signatures.iter().map(|signature| fingerprint(&[b"signature", name.as_bytes(), signature]));
    let by_id = id.map(|id| fingerprint(&[b"delivery", name.as_bytes(), id.as_bytes()]));
    Reading::Delivery(Delivery {
        cause: Cause::new(CauseKind::Push, name)
            .actor(push.actor.as_deref())
            .delivery(id)
            .reason(push.subject.as_deref()),
        fingerprints: by_id.into_iter().chain(by_body).collect(),
        new_events: route(images, &change),
    })
}

fn nothing(reason: String) -> Reading {
    Reading::Nothing { reason }
}

/// A header's text, where it is there and not empty.
fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn shown(word: &str) -> String {
    word.chars().take(ECHO_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
