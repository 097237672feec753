//! `coalesced journal`: exports, imports and checks the stored state.
//!
//! The only commands that open the journal: they are for a stopped daemon. `check` changes nothing.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::locate::Reach;
use super::render::text::count;
use super::terminal::OutputError;
use super::{CliError, Run, now, terminal};
use crate::config::Config;
use crate::journal::check::{Findings, JournalFindings, check};
use crate::journal::{self, export};

#[derive(clap::Args, Clone, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// Export the live state as JSON Lines with a checksum: pending events and running builds, not the history
    ///
    /// The daemon must be stopped, except for --newest.
    Export(ExportArgs),
    /// Create a journal from an export in an empty data directory; the daemon must be stopped
    ///
    /// A directory with exports, or with a journal that was put aside, is not empty. The ids of new events and builds start
    /// well above those in the export, so that none is used twice.
    Import(ImportArgs),
    /// Check the journal and its exports without changing them; the daemon must be stopped
    Check(CheckArgs),
}

/// Whose journal is meant.
#[derive(clap::Args, Clone, Debug)]
struct Whose {
    /// Configuration that names the data directory, if --data-dir is not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(clap::Args, Clone, Debug)]
struct ExportArgs {
    #[command(flatten)]
    whose: Whose,
    /// Write to this file and replace what is there [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Copy the newest export that the daemon made; it may be running
    #[arg(long)]
    newest: bool,
}

#[derive(clap::Args, Clone, Debug)]
struct ImportArgs {
    #[command(flatten)]
    whose: Whose,
    /// The export to import
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(clap::Args, Clone, Debug)]
struct CheckArgs {
    #[command(flatten)]
    whose: Whose,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        match &self.command {
            Command::Export(args) => write_out(args, &args.whose.data_dir(reach)?),
            Command::Import(args) => {
                let data_dir = args.whose.data_dir(reach)?;
                let head = journal::import(&data_dir, &args.file)?;
                Ok(terminal::print(&format!(
                    "created a journal in {} from an export of {}; new ids start above event {} and build {}",
                    data_dir.display(),
                    head.made_at,
                    head.newest.0,
                    head.newest_build
                ))?)
            }
            Command::Check(args) => look(args, &args.whose.data_dir(reach)?),
        }
    }
}

impl Whose {
    /// The named directory, else the one in the named configuration, else the first existing one of the usual places.
    fn data_dir(&self, reach: &Reach) -> Result<PathBuf, CliError> {
        let named = reach.data_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty());
        if let (None, Some(path)) = (named, &self.config) {
            return Ok(Config::load(path).map(|config| config.fixed.data_dir)?);
        }
        let places = reach.places(std::env::var_os("STATE_DIRECTORY").as_deref());
        let known = if named.is_some() { places.first() } else { places.iter().find(|place| place.is_dir()) };
        known.cloned().ok_or_else(|| CliError::Usage("no data directory found; pass --data-dir or --config".into()))
    }
}

fn write_out(args: &ExportArgs, data_dir: &Path) -> Result<(), CliError> {
    let mut text = Vec::new();
    if args.newest {
        let newest = export::list(&data_dir.join("exports"))?.pop();
        let path = newest.ok_or_else(|| CliError::Failed(format!("no export in {}", data_dir.display())))?;
        export::read(&path)?;
        text = std::fs::read(&path).map_err(|source| failed("read", &path, source))?;
    } else {
        let state = journal::state_of(data_dir)?;
        export::write_to(&state, now(), &mut text).map_err(OutputError)?;
    }
    match &args.output {
        Some(path) => put(path, &text).map_err(|source| failed("write", path, source)),
        None => Ok(terminal::print_raw(&text)?),
    }
}

/// Writes a file for its owner only, in one step.
fn put(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".export-").tempfile_in(directory)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

fn failed(what: &str, path: &Path, source: io::Error) -> CliError {
    CliError::Io { what: format!("failed to {what} {}", path.display()), source }
}

fn look(args: &CheckArgs, data_dir: &Path) -> Result<(), CliError> {
    let findings = check(data_dir)?;
    if args.json {
        let text = serde_json::to_string_pretty(&findings).map_err(|error| OutputError(error.into()))?;
        terminal::print(&text)?;
    } else {
        terminal::print(&report(&findings))?;
    }
    if findings.ok {
        return Ok(());
    }
    let whole = findings.exports.iter().rev().find(|export| export.problem.is_none());
    let cure = match whole {
        Some(export) => format!("{} is intact and can be imported into an empty directory", export.path.display()),
        None => "none of its exports is intact".to_owned(),
    };
    Err(CliError::Failed(format!("the journal of {} is not sound; {cure}", data_dir.display())))
}

/// The findings, one line each.
fn report(findings: &Findings) -> String {
    let mut text = String::new();
    let mut line = |what: std::fmt::Arguments<'_>| writeln!(text, "{what}").expect("a String takes all");
    match &findings.journal {
        Some(JournalFindings {
            path, entries, size_on_disk, images, events, builds, problems, problems_total, ..
        }) => {
            let sound = if problems.is_empty() { "sound" } else { "NOT SOUND" };
            line(format_args!(
                "journal {}: {sound}, {entries} entries, {size_on_disk} bytes on disk, {}, {}, {}",
                path.display(),
                count(*images, "image"),
                count(*events, "event"),
                count(*builds, "build")
            ));
            for problem in problems {
                line(format_args!("  {problem}"));
            }
            let untold = problems_total - problems.len() as u64;
            if untold > 0 {
                line(format_args!("  and {untold} more"));
            }
        }
        None => line(format_args!("journal: none")),
    }
    for export in &findings.exports {
        match (&export.problem, export.made_at) {
            (Some(problem), _) => line(format_args!("export {}: NOT SOUND\n  {problem}", export.path.display())),
            (None, made_at) => {
                let made_at = made_at.map(|at| at.to_string()).unwrap_or_default();
                line(format_args!(
                    "export {}: sound, of {made_at}, {}",
                    export.path.display(),
                    count(export.events, "event")
                ));
            }
        }
    }
    for path in &findings.quarantined {
        line(format_args!("put aside as damaged: {}", path.display()));
    }
    text
}
