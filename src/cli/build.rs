//! `coalesced build`: requests a build, and with `--wait` follows it.

use std::io::Write;
use std::time::{Duration, Instant};

use super::client::{Answer, BuildRequest, Client, ClientError};
use super::locate::Reach;
use super::render::history::event_words;
use super::render::text::plain;
use super::render::{build_word, receipt, time};
use super::terminal::{self, Progress};
use super::{CliError, Run};
use crate::model::{GitRef, ImageName, NameError, Timestamp};
use crate::status::{BuildView, EventState, Receipt};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image to build: NAMESPACE/NAME
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    /// The branch to build [default: the only branch that the image's configuration names]
    #[arg(long, value_name = "BRANCH", value_parser = short_branch)]
    branch: Option<String>,
    /// The tag to build
    #[arg(long, value_name = "TAG", conflicts_with = "branch", value_parser = short_tag)]
    tag: Option<String>,
    /// Don't wait for the quiet period
    #[arg(long)]
    now: bool,
    /// Follow it to its end: exit code 0 if the build succeeds, 1 if not
    #[arg(long)]
    wait: bool,
    /// Do nothing if no event is waiting: all are in a build already, even if that failed
    #[arg(long)]
    ensure: bool,
    /// Why; shown by 'explain'
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the receipt as JSON; with --wait, the final one
    #[arg(long)]
    json: bool,
}

/// The short name of a branch that Git allows.
fn short_branch(text: &str) -> Result<String, NameError> {
    GitRef::branch(text).map(|git_ref| git_ref.short().to_owned())
}

fn short_tag(text: &str) -> Result<String, NameError> {
    GitRef::tag(text).map(|git_ref| git_ref.short().to_owned())
}

impl Run for Args {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let client = Client::new(reach.find()?)?;
        let body = BuildRequest {
            branch: self.branch,
            tag: self.tag,
            start_now: self.now,
            ensure: self.ensure,
            reason: self.reason,
        };
        let accepted = client.ask_for_build(&self.image, &body).await?;
        if !self.wait {
            return Ok(terminal::print(&if self.json { accepted.text } else { acceptance(&accepted.value) })?);
        }
        let mut progress = Progress::on_stderr();
        let followed = follow(&client, accepted, &mut progress).await;
        progress.clear();
        let End { answer, verdict } = followed?;
        let printed = match (&verdict, self.json) {
            (_, true) => terminal::print(&answer.text),
            (Ok(sentence), false) => terminal::print(sentence),
            (Err(_), false) => Ok(()),
        };
        // The exit code reports a failed build even if the output is no longer read.
        verdict.map_err(CliError::Failed)?;
        Ok(printed?)
    }
}

/// Prints a request that is not followed.
fn acceptance(receipt: &Receipt) -> String {
    let id = plain(&receipt.id);
    format!("{id} {}\nfollow it with: coalesced explain {id}", receipt::fate(receipt))
}

/// How following ended: the last receipt, and a sentence for success or failure.
struct End {
    answer: Answer<Receipt>,
    verdict: Result<String, String>,
}

/// The waits between two queries: short while things change, longer while they don't.
const POLL_MIN: Duration = Duration::from_millis(200);
const POLL_MAX: Duration = Duration::from_secs(2);
/// How long the daemon may be unreachable, for example while it restarts, before `--wait` gives up.
const OUTAGE_MAX: Duration = Duration::from_mins(1);

#[expect(clippy::disallowed_methods, reason = "how long it takes is shown; nothing is decided by it")]
async fn follow<W: Write>(
    client: &Client,
    accepted: Answer<Receipt>,
    progress: &mut Progress<W>,
) -> Result<End, CliError> {
    let began = Instant::now();
    let id = accepted.value.id.clone();
    let mut answer = accepted;
    let mut heard_at = Instant::now();
    let mut last = Stage { phase: String::new(), sentence: String::new(), end: None };
    let mut wait = POLL_MIN;
    loop {
        match stage_of(client, &answer.value).await {
            // A build that ended badly may just have reopened its events: only what is seen twice is believed.
            Ok(stage) if stage.end == Some(false) && stage.phase != last.phase => {
                wait = POLL_MIN;
                last = stage;
            }
            Ok(Stage { sentence, end: Some(good), .. }) => {
                return Ok(End { answer, verdict: if good { Ok(sentence) } else { Err(sentence) } });
            }
            Ok(stage) => {
                wait = if stage.phase == last.phase { (wait * 3 / 2).min(POLL_MAX) } else { POLL_MIN };
                progress.show(&stage.phase, &time::span(began.elapsed()), &stage.sentence);
                last = stage;
                heard_at = Instant::now();
            }
            Err(error) => tolerate_outage(error, heard_at, began, progress)?,
        }
        tokio::time::sleep(wait).await;
        match client.event(&id).await {
            Ok(next) => answer = next,
            Err(error) => tolerate_outage(error, heard_at, began, progress)?,
        }
    }
}

/// Ignores, for a while, a failure that is likely to pass.
fn tolerate_outage<W: Write>(
    error: ClientError,
    heard_at: Instant,
    began: Instant,
    progress: &mut Progress<W>,
) -> Result<(), ClientError> {
    if !error.may_pass() || heard_at.elapsed() > OUTAGE_MAX {
        return Err(error);
    }
    progress.show("unreachable", &time::span(began.elapsed()), &format!("{error}; trying again"));
    Ok(())
}

/// An event's progress.
#[derive(Debug, PartialEq, Eq)]
struct Stage {
    /// Changes when something happens, and not when only time passes.
    phase: String,
    sentence: String,
    /// Whether it ended, and well.
    end: Option<bool>,
}

async fn stage_of(client: &Client, receipt: &Receipt) -> Result<Stage, ClientError> {
    let build = match receipt.build {
        Some(build) => Some(client.build(build).await?.value),
        None => None,
    };
    Ok(stage(receipt, build.as_ref(), super::now()))
}

fn stage(receipt: &Receipt, build: Option<&BuildView>, now: Timestamp) -> Stage {
    let words = event_words(receipt);
    let end = match receipt.state {
        EventState::Waiting | EventState::Queued | EventState::Building => None,
        EventState::Built => Some(true),
        EventState::Failed
        | EventState::Cancelled
        | EventState::Lost
        | EventState::Skipped
        | EventState::Ignored
        | EventState::Dropped
        | EventState::RefDeleted
        | EventState::Duplicate => Some(false),
    };
    match build {
        // The build may have ended since the receipt was made: the next one says what that means for the event.
        Some(build) => {
            let log_url = build.log_url.as_deref().filter(|_| end == Some(false));
            let log = log_url.map(|url| format!("; log: {}", plain(url))).unwrap_or_default();
            Stage {
                phase: format!("{words} {} {}", build.id, build_word(build)),
                sentence: format!("{}: build {}: {}{log}", build.image, build.id, receipt::course(build, now)),
                end,
            }
        }
        None => Stage { phase: words, sentence: receipt::fate(receipt), end },
    }
}

#[cfg(test)]
mod tests;
