//! `coalesced reload`: the daemon reads its configuration again.

use std::fmt::Write as _;

use super::client::Client;
use super::locate::Reach;
use super::{CliError, Run, terminal};
use crate::status::Reloaded;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
}

/// Prints what changed. A configuration with mistakes is not put in force: each is printed at its place, and the exit code
/// is 78.
impl Run for Args {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let answer = Client::new(reach.find()?)?.reload().await?;
        let text = if self.json { answer.text } else { text(&answer.value) };
        Ok(terminal::print(&text)?)
    }
}

fn text(Reloaded { changes, needs_restart, warnings }: &Reloaded) -> String {
    let mut text = String::new();
    let mut line = |line: &str| writeln!(text, "{}", super::render::text::plain(line)).expect("a String takes all");
    warnings.iter().for_each(|warning| line(&format!("warning: {warning}")));
    changes.iter().for_each(|change| line(change));
    for key in needs_restart {
        line(&format!("'{key}' changed, too, and takes effect after a restart"));
    }
    if changes.is_empty() && needs_restart.is_empty() {
        line("nothing changed");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_waits_for_a_restart_is_printed() {
        assert_eq!(text(&Reloaded::default()), "nothing changed\n");
        let reloaded = Reloaded {
            changes: vec!["image a/b changed: quiet".to_owned()],
            needs_restart: vec!["listen".to_owned()],
            warnings: vec!["c.toml:1:1: unwise".to_owned()],
        };
        assert_eq!(
            text(&reloaded),
            "warning: c.toml:1:1: unwise\nimage a/b changed: quiet\n'listen' changed, too, and takes effect after a restart\n"
        );
    }
}
