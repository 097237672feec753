//! `coalesced man` and `coalesced completions`: generated from the definitions of the commands.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap::builder::Resettable;
use clap_complete::Shell;
use clap_mangen::Man;

use super::locate::Reach;
use super::{Cli, CliError, Run, terminal};
use crate::kinds;

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write one page per command into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell to complete in
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Run for ManArgs {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        man(&self)
    }
}

fn man(args: &ManArgs) -> Result<(), CliError> {
    let failed = |what: String| move |source| CliError::Io { what, source };
    let pages = pages().map_err(failed("failed to make the manual".to_owned()))?;
    match &args.dir {
        Some(dir) => write(&pages, dir).map_err(failed(format!("failed to write the manual to {}", dir.display()))),
        // One after the other, for `man -l -`.
        None => Ok(terminal::print(&pages.into_iter().map(|page| page.text).collect::<String>())?),
    }
}

/// A manual page, and its file name: `coalesced-build.1`.
struct Page {
    file: String,
    text: String,
}

/// The end of every page; the definitions of the commands have no place for it.
const EVERY_PAGE: &str = r#".SH "EXIT STATUS"
.TP
0
Done.
.TP
1
What was asked for failed: a red build, an unknown event, a damaged journal.
.TP
2
The command line is wrong.
.TP
69
The daemon is unreachable.
.TP
74
Input or output failed. Also: another daemon uses the data directory, or the journal is damaged and no intact export is
left.
.TP
77
Not allowed.
.TP
78
The configuration is wrong.
.SH ENVIRONMENT
.TP
COALESCED_URL, COALESCED_TOKEN, COALESCED_DATA_DIR
Defaults for \-\-url, \-\-token and \-\-data\-dir. The daemon does not start if the data directory differs from the
one in its configuration.
.TP
NO_COLOR
If set and not empty, output is not coloured.
.TP
COALESCED_LOG
What the daemon logs, for example "info" or "coalesced=debug"; defaults to RUST_LOG.
.TP
STATE_DIRECTORY
The data directory, unless the configuration names one; set by systemd.
.SH FILES
.TP
client.json
In the data directory: the daemon's address and a token, readable by its owner only. Without \-\-url and \-\-data\-dir,
commands look for it in $STATE_DIRECTORY, ./coalesced\-data and /var/lib/coalesced.
.TP
journal/, exports/
In the data directory: the database, and the three newest exports of its live state. Back up the exports, never the
database of a running daemon. A damaged database is moved to journal.corrupt\-*, and the newest intact export replaces it.
"#;

/// Added to the pages of commands that read the configuration.
const CONFIGURED: [&str; 3] = ["coalesced.1", "coalesced-serve.1", "coalesced-check.1"];
const CONFIGURATION: &str = r#".SH "WHAT IS NOT BUILT"
These keys of an image, or of [defaults], skip pushes. A skipped push does not cancel earlier ones, and its receipt says
which key it was.
.TP
skip = "all"
Skip a push if all its commits carry a marker such as [skip ci]; "head": if the newest one does; "never": ignore markers.
.TP
paths = { include = ["**"], exclude = ["drafts/**"] }
Skip a push if these globs match none of the files that its commits touch, nor those of any other push since the last
started build of the branch. exclude wins over include; patterns with "!" are not supported. In doubt the push is built:
a first build, a new branch, a forced push, an empty commit, a truncated list of commits, or a missed push before it. Tags
are always built, unless a skip marker says otherwise.
.TP
ignore_authors = ["renovate[bot]"]
Skip a push if all its commits are by these accounts and one of them pushed it. A push by somebody else, such as a merge, is
built, and so are tags.
"#;

fn pages() -> io::Result<Vec<Page>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, &mut pages)?;
    Ok(pages)
}

/// The page of this command, and of all its subcommands.
fn add_pages(command: &clap::Command, pages: &mut Vec<Page>) -> io::Result<()> {
    // The exit codes at the end of `--help` are on every page already.
    let man = Man::new(command.clone().after_long_help(Resettable::Reset));
    let mut text = Vec::new();
    man.render(&mut text)?;
    if CONFIGURED.contains(&man.get_filename().as_str()) {
        text.extend_from_slice(CONFIGURATION.as_bytes());
        text.extend_from_slice(kinds::manual().as_bytes());
    }
    text.extend_from_slice(EVERY_PAGE.as_bytes());
    pages.push(Page { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() });
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| add_pages(below, pages))
}

fn write(pages: &[Page], dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| std::fs::write(dir.join(&page.file), &page.text))
}

impl Run for CompletionArgs {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "coalesced", &mut script);
        Ok(terminal::print(&String::from_utf8_lossy(&script))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The direct subcommands, except those under an old name.
    fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
        command.get_subcommands().filter(|below| !below.is_hide_set())
    }

    fn names() -> Vec<String> {
        shown(&Cli::command()).map(|command| command.get_name().to_owned()).collect()
    }

    /// The commands and their subcommands, by page name: `build`, `journal`, `journal-check`.
    fn names_of_pages() -> Vec<String> {
        let mut names = Vec::new();
        for command in shown(&Cli::command()) {
            names.push(command.get_name().to_owned());
            let below = shown(command).map(|below| format!("{}-{}", command.get_name(), below.get_name()));
            names.extend(below);
        }
        names
    }

    #[test]
    fn the_manual_has_a_page_for_every_command() {
        let pages = pages().expect("a manual");
        let mut files: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files.remove(0), "coalesced.1");
        assert_eq!(files, names_of_pages().iter().map(|name| format!("coalesced-{name}.1")).collect::<Vec<_>>());
        for page in &pages {
            let title = format!(".TH {} 1", page.file.trim_end_matches(".1"));
            assert!(page.text.contains(&title) && page.text.contains("COALESCED_TOKEN"), "{}", page.file);
            assert!(!page.text.contains(".SH EXTRA"), "{}", page.file);
            let configured = ["coalesced.1", "coalesced-serve.1", "coalesced-check.1"].contains(&page.file.as_str());
            assert_eq!(page.text.contains("ignore_authors"), configured, "{}", page.file);
        }
    }

    #[test]
    fn a_directory_gets_a_file_for_every_page() {
        let dir = tempfile::tempdir().expect("a directory");
        let args = ManArgs { dir: Some(dir.path().join("man1")) };
        man(&args).expect("write the pages");
        for page in pages().expect("a manual") {
            let written = std::fs::read_to_string(dir.path().join("man1").join(&page.file)).expect(&page.file);
            assert_eq!(written, page.text);
        }
    }

    #[test]
    fn a_directory_that_can_not_be_made_is_an_io_error() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let args = ManArgs { dir: Some(file.path().join("man1")) };
        assert_eq!(man(&args).expect_err("a file is no directory").exit_code(), 74);
    }

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "coalesced", &mut script);
            let script = String::from_utf8(script).expect("text");
            assert!(names().iter().all(|name| script.contains(name.as_str())), "{shell}");
        }
    }
}
