//! `coalesced explain`: what happened to a push or a button press, and why.

use std::collections::BTreeMap;

use super::client::{Answer, Client, ClientError};
use super::locate::Reach;
use super::render::receipt;
use super::render::text::plain;
use super::terminal;
use super::{CliError, Run};
use crate::model::{BuildId, CommitId, EventId};
use crate::status::{BuildView, Receipt};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An event's id, a commit (7 digits or more), or the id of a webhook delivery
    #[arg(value_name = "EVENT|SHA|DELIVERY-ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// Print JSON as the API sends it: one receipt for an event's id, otherwise a list
    #[arg(long)]
    json: bool,
}

impl Run for Args {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let client = Client::new(reach.find()?)?;
        let Some(found) = find(&client, &self.name).await? else {
            let name = plain(&self.name);
            return Err(CliError::Failed(format!("no event, commit or delivery '{name}' found")));
        };
        if self.json {
            return Ok(terminal::print(&found.text)?);
        }
        let builds = builds_of(&client, &found.value).await?;
        let now = super::now();
        let build_of = |receipt: &Receipt| receipt.build.and_then(|build| builds.get(&build));
        let stories = found.value.iter().map(|receipt| receipt::story(receipt, build_of(receipt), now));
        Ok(terminal::print(&stories.collect::<Vec<_>>().join("\n"))?)
    }
}

/// What the name means: an event, else a commit, else a delivery, which may have any name.
async fn find(client: &Client, name: &str) -> Result<Option<Answer<Vec<Receipt>>>, ClientError> {
    if name.parse::<EventId>().is_ok() {
        match client.event(name).await {
            Ok(Answer { text, value }) => return Ok(Some(Answer { text, value: vec![value] })),
            Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if let Ok(commit) = name.parse::<CommitId>() {
        let answer = client.events(&vec![("sha", commit.to_string())]).await?;
        if !answer.value.is_empty() {
            return Ok(Some(answer));
        }
    }
    let answer = client.events(&vec![("delivery", name.to_owned())]).await?;
    Ok((!answer.value.is_empty()).then_some(answer))
}

/// The builds named by the receipts, each fetched once. Forgotten ones are missing.
async fn builds_of(client: &Client, receipts: &[Receipt]) -> Result<BTreeMap<BuildId, BuildView>, ClientError> {
    let mut builds = BTreeMap::new();
    for build in receipts.iter().filter_map(|receipt| receipt.build) {
        if builds.contains_key(&build) {
            continue;
        }
        match client.build(build).await {
            Ok(answer) => {
                builds.insert(build, answer.value);
            }
            Err(ClientError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(builds)
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{client_of, serve};
    use super::super::render::samples::waiting_push;
    use super::*;

    #[tokio::test]
    async fn a_name_is_an_event_then_a_commit_then_a_delivery() {
        let receipt = serde_json::to_value(waiting_push()).expect("a receipt");
        let id = waiting_push().id;
        let server = serve(move |request| {
            let list = serde_json::Value::Array(vec![receipt.clone()]);
            match (request.path.as_str(), request.query.as_str()) {
                ("/v1/events/01JD0000000000000000000001", "") => (200, receipt.to_string()),
                ("/v1/events", "sha=3f2a91c" | "delivery=72d3162e-cc78" | "delivery=ffffffff") => {
                    (200, list.to_string())
                }
                ("/v1/events", _) => (200, "[]".to_owned()),
                _ => (404, r#"{"title":"Not Found","status":404,"detail":"no such event"}"#.to_owned()),
            }
        })
        .await;
        let client = client_of(&server, None);
        for (name, is_list) in [(id.as_str(), false), ("3F2A91C", true), ("72d3162e-cc78", true), ("ffffffff", true)] {
            let found = find(&client, name).await.expect("an answer").expect(name);
            assert_eq!(found.value.len(), 1, "{name}");
            assert_eq!(found.text.starts_with('['), is_list, "{name}");
        }
        for unknown in ["01JD0000000000000000000002", "abcdef0", "no-such-delivery"] {
            assert!(find(&client, unknown).await.expect("an answer").is_none(), "{unknown}");
        }
    }
}
