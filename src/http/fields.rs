//! The JSON bodies of `/v1`: small objects whose every key must be known.

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::source::json::JsonMistake;
use crate::source::media_type;

/// The most characters of an unknown key that a refusal quotes.
const KEY_CHARS_SHOWN: usize = 40;

/// The fields of one body. An empty body has none.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn none() -> Self {
        Self(Map::new())
    }

    /// Reads a body that may contain only the keys in `known`.
    pub(super) fn read(headers: &HeaderMap, body: &[u8], known: &[&str]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::none());
        }
        if media_type(headers).is_some_and(|kind| kind != "application/json" && !kind.ends_with("+json")) {
            let detail = "the body must be application/json (with curl: -H 'Content-Type: application/json')";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let value = serde_json::from_slice(body)
            .map_err(|error| Problem::bad_request(JsonMistake::new(&error, body).to_string()))?;
        let Value::Object(fields) = value else {
            return Err(Problem::bad_request("the body must be a JSON object"));
        };
        if let Some(stranger) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            let shown: String = stranger.chars().take(KEY_CHARS_SHOWN).collect();
            return Err(Problem::bad_request(format!("unknown key '{shown}'; known are: {}", known.join(", "))));
        }
        Ok(Self(fields))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Problem> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::bad_request(format!("'{key}' must be a text"))),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Problem::bad_request(format!("'{key}' must be true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Fields, Problem> {
        Fields::read(&HeaderMap::new(), body.as_bytes(), &["branch", "ensure"])
    }

    #[test]
    fn an_empty_body_has_no_fields() {
        for body in ["", " \n", "{}", "{\"branch\": null}"] {
            let fields = read(body).expect("read");
            assert_eq!((fields.text("branch"), fields.flag("ensure")), (Ok(None), Ok(false)), "{body}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        let problem = read("{\"brnch\": \"x\"}").expect_err("refused");
        assert_eq!(problem.detail, "unknown key 'brnch'; known are: branch, ensure");
    }

    #[test]
    fn wrong_types_and_broken_json_are_bad_requests() {
        let fields = read("{\"branch\": 1, \"ensure\": \"yes\"}").expect("read");
        assert_eq!(fields.text("branch").expect_err("refused").status, 400);
        assert_eq!(fields.flag("ensure").expect_err("refused").status, 400);
        assert!(read("{\"branch\": ,}").expect_err("refused").detail.contains("line 1, column 12"));
        assert_eq!(read("[]").expect_err("refused").status, 400);
    }

    #[test]
    fn another_content_type_is_refused_only_with_a_body() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().expect("a value"));
        assert!(Fields::read(&headers, b"", &[]).is_ok());
        assert_eq!(Fields::read(&headers, b"{}", &[]).expect_err("refused").status, 415);
    }
}
