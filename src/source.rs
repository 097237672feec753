//! Sources: what strangers send becomes a [`Delivery`], or a reason why not.
//!
//! A source checks who speaks, over the raw bytes, before it reads a word of what is said; then it parses
//! leniently and routes. It owns the sender's formats. It must not wait, store or answer: bytes go in, a
//! plain value comes out, so that each rule here is a test without a server.

pub mod button;
pub mod json;
mod lenient;
pub mod route;
pub mod skip;

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::config::{ImageConfig, SourceConfig};
use crate::event::{Delivery, Fingerprint};
use crate::model::ImageName;
use json::JsonMistake;

/// The kinds of source, one a line: a file below `source/`, which says in `KIND` how its requests are read.
macro_rules! kinds {
    ($($file:ident)*) => {
        $(mod $file;)*

        /// Every kind of source that there is.
        pub(crate) static KINDS: &[Kind] = &[$($file::KIND),*];
    };
}

kinds! {
    github
}

/// A kind of source.
pub(crate) struct Kind {
    /// What `kind = "…"` says.
    pub(crate) name: &'static str,
    read: Read,
}

type Read =
    fn(&str, &SourceConfig, &BTreeMap<ImageName, ImageConfig>, &HeaderMap, &[u8]) -> Result<Reading, SourceError>;

/// What an authentic request says.
#[derive(Clone, Debug)]
pub enum Reading {
    /// It concerns builds, if only to be recorded as ignored.
    Delivery(Delivery),
    /// It concerns no build and leaves no event; the text says why.
    Nothing { reason: String },
}

/// Why a request is not taken in. No variant holds a byte of what was sent beyond names that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Missing, malformed or wrong: deliberately not told apart.
    #[error("the request carries no valid signature")]
    Unsigned,
    #[error("the body must be application/json or application/x-www-form-urlencoded")]
    ContentType,
    #[error("the header {0} is missing")]
    HeaderMissing(&'static str),
    #[error("the form has no field 'payload'")]
    FormWithoutPayload,
    #[error(transparent)]
    Json(#[from] JsonMistake),
    #[error("the push lacks {0}")]
    Incomplete(String),
    #[error("{0}")]
    Unusable(&'static str),
}

/// Reads one request to `/hooks/{name}`.
pub fn read(
    name: &str,
    source: &SourceConfig,
    images: &BTreeMap<ImageName, ImageConfig>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reading, SourceError> {
    let kind = KINDS.iter().find(|kind| kind.name == source.kind).ok_or(SourceError::Unsigned)?;
    (kind.read)(name, source, images, headers, body)
}

/// 128 bits that stand for `parts` in this order. Each part goes in behind its length, so that no two lists
/// of parts run together to the same bytes.
pub fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = Fingerprint([0; 16]);
    let digest = hash.finalize();
    for (to, from) in short.0.iter_mut().zip(digest) {
        *to = from;
    }
    short
}

/// The media type of a request's body, lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(axum::http::header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_keeps_its_parts_apart() {
        let whole = fingerprint(&[b"delivery", b"github", b"72d3"]);
        assert_eq!(whole, fingerprint(&[b"delivery", b"github", b"72d3"]));
        for other in [
            fingerprint(&[b"delivery", b"github7", b"2d3"]),
            fingerprint(&[b"body", b"github", b"72d3"]),
            fingerprint(&[b"delivery", b"github", b"72d3", b""]),
            fingerprint(&[b"deliverygithub72d3"]),
        ] {
            assert_ne!(whole, other);
        }
    }

    #[test]
    fn a_media_type_loses_its_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(media_type(&headers), None);
        headers.insert("content-type", "Application/JSON; charset=UTF-8".parse().expect("a header"));
        assert_eq!(media_type(&headers).as_deref(), Some("application/json"));
    }
}
