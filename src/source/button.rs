//! Buttons: one tap, one build, from anything that a phone, a gadget or a shell script can send.
//!
//! A button requires no header besides its token, and no body. It owns the token's many places and the forgiving
//! reading of bodies typed on a phone. Other fields of a body, such as the phone's location, are never looked at and so
//! never stored.

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::json::{JsonMistake, with_plain_quotes};
use super::media_type;
use crate::config::{ButtonConfig, Secret};
use crate::event::{Cause, CauseKind, Delivery, Disposition, NewEvent};
use crate::model::{GitRef, NameError, RefKind};

/// One request to `/buttons/{name}`.
#[derive(Clone, Copy, Debug)]
pub struct Tap<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// As sent, without the question mark.
    pub query: &'a str,
    pub body: &'a [u8],
}

/// Why a tap requests nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapError {
    /// A wrong token, or no such button: the same to a caller without a token, so that names can't be found out by trying.
    #[error("no button of this name takes this token")]
    Unauthorized,
    #[error("this button takes POST only; allow_get lets it take GET")]
    PostOnly,
    #[error("the body must be empty, JSON or application/x-www-form-urlencoded")]
    ContentType,
    #[error(transparent)]
    Json(#[from] JsonMistake),
    #[error("'{0}' must be a text")]
    NotText(&'static str),
    #[error("name a branch or a tag, not both")]
    BranchAndTag,
    #[error(transparent)]
    Name(#[from] NameError),
    /// A tap that named one ref must never silently build another.
    #[error("this button builds only the {0}; allow_override lets a tap name another branch or tag")]
    OverrideForbidden(String),
}

/// Reads one tap. `button` is None if there is none with this name.
pub fn read(name: &str, button: Option<&ButtonConfig>, tap: Tap<'_>) -> Result<Delivery, TapError> {
    let button = authorized(button, tap).ok_or(TapError::Unauthorized)?;
    let get_allowed = button.allow_get && tap.method == Method::GET;
    if tap.method != Method::POST && !get_allowed {
        return Err(TapError::PostOnly);
    }
    let fields = Fields::read(tap)?;
    Ok(Delivery {
        cause: Cause::new(CauseKind::Button, name).reason(fields.text("reason")?.as_deref()),
        fingerprints: Vec::new(),
        new_events: vec![NewEvent {
            image: Some(button.image.clone()),
            git_ref: Some(wanted_ref(button, &fields)?),
            commit: None,
            before: None,
            disposition: Disposition::TAP,
        }],
    })
}

/// The button, if the tap has its token. An unknown button costs the same comparisons as a known one.
fn authorized<'a>(button: Option<&'a ButtonConfig>, tap: Tap<'_>) -> Option<&'a ButtonConfig> {
    let nobodys = Secret::new(String::new());
    let token = button.map_or(&nobodys, |button| &button.token);
    let matched = tokens(tap).iter().fold(false, |found, candidate| found | token.matches(candidate));
    button.filter(|_| matched && !token.expose().is_empty())
}

/// Every token in the tap, wherever its sender was able to put it.
fn tokens(tap: Tap<'_>) -> Vec<Vec<u8>> {
    let authorization = tap.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, rest) = authorization.split_once(' ').unwrap_or_default();
    let bearer = scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim().as_bytes().to_vec());
    let basic = scheme.eq_ignore_ascii_case("basic").then(|| basic_password(rest.trim())).flatten();
    let header = tap.headers.get("x-token").map(|value| value.as_bytes().trim_ascii().to_vec());
    let query = in_query(tap.query, "token").map(String::into_bytes);
    [bearer, basic, header, query].into_iter().flatten().collect()
}

fn basic_password(encoded: &str) -> Option<Vec<u8>> {
    let decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

fn in_query(query: &str, key: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

/// The ref that the tap names, if allowed; else the button's own.
fn wanted_ref(button: &ButtonConfig, fields: &Fields<'_>) -> Result<GitRef, TapError> {
    let named = match (fields.text("branch")?, fields.text("tag")?) {
        (Some(_), Some(_)) => return Err(TapError::BranchAndTag),
        (Some(branch), None) => GitRef::branch(&branch)?,
        (None, Some(tag)) => GitRef::tag(&tag)?,
        (None, None) => return Ok(button.git_ref.clone()),
    };
    if named != button.git_ref && !button.allow_override {
        let kind = match button.git_ref.kind() {
            RefKind::Branch => "branch",
            RefKind::Tag => "tag",
        };
        return Err(TapError::OverrideForbidden(format!("{kind} '{}'", button.git_ref.short())));
    }
    Ok(named)
}

/// The fields of a tap, apart from its token: the body's, else the query's.
struct Fields<'a> {
    body: Map<String, Value>,
    query: &'a str,
}

impl<'a> Fields<'a> {
    fn read(tap: Tap<'a>) -> Result<Self, TapError> {
        let body = if tap.body.trim_ascii().is_empty() { Map::new() } else { body_fields(tap)? };
        Ok(Self { body, query: tap.query })
    }

    /// A field's trimmed text; an empty one counts as absent.
    fn text(&self, key: &'static str) -> Result<Option<String>, TapError> {
        let text = match self.body.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) | None => in_query(self.query, key),
            Some(_) => return Err(TapError::NotText(key)),
        };
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

/// A body whose first character looks like JSON is JSON, whatever its content type: `curl -d` calls everything a form.
fn body_fields(tap: Tap<'_>) -> Result<Map<String, Value>, TapError> {
    let looks_like_json = tap.body.trim_ascii_start().starts_with(b"{");
    match media_type(tap.headers).as_deref() {
        Some("application/json") => json_fields(tap.body),
        Some("application/x-www-form-urlencoded" | "text/plain") | None if looks_like_json => json_fields(tap.body),
        Some("application/x-www-form-urlencoded" | "text/plain") | None => {
            let pairs = form_urlencoded::parse(tap.body);
            Ok(pairs.map(|(key, value)| (key.into_owned(), Value::String(value.into_owned()))).collect())
        }
        Some(_) => Err(TapError::ContentType),
    }
}

/// The fields of a JSON object; other JSON has none, and the tap still counts.
fn json_fields(body: &[u8]) -> Result<Map<String, Value>, TapError> {
    let value = serde_json::from_slice(body).or_else(|error| {
        let mistake = JsonMistake::new(&error, body);
        let text = str::from_utf8(body).map_err(|_| mistake.clone())?;
        serde_json::from_str(&with_plain_quotes(text)).map_err(|_| mistake)
    })?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "test-token-phone";

    fn button() -> ButtonConfig {
        ButtonConfig {
            token: Secret::new(TOKEN.to_owned()),
            image: "mrraph/blog".parse().expect("an image"),
            git_ref: GitRef::branch("master").expect("a ref"),
            allow_get: false,
            allow_override: false,
        }
    }

    fn overridable() -> ButtonConfig {
        ButtonConfig { allow_override: true, ..button() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    fn with_token(button: &ButtonConfig, query: &str, body: &str) -> Result<Delivery, TapError> {
        let headers = headers(&[("x-token", TOKEN)]);
        read("phone", Some(button), Tap { method: &Method::POST, headers: &headers, query, body: body.as_bytes() })
    }

    fn ref_of(result: Result<Delivery, TapError>) -> String {
        result.expect("a delivery").new_events[0].git_ref.as_ref().expect("a ref").to_string()
    }

    #[test]
    fn a_tap_without_a_body_is_a_manual_immediate_wish() {
        let delivery = with_token(&button(), "", "").expect("a delivery");
        assert_eq!(
            delivery.new_events[0].disposition,
            Disposition::Build { immediate: true, manual: true, ensure: false }
        );
        assert_eq!((delivery.cause.kind, delivery.cause.source.as_str()), (CauseKind::Button, "phone"));
        assert_eq!(ref_of(Ok(delivery)), "refs/heads/master");
    }

    #[test]
    fn the_token_may_stand_in_four_places() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("anyone:{TOKEN}")));
        let bearer = format!("bearer {TOKEN}");
        let query = format!("a=b&token={TOKEN}");
        for (pairs, query) in [
            (headers(&[("authorization", &bearer)]), ""),
            (headers(&[("authorization", &basic)]), ""),
            (headers(&[("x-token", TOKEN)]), ""),
            (headers(&[("authorization", "Bearer test-token-wrong")]), query.as_str()),
        ] {
            let tap = Tap { method: &Method::POST, headers: &pairs, query, body: b"" };
            assert!(read("phone", Some(&button()), tap).is_ok(), "{pairs:?} {query}");
        }
    }

    #[test]
    fn a_wrong_token_and_an_unknown_button_are_refused_alike() {
        let wrong = headers(&[("x-token", "test-token-wrong")]);
        let none = headers(&[]);
        let right = headers(&[("x-token", TOKEN)]);
        let empty = headers(&[("x-token", ""), ("authorization", "Bearer ")]);
        let open = ButtonConfig { token: Secret::new(String::new()), ..button() };
        for (button, headers) in
            [(Some(&button()), &wrong), (Some(&button()), &none), (None, &right), (None, &empty), (Some(&open), &empty)]
        {
            let tap = Tap { method: &Method::POST, headers, query: "", body: b"{" };
            assert_eq!(read("phone", button, tap).expect_err("refused"), TapError::Unauthorized);
        }
    }

    #[test]
    fn get_needs_leave_and_head_never_presses() {
        let headers = headers(&[("x-token", TOKEN)]);
        let press = |button: &ButtonConfig, method: &Method| {
            read("phone", Some(button), Tap { method, headers: &headers, query: "", body: b"" })
        };
        let open = ButtonConfig { allow_get: true, ..button() };
        assert_eq!(press(&button(), &Method::GET).expect_err("refused"), TapError::PostOnly);
        assert!(press(&open, &Method::GET).is_ok());
        assert_eq!(press(&open, &Method::HEAD).expect_err("refused"), TapError::PostOnly);
    }

    #[test]
    fn curly_quotes_typed_on_a_phone_are_read_as_straight_ones() {
        let body = "{\u{201c}branch\u{201d}:\u{a0}\u{201e}next\u{201c}, \u{201c}reason\u{201d}: \u{201c}it\u{2019}s late\u{201d}}";
        let delivery = with_token(&overridable(), "", body).expect("a delivery");
        assert_eq!(delivery.cause.reason.as_deref(), Some("it's late"));
        assert_eq!(ref_of(Ok(delivery)), "refs/heads/next");
        let straight = with_token(&button(), "", "{\"reason\": \"say \u{201c}hello\u{201d}\"}").expect("a delivery");
        assert_eq!(straight.cause.reason.as_deref(), Some("say \u{201c}hello\u{201d}"));
    }

    #[test]
    fn what_is_still_malformed_names_place_and_character() {
        let error = with_token(&button(), "", "{\u{201c}branch\u{201d} \u{201c}master\u{201d}}").expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the body is not valid JSON: the character \u{201c} (U+201C) does not belong at line 1, column 2"
        );
    }

    #[test]
    fn another_ref_needs_leave_and_the_same_one_does_not() {
        assert_eq!(ref_of(with_token(&button(), "", "{\"branch\": \"master\"}")), "refs/heads/master");
        for (query, body) in [("branch=next", ""), ("", "branch=next"), ("", "{\"tag\": \"v1\"}")] {
            let refused = with_token(&button(), query, body).expect_err("refused");
            assert_eq!(refused, TapError::OverrideForbidden("branch 'master'".to_owned()), "{query} {body}");
        }
        assert_eq!(ref_of(with_token(&overridable(), "branch=a", "branch=b")), "refs/heads/b");
        assert_eq!(ref_of(with_token(&overridable(), "tag=v1", "{\"branch\": \"\"}")), "refs/tags/v1");
        assert_eq!(with_token(&overridable(), "tag=v1", "branch=b").expect_err("refused"), TapError::BranchAndTag);
        assert!(matches!(with_token(&overridable(), "branch=a..b", ""), Err(TapError::Name(_))));
        assert_eq!(
            with_token(&overridable(), "", "{\"branch\": 5}").expect_err("refused"),
            TapError::NotText("branch")
        );
    }

    #[test]
    fn bodies_of_gadgets_are_taken_and_their_other_fields_left() {
        let place = "{\"Latitude\": \"48.1\", \"Longitude\": \"11.5\", \"value1\": 3}";
        let delivery = with_token(&button(), "", place).expect("a delivery");
        assert!(!format!("{delivery:?}").contains("48.1"));
        for body in ["[]", "[1", "value1=x&Latitude=48.1", "  \n"] {
            assert!(with_token(&button(), "", body).is_ok(), "{body}");
        }
        let multipart = headers(&[("x-token", TOKEN), ("content-type", "multipart/form-data; boundary=x")]);
        let tap = Tap { method: &Method::POST, headers: &multipart, query: "", body: b"--x--" };
        assert_eq!(read("phone", Some(&button()), tap).expect_err("refused"), TapError::ContentType);
    }
}
