//! `coalesced status`: what runs, what waits and why, once or repeatedly.

use std::time::Duration;

use super::client::{Client, ClientError};
use super::locate::Reach;
use super::render::{lane, time};
use super::terminal::{self, Paint, Progress};
use super::{CliError, Run};
use crate::model::{ImageName, Timestamp};
use crate::status::LaneView;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One image, in detail: NAMESPACE/NAME [default: an overview of all]
    #[arg(value_name = "IMAGE")]
    image: Option<ImageName>,
    /// Keep showing it: redrawn on a terminal, otherwise one line per change
    #[arg(long)]
    watch: bool,
    /// Print JSON as the API sends it; with --watch, one document per change
    #[arg(long)]
    json: bool,
}

/// How often a watched status is fetched.
const WATCH_EVERY: Duration = Duration::from_secs(1);

impl Run for Args {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let client = Client::new(reach.find()?)?;
        let first = Picture::of(&client, self.image.as_ref()).await?;
        match (self.watch, self.json) {
            (false, true) => Ok(terminal::print(&first.json)?),
            (false, false) => Ok(terminal::print(&first.text(super::now(), Paint::of_stdout()))?),
            (true, false) if terminal::stdout_redraws() => redraw(&client, first, &self).await,
            (true, _) => report_changes(&client, first, &self).await,
        }
    }
}

/// The requested lanes at one moment.
struct Picture {
    json: String,
    lanes: Vec<LaneView>,
    detailed: bool,
}

impl Picture {
    async fn of(client: &Client, image: Option<&ImageName>) -> Result<Self, ClientError> {
        if let Some(image) = image {
            let answer = client.lane(image).await?;
            return Ok(Self { json: answer.text, lanes: vec![answer.value], detailed: true });
        }
        let answer = client.lanes().await?;
        Ok(Self { json: answer.text, lanes: answer.value, detailed: false })
    }

    fn text(&self, now: Timestamp, paint: Paint) -> String {
        match self.lanes.as_slice() {
            [lane] if self.detailed => lane::detail(lane, now, paint, terminal::columns()),
            lanes => lane::overview(lanes, now, paint, terminal::columns().unwrap_or(lane::COLUMNS)),
        }
    }

    /// One line per lane, made of what changes only when something happens.
    fn lines(&self, now: Timestamp) -> Vec<String> {
        self.lanes.iter().map(|lane| lane::change_line(lane, now)).collect()
    }
}

async fn redraw(client: &Client, first: Picture, args: &Args) -> Result<(), CliError> {
    // Old content would show through: the screen is cleared once, then only overwritten.
    terminal::print("\x1b[2J")?;
    let mut seen = first;
    let mut heard_at = super::now();
    let mut trouble: Option<(String, ClientError)> = None;
    loop {
        let now = super::now();
        let heading = match &trouble {
            None => time::date_and_clock(&now.to_string()),
            Some((since, error)) => format!("stale, last update {}: {error}", time::clock(now, since)),
        };
        terminal::redraw(&format!("{heading}\n\n{}", seen.text(now, Paint::of_stdout())))?;
        tokio::time::sleep(WATCH_EVERY).await;
        match Picture::of(client, args.image.as_ref()).await {
            Ok(next) => (seen, trouble, heard_at) = (next, None, super::now()),
            Err(error) if error.may_pass() => trouble = Some((heard_at.to_string(), error)),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn report_changes(client: &Client, first: Picture, args: &Args) -> Result<(), CliError> {
    let mut shown: Vec<String> = Vec::new();
    let mut trouble = Progress::on_stderr();
    let mut seen = Ok(first);
    loop {
        match seen {
            Ok(picture) => {
                trouble.clear();
                let now = super::now();
                let lines = picture.lines(now);
                if lines != shown {
                    terminal::print(&if args.json { picture.json } else { news(&lines, &shown, now) })?;
                }
                shown = lines;
            }
            Err(error) if ClientError::may_pass(&error) => {
                trouble.show("unreachable", &time::date_and_clock(&super::now().to_string()), &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(WATCH_EVERY).await;
        seen = Picture::of(client, args.image.as_ref()).await;
    }
}

/// The new lines, each with the time; also reports images that are gone.
fn news(lines: &[String], shown: &[String], now: Timestamp) -> String {
    let at = time::date_and_clock(&now.to_string());
    let image = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let fresh = lines.iter().filter(|line| !shown.contains(line)).map(|line| format!("{at} {line}\n"));
    let gone = shown.iter().map(|line| image(line)).filter(|was| !lines.iter().any(|line| image(line) == *was));
    fresh.chain(gone.map(|image| format!("{at} {image}: no longer configured\n"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_news() {
        let now = "2026-11-23T10:04:10Z".parse().expect("a moment");
        let lines = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let before = lines(&["a/b: idle", "c/d: idle", "e/f: idle"]);
        let after = lines(&["a/b: idle", "c/d: running; build 41 (master) running"]);
        assert_eq!(
            news(&after, &before, now),
            "2026-11-23 10:04:10 UTC c/d: running; build 41 (master) running\n2026-11-23 10:04:10 UTC e/f: no longer configured\n"
        );
    }
}
