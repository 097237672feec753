//! Parses the arguments, calls, and maps errors to exit codes.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use coalesced::cli::{self, Cli, CliError};

/// How long shutdown waits for threads that still read: one that hangs in storage must not block the exit.
const THREADS_LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&CliError::Io { what: "failed to start threads".to_owned(), source: error }),
    };
    let code = runtime.block_on(cli::run(cli)).map_or_else(|error| report(&error), |()| ExitCode::SUCCESS);
    runtime.shutdown_timeout(THREADS_LIMIT);
    code
}

/// Prints why the command failed, and returns the exit code.
fn report(error: &CliError) -> ExitCode {
    if !error.is_silent() {
        let before = if error.names_its_place() { "" } else { "coalesced: " };
        // If even this can't be written, the exit code still tells.
        let _unwritable = writeln!(std::io::stderr(), "{before}{error}");
    }
    ExitCode::from(error.exit_code())
}
