//! `coalesced check`: finds mistakes in the configuration, and prints it with all defaults.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::locate::Reach;
use super::terminal::OutputError;
use super::{CliError, Run};
use crate::clock::wall;
use crate::config::{Config, ConfigError, Diagnostic, Effective};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Configuration file to check [default: coalesced.toml here, else /etc/coalesced/coalesced.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of TOML
    #[arg(long)]
    pub json: bool,
}

/// Prints the configuration in force to standard output and its warnings to standard error.
impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        check(&self, &mut io::stdout().lock(), &mut io::stderr().lock())
    }
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
struct Answer<'a> {
    ok: bool,
    config: Option<Effective>,
    warnings: Vec<String>,
    mistakes: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    message: &'a str,
}

fn check(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<(), CliError> {
    let config = Config::find(args.config.as_deref()).and_then(|path| Config::load(&path));
    if args.json {
        print_json(config.as_ref(), out).map_err(OutputError)?;
    }
    let config = config?;
    if !args.json {
        let text = Effective::of(&config).to_toml().map_err(|error| OutputError(io::Error::other(error)))?;
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError)?;
    }
    for warning in config.warnings.iter().chain(&config.notices(wall())) {
        writeln!(err, "warning: {warning}").map_err(OutputError)?;
    }
    Ok(())
}

fn print_json(config: Result<&Config, &ConfigError>, out: &mut impl Write) -> io::Result<()> {
    let mistakes = match config {
        Err(ConfigError::Mistakes(mistakes)) => mistakes.iter().map(Place::of).collect(),
        _ => Vec::new(),
    };
    let warnings = config
        .map_or_else(|_| Vec::new(), |config| config.warnings.iter().cloned().chain(config.notices(wall())).collect());
    let answer = Answer { ok: config.is_ok(), config: config.ok().map(Effective::of), warnings, mistakes };
    serde_json::to_writer_pretty(&mut *out, &answer)?;
    writeln!(out)
}

impl<'a> Place<'a> {
    fn of(mistake: &'a Diagnostic) -> Self {
        Self { file: &mistake.file, line: mistake.line, column: mistake.column, message: &mistake.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "[image.\"a/b\".backend]\nkind = \"docker_hub\"\ntrigger_url = \
                         \"https://hub.docker.com/u/a/b/trigger/test-token-x/\"\n";

    fn checked(text: &str, json: bool) -> (Result<(), CliError>, String, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("c.toml");
        std::fs::write(&path, text).expect("written");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let result = check(&Args { config: Some(path), json }, &mut out, &mut err);
        (result, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
    }

    #[test]
    fn a_right_file_is_shown_and_its_warnings_go_to_standard_error() {
        let (result, out, err) = checked(RIGHT, false);
        result.expect("right");
        assert!(out.parse::<toml::Table>().expect("TOML").contains_key("image"), "{out}");
        assert!(err.lines().count() > 0 && err.lines().all(|line| line.starts_with("warning: ")), "{err}");
        assert!(!format!("{out}{err}").contains("test-token"));
    }

    #[test]
    fn a_wrong_file_ends_with_78_and_shows_nothing() {
        let (result, out, _) = checked("quite = 1\n", false);
        let error = result.expect_err("wrong");
        assert_eq!((error.exit_code(), out.as_str()), (78, ""));
        assert!(error.to_string().contains("c.toml:1:1: unknown key 'quite'"), "{error}");
    }

    #[test]
    fn json_tells_both() {
        let (result, out, _) = checked(RIGHT, true);
        result.expect("right");
        let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            (answer["ok"].as_bool(), answer["config"]["image"]["a/b"]["quiet"].as_str()),
            (Some(true), Some("30s"))
        );
        let (result, out, _) = checked("\nquite = 1\n", true);
        assert_eq!(result.expect_err("wrong").exit_code(), 78);
        let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((answer["ok"].as_bool(), answer["mistakes"][0]["line"].as_u64()), (Some(false), Some(2)));
    }
}
