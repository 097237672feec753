//! Who may do what at `/v1`.
//!
//! Every configured token is compared with every candidate, in constant time and without an early exit, so that the
//! time a refusal takes reveals nothing about any token.

use std::collections::BTreeMap;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use globset::GlobSet;

use super::App;
use super::problem::Problem;
use crate::config::{Rules, Secret, TokenConfig, TokenScope};
use crate::model::ImageName;

/// The name under which clients on this machine act.
const LOCAL: &str = "local";

/// The holder of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    pub(super) name: &'a str,
    scope: TokenScope,
    images: Option<&'a GlobSet>,
}

impl<'a> Caller<'a> {
    /// The caller of a request that needs this scope.
    pub(super) fn of(rules: &'a Rules, app: &'a App, headers: &HeaderMap, needed: TokenScope) -> Result<Self, Problem> {
        Self::among(&rules.tokens, app.local_token.as_ref(), headers, needed)
    }

    fn among(
        tokens: &'a BTreeMap<String, TokenConfig>,
        local: Option<&'a Secret>,
        headers: &HeaderMap,
        needed: TokenScope,
    ) -> Result<Self, Problem> {
        let known = tokens.iter().map(|(name, token)| {
            let caller = Caller { name, scope: token.scope, images: token.images.as_ref() };
            (&token.secret, caller)
        });
        let local =
            local.into_iter().map(|secret| (secret, Caller { name: LOCAL, scope: TokenScope::Admin, images: None }));
        let candidate = bearer(headers).ok_or_else(|| {
            Problem::unauthorized("Bearer realm=\"coalesced\"", "a token is needed: Authorization: Bearer TOKEN")
        })?;
        let mut found = None;
        for (secret, caller) in known.chain(local) {
            let matches = secret.matches(candidate) & !secret.expose().is_empty();
            if matches && found.is_none() {
                found = Some(caller);
            }
        }
        let caller = found.ok_or_else(|| {
            Problem::unauthorized("Bearer realm=\"coalesced\", error=\"invalid_token\"", "the token is not valid")
        })?;
        caller.must_have(needed)?;
        Ok(caller)
    }

    pub(super) fn reaches(&self, image: &ImageName) -> bool {
        self.images.is_none_or(|images| images.is_match(image.as_str()))
    }

    /// Whether it reaches what belongs to no image, and all present and future images.
    pub(super) fn reaches_all(&self) -> bool {
        self.images.is_none()
    }

    /// Tokens limited to some images can't do what concerns all of them.
    pub(super) fn must_reach_all(&self) -> Result<(), Problem> {
        if self.reaches_all() {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "this token reaches some images only, and this concerns all"))
    }

    fn must_have(&self, needed: TokenScope) -> Result<(), Problem> {
        if self.scope >= needed {
            return Ok(());
        }
        let word = match needed {
            TokenScope::Read => "read",
            TokenScope::Trigger => "trigger",
            TokenScope::Admin => "admin",
        };
        Err(Problem::new(StatusCode::FORBIDDEN, format!("this needs a token of scope {word}")))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (scheme, rest) = value.split_at(space);
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobSetBuilder};

    use super::*;

    fn tokens() -> BTreeMap<String, TokenConfig> {
        let token = |secret: &str, scope, glob: Option<&str>| {
            let mut set = GlobSetBuilder::new();
            if let Some(glob) = glob {
                set.add(Glob::new(glob).expect("a glob"));
            }
            TokenConfig {
                secret: Secret::new(secret.to_owned()),
                scope,
                images: glob.map(|_| set.build().expect("a set of globs")),
                image_globs: glob.map(|glob| vec![glob.to_owned()]),
            }
        };
        BTreeMap::from([
            ("admin".to_owned(), token("test-token-admin", TokenScope::Admin, None)),
            ("ci".to_owned(), token("test-token-ci", TokenScope::Trigger, Some("mrraph/*"))),
            ("empty".to_owned(), token("", TokenScope::Admin, None)),
            ("page".to_owned(), token("test-token-page", TokenScope::Read, None)),
        ])
    }

    fn call(authorization: &str, needed: TokenScope) -> Result<(String, bool), Problem> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(AUTHORIZATION, authorization.parse().expect("a value"));
        }
        let local = Secret::new("test-token-local".to_owned());
        let tokens = tokens();
        let caller = Caller::among(&tokens, Some(&local), &headers, needed)?;
        Ok((caller.name.to_owned(), caller.reaches(&"else/where".parse().expect("an image"))))
    }

    #[test]
    fn a_token_names_its_holder_and_limits_its_images() {
        for (authorization, name, elsewhere) in [
            ("Bearer test-token-admin", "admin", true),
            ("bearer  test-token-ci", "ci", false),
            ("Bearer test-token-local", "local", true),
        ] {
            assert_eq!(call(authorization, TokenScope::Trigger), Ok((name.to_owned(), elsewhere)));
        }
    }

    #[test]
    fn scopes_rise_from_read_to_admin() {
        use TokenScope::{Admin, Read, Trigger};
        for (token, scopes) in [("page", [true, false, false]), ("ci", [true, true, false]), ("admin", [true; 3])] {
            let may = [Read, Trigger, Admin].map(|needed| call(&format!("Bearer test-token-{token}"), needed).is_ok());
            assert_eq!(may, scopes, "{token}");
        }
        let problem = call("Bearer test-token-page", Trigger).expect_err("refused");
        assert_eq!((problem.status.as_u16(), &*problem.detail), (403, "this needs a token of scope trigger"));
    }

    #[test]
    fn without_a_valid_token_there_is_a_challenge() {
        use axum::response::IntoResponse;
        for authorization in
            ["", "Bearer", "Bearer ", "Basic test-token-admin", "test-token-admin", "Bearer test-token-admin2"]
        {
            let response = call(authorization, TokenScope::Read).expect_err("refused").into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
            assert!(response.headers().contains_key("www-authenticate"));
        }
    }
}
