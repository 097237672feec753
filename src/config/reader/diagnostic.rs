//! Mistakes in a configuration: where they are, what they are, and what to write instead.
//!
//! Owns the conversion from a byte offset to `file:line:column`. Must never quote a value that may be a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One sentence about one place of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub text: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.text)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "no configuration: neither {HERE} in this directory nor {SYSTEM} exists; make one with 'coalesced init', or \
         name one with --config",
        HERE = crate::config::FILE_HERE,
        SYSTEM = crate::config::FILE_OF_SYSTEM
    )]
    NotFound,
    #[error("failed to read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// All mistakes found, in file order; one line each.
    #[error("{}", lines(.0))]
    Mistakes(Vec<Diagnostic>),
}

impl ConfigError {
    /// 78 if the operator has to change the configuration or its name, 74 if reading it failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => EXIT_IO,
            Self::NotFound | Self::Read { .. } | Self::Mistakes(_) => EXIT_CONFIG,
        }
    }
}

/// `EX_IOERR` of `sysexits.h`.
const EXIT_IO: u8 = 74;
/// `EX_CONFIG` of `sysexits.h`.
const EXIT_CONFIG: u8 = 78;

fn lines(mistakes: &[Diagnostic]) -> String {
    mistakes.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// What has been found so far while reading one file.
pub(crate) struct Report<'a> {
    file_name: &'a str,
    text: &'a str,
    /// By the byte offset that they are about.
    mistakes: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file_name: &'a str, text: &'a str) -> Self {
        Self { file_name, text, mistakes: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn mistake(&mut self, at: usize, text: impl Into<String>) {
        self.mistakes.push((at, text.into()));
    }

    pub(crate) fn warn(&mut self, at: usize, text: impl Into<String>) {
        self.warnings.push((at, text.into()));
    }

    /// The warnings of a file without mistakes, or all mistakes.
    pub(crate) fn finish(self) -> Result<Vec<String>, ConfigError> {
        if self.mistakes.is_empty() {
            Ok(self.placed(&self.warnings).iter().map(Diagnostic::to_string).collect())
        } else {
            Err(ConfigError::Mistakes(self.placed(&self.mistakes)))
        }
    }

    fn placed(&self, found: &[(usize, String)]) -> Vec<Diagnostic> {
        let mut placed: Vec<_> = found.iter().map(|(at, text)| place(self.file_name, self.text, *at, text)).collect();
        placed.sort();
        placed.dedup();
        placed
    }
}

/// The mistake at byte `at` of `whole`.
pub(crate) fn place(file_name: &str, whole: &str, at: usize, text: &str) -> Diagnostic {
    let before = &whole[..whole.floor_char_boundary(at)];
    let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    Diagnostic {
        file: file_name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_begin..].chars().count() + 1,
        text: text.to_owned(),
    }
}
