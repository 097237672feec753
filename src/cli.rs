//! The command line: which commands there are, and what they share.
//!
//! Owns the arguments, the text on the terminal and the exit codes. The client commands know the daemon only
//! by its HTTP API and the shapes in [`status`](crate::status): they never open the journal. Only `journal` does, for a
//! daemon that is stopped.
//!
//! To add a command: a module below with `pub struct Args` (a [`clap::Args`]) and `run`, one line in [`Command`],
//! and its arm in [`run`]. Manual and completions follow by themselves.

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

pub use client::ClientError;
pub use error::CliError;
use locate::Reach;

use crate::driver::clock::wall as now;

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
    fn a_token_given_as_an_option_has_no_debug() {
        let cli = Cli::try_parse_from(["coalesced", "status", "--token", "test-token-cli"]).expect("a status command");
        assert!(!format!("{cli:?}").contains("test-token-cli"));
    }
}
