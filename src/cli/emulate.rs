//! `coalesced emulate`: an emulated back-end on its own, to try a configuration against.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::locate::Reach;
use super::serve::shutdown_signal;
use super::{CliError, Run, terminal};
use crate::emulator::{EmulatedHub, HubSettings, Mode, TakesTip, TriggerUrls};
use crate::model::ImageName;

#[derive(clap::Args, Clone, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Which {
    /// Run an emulated Docker Hub
    Hub(HubArgs),
}

impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        match self.which {
            Which::Hub(args) => args.run(reach).await,
        }
    }
}

#[derive(clap::Args, Clone, Debug)]
pub(super) struct HubArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8585", value_name = "ADDR")]
    listen: SocketAddr,
    /// 'classic' keeps one running and one queued build and ignores other triggers; 'current' keeps all
    #[arg(long, value_enum, default_value = "classic")]
    mode: ModeName,
    /// How long a build takes
    #[arg(long, default_value = "5m", value_parser = super::duration, value_name = "TIME")]
    build_time: Duration,
    /// When a build takes the commit that it builds; Docker does not document it
    #[arg(long, value_enum, default_value = "started")]
    takes_tip: TakesTipName,
    /// How long it takes until a new build appears in the list
    #[arg(long, default_value = "0s", value_parser = super::duration, value_name = "TIME")]
    visible_after: Duration,
    /// How long a cancelled build stays "Canceling"
    #[arg(long, default_value = "0s", value_parser = super::duration, value_name = "TIME")]
    cancel_sticks_for: Duration,
    /// How many builds run at once, across all repositories
    #[arg(long, default_value_t = 5, value_name = "N")]
    concurrent_builds: usize,
    /// How much faster than in reality
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// A repository that exists from the start; may be repeated
    #[arg(long = "repository", value_name = "NAMESPACE/NAME")]
    repositories: Vec<ImageName>,
    /// Username of the account that may list builds
    #[arg(long, default_value = "demo")]
    username: String,
    /// Its password or access token
    #[arg(long, default_value = "test-token-of-the-emulated-hub")]
    password: String,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum ModeName {
    Classic,
    Current,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum TakesTipName {
    Triggered,
    Started,
}

impl HubArgs {
    fn settings(&self) -> HubSettings {
        let mode = match self.mode {
            ModeName::Classic => Mode::Classic,
            ModeName::Current => Mode::Current,
        };
        let takes_tip = match self.takes_tip {
            TakesTipName::Triggered => TakesTip::WhenTriggered,
            TakesTipName::Started => TakesTip::WhenStarted,
        };
        let settings = HubSettings {
            mode,
            takes_tip,
            build_time: self.build_time,
            visible_after: self.visible_after,
            cancel_sticks_for: self.cancel_sticks_for,
            concurrent_builds: self.concurrent_builds,
            ..HubSettings::default()
        };
        settings.faster(self.speed)
    }
}

impl Run for HubArgs {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        if !(self.speed.is_finite() && self.speed > 0.0) {
            return Err(CliError::Usage("--speed must be a number above 0".to_owned()));
        }
        let io = |what: String| move |source| CliError::Io { what, source };
        let ending = shutdown_signal()?;
        let listener =
            TcpListener::bind(self.listen).await.map_err(io(format!("failed to listen on {}", self.listen)))?;
        let hub = EmulatedHub::serve(listener, self.settings(), &self.username, &self.password)
            .map_err(io("failed to serve".to_owned()))?;
        let urls = self.repositories.iter().map(|image| (image, hub.register(image)));
        let text = introduction(hub.url(), urls, &self.username, &self.password);
        terminal::print_raw(text.as_bytes())?;
        ending.await;
        hub.stop().await;
        Ok(())
    }
}

/// Where it is, and a configuration to paste.
fn introduction<'a>(
    url: &str,
    repositories: impl Iterator<Item = (&'a ImageName, TriggerUrls)>,
    username: &str,
    password: &str,
) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!("Emulated Docker Hub at {url}\n");
    let images: Vec<_> = repositories.collect();
    if images.is_empty() {
        text.push_str("It has no repository; restart it with --repository you/blog to get a configuration to paste.\n");
        return text;
    }
    let api = quoted(url);
    writeln!(text, "To use it, paste this into coalesced.toml:\n\n[docker_hub]\napi = {api}")
        .expect("a String takes all");
    for (image, TriggerUrls { legacy, current }) in images {
        let (current, username, token) = (quoted(&current), quoted(username), quoted(password));
        write!(
            text,
            r#"
[image."{image}"]
branches = ["main"]

[image."{image}".backend]
kind = "docker_hub"
trigger_url = {current}
# in the old form: {legacy}
username = {username}
token = {token}
"#
        )
        .expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_printed_is_a_configuration() {
        let image: ImageName = "you/blog".parse().expect("an image");
        let urls = TriggerUrls {
            legacy: "http://127.0.0.1:8585/u/you/blog/trigger/test-token-a/".to_owned(),
            current: "http://127.0.0.1:8585/api/build/v1/source/b/trigger/test-token-a/call/".to_owned(),
        };
        let text = introduction("http://127.0.0.1:8585", [(&image, urls)].into_iter(), "demo", "test-token-c");
        let (_, pasted) = text.split_once("\n\n").expect("an introduction and a configuration");
        let config = Config::parse(pasted, "c.toml", std::path::Path::new("."), &|_| None).expect("a configuration");
        assert!(config.rules.images.contains_key(&image));
    }
}
