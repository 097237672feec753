//! How requests arrive, and who may send them: `[source.NAME]`, `[button.NAME]`, `[token.NAME]`.

use std::collections::BTreeMap;

use globset::GlobSet;
use toml::de::DeValue;

use super::image::{Images, image_name};
use super::reader::glob::globs;
use super::reader::section::{Reader, Section, Text, nearest, with_kind};
use super::reader::{reserved, secrets};
use super::secret::Secret;
use crate::model::{GitRef, ImageName};

/// A table `[source.NAME]`, served at `/hooks/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// One of [`crate::source::KINDS`].
    pub kind: &'static str,
    /// Any may match, for rotation.
    pub secrets: Vec<Secret>,
}

/// A table `[button.NAME]`, served at `/buttons/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ButtonConfig {
    pub token: Secret,
    pub image: ImageName,
    pub git_ref: GitRef,
    /// Whether GET presses it: link previews do, too.
    pub allow_get: bool,
    /// Whether the body may name another branch or tag.
    pub allow_override: bool,
}

/// A table `[token.NAME]`, for `/v1`.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    pub secret: Secret,
    pub scope: TokenScope,
    /// Which images it reaches; None: all.
    pub images: Option<GlobSet>,
    pub image_globs: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    Read,
    Trigger,
    Admin,
}

/// The longest name of a source, button or token, in bytes: it appears in paths, logs and receipts.
const NAME_BYTES_MAX: usize = 64;

pub(super) fn sources(
    reader: &mut Reader<'_>,
    kinds: &[&'static str],
    top: &mut Section<'_>,
) -> BTreeMap<String, SourceConfig> {
    named(reader, top, "source", |reader, name, section| {
        let kind = source_kind(reader, kinds, section, name);
        section.require(reader, "secrets", "write secrets = [\"…\"] with the secret that the sender signs with");
        let secrets = source_secrets(reader, section);
        Some(SourceConfig { kind: kind?, secrets: secrets? })
    })
}

pub(super) fn buttons(
    reader: &mut Reader<'_>,
    top: &mut Section<'_>,
    images: &Images,
) -> BTreeMap<String, ButtonConfig> {
    named(reader, top, "button", |reader, _, section| {
        section.require(reader, "token", "write the token for this button");
        let token = secrets::read(reader, section, "token");
        section.require(reader, "image", "write the image that this button builds");
        let image = section.string(reader, "image").and_then(|name| known_image(reader, name, images));
        let git_ref = button_ref(reader, section, image.as_ref(), images);
        let allow_get = section.boolean(reader, "allow_get").unwrap_or(false);
        let allow_override = section.boolean(reader, "allow_override").unwrap_or(false);
        Some(ButtonConfig { token: token?, image: image?, git_ref: git_ref?, allow_get, allow_override })
    })
}

pub(super) fn tokens(reader: &mut Reader<'_>, top: &mut Section<'_>, images: &Images) -> BTreeMap<String, TokenConfig> {
    let mut seen: Vec<(&str, Secret)> = Vec::new();
    named(reader, top, "token", |reader, name, section| {
        section.require(reader, "secret", "write the secret that a client sends");
        let secret = secrets::read(reader, section, "secret");
        if let Some(secret) = &secret {
            // Which of the two a client is would be arbitrary, and so would its scope.
            if let Some((other, _)) = seen.iter().find(|(_, other)| other.matches(secret.expose().as_bytes())) {
                let text = format!("'secret' is the same as that of [token.{other}], write another one");
                reader.report.mistake(section.key_at("secret"), text);
            }
            seen.push((name.text, secret.clone()));
        }
        let scope = scope(reader, section);
        let texts = section.strings(reader, "images");
        let globs = texts.as_ref().and_then(|texts| globs(reader, texts));
        if section.has("images") && globs.is_none() {
            return None;
        }
        if let Some((set, _)) = &globs
            && !images.named.iter().any(|image| set.is_match(image.as_str()))
        {
            let text = "'images' matches no configured image, so this token has no access to anything";
            reader.report.warn(section.key_at("images"), text);
        }
        let (images, image_globs) = globs.unzip();
        Some(TokenConfig { secret: secret?, scope: scope?, images, image_globs })
    })
}

/// Reads every table under `key` by `read`, and refuses what it doesn't ask for.
fn named<'a, T>(
    reader: &mut Reader<'_>,
    top: &mut Section<'a>,
    key: &'static str,
    mut read: impl FnMut(&mut Reader<'_>, Text<'a>, &mut Section<'a>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (name, table) in top.tables(reader, key) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_BYTES_MAX).contains(&name.text.len()) && name.text.bytes().all(allowed);
        if !fits {
            let text =
                "is not allowed as a name, write up to 64 letters, digits, '.', '_' and '-': it becomes part of a path";
            reader.report.mistake(name.at, format!("'{}' {text}", name.text.escape_debug()));
        }
        let mut section = Section::new(table, name.at);
        if let Some(entry) = read(reader, name, &mut section) {
            all.insert(name.text.to_owned(), entry);
        }
        section.finish(reader);
    }
    all
}

fn source_kind(
    reader: &mut Reader<'_>,
    kinds: &[&'static str],
    section: &mut Section<'_>,
    name: Text<'_>,
) -> Option<&'static str> {
    let given = section.has("kind");
    let word = if given { section.string(reader, "kind")? } else { section.string(reader, "kind").unwrap_or(name) };
    if let Some(kind) = kinds.iter().find(|kind| **kind == word.text) {
        return Some(kind);
    }
    let shown = word.text.escape_debug();
    let form = with_kind(kinds);
    let text = if reserved::SOURCE_KINDS.contains(&word.text) {
        format!("a source of kind \"{shown}\" is not supported in this version yet; write {form}, or remove it")
    } else if given {
        format!("there is no kind of source called '{shown}', {}", nearest(word.text, kinds))
    } else {
        format!("'kind' is missing, and the name '{shown}' is not a kind, write {form}")
    };
    reader.report.mistake(word.at, text);
    None
}

fn source_secrets(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Vec<Secret>> {
    let value = section.value("secrets")?;
    match value.get_ref() {
        DeValue::Array(array) if array.is_empty() => {
            reader
                .report
                .mistake(value.span().start, "'secrets' is empty, write the secret that the sender signs with");
            None
        }
        DeValue::Array(array) => {
            // All are read before giving up, so that every mistake is found.
            let read: Vec<_> = array.iter().map(|value| secrets::read_value(reader, "secrets", value)).collect();
            read.into_iter().collect()
        }
        _ => secrets::read_value(reader, "secrets", value).map(|secret| vec![secret]),
    }
}

fn known_image(reader: &mut Reader<'_>, name: Text<'_>, images: &Images) -> Option<ImageName> {
    let image = image_name(reader, name)?;
    if images.named.contains(&image) {
        return Some(image);
    }
    let known: Vec<&str> = images.named.iter().map(ImageName::as_str).collect();
    let hint = if known.is_empty() { "write a table for it".to_owned() } else { nearest(name.text, &known) };
    reader.report.mistake(name.at, format!("no image '{image}' is configured, {hint}"));
    None
}

/// What the button builds: its own setting, or its image's only branch.
fn button_ref(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    image: Option<&ImageName>,
    images: &Images,
) -> Option<GitRef> {
    let branch = section.string(reader, "branch");
    let tag = section.string(reader, "tag");
    if section.has("branch") && section.has("tag") {
        let text = "'branch' and 'tag' are both set, write one of them";
        reader.report.mistake(section.key_at("tag"), text);
        return None;
    }
    let (at, parsed) = match (branch, tag) {
        (Some(branch), _) => (branch.at, GitRef::branch(branch.text)),
        (_, Some(tag)) => (tag.at, GitRef::tag(tag.text)),
        (None, None) if section.has("branch") || section.has("tag") => return None,
        (None, None) => {
            // An image with a mistake in it can't be asked; its own mistake is reported.
            let image = images.whole.get(image?)?;
            let Some(branch) = image.only_branch() else {
                section.require(
                    reader,
                    "branch",
                    "write branch = \"…\" or tag = \"…\": the image doesn't have exactly one branch",
                );
                return None;
            };
            return Some(branch);
        }
    };
    parsed.map_err(|why| reader.report.mistake(at, format!("{why}; write its short name, such as \"main\""))).ok()
}

fn scope(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<TokenScope> {
    if !section.has("scope") {
        section.value("scope");
        return Some(TokenScope::Read);
    }
    let word = section.string(reader, "scope")?;
    match word.text {
        "read" => Some(TokenScope::Read),
        "trigger" => Some(TokenScope::Trigger),
        "admin" => Some(TokenScope::Admin),
        other => {
            let hint = nearest(other, &["read", "trigger", "admin"]);
            reader.report.mistake(word.at, format!("'scope' is not \"read\", \"trigger\" or \"admin\", {hint}"));
            None
        }
    }
}
