//! Words, lines and tables.

use clap::builder::styling::Style;

use super::super::terminal::Paint;
use super::HEADING;

/// The gap between two columns.
const GAP: &str = "  ";

/// A stranger's text without anything that could move the cursor or change the text direction.
pub(in crate::cli) fn plain(text: &str) -> String {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// `1 event`, `3 events`.
pub(in crate::cli) fn count(number: u64, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

pub(in crate::cli) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text in lines of at most `columns`, broken between words; a longer word gets its own line.
pub(in crate::cli) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Padded text: padded first and painted then, as colours have no width.
pub(in crate::cli) fn padded(text: &str, columns: usize) -> String {
    format!("{text:<columns$}")
}

/// One cell of a table.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(in crate::cli) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// A table with headings; each column is as wide as its widest cell, and the last is not padded.
pub(in crate::cli) struct Table<'a, const N: usize> {
    pub(in crate::cli) headings: [&'a str; N],
    pub(in crate::cli) rows: Vec<[Cell; N]>,
    /// The columns to leave out, in this order, while the table is too wide.
    pub(in crate::cli) given_up: &'a [usize],
}

impl<const N: usize> Table<'_, N> {
    /// In `columns` if known, as far as possible.
    pub(in crate::cli) fn render(self, paint: Paint, columns: Option<usize>) -> String {
        let mut all: Vec<Vec<Cell>> = vec![self.headings.map(|heading| Cell::styled(HEADING, heading)).into()];
        all.extend(self.rows.into_iter().map(Vec::from));
        let mut widths = [0; N];
        for row in &all {
            for (column, cell) in row.iter().enumerate() {
                widths[column] = widths[column].max(width(&cell.text));
            }
        }
        let mut shown: Vec<usize> = (0..N).collect();
        for column in self.given_up {
            let total = shown.iter().map(|column| widths[*column] + GAP.len()).sum::<usize>() - GAP.len();
            if columns.is_none_or(|columns| total <= columns) {
                break;
            }
            shown.retain(|other| other != column);
        }
        all.iter().map(|row| line(row, &shown, &widths, paint)).collect()
    }
}

fn line(row: &[Cell], shown: &[usize], widths: &[usize], paint: Paint) -> String {
    let filled = shown.iter().rposition(|column| !row[*column].text.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (index, column) in shown[..filled].iter().enumerate() {
        let cell = &row[*column];
        line.push_str(&paint.on(cell.style, &cell.text));
        if index + 1 < filled {
            line.push_str(&padded("", widths[*column] - width(&cell.text)));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{202e}d é"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d é");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("builds in 23s at most", 11), ["builds in", "23s at most"]);
        assert_eq!(wrap("a refs/heads/very-long-name b", 8), ["a", "refs/heads/very-long-name", "b"]);
        assert!(wrap("", 8).is_empty());
    }

    #[test]
    fn one_thing_has_no_s() {
        assert_eq!((count(1, "event"), count(0, "event")), ("1 event".to_owned(), "0 events".to_owned()));
    }

    #[test]
    fn a_table_lines_up_with_and_without_colour_and_ends_no_line_with_blanks() {
        let rows =
            || vec![["a".into(), Cell::styled(HEADING, "bb"), "c".into()], ["long".into(), "".into(), "".into()]];
        let table = |paint| Table { headings: ["X", "Y", "Z"], rows: rows(), given_up: &[] }.render(paint, None);
        assert_eq!(table(Paint::Plain), "X     Y   Z\na     bb  c\nlong\n");
        let painted = table(Paint::Colour);
        assert_eq!(painted.replace("\u{1b}[1m", "").replace("\u{1b}[0m", ""), table(Paint::Plain));
        assert!(painted.contains("\u{1b}[1mbb\u{1b}[0m  c"), "{painted:?}");
    }
}
