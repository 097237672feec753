//! The sources as text, with and without what a compiler does not read.

use std::fs;
use std::path::{Path, PathBuf};

pub(super) struct Source {
    /// From the root of the repository, with slashes.
    pub file: String,
    pub text: String,
}

/// All Rust files below these folders, by name.
pub(super) fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let source = |path: PathBuf| Source {
        file: path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/"),
        text: fs::read_to_string(&path).expect("a source"),
    };
    files.into_iter().map(source).collect()
}

impl Source {
    /// `src/a/b.rs` is `a::b`.
    pub(super) fn module(&self) -> Vec<String> {
        let path = self.file.trim_start_matches("src/").trim_end_matches(".rs");
        if path == "lib" { Vec::new() } else { path.split('/').map(ToOwned::to_owned).collect() }
    }

    pub(super) fn is_in(&self, room: &str) -> bool {
        self.file == format!("src/{room}.rs") || self.file.starts_with(&format!("src/{room}/"))
    }

    /// Tests may name what they like.
    pub(super) fn is_test(&self) -> bool {
        let tests = ["/tests.rs", "/fake.rs", "/sample.rs", "/samples.rs"];
        tests.iter().any(|end| self.file.ends_with(end)) || self.file.contains("/tests/")
    }

    /// Without comments, since a room may speak of what it may not use; and without modules of tests.
    pub(super) fn code(&self) -> String {
        let mut lines = self.text.lines().peekable();
        let mut text = String::with_capacity(self.text.len());
        while let Some(line) = lines.next() {
            let is_tests = line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.ends_with(" {"));
            if is_tests {
                let skipped = lines.by_ref().take_while(|line| *line != "}").count();
                text.extend(std::iter::repeat_n('\n', skipped + 1));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        strip(&text, false)
    }

    /// Without comments and quoted text.
    pub(super) fn bare(&self) -> String {
        strip(&self.text, true)
    }
}

/// Removes comments, and strings if asked; lines stay where they are.
fn strip(text: &str, strings: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, is_comment) = match rest {
            ['/', '/', ..] => (rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), true),
            ['/', '*', ..] => (block(rest), true),
            ['"', ..] => (quoted(rest), false),
            ['r', '"' | '#', ..] if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => (raw(rest), false),
            ['\'', '\\', ..] => (2 + rest[2..].iter().skip(1).position(|c| *c == '\'').map_or(0, |end| end + 2), false),
            ['\'', _, '\'', ..] => (3, false),
            _ => {
                out.push(rest[0]);
                at += 1;
                continue;
            }
        };
        let piece = &rest[..length.clamp(1, rest.len())];
        if is_comment || strings {
            out.extend(piece.iter().filter(|c| **c == '\n'));
            out.push(' ');
        } else {
            out.extend(piece);
        }
        at += piece.len();
    }
    out
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block(rest: &[char]) -> usize {
    (2..rest.len()).find(|end| rest[..*end].ends_with(&['*', '/'])).unwrap_or(rest.len())
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A raw string; 1 where it is none, such as a raw name.
fn raw(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 1;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = 2 + hashes;
    (body..rest.len()).find(|at| rest[*at..].starts_with(&end)).map_or(rest.len(), |at| at + end.len())
}

#[test]
fn comments_and_strings_are_distinguished_from_code() {
    let text = "a // b\nc /* d */ \"e // \\\" f\" 'g' r#\"h\"i\"# j<'k> '\\'' l";
    assert_eq!(strip(text, false), "a  \nc   \"e // \\\" f\" 'g' r#\"h\"i\"# j<'k> '\\'' l");
    assert_eq!(strip(text, true), "a  \nc         j<'k>   l");
}
