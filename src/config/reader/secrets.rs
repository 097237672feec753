//! Secrets as written in the file: a string, or where to find one.
//!
//! Nothing here may put a secret's text into a mistake or a warning; names of variables and files may be shown.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::de::DeValue;

use super::section::{Reader, Section, Text, Value};
use crate::config::Secret;

/// The largest file that is read as a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// A shorter secret causes a warning, in characters.
const SECRET_CHARS_ADVISED: usize = 16;
/// Where systemd puts the files of `LoadCredential=`.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The permission bits that let group and others read.
const READABLE_BY_GROUP_OR_OTHERS: u32 = 0o044;

/// Reads the secret under `key`, wherever it is. None if a mistake was reported, or the key is absent.
pub(crate) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) -> Option<Secret> {
    let value = section.value(key)?;
    read_value(reader, key, value)
}

/// Reads a secret that stands in a list.
pub(crate) fn read_value(reader: &mut Reader<'_>, key: &str, value: &Value<'_>) -> Option<Secret> {
    let at = value.span().start;
    let text = match value.get_ref() {
        DeValue::String(text) => {
            if reader.exposed {
                reader.report.warn(
                    at,
                    format!("'{key}' is in a world-readable file; use mode 0600, or 0640 with the service's group"),
                );
            }
            text.clone().into_owned()
        }
        DeValue::Table(table) => found(reader, key, Section::new(table, at))?,
        _ => {
            reader.report.mistake(
                at,
                format!("'{key}' must be a string, {{ env = \"…\" }}, {{ file = \"…\" }} or {{ credential = \"…\" }}"),
            );
            return None;
        }
    };
    if text.trim().is_empty() {
        reader.report.mistake(at, format!("'{key}' is empty, put a secret there: 'openssl rand -hex 32' makes one"));
        return None;
    }
    if text.chars().count() < SECRET_CHARS_ADVISED {
        let advice = format!("'{key}' is shorter than {SECRET_CHARS_ADVISED} characters, use a longer one");
        reader.report.warn(at, advice);
    }
    Some(Secret::new(text))
}

/// Follows `{ env = }`, `{ file = }` or `{ credential = }`.
fn found(reader: &mut Reader<'_>, key: &str, mut section: Section<'_>) -> Option<String> {
    let env = section.string(reader, "env");
    let file = section.string(reader, "file");
    let credential = section.string(reader, "credential");
    let keys = ["env", "file", "credential"].into_iter().filter(|key| section.has(key)).count();
    let at = section.at;
    section.finish(reader);
    if keys != 1 {
        reader.report.mistake(at, format!("'{key}' must name one of env, file and credential, not {keys} of them"));
        return None;
    }
    match (env, file, credential) {
        (Some(name), _, _) => variable(reader, key, name),
        (_, Some(file), _) => {
            let path = reader.base_dir.join(file.text);
            content(reader, key, &path, file.at, Guard::WarnIfReadable)
        }
        (_, _, Some(name)) => from_systemd(reader, key, name),
        // Of another type: reported when it was read.
        (None, None, None) => None,
    }
}

fn variable(reader: &mut Reader<'_>, key: &str, name: Text<'_>) -> Option<String> {
    let value = (reader.variable)(name.text);
    if value.is_none() {
        let name_shown = name.text.escape_debug();
        reader.report.mistake(name.at, format!("'{key}': the environment variable '{name_shown}' is not set; set it"));
    }
    value
}

fn from_systemd(reader: &mut Reader<'_>, key: &str, name: Text<'_>) -> Option<String> {
    let shown = name.text.escape_debug();
    if name.text.is_empty() || name.text.contains('/') || name.text.starts_with('.') {
        reader
            .report
            .mistake(name.at, format!("'{shown}' is not the name of a credential, write the name in LoadCredential="));
        return None;
    }
    let Some(directory) = (reader.variable)(CREDENTIALS_VARIABLE) else {
        reader.report.mistake(
            name.at,
            format!(
                "'{key}': {CREDENTIALS_VARIABLE} is not set, so there is no credential '{shown}'; \
                 start this under systemd with LoadCredential={shown}:FILE"
            ),
        );
        return None;
    };
    content(reader, key, &Path::new(&directory).join(name.text), name.at, Guard::SystemdMade)
}

/// Who is responsible for a secret file's permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    WarnIfReadable,
    SystemdMade,
}

fn content(reader: &mut Reader<'_>, key: &str, path: &Path, at: usize, guard: Guard) -> Option<String> {
    let shown = path.display();
    match read_file(path) {
        Ok((text, mode)) => {
            if guard == Guard::WarnIfReadable && mode & READABLE_BY_GROUP_OR_OTHERS != 0 {
                reader
                    .report
                    .warn(at, format!("the secret file {shown} is readable by its group or by everyone; use mode 0600: chmod 600 {shown}"));
            }
            Some(text)
        }
        Err(why) => {
            reader.report.mistake(at, format!("'{key}': the file {shown} {why}"));
            None
        }
    }
}

/// A file's text without its trailing newline, and the file's permissions.
fn read_file(path: &Path) -> Result<(String, u32), String> {
    let unreadable = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => "does not exist; create it".to_owned(),
        ErrorKind::PermissionDenied => "can't be read by this user; change its owner or its mode".to_owned(),
        _ => format!("can't be read: {source}"),
    };
    // Checked before opening: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a regular file; name one".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("is larger than 64 KiB; name a file that holds the secret alone".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8; write the secret as text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok((text, metadata.permissions().mode()))
}
