//! Query strings for the history: every key known, every value checked.

use std::str::FromStr;

use super::problem::Problem;
use crate::journal::{BuildQuery, EventQuery, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
use crate::model::{BuildId, CommitId, GitRef};

const KEYS_OF_EVENTS: [&str; 7] = ["image", "ref", "sha", "delivery", "since", "before", "limit"];
const KEYS_OF_BUILDS: [&str; 5] = ["image", "ref", "since", "before", "limit"];

/// The most characters of an unknown key that a refusal quotes.
const KEY_CHARS_SHOWN: usize = 40;

pub(super) fn event_query(query: &str) -> Result<EventQuery, Problem> {
    let pairs = Pairs::read(query, &KEYS_OF_EVENTS)?;
    Ok(EventQuery {
        image: pairs.value("image")?,
        git_ref: pairs.git_ref()?,
        sha: pairs.value::<CommitId>("sha")?.map(|commit| commit.as_str().to_owned()),
        delivery: pairs.text("delivery").map(str::to_owned),
        since: pairs.value("since")?,
        before: pairs.value("before")?,
        limit: pairs.limit()?,
    })
}

pub(super) fn build_query(query: &str) -> Result<BuildQuery, Problem> {
    let pairs = Pairs::read(query, &KEYS_OF_BUILDS)?;
    Ok(BuildQuery {
        image: pairs.value("image")?,
        git_ref: pairs.git_ref()?,
        since: pairs.value("since")?,
        before: pairs.number("before")?.map(BuildId),
        limit: pairs.limit()?,
    })
}

struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Empty values count as absent: forms send them for blank fields.
    fn read(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (index, (key, _)) in pairs.iter().enumerate() {
            let shown: String = key.chars().take(KEY_CHARS_SHOWN).collect();
            if !known.contains(&key.as_str()) {
                let detail = format!("unknown parameter '{shown}'; known here are: {}", known.join(", "));
                return Err(Problem::bad_request(detail));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == key) {
                return Err(Problem::bad_request(format!("the parameter '{shown}' is there twice")));
            }
        }
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn value<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Option<T>, Problem> {
        let parsed = self.text(key).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| Problem::bad_request(format!("'{key}': {error}")))
    }

    fn number(&self, key: &str) -> Result<Option<u64>, Problem> {
        let parsed = self.text(key).map(str::parse).transpose();
        parsed.map_err(|_| Problem::bad_request(format!("'{key}' must be a whole number")))
    }

    /// A full name, or the short name of a branch.
    fn git_ref(&self) -> Result<Option<GitRef>, Problem> {
        let parse = |text: &str| if text.starts_with("refs/") { text.parse() } else { GitRef::branch(text) };
        let parsed = self.text("ref").map(parse).transpose();
        parsed.map_err(|error| Problem::bad_request(format!("'ref': {error}")))
    }

    fn limit(&self) -> Result<usize, Problem> {
        let limit = self.number("limit")?.map_or(Ok(LIST_LIMIT_DEFAULT), usize::try_from).unwrap_or(usize::MAX);
        if (1..=LIST_LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad_request(format!("'limit' must be between 1 and {LIST_LIMIT_MAX}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RefKind;

    #[test]
    fn an_empty_query_asks_for_a_page_of_everything() {
        let query = event_query("").expect("a query");
        assert_eq!((query.limit, query.image, query.git_ref, query.sha), (LIST_LIMIT_DEFAULT, None, None, None));
        assert_eq!(event_query("image=&ref=&limit=").expect("a query").limit, LIST_LIMIT_DEFAULT);
    }

    #[test]
    fn every_parameter_is_read() {
        let query = event_query(
            "image=mrraph%2Fblog&ref=release/1&sha=AE95164&delivery=72d3&since=2026-11-23T10:00:00Z\
             &before=01JD0000000000000000000000&limit=7",
        )
        .expect("a query");
        assert_eq!(query.image.map(|image| image.to_string()).as_deref(), Some("mrraph/blog"));
        assert_eq!(query.git_ref.map(|git_ref| git_ref.to_string()).as_deref(), Some("refs/heads/release/1"));
        assert_eq!((query.sha.as_deref(), query.delivery.as_deref(), query.limit), (Some("ae95164"), Some("72d3"), 7));
        assert!(query.since.is_some() && query.before.is_some());
        let tag = build_query("ref=refs/tags/v1&before=41").expect("a query");
        assert_eq!(tag.git_ref.map(|git_ref| git_ref.kind()), Some(RefKind::Tag));
        assert_eq!(tag.before, Some(BuildId(41)));
    }

    #[test]
    fn bad_values_and_unknown_keys_are_refused() {
        for bad in [
            "image=blog",
            "ref=a..b",
            "sha=xyz",
            "since=yesterday",
            "before=41",
            "limit=0",
            "limit=1001",
            "limit=99999999999999999999",
            "limit=-1",
            "imgae=a/b",
            "limit=1&limit=2",
        ] {
            assert_eq!(event_query(bad).expect_err(bad).status, 400, "{bad}");
        }
        assert_eq!(build_query("sha=ae95164").expect_err("refused").status, 400);
    }
}
