//! Sources: turn what is sent from outside into a [`Delivery`], or a reason why not.
//!
//! A source authenticates the sender over the raw bytes before it parses any of them; then it parses leniently and
//! routes. It owns the sender's formats. It must not wait, store or answer: bytes go in, a plain value comes out, so
//! that each rule here can be tested without a server.

pub mod button;
pub mod json;
mod lenient;
mod push;
mod request;
mod route;
mod skip;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::config::{ImageConfig, Secret, SourceConfig};
use crate::event::{Cause, CauseKind, Delivery, Fingerprint};
use crate::model::ImageName;
use json::JsonMistake;
use push::Push;
pub use request::{Request, media_type};

/// The most characters of a sender's word that a reason quotes.
const ECHO_CHARS_MAX: usize = 80;

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
    /// The value of `kind = "…"`.
    pub(crate) name: &'static str,
    /// Authenticates the sender and reads the request.
    pub(crate) read: fn(&Source<'_>, &Request<'_>) -> Result<Reading, SourceError>,
}

/// A source as configured, for the kind that reads its requests.
pub(crate) struct Source<'a> {
    name: &'a str,
    /// Any may match, for rotation.
    pub(crate) secrets: &'a [Secret],
    images: &'a BTreeMap<ImageName, ImageConfig>,
}

/// The content of an authentic request.
#[derive(Clone, Debug)]
pub enum Reading {
    /// It concerns builds, if only to be recorded as ignored.
    Delivery(Delivery),
    /// Something changed at the image's back-end, which should be asked. Nothing beyond that is trusted, and nothing is
    /// recorded.
    Hint(ImageName),
    /// It concerns no build and leaves no event; the text says why.
    Nothing { reason: String },
}

/// Why a request is not accepted, by what the sender can do about it. No variant holds any of the sent bytes except
/// names that we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No signature, a malformed one or a wrong one: deliberately not distinguished.
    #[error("the request carries no valid signature")]
    Unsigned,
    /// The body has a type that this kind doesn't read.
    #[error("{0}")]
    ContentType(&'static str),
    /// Not a request by the sender's documentation.
    #[error("{0}")]
    Malformed(String),
    /// Well formed, but lacks what a push needs.
    #[error("{0}")]
    Unusable(String),
}

impl From<JsonMistake> for SourceError {
    fn from(mistake: JsonMistake) -> Self {
        if mistake.is_shape() { Self::Unusable(mistake.to_string()) } else { Self::Malformed(mistake.to_string()) }
    }
}

/// Reads one request to `/hooks/{name}`.
pub fn read(
    name: &str,
    config: &SourceConfig,
    images: &BTreeMap<ImageName, ImageConfig>,
    request: &Request<'_>,
) -> Result<Reading, SourceError> {
    // A configuration names only existing kinds.
    let kind = KINDS.iter().find(|kind| kind.name == config.kind).ok_or(SourceError::Unsigned)?;
    read_by(kind, &Source { name, secrets: &config.secrets, images }, request)
}

fn read_by(kind: &Kind, source: &Source<'_>, request: &Request<'_>) -> Result<Reading, SourceError> {
    let reading = (kind.read)(source, request)?;
    match &reading {
        Reading::Hint(image) if !source.images.contains_key(image) => {
            Ok(Reading::Nothing { reason: format!("the image {image} is not configured") })
        }
        _ => Ok(reading),
    }
}

impl Source<'_> {
    /// The events of a push: one for each image that it concerns.
    pub(crate) fn pushed(&self, push: &Push<'_>) -> Reading {
        let name = self.name.as_bytes();
        let by_id = push.delivery.map(|id| fingerprint(&[b"delivery", name, id.as_bytes()]));
        let by_body = push.signatures.iter().map(|signature| fingerprint(&[b"signature", name, signature]));
        Reading::Delivery(Delivery {
            cause: Cause::new(CauseKind::Push, self.name)
                .actor(push.actor.as_deref())
                .delivery(push.delivery)
                .reason(push.subject.as_deref()),
            fingerprints: by_id.into_iter().chain(by_body).collect(),
            new_events: route::route(self.images, push),
        })
    }
}

/// A sender's word as quoted in a reason: short, and on one line.
fn echoed(text: &str) -> String {
    let mut echoed: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if let Some((end, _)) = echoed.char_indices().nth(ECHO_CHARS_MAX) {
        echoed.truncate(end);
        echoed.push('…');
    }
    echoed
}

/// A 128-bit fingerprint of `parts` in this order. Each part is preceded by its length, so that no two lists of parts
/// give the same bytes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_one_only_for_an_image_that_is_configured() {
        const ALWAYS: Kind = Kind {
            name: "always",
            read: |_, request| Ok(Reading::Hint(request.path.parse().map_err(|_| SourceError::Unsigned)?)),
        };
        let images = BTreeMap::from([("a/b".parse().expect("an image"), ImageConfig::sample())]);
        let source = Source { name: "registry", secrets: &[], images: &images };
        let headers = axum::http::HeaderMap::new();
        let read = |path| {
            let now = crate::model::Timestamp::from_millis(0);
            read_by(&ALWAYS, &source, &Request { now, headers: &headers, path, query: "", body: b"" })
        };
        assert!(matches!(read("a/b"), Ok(Reading::Hint(image)) if image.as_str() == "a/b"));
        assert!(matches!(read("a/c"), Ok(Reading::Nothing { reason }) if reason == "the image a/c is not configured"));
    }

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
}
