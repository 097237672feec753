//! `coalesced emulate`: an emulated back-end on its own, to try a configuration against.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::locate::Reach;
use super::serve::shutdown_signal;
use super::{CliError, Run, terminal};
use crate::emulator::{EmulatedHub, HubSettings, Mode, TakesTip};
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
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8585", value_name = "ADDR")]
    listen: SocketAddr,
    /// Which Docker Hub: `classic` keeps one running and one queued build and ignores the rest; `current` keeps all
    #[arg(long, value_enum, default_value = "classic")]
    mode: ModeName,
    /// How long a build takes
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "SPAN")]
    build_time: Duration,
    /// When a build takes its branch's tip; Docker never said
    #[arg(long, value_enum, default_value = "started")]
    takes_tip: TakesTipName,
    /// How long a new build is missing from the list
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration, value_name = "SPAN")]
    visible_after: Duration,
    /// How long a cancelled build stays "Canceling"
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration, value_name = "SPAN")]
    cancel_sticks_for: Duration,
    /// How many builds run at once, over all repositories
    #[arg(long, default_value_t = 5, value_name = "N")]
    concurrent_builds: usize,
    /// How much faster than real it is
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    speed: f64,
    /// A repository to know from the start; may be given several times
    #[arg(long = "repository", value_name = "NAMESPACE/NAME")]
    repositories: Vec<ImageName>,
    /// The account that may read the list of builds
    #[arg(long, default_value = "demo")]
    username: String,
    /// Its password
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
        let mut text = format!("emulated Docker Hub at {}\n", hub.url());
        for image in &self.repositories {
            let urls = hub.register(image);
            writeln!(
                text,
                "{image}\n  trigger_url (new form) {}\n  trigger_url (old form) {}",
                urls.current, urls.legacy
            )
            .expect("a String takes all");
        }
        terminal::print_raw(text.as_bytes())?;
        ending.await;
        hub.stop().await;
        Ok(())
    }
}
