//! The basic values that everything else is built from: names, refs, commits, moments and numbers.
//!
//! Each is parsed once, at the boundary, and has its own type inside, so that an image can't be passed
//! as a ref. This module reads no clock and does no IO.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes in an image's name, a ref or another name that we keep: values in the journal stay small.
pub const NAME_BYTES_MAX: usize = 255;

/// What is built: a Docker Hub repository, `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(Arc<str>);

impl ImageName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError { what: "image", text: shortened(text), why });
        if text.len() > NAME_BYTES_MAX {
            return refuse("is longer than 255 bytes");
        }
        let Some((namespace, name)) = text.split_once('/') else {
            return refuse("is not of the form NAMESPACE/NAME");
        };
        for part in [namespace, name] {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            if part.is_empty() || !part.bytes().all(allowed) {
                return refuse(
                    "must be two parts of lower-case letters, digits, '.', '_' and '-', with one '/' between",
                );
            }
            if !part.as_bytes()[0].is_ascii_alphanumeric() {
                return refuse("has a part that begins with neither a letter nor a digit");
            }
        }
        Ok(Self(text.into()))
    }
}

/// A branch or a tag, by its full name: `refs/heads/x` or `refs/tags/x`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitRef(Arc<str>);

/// The two kinds of ref that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    Branch,
    Tag,
}

const BRANCH_PREFIX: &str = "refs/heads/";
const TAG_PREFIX: &str = "refs/tags/";

impl GitRef {
    /// The branch of this short name.
    pub fn branch(short: &str) -> Result<Self, NameError> {
        format!("{BRANCH_PREFIX}{short}").parse()
    }

    /// The tag of this short name.
    pub fn tag(short: &str) -> Result<Self, NameError> {
        format!("{TAG_PREFIX}{short}").parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> RefKind {
        if self.0.starts_with(TAG_PREFIX) { RefKind::Tag } else { RefKind::Branch }
    }

    /// The name without `refs/heads/` or `refs/tags/`.
    pub fn short(&self) -> &str {
        match self.kind() {
            RefKind::Branch => &self.0[BRANCH_PREFIX.len()..],
            RefKind::Tag => &self.0[TAG_PREFIX.len()..],
        }
    }
}

impl FromStr for GitRef {
    type Err = NameError;

    /// Accepts what `git check-ref-format` accepts, as far as it matters to us.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError { what: "ref", text: shortened(text), why });
        if text.len() > NAME_BYTES_MAX {
            return refuse("is longer than 255 bytes");
        }
        let Some(short) = text.strip_prefix(BRANCH_PREFIX).or_else(|| text.strip_prefix(TAG_PREFIX)) else {
            return refuse("begins with neither 'refs/heads/' nor 'refs/tags/'");
        };
        let bad = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        if short.is_empty() || short.chars().any(bad) || short.contains("..") || short.contains("@{") {
            return refuse("is not a name that Git allows");
        }
        if short.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some())
        {
            return refuse("is not a name that Git allows");
        }
        Ok(Self(text.into()))
    }
}

/// A Git object's name in lower-case hex: 7 to 64 digits, abbreviated or whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(Arc<str>);

impl CommitId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the all-zero id by which senders say "no commit".
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }

    /// Whether both name the same commit; either may be abbreviated.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.starts_with(&*other.0) || other.0.starts_with(&*self.0)
    }
}

impl FromStr for CommitId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(NameError { what: "commit", text: shortened(text), why: "is not 7 to 64 hexadecimal digits" })
        }
    }
}

/// Why a text is not a valid name of its kind. Completes "failed to take it: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} '{text}' {why}")]
pub struct NameError {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// At most the first 80 characters of untrusted text, safe to show on one line.
fn shortened(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A wall-clock moment, in milliseconds since 1970 (UTC).
///
/// Moments are stored and shown; *order* is decided by [`Seq`], never by comparing moments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `wait`, saturating.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment minus `back`.
    #[must_use]
    pub fn minus(self, back: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-11-23T10:00:00.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = NameError;

    /// Parses RFC 3339.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse::<jiff::Timestamp>() {
            Ok(moment) => Ok(Self(moment.as_millisecond())),
            Err(_) => {
                Err(NameError { what: "moment", text: shortened(text), why: "is not of the form 2026-11-23T10:00:00Z" })
            }
        }
    }
}

/// The number of an event: one counter for all images, from 1, without gaps except after a restore, never reused.
///
/// "Accepted before the build started" is a comparison of these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a build: one counter for all images, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildId(pub u64);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An event's public id: a ULID of the moment of acceptance and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    pub accepted_at: Timestamp,
    pub seq: Seq,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.accepted_at.as_millis()).unwrap_or(0);
        write!(f, "{}", ulid::Ulid::from_parts(millis, u128::from(self.seq.0)))
    }
}

impl FromStr for EventId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse =
            NameError { what: "event", text: shortened(text), why: "is not an event's id (26 letters and digits)" };
        let ulid = ulid::Ulid::from_string(text).map_err(|_| refuse.clone())?;
        let seq = u64::try_from(ulid.random()).map_err(|_| refuse.clone())?;
        let millis = i64::try_from(ulid.timestamp_ms()).map_err(|_| refuse)?;
        Ok(Self { accepted_at: Timestamp::from_millis(millis), seq: Seq(seq) })
    }
}

/// A newtype of text: shown, stored and parsed as that text.
macro_rules! text_name {
    ($name:ty) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

text_name!(ImageName);
text_name!(GitRef);
text_name!(CommitId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_two_lower_case_parts() {
        for good in ["mrraph/blog", "library/nginx", "a1/b.c_d-e"] {
            assert_eq!(good.parse::<ImageName>().expect(good).to_string(), good);
        }
        for bad in ["blog", "MrRaph/blog", "a/b/c", "/b", "a/", "a/-b", "a b/c", ""] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ref_is_a_branch_or_a_tag_that_git_allows() {
        let branch: GitRef = "refs/heads/release/1.2".parse().expect("a branch");
        assert_eq!((branch.kind(), branch.short()), (RefKind::Branch, "release/1.2"));
        let tag = GitRef::tag("v1").expect("a tag");
        assert_eq!((tag.kind(), tag.as_str()), (RefKind::Tag, "refs/tags/v1"));
        for bad in [
            "refs/notes/x",
            "master",
            "refs/heads/",
            "refs/heads/a..b",
            "refs/heads/a b",
            "refs/heads/.x",
            "refs/heads/x.lock",
        ] {
            assert!(bad.parse::<GitRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_id_carries_moment_and_number_there_and_back() {
        let id = EventId { accepted_at: Timestamp::from_millis(1_795_000_000_123), seq: Seq(42) };
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse::<EventId>().expect(&text), id);
    }

    #[test]
    fn a_moment_is_shown_with_milliseconds_in_utc() {
        let moment: Timestamp = "2026-11-23T10:00:00.123Z".parse().expect("a moment");
        assert_eq!(moment.to_string(), "2026-11-23T10:00:00.123Z");
    }

    #[test]
    fn an_abbreviated_commit_is_the_same_commit() {
        let whole: CommitId = "ae95164c0ffee0000000000000000000000000aa".parse().expect("whole");
        let short: CommitId = "AE95164".parse().expect("short");
        assert!(whole.same_as(&short) && short.same_as(&whole));
    }
}
