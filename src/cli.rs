//! The command line: which commands there are, and what they share.
//!
//! Owns the arguments, the text on the terminal and the exit codes. The client commands know the daemon only
//! by its HTTP API and the shapes in [`status`](crate::status): they never open the journal. Only `journal` does, for a
//! daemon that is stopped.
//!
//! To add a command: a module below with `pub struct Args` (a [`clap::Args`]) and `run`, one line in [`Command`],
//! and its arms in [`Command::asks_a_daemon`] and [`run`]. Manual and completions follow by themselves.

mod build;
mod check;
mod client;
mod demo;
mod emulate_hub;
mod error;
mod explain;
mod history;
mod init;
mod journal;
pub mod locate;
mod manual;
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

/// Many pushes become few builds, and the last push is never lost.
#[derive(Debug, clap::Parser)]
#[command(name = "coalesced", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 the thing asked for failed (a red build, an unknown event, an unsound journal); 2 usage; \
69 the daemon is unreachable; 74 input or output failed; 77 not allowed; 78 the configuration is wrong.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Args),
    /// Show the main job, with no account and no configuration: real pushes against an emulated Docker Hub
    Demo(demo::Args),
    /// Write a commented configuration with fresh secrets, and say what to paste where
    Init(init::Args),
    /// Check the configuration and print it with every default
    Check(check::Args),
    /// Ask for a build of an image
    Build(build::Args),
    /// Show what runs, what waits and why
    Status(status::Args),
    /// Tell what became of a push, and why
    Explain(explain::Args),
    /// List the events, newest first
    Events(history::EventArgs),
    /// List the builds, newest first
    Builds(history::BuildArgs),
    /// Go on accepting, but trigger nothing
    Pause(verbs::PauseArgs),
    /// End a pause
    Resume(verbs::ResumeArgs),
    /// Build what is open now, without waiting for quiet
    Start(verbs::ImageArgs),
    /// Give up what is open, without a build
    Drop(verbs::ImageArgs),
    /// Ask the back-end to cancel the image's builds
    Cancel(verbs::ImageArgs),
    /// Run an emulated Docker Hub, to try a configuration against
    EmulateHub(emulate_hub::Args),
    /// Export, import and check the stored state of a stopped daemon
    Journal(journal::Args),
    /// Print the manual
    Man(manual::ManArgs),
    /// Print the completions for a shell
    Completions(manual::CompletionArgs),
}

impl Cli {
    /// Reads the command line of this process; ends it with a word of help where it can't be understood.
    pub fn of_process() -> Self {
        Self::understood(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Whoever says which daemon to speak to, to a command that speaks to none, means something by it: that is a mistake,
    /// not something to pass over. In the environment it may be meant for other commands.
    fn understood(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut definition = Self::command();
        let matches = definition.try_get_matches_from_mut(words)?;
        let cli = Self::from_arg_matches(&matches)?;
        let by_hand = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
        match ["url", "token"].into_iter().find(by_hand) {
            Some(option) if !cli.command.asks_a_daemon() => {
                let command = matches.subcommand_name().unwrap_or_default();
                let why = format!("'{command}' takes no --{option}: it asks no daemon");
                Err(definition.error(ErrorKind::ArgumentConflict, why))
            }
            _ => Ok(cli),
        }
    }
}

impl Command {
    /// Whether it speaks to a daemon that runs.
    fn asks_a_daemon(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Demo(_)
            | Self::Init(_)
            | Self::Check(_)
            | Self::EmulateHub(_)
            | Self::Journal(_)
            | Self::Man(_)
            | Self::Completions(_) => false,
            Self::Build(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Events(_)
            | Self::Builds(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Start(_)
            | Self::Drop(_)
            | Self::Cancel(_) => true,
        }
    }
}

/// Carries out what the command line asks for.
pub async fn run(cli: Cli) -> Result<(), CliError> {
    let reach = cli.reach;
    match cli.command {
        Command::Serve(args) => serve::run(args, &reach).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Init(args) => Ok(init::run(&args)?),
        Command::Check(args) => Ok(check::run(&args)?),
        Command::Build(args) => build::run(args, &reach).await,
        Command::Status(args) => status::run(args, &reach).await,
        Command::Explain(args) => explain::run(args, &reach).await,
        Command::Events(args) => history::events(args, &reach).await,
        Command::Builds(args) => history::builds(args, &reach).await,
        Command::Pause(args) => verbs::pause(args, &reach).await,
        Command::Resume(args) => verbs::resume(args, &reach).await,
        Command::Start(args) => verbs::act("start", args, &reach).await,
        Command::Drop(args) => verbs::act("drop", args, &reach).await,
        Command::Cancel(args) => verbs::act("cancel", args, &reach).await,
        Command::EmulateHub(args) => emulate_hub::run(args).await,
        Command::Journal(args) => journal::run(&args, &reach),
        Command::Man(args) => manual::man(&args),
        Command::Completions(args) => manual::completions(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    fn understood(line: &str) -> Result<Cli, clap::Error> {
        Cli::understood(line.split(' ').map(Into::into))
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_global_options_are_taken_before_and_after_the_command() {
        for line in ["coalesced --url http://127.0.0.1:1 status --json", "coalesced status --url http://127.0.0.1:1"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
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
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
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
            let error = understood(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains("it asks no daemon"), "{line}: {error}");
        }
        for line in
            ["coalesced --data-dir data serve", "coalesced journal check --data-dir data", "coalesced status --url x"]
        {
            assert!(understood(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_token_given_as_an_option_has_no_debug() {
        let cli = Cli::try_parse_from(["coalesced", "status", "--token", "test-token-cli"]).expect("a status command");
        assert!(!format!("{cli:?}").contains("test-token-cli"));
    }
}
