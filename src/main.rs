//! Parses the arguments, calls, and maps errors to exit codes.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use coalesced::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                let before = if error.names_its_place() { "" } else { "coalesced: " };
                // Where even this can't be written, the exit code still tells.
                let _unwritable = writeln!(std::io::stderr(), "{before}{error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
