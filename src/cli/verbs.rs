//! `coalesced pause`, `resume`, `start`, `drop`, `cancel`: manual control of images.

use std::time::Duration;

use super::client::{Client, VerbRequest};
use super::locate::Reach;
use super::render::lane;
use super::terminal;
use super::{CliError, Run};
use crate::model::ImageName;

#[derive(Debug, clap::Args)]
pub(super) struct PauseArgs {
    /// The image: NAMESPACE/NAME [default: all images]
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    /// How long, such as 30m, 2h or 3d [default: until it is resumed]
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    lasting: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// The image: NAMESPACE/NAME [default: all images]
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct ImageArgs {
    /// The image: NAMESPACE/NAME
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Why; shown while an image is paused, and with dropped events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON as the API sends it
    #[arg(long)]
    json: bool,
}

impl Run for PauseArgs {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let lasting = self.lasting.map(|span| humantime::format_duration(span).to_string());
        call("pause", self.image.as_ref(), lasting, self.common, reach).await
    }
}

impl Run for ResumeArgs {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        call("resume", self.image.as_ref(), None, self.common, reach).await
    }
}

/// A verb that applies to one image only: a type for each, so that the table of commands can distinguish them.
macro_rules! image_verbs {
    ($($name:ident: $verb:literal;)*) => {
        $(
            #[derive(Debug, clap::Args)]
            pub(super) struct $name {
                #[command(flatten)]
                of: ImageArgs,
            }

            impl Run for $name {
                const NEEDS_DAEMON: bool = true;

                async fn run(self, reach: &Reach) -> Result<(), CliError> {
                    call($verb, Some(&self.of.image), None, self.of.common, reach).await
                }
            }
        )*
    };
}

image_verbs! {
    StartArgs: "start";
    DropArgs: "drop";
    CancelArgs: "cancel";
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
        return Ok(terminal::print(&answer.text)?);
    }
    let now = super::now();
    let lines: Vec<String> = answer.value.iter().map(|lane| lane::change_line(lane, now)).collect();
    Ok(terminal::print(&lines.join("\n"))?)
}
