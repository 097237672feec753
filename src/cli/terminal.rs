//! Writing to the terminal: colour where it helps, and redrawing.
//!
//! Progress is one line without a known length, so `indicatif` would replace 40 lines here by four crates, and plain
//! lines for a log would still be ours.
//!
//! Strangers' text (commit messages, names of senders) must pass through
//! [`render::text::plain`](super::render::text::plain) first: nothing below looks for control characters.

use std::io::{self, IsTerminal as _, Write};

use clap::builder::styling::Style;

/// Why text did not reach standard output.
#[derive(Debug, thiserror::Error)]
#[error("failed to write to the standard output: {0}")]
pub struct OutputError(pub(super) io::Error);

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colour,
}

impl Paint {
    /// Colour only on a terminal that can show it, and unless `NO_COLOR` is set (no-color.org).
    pub(super) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stdout_redraws() && !refused { Self::Colour } else { Self::Plain }
    }

    pub(super) fn on(self, style: Style, text: &str) -> String {
        match self {
            Self::Colour if !text.is_empty() => format!("{style}{text}{style:#}"),
            Self::Colour | Self::Plain => text.to_owned(),
        }
    }
}

/// Whether standard output is a terminal that understands escape sequences.
pub(super) fn stdout_redraws() -> bool {
    io::stdout().is_terminal() && !dumb()
}

/// The terminal's width in columns; None if the output goes elsewhere.
pub(super) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The same for standard error, where progress is shown.
pub(super) fn stderr_redraws() -> bool {
    io::stderr().is_terminal() && !dumb()
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes text to standard output, with exactly one trailing newline.
pub(super) fn print(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(OutputError)
}

/// Writes text to standard output unchanged, so that programs see no added newline.
pub(super) fn print_raw(text: &[u8]) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(OutputError)
}

/// Shows `text` in place of what the terminal showed before.
pub(super) fn redraw(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(screen(text).as_bytes()).and_then(|()| out.flush()).map_err(OutputError)
}

/// Home, then each line with its rest erased, then the rest of the screen: no flicker, unlike clearing first.
fn screen(text: &str) -> String {
    let mut screen = String::from("\x1b[H");
    for line in text.lines() {
        screen.push_str(line);
        screen.push_str("\x1b[K\n");
    }
    screen.push_str("\x1b[J");
    screen
}

/// Shows the progress of one thing: one redrawn line on a terminal, else one line per change.
#[derive(Debug)]
pub(super) struct Progress<W> {
    out: W,
    redraws: bool,
    shown: String,
}

/// The columns that a redrawn line may take: with one more, narrow terminals wrap it, and it can't be erased.
const PROGRESS_COLUMNS: usize = 79;

impl Progress<io::Stderr> {
    pub(super) fn on_stderr() -> Self {
        Self::on(io::stderr(), stderr_redraws())
    }
}

impl<W: Write> Progress<W> {
    pub(super) fn on(out: W, redraws: bool) -> Self {
        Self { out, redraws, shown: String::new() }
    }

    /// Shows the current state. A plain line is written only if `phase` differs: the sentence itself counts seconds,
    /// and would fill a log.
    pub(super) fn show(&mut self, phase: &str, elapsed: &str, sentence: &str) {
        let text = if self.redraws {
            let line: String = format!("{elapsed}  {sentence}").chars().take(PROGRESS_COLUMNS).collect();
            format!("\r\x1b[2K{line}")
        } else if self.shown == phase {
            return;
        } else {
            format!("{sentence}\n")
        };
        phase.clone_into(&mut self.shown);
        self.write(&text);
    }

    /// Removes the line again.
    pub(super) fn clear(&mut self) {
        if self.redraws && !self.shown.is_empty() {
            self.write("\r\x1b[2K");
        }
        self.shown.clear();
    }

    /// If progress can't be shown, the operation must go on.
    fn write(&mut self, text: &str) {
        let _unwritable = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::styling::AnsiColor;

    use super::*;

    #[test]
    fn colour_is_put_around_text_only_where_it_is_wanted() {
        let red = AnsiColor::Red.on_default();
        assert_eq!(Paint::Plain.on(red, "failure"), "failure");
        assert_eq!(Paint::Colour.on(red, "failure"), "\x1b[31mfailure\x1b[0m");
        assert_eq!(Paint::Colour.on(red, ""), "");
    }

    #[test]
    fn a_screen_is_drawn_from_its_home_and_erases_what_was_longer() {
        assert_eq!(screen("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    fn shown(redraws: bool) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::on(&mut out, redraws);
        progress.show("waiting", "1s", "waiting: builds in 2s");
        progress.show("waiting", "2s", "waiting: builds in 1s");
        progress.show("built", "3s", &"x".repeat(100));
        progress.clear();
        progress.clear();
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_terminal_has_one_line_redrawn_and_cut_and_taken_away() {
        let long = "x".repeat(PROGRESS_COLUMNS - "3s  ".len());
        assert_eq!(
            shown(true),
            format!(
                "\r\x1b[2K1s  waiting: builds in 2s\r\x1b[2K2s  waiting: builds in 1s\
                 \r\x1b[2K3s  {long}\r\x1b[2K"
            )
        );
    }

    #[test]
    fn a_log_has_a_whole_line_for_each_change() {
        assert_eq!(shown(false), format!("waiting: builds in 2s\n{}\n", "x".repeat(100)));
    }
}
