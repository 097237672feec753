//! What GitHub sends, and what becomes of it.

use serde_json::{Value, json};

use super::*;
use crate::config::{SkipRule, SourceConfig};
use crate::event::{Delivery, Disposition};
use crate::model::{GitRef, ImageName, Timestamp};
use crate::source;
use crate::source::route::tests::{image, images};

const OLD: &str = "test-token-old";
const NEW: &str = "test-token-new";
const COMMIT: &str = "ae95164c0ffee0000000000000000000000000aa";
const TAG_OBJECT: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
const ZEROS: &str = "0000000000000000000000000000000000000000";

fn signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key").chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
}

fn source() -> SourceConfig {
    SourceConfig { kind: KIND.name, secrets: vec![Secret::new(OLD.to_owned()), Secret::new(NEW.to_owned())] }
}

fn read_with(headers: &HeaderMap, body: &[u8]) -> Result<Reading, SourceError> {
    let images = images(vec![("mrraph/blog", image(Some(&["master"]), &["v*"], SkipRule::All))]);
    let request = Request { now: Timestamp::from_millis(0), headers, path: "/hooks/github", query: "", body };
    source::read("github", &source(), &images, &request)
}

fn push_headers(body: &[u8]) -> HeaderMap {
    headers(&[
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", &signature(NEW, body)),
    ])
}

fn push(changes: &Value) -> Value {
    let mut body = json!({
        "ref": "refs/heads/master", "before": "1111111111111111111111111111111111111111", "after": COMMIT,
        "created": false, "deleted": false, "forced": false,
        "head_commit": {"id": COMMIT, "message": "Say more\n\nat length"},
        "commits": [{"id": COMMIT, "message": "Say more\n\nat length"}],
        "repository": {
            "full_name": "mrraph/blog", "html_url": "https://github.com/mrraph/blog",
            "default_branch": "master", "pushed_at": 1_795_000_000,
        },
        "pusher": {"name": "raph", "email": null}, "sender": {"login": "MrRaph"},
    });
    for (key, value) in changes.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn delivered(changes: &Value) -> Delivery {
    let body = push(changes).to_string();
    match read_with(&push_headers(body.as_bytes()), body.as_bytes()) {
        Ok(Reading::Delivery(delivery)) => delivery,
        other => panic!("no delivery: {other:?}"),
    }
}

#[test]
fn the_published_test_vector_is_signed() {
    let headers =
        headers(&[("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")]);
    let secrets = [Secret::new("It's a Secret to Everybody".to_owned())];
    assert!(signatures(&secrets, &headers, b"Hello, World!").is_some());
    assert!(signatures(&secrets, &headers, b"Hello, World?").is_none());
    assert!(signatures(&[Secret::new("test-token-other".to_owned())], &headers, b"Hello, World!").is_none());
}

#[test]
fn any_of_several_secrets_may_have_signed() {
    let secrets = source().secrets;
    for secret in [OLD, NEW] {
        assert!(signatures(&secrets, &headers(&[("x-hub-signature-256", &signature(secret, b"x"))]), b"x").is_some());
    }
    assert!(signatures(&[], &headers(&[("x-hub-signature-256", &signature(NEW, b"x"))]), b"x").is_none());
    assert!(
        signatures(&[Secret::new(String::new())], &headers(&[("x-hub-signature-256", &signature("", b"x"))]), b"x")
            .is_none()
    );
}

#[test]
fn a_signature_of_any_other_form_is_none() {
    let right = signature(NEW, b"x");
    let bare = right.trim_start_matches("sha256=").to_owned();
    for wrong in [
        bare.clone(),
        format!("sha1={bare}"),
        format!("SHA256={bare}"),
        format!("sha256={}", &bare[..62]),
        format!("sha256={bare}00"),
        format!("sha256={}g", &bare[..63]),
        "sha256=".to_owned(),
        format!("{right},{right}"),
    ] {
        assert!(signatures(&source().secrets, &headers(&[("x-hub-signature-256", &wrong)]), b"x").is_none(), "{wrong}");
    }
    assert!(signatures(&source().secrets, &headers(&[]), b"x").is_none());
    let mut twice = headers(&[("x-hub-signature-256", &right)]);
    twice.append("x-hub-signature-256", right.parse().expect("a value"));
    assert!(signatures(&source().secrets, &twice, b"x").is_none());
}

#[test]
fn an_unsigned_request_is_refused_before_anything_else_is_looked_at() {
    let headers = headers(&[("content-type", "text/plain"), ("x-hub-signature-256", "sha256=00")]);
    assert_eq!(read_with(&headers, b"{").expect_err("refused"), SourceError::Unsigned);
}

#[test]
fn a_push_to_a_branch_opens_its_key() {
    let delivery = delivered(&json!({}));
    let new_event = &delivery.new_events[0];
    assert_eq!(new_event.disposition, Disposition::Build { immediate: false, manual: false, ensure: false });
    assert_eq!(new_event.image.as_ref().map(ImageName::as_str), Some("mrraph/blog"));
    assert_eq!(new_event.git_ref.as_ref().map(GitRef::as_str), Some("refs/heads/master"));
    assert_eq!(new_event.commit.as_ref().map(crate::model::CommitId::as_str), Some(COMMIT));
    assert_eq!(delivery.cause.actor.as_deref(), Some("MrRaph"));
    assert_eq!(delivery.cause.reason.as_deref(), Some("Say more"));
    assert_eq!(delivery.cause.delivery.as_deref(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
}

#[test]
fn a_form_is_signed_as_it_was_sent() {
    let json = push(&json!({})).to_string();
    let body: String = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &json).finish();
    let form = |signature: &str| {
        headers(&[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", signature),
        ])
    };
    let reading = read_with(&form(&signature(OLD, body.as_bytes())), body.as_bytes()).expect("taken");
    assert!(matches!(reading, Reading::Delivery(delivery) if delivery.new_events.len() == 1));
    let over_json = read_with(&form(&signature(OLD, json.as_bytes())), body.as_bytes());
    assert_eq!(over_json.expect_err("refused"), SourceError::Unsigned);
    let without = read_with(&form(&signature(OLD, b"a=b")), b"a=b");
    assert_eq!(without.expect_err("refused"), SourceError::Malformed("the form has no field 'payload'".to_owned()));
}

#[test]
fn only_the_two_documented_content_types_are_taken() {
    let mut headers = push_headers(b"{}");
    for other in ["text/plain", "application/jsonp", "multipart/form-data"] {
        headers.insert("content-type", other.parse().expect("a value"));
        assert_eq!(read_with(&headers, b"{}").expect_err("refused"), SourceError::ContentType(CONTENT_TYPES));
    }
    headers.remove("content-type");
    assert_eq!(read_with(&headers, b"{}").expect_err("refused"), SourceError::ContentType(CONTENT_TYPES));
}

#[test]
fn a_tag_is_immediate_and_an_annotated_ones_commit_is_the_head_commit() {
    let lightweight = delivered(&json!({"ref": "refs/tags/v1", "before": ZEROS, "created": true, "commits": []}));
    let annotated = delivered(
        &json!({"ref": "refs/tags/v1", "before": ZEROS, "created": true, "commits": [], "after": TAG_OBJECT}),
    );
    for delivery in [lightweight, annotated] {
        let new_event = &delivery.new_events[0];
        assert_eq!(new_event.disposition, Disposition::Build { immediate: true, manual: false, ensure: false });
        assert_eq!(new_event.commit.as_ref().map(crate::model::CommitId::as_str), Some(COMMIT));
        assert_eq!(new_event.before, None);
    }
}

#[test]
fn a_deleted_ref_is_recognised_by_the_flag_or_by_zeros() {
    for changes in [
        json!({"deleted": true, "after": ZEROS, "head_commit": null, "commits": []}),
        json!({"deleted": null, "after": ZEROS, "head_commit": null, "commits": []}),
        json!({"deleted": true}),
    ] {
        assert_eq!(delivered(&changes).new_events[0].disposition, Disposition::DeleteRef, "{changes}");
    }
}

#[test]
fn a_created_or_forced_push_builds_like_any_other() {
    for changes in [
        json!({"created": true, "before": ZEROS, "commits": []}),
        json!({"forced": true}),
        json!({"head_commit": null}),
    ] {
        let delivery = delivered(&changes);
        assert!(matches!(delivery.new_events[0].disposition, Disposition::Build { .. }), "{changes}");
        assert_eq!(delivery.new_events[0].commit.as_ref().map(crate::model::CommitId::as_str), Some(COMMIT));
    }
}

#[test]
fn a_push_of_marked_commits_only_is_skipped() {
    let marked = json!({"commits": [{"message": "a [skip ci]"}, {"message": "b [CI SKIP]"}]});
    assert!(matches!(delivered(&marked).new_events[0].disposition, Disposition::Skip { .. }));
    let mixed = json!({"commits": [{"message": "a"}, {"message": "b [skip ci]"}]});
    assert!(matches!(delivered(&mixed).new_events[0].disposition, Disposition::Build { .. }));
}

#[test]
fn other_events_and_other_refs_leave_nothing() {
    let reason = |event: &str, changes: &Value| {
        let body = push(changes).to_string();
        let mut headers = push_headers(body.as_bytes());
        headers.insert("x-github-event", event.parse().expect("a value"));
        match read_with(&headers, body.as_bytes()) {
            Ok(Reading::Nothing { reason }) => reason,
            other => panic!("something: {other:?}"),
        }
    };
    assert!(reason("ping", &json!({})).starts_with("pong"));
    assert_eq!(reason("release", &json!({})), "event release is not one that builds");
    assert!(reason("push", &json!({"ref": "refs/notes/commits"})).contains("refs/notes/commits"));
}

#[test]
fn a_request_without_an_event_or_with_broken_json_is_refused() {
    let mut headers = push_headers(b"{}");
    headers.remove("x-github-event");
    assert_eq!(
        read_with(&headers, b"{}").expect_err("refused"),
        SourceError::Malformed("the header X-GitHub-Event is missing".to_owned())
    );
    let body = b"{\"ref\": \"refs/heads/master\",\n \"before\": }";
    match read_with(&push_headers(body), body).expect_err("refused") {
        SourceError::Malformed(text) => assert!(text.ends_with("line 2, column 12"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delivery_is_recognised_by_its_id_and_by_its_body() {
    let first = delivered(&json!({}));
    assert_eq!(first.fingerprints.len(), 3, "its id, and what each of the two secrets makes of the body");
    let body = push(&json!({})).to_string();
    let mut headers = push_headers(body.as_bytes());
    headers.insert("x-github-delivery", "another".parse().expect("a value"));
    let Ok(Reading::Delivery(replayed)) = read_with(&headers, body.as_bytes()) else { panic!("no delivery") };
    assert_ne!(first.fingerprints[0], replayed.fingerprints[0]);
    assert_eq!(first.fingerprints[1..], replayed.fingerprints[1..]);
}
