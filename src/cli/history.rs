//! `coalesced events` and `coalesced builds`: the history, newest first.

use std::str::FromStr;
use std::time::Duration;

use super::client::{Client, Query};
use super::locate::Reach;
use super::render::history;
use super::terminal::{self, Paint};
use super::{CliError, Run};
use crate::journal::LIST_LIMIT_MAX;
use crate::model::{BuildId, EventId, GitRef, ImageName, NameError, Timestamp};

#[derive(Debug, clap::Args)]
pub(super) struct EventArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only events older than this one, to page through
    #[arg(long, value_name = "EVENT")]
    before: Option<EventId>,
}

#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only builds older than this one, to page through
    #[arg(long, value_name = "BUILD", value_parser = build_id)]
    before: Option<BuildId>,
}

fn build_id(text: &str) -> Result<BuildId, std::num::ParseIntError> {
    text.parse().map(BuildId)
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only this image: NAMESPACE/NAME
    #[arg(long, value_name = "IMAGE")]
    image: Option<ImageName>,
    /// Only this ref: a branch's name, or refs/tags/NAME
    #[arg(long = "ref", value_name = "REF", value_parser = whole_ref)]
    git_ref: Option<GitRef>,
    /// Only since then: 2h, 7d or 2026-11-23T10:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=LIST_LIMIT_MAX as i64))]
    limit: u16,
    /// Print JSON as the API sends it
    #[arg(long)]
    json: bool,
}

/// A ref by its full name, or a branch by its short one.
fn whole_ref(text: &str) -> Result<GitRef, NameError> {
    if text.starts_with("refs/") { text.parse() } else { GitRef::branch(text) }
}

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::Ago(span));
        }
        let neither = |_| "not a time; write 2h, 7d or 2026-11-23T10:00:00Z".to_owned();
        text.parse().map(Self::At).map_err(neither)
    }
}

impl Filter {
    fn query(&self, before: Option<String>, now: Timestamp) -> Query {
        let since = self.since.map(|since| match since {
            Since::Ago(span) => now.minus(span),
            Since::At(moment) => moment,
        });
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.image.as_ref().map(|image| ("image", image.to_string())));
        query.extend(self.git_ref.as_ref().map(|git_ref| ("ref", git_ref.to_string())));
        query.extend(since.map(|since| ("since", since.to_string())));
        query.extend(before.map(|before| ("before", before)));
        query
    }
}

impl Run for EventArgs {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let client = Client::new(reach.find()?)?;
        let now = super::now();
        let answer = client.events(&self.filter.query(self.before.map(|id| id.to_string()), now)).await?;
        if self.filter.json {
            return Ok(terminal::print(&answer.text)?);
        }
        Ok(terminal::print(&history::events(&answer.value, now, Paint::of_stdout(), terminal::columns()))?)
    }
}

impl Run for BuildArgs {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let client = Client::new(reach.find()?)?;
        let now = super::now();
        let answer = client.builds(&self.filter.query(self.before.map(|id| id.to_string()), now)).await?;
        if self.filter.json {
            return Ok(terminal::print(&answer.text)?);
        }
        Ok(terminal::print(&history::builds(&answer.value, now, Paint::of_stdout(), terminal::columns()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_moment() {
        assert_eq!("2h".parse(), Ok(Since::Ago(Duration::from_hours(2))));
        let moment = "2026-11-23T10:00:00Z";
        assert_eq!(moment.parse(), Ok(Since::At(moment.parse().expect(moment))));
        assert!("yesterday".parse::<Since>().is_err());
    }

    #[test]
    fn filters_are_named_as_the_api_names_them() {
        let filter = Filter {
            image: "mrraph/blog".parse().ok(),
            git_ref: whole_ref("master").ok(),
            since: "2h".parse().ok(),
            limit: 5,
            json: false,
        };
        let now = "2026-11-23T10:00:00Z".parse().expect("a moment");
        let query: Vec<(&str, String)> = filter.query(Some("41".to_owned()), now);
        let expected = [
            ("limit", "5"),
            ("image", "mrraph/blog"),
            ("ref", "refs/heads/master"),
            ("since", "2026-11-23T08:00:00.000Z"),
            ("before", "41"),
        ];
        assert_eq!(query, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_short_ref_is_a_branch_and_a_tag_needs_its_full_name() {
        assert_eq!(whole_ref("release/1").expect("a branch").as_str(), "refs/heads/release/1");
        assert_eq!(whole_ref("refs/tags/v1").expect("a tag").as_str(), "refs/tags/v1");
        assert!(whole_ref("refs/notes/x").is_err());
    }
}
