//! `coalesced reload`: makes the daemon reload its configuration.

use std::io::Write as _;

use super::client::Client;
use super::locate::Reach;
use super::render::text::plain;
use super::{CliError, Run, terminal};
use crate::status::Reloaded;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON as the API sends it
    #[arg(long)]
    json: bool,
}

/// Prints what changed. A configuration with mistakes is not put in force: each mistake is printed with its position,
/// and the exit code is 78.
impl Run for Args {
    const NEEDS_DAEMON: bool = true;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        let answer = Client::new(reach.find()?)?.reload().await?;
        if self.json {
            return Ok(terminal::print(&answer.text)?);
        }
        for warning in &answer.value.warnings {
            // As `check` does; what changed is printed even where this can't be.
            let _unwritable = writeln!(std::io::stderr(), "warning: {}", plain(warning));
        }
        Ok(terminal::print(&text(&answer.value))?)
    }
}

fn text(Reloaded { changes, needs_restart, .. }: &Reloaded) -> String {
    let mut lines: Vec<String> = changes.iter().map(|change| plain(change)).collect();
    for key in needs_restart {
        lines.push(format!("'{}' changed, too, and takes effect after a restart", plain(key)));
    }
    if lines.is_empty() {
        lines.push("nothing changed".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_waits_for_a_restart_is_printed() {
        assert_eq!(text(&Reloaded::default()), "nothing changed");
        let reloaded = Reloaded {
            changes: vec!["image a/b changed: quiet".to_owned()],
            needs_restart: vec!["listen".to_owned()],
            warnings: vec!["c.toml:1:1: unwise".to_owned()],
        };
        assert_eq!(
            text(&reloaded),
            "image a/b changed: quiet\n'listen' changed, too, and takes effect after a restart"
        );
    }
}
