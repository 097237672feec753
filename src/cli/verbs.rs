//! `coalesced pause`, `resume`, `start`, `drop`, `cancel`: what people may do to images.

use std::time::Duration;

use super::CliError;
use super::client::{Client, VerbRequest};
use super::locate::Reach;
use super::render::lane;
use super::terminal;
use crate::model::ImageName;

#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// The image: NAMESPACE/NAME; without it, all images
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    /// How long: 2h, 30m; without it, until it is resumed
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    lasting: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// The image: NAMESPACE/NAME; without it, all images
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImageArgs {
    /// The image: NAMESPACE/NAME
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn pause(args: PauseArgs, reach: &Reach) -> Result<(), CliError> {
    let lasting = args.lasting.map(|span| humantime::format_duration(span).to_string());
    call("pause", args.image.as_ref(), lasting, args.common, reach).await
}

pub(super) async fn resume(args: ResumeArgs, reach: &Reach) -> Result<(), CliError> {
    call("resume", args.image.as_ref(), None, args.common, reach).await
}

/// A verb that goes to one image only.
pub(super) async fn act(verb: &str, args: ImageArgs, reach: &Reach) -> Result<(), CliError> {
    call(verb, Some(&args.image), None, args.common, reach).await
}

async fn call(
    verb: &str,
    image: Option<&ImageName>,
    lasting: Option<String>,
    common: Common,
    reach: &Reach,
) -> Result<(), CliError> {
    let client = Client::new(reach.find()?)?;
    let answer = client.act(verb, image, &VerbRequest { reason: common.reason, lasting }).await?;
    if common.json {
        return terminal::print(&answer.text);
    }
    let now = super::now();
    let lines: Vec<String> = answer.value.iter().map(|lane| lane::change_line(lane, now)).collect();
    terminal::print(&lines.join("\n"))
}
