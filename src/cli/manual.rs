//! `coalesced man` and `coalesced completions`: made from the definitions of the commands themselves.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError, terminal};

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell that is to complete
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn man(args: &ManArgs) -> Result<(), CliError> {
    match &args.dir {
        Some(dir) => write_pages(dir).map_err(|source| CliError::Io {
            what: format!("failed to write the manual to {}", dir.display()),
            source,
        }),
        None => terminal::print(&whole_manual()?),
    }
}

/// A page a command, `coalesced.1`, `coalesced-build.1` and so on.
fn write_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

/// All pages one behind the other, as `man -l -` shows them.
fn whole_manual() -> Result<String, CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let rendered = render_with_all_below(&command, &mut pages);
    rendered.map_err(|source| CliError::Io { what: "failed to make the manual".to_owned(), source })?;
    Ok(String::from_utf8_lossy(&pages).into_owned())
}

fn render_with_all_below(command: &clap::Command, pages: &mut Vec<u8>) -> io::Result<()> {
    Man::new(command.clone()).render(pages)?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| render_with_all_below(below, pages))
}

pub(super) fn completions(args: &CompletionArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coalesced", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn the_manual_has_a_page_for_every_command() {
        let manual = whole_manual().expect("a manual");
        let titles = manual.lines().filter(|line| line.starts_with(".TH ")).count();
        assert_eq!(titles, names().len() + 1);
        for name in names() {
            assert!(manual.contains(&format!(".TH coalesced-{name} 1")), "{name}");
        }
        assert!(manual.contains("COALESCED_TOKEN"), "the variables are told");
    }

    #[test]
    fn a_directory_gets_a_file_for_every_command() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("man1");
        write_pages(&below).expect("write the pages");
        for name in names() {
            assert!(below.join(format!("coalesced-{name}.1")).is_file(), "{name}");
        }
        assert!(below.join("coalesced.1").is_file());
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
