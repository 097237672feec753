//! The command line: its commands, and what they share.
//!
//! Owns the arguments, the text on the terminal and the exit codes. The client commands know the daemon only
//! by its HTTP API and the shapes in [`status`](crate::status): they never open the journal. Only `journal` does, for a
//! daemon that is stopped.
//!
//! To add a command: a module below with `Args` (a [`clap::Args`]) that is [`Run`], and a line in the table of commands.
//! Manual and completions follow by themselves.

mod build;
mod check;
mod client;
mod demo;
mod emulate;
mod error;
mod exit;
mod explain;
mod history;
mod init;
mod journal;
pub mod locate;
mod manual;
mod reload;
mod render;
mod serve;
mod status;
mod terminal;
mod verbs;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _};
pub use client::ClientError;
pub use error::CliError;
use locate::Reach;

use crate::clock::wall as now;

/// Debounces pushes into few builds, and never loses the last push.
#[derive(Debug, clap::Parser)]
#[command(name = "coalesced", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 what was asked for failed (a red build, an unknown event, a damaged journal); 2 usage; \
69 daemon unreachable; 74 input or output failed; 77 not allowed; 78 configuration wrong.";

/// What an entry in the table of commands must implement.
trait Run {
    /// Whether it speaks to a running daemon: only then do `--url` and `--token` mean something.
    const NEEDS_DAEMON: bool;

    async fn run(self, reach: &Reach) -> Result<(), CliError>;
}

/// A duration as the configuration writes it.
fn duration(text: &str) -> Result<std::time::Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "not a duration; write 30m, 2h or 3d")
}

/// Turns the table of commands into clap's definitions and a call of each.
macro_rules! commands {
    ($($(#[$attribute:meta])* $name:ident($args:ty),)*) => {
        #[derive(Debug, clap::Subcommand)]
        enum Command {
            $($(#[$attribute])* $name($args),)*
        }

        impl Command {
            fn needs_daemon(&self) -> bool {
                match self {
                    $(Self::$name(_) => <$args>::NEEDS_DAEMON,)*
                }
            }

            async fn run(self, reach: &Reach) -> Result<(), CliError> {
                match self {
                    $(Self::$name(args) => args.run(reach).await,)*
                }
            }
        }
    };
}

commands! {
    /// Run the daemon
    Serve(serve::Args),
    /// Watch a 30-second demo: real pushes against an emulated Docker Hub, no account needed
    Demo(demo::Args),
    /// Write a commented configuration with fresh secrets, and print what to paste where
    Init(init::Args),
    /// Check the configuration and print it with all defaults
    Check(check::Args),
    /// Request a build of an image
    Build(build::Args),
    /// Show running and waiting builds, and what each is waiting for
    Status(status::Args),
    /// Show what happened to a push or a button press, and why
    Explain(explain::Args),
    /// List events, newest first
    Events(history::EventArgs),
    /// List builds, newest first
    Builds(history::BuildArgs),
    /// Stop triggering builds; keep accepting events
    Pause(verbs::PauseArgs),
    /// End a pause
    Resume(verbs::ResumeArgs),
    /// Build pending events now, without waiting for the quiet period
    Start(verbs::StartArgs),
    /// Discard pending events without building them
    Drop(verbs::DropArgs),
    /// Ask the back-end to cancel the image's builds
    Cancel(verbs::CancelArgs),
    /// Make the daemon read its configuration again
    Reload(reload::Args),
    /// Run an emulated back-end to try a configuration against
    Emulate(emulate::Args),
    /// The same as 'emulate hub'
    #[command(hide = true)]
    EmulateHub(emulate::HubArgs),
    /// Export, import or check the stored state of a stopped daemon
    Journal(journal::Args),
    /// Print the manual
    Man(manual::ManArgs),
    /// Print shell completions
    Completions(manual::CompletionArgs),
}

impl Cli {
    /// Parses this process's command line; exits with a usage message if it makes no sense.
    pub fn parse() -> Self {
        Self::try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Refuses `--url` and `--token` on a command that doesn't talk to a daemon: if ignored, they would seem to have
    /// had an effect. In the environment they may be meant for other commands.
    fn try_parse_from(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut definition = Self::command();
        let matches = definition.try_get_matches_from_mut(words)?;
        let cli = Self::from_arg_matches(&matches)?;
        let by_hand = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        match ["url", "token"].into_iter().find(by_hand) {
            Some(option) if !cli.command.needs_daemon() => {
                let command = matches.subcommand_name().unwrap_or_default();
                let why = format!("'{command}' takes no --{option}: it does not talk to a daemon");
                Err(definition.error(ErrorKind::ArgumentConflict, why))
            }
            _ => Ok(cli),
        }
    }
}

/// Runs the requested command.
pub async fn run(cli: Cli) -> Result<(), CliError> {
    cli.command.run(&cli.reach).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_global_options_are_taken_before_and_after_the_command() {
        for line in ["coalesced --url http://127.0.0.1:1 status --json", "coalesced status --url http://127.0.0.1:1"] {
            let cli = parse(line).expect(line);
            assert_eq!(cli.reach.url.as_deref(), Some("http://127.0.0.1:1"), "{line}");
        }
    }

    #[test]
    fn what_is_not_meant_is_a_usage_error() {
        for line in [
            "coalesced build",
            "coalesced build blog",
            "coalesced build a/b --branch x --tag y",
            "coalesced build a/b --branch a..b",
            "coalesced drop",
            "coalesced start",
            "coalesced cancel",
            "coalesced pause --for soon",
            "coalesced resume --for 2h",
            "coalesced events --since yesterday",
            "coalesced events --limit 0",
            "coalesced events --limit 1001",
            "coalesced explain",
            "coalesced completions tcl",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_daemon_named_to_a_command_that_asks_none_is_a_usage_error() {
        for line in [
            "coalesced --url http://127.0.0.1:1 serve",
            "coalesced serve --token test-token-cli",
            "coalesced journal --url http://127.0.0.1:1 check",
            "coalesced --token test-token-cli demo",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains("it does not talk to a daemon"), "{line}: {error}");
        }
        for line in
            ["coalesced --data-dir data serve", "coalesced journal check --data-dir data", "coalesced status --url x"]
        {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_token_given_as_an_option_has_no_debug() {
        let cli = parse("coalesced status --token test-token-cli").expect("a status command");
        assert!(!format!("{cli:?}").contains("test-token-cli"));
    }
}
