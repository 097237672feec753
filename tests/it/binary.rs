//! The real binary as a child process, and where it says that it listens.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_coalesced");

/// A daemon in `directory`, which holds its configuration, not yet spawned. It logs to the file `log` there. `under`: a
/// program to run it under, with its arguments.
pub(crate) fn serve(directory: &Path, under: &[String]) -> Command {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).expect("a log");
    let serve = [BINARY, "serve", "--config", "coalesced.toml"].map(str::to_owned);
    let line: Vec<&String> = under.iter().chain(&serve).collect();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(directory).env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// The address and the process id that the file for clients names, once it is written.
pub(crate) fn found(directory: &Path) -> Option<(String, u32)> {
    let text = std::fs::read_to_string(directory.join("data/client.json")).ok()?;
    let found: Value = serde_json::from_str(&text).ok()?;
    let pid = found["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    Some((found["url"].as_str().expect("an address").to_owned(), pid))
}
