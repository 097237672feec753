//! The configuration of Docker Hub's Automated Builds: its two tables, and what it can do.
//!
//! A trigger URL is a password: no sentence here quotes one. Must never make calls: that is `backend/docker_hub.rs`.

mod retirement;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use toml::de::DeTable;

use super::{Account, BackendKind, BackendPolicy, BackendTable};
use crate::build::{Cancels, Capabilities, SourceTaken};
use crate::config::reader::address::{is_private_way, is_this_machine, plain_base};
use crate::config::reader::glob::glob;
use crate::config::reader::section::{Reader, Section, Text, text};
use crate::config::reader::{length, secrets};
use crate::config::secret::Secret;
use crate::config::shown::{MASK, Shown};
use crate::model::{ImageName, Timestamp};
use crate::scheduler::policy::{LabelRule, Policy};

/// The kind, and the top-level table: all its images belong to one account.
const NAME: &str = "docker_hub";

/// Docker Hub as a kind of back-end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DockerHubKind;

/// `[image.NAME.backend]` of this kind.
#[derive(PartialEq, Eq)]
pub(crate) struct DockerHubKeys {
    /// In the old or the new form; it is a password.
    pub(crate) trigger_url: Secret,
    /// Both or neither: without them the back-end is blind.
    pub(crate) login: Option<Login>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) token: Secret,
}

/// `[docker_hub]`.
#[derive(PartialEq, Eq)]
pub(crate) struct DockerHubAccount {
    /// Without a trailing slash.
    pub(crate) api: String,
}

/// What Docker Hub can do with a login.
const CAPABILITIES: Capabilities = Capabilities {
    names_build: false,
    // Its trigger takes no commit, and whether the branch's tip is read when a build is queued or when it starts was
    // never published.
    source_taken: SourceTaken::Unknown,
    list_lag: Some(Duration::ZERO),
    cancels: Cancels::Everything,
    revives: false,
    has_waiting_place: true,
    // "Builds are limited to four hours" (Docker's manual); such a build is shown as cancelled.
    longest_build: Some(Duration::from_hours(4)),
};

/// What `init` writes where the operator must paste the trigger URL.
pub(crate) const TRIGGER_URL_PLACEHOLDER: &str = "PASTE-THE-TRIGGER-URL-OF-DOCKER-HUB-HERE";

const API_DEFAULT: &str = "https://hub.docker.com";
/// An account's concurrent builds by default, and at most.
const CONCURRENT_BUILDS_DEFAULT: u32 = 5;
const CONCURRENT_BUILDS_MAX: u32 = 1_000;
/// The shortest expected build time.
const BUILD_TIME_MIN: Duration = Duration::from_millis(1);

impl BackendKind for DockerHubKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn example(&self) -> &'static str {
        "trigger_url = \"https://hub.docker.com/api/build/v1/source/SECRET/trigger/SECRET/call/\""
    }

    fn read(
        &self,
        reader: &mut Reader<'_>,
        section: &mut Section<'_>,
        image: Option<&ImageName>,
    ) -> Option<BackendTable> {
        let trigger_url = trigger_url_of(reader, section, image);
        let login = login(reader, section);
        let expected_build_time = section.duration(reader, "expected_build_time", BUILD_TIME_MIN);
        let labels = section.table(reader, "image_tags").map(|(table, _)| labels(reader, table)).unwrap_or_default();
        let login = login?;
        if login.is_none() {
            let text = "no login: builds can't be observed, so their start and end are estimated by \
                        expected_build_time; set 'username' and 'token'";
            reader.report.warn(section.at, text);
        }
        let keys = DockerHubKeys { trigger_url: trigger_url?, login };
        let policy = BackendPolicy {
            expected_build_time,
            labels,
            account: Some(NAME.into()),
            ..BackendPolicy::of(if keys.login.is_some() { CAPABILITIES } else { CAPABILITIES.blind() })
        };
        Some(BackendTable { shown: shown(&keys, &policy), keys: Arc::new(keys), policy })
    }

    fn account(&self, reader: &mut Reader<'_>, top: &mut Section<'_>) -> Option<Account> {
        let mut section = match top.table(reader, NAME) {
            Some((table, at)) => Section::new(table, at),
            None => Section::absent(),
        };
        let api = section.checked(reader, "api", api).unwrap_or_else(|| API_DEFAULT.to_owned());
        let concurrent_builds = section.integer(reader, "concurrent_builds", 1..=CONCURRENT_BUILDS_MAX);
        section.finish(reader);
        let concurrent_builds = concurrent_builds.unwrap_or(CONCURRENT_BUILDS_DEFAULT);
        let shown = Shown::default().with("api", api.as_str()).with("concurrent_builds", concurrent_builds);
        Some(Account { name: NAME, concurrent_builds, keys: Arc::new(DockerHubAccount { api }), shown })
    }

    fn notice(&self, today: Timestamp) -> Option<String> {
        retirement::notice(today)
    }
}

fn shown(keys: &DockerHubKeys, policy: &BackendPolicy) -> Shown {
    let expected_build_time = policy.expected_build_time.unwrap_or(Policy::DEFAULT.expected_build_time);
    let image_tags = policy.labels.iter().map(|rule| (rule.refs.glob().glob().to_owned(), rule.label.clone()));
    let login = keys.login.as_ref();
    Shown::default()
        .with_secret("trigger_url")
        .with_any("username", login.map(|login| login.username.as_str()))
        .with_any("token", login.map(|_| MASK))
        .with("expected_build_time", length::written(expected_build_time))
        .with("image_tags", image_tags.collect::<BTreeMap<_, _>>())
}

fn trigger_url_of(reader: &mut Reader<'_>, section: &mut Section<'_>, image: Option<&ImageName>) -> Option<Secret> {
    section.require(reader, "trigger_url", "write the URL of the build trigger that Docker Hub shows");
    let secret = secrets::read(reader, section, "trigger_url")?;
    let at = section.key_at("trigger_url");
    match trigger_url(secret.expose(), image) {
        Ok(None) => {}
        Ok(Some(warning)) => reader.report.warn(at, warning),
        Err(why) => {
            reader.report.mistake(at, why);
            return None;
        }
    }
    Some(secret)
}

/// Inner None: there is none. Outer None: a mistake was reported.
#[expect(clippy::option_option, reason = "no login and a wrong login are different answers")]
fn login(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Option<Login>> {
    let username = section.string(reader, "username");
    let token = secrets::read(reader, section, "token");
    match (section.has("username"), section.has("token")) {
        (false, false) => return Some(None),
        (true, false) => {
            let text = "'username' needs a 'token', write an access token of this user, or remove 'username'";
            reader.report.mistake(section.key_at("username"), text);
        }
        (false, true) => {
            let text = "'token' needs a 'username', write the user of the token, or remove 'token'";
            reader.report.mistake(section.key_at("token"), text);
        }
        (true, true) => {}
    }
    let username = username?;
    if username.text.trim().is_empty() {
        reader.report.mistake(username.at, "'username' is empty, write the name of a Docker Hub account");
        return None;
    }
    Some(Some(Login { username: username.text.to_owned(), token: token? }))
}

/// The rules of `image_tags`, in file order.
fn labels(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<LabelRule> {
    let mut rules = Vec::new();
    for (key, value) in table {
        let refs = Text { text: key.get_ref(), at: key.span().start };
        let (Some(glob), Some(label)) = (glob(reader, refs), text(reader, "image_tags", value)) else {
            continue;
        };
        if is_label(label.text) {
            rules.push((refs.at, LabelRule { refs: glob.compile_matcher(), label: label.text.to_owned() }));
        } else {
            let form = "write a name such as \"latest\"; {tag} and {branch} stand for the ref's name";
            reader.report.mistake(label.at, format!("'{}' is not an image tag, {form}", label.text.escape_debug()));
        }
    }
    rules.sort_by_key(|(at, _)| *at);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

/// Whether a registry accepts this tag once the placeholders are filled in.
fn is_label(text: &str) -> bool {
    let filled = text.replace("{tag}", "x").replace("{branch}", "x");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&filled.len()) && filled.bytes().all(allowed) && !filled.starts_with(['.', '-'])
}

/// The base of Docker Hub's API, without a trailing slash.
fn api(text: &str) -> Result<String, String> {
    let form = "write \"https://hub.docker.com\"";
    let url = Url::parse(text).map_err(|_| format!("'api' is not a URL, {form}"))?;
    if !is_private_way(&url) {
        return Err(format!("'api' must be https (http only to this machine), {form}"));
    }
    plain_base(&url, text, "api", form)
}

/// Checks a build trigger's URL; warns about a form that Docker Hub is not known to use.
pub(crate) fn trigger_url(text: &str, image: Option<&ImageName>) -> Result<Option<String>, String> {
    if text.contains(TRIGGER_URL_PLACEHOLDER) {
        return Err(
            "'trigger_url' is still the placeholder, make a build trigger on Docker Hub (the repository's page, \
                    Builds, Configure automated builds, Build triggers) and paste its URL here"
                .to_owned(),
        );
    }
    let url = Url::parse(text)
        .map_err(|_| "'trigger_url' is not a URL, paste what Docker Hub shows under Build triggers".to_owned())?;
    if !is_private_way(&url) {
        return Err("'trigger_url' must begin with https:// (http only to this machine): it is a password".to_owned());
    }
    let unusual = |why: &str| {
        Ok(Some(format!(
            "'trigger_url' {why}; Docker Hub hands out https://hub.docker.com/api/build/v1/source/…/trigger/…/call/"
        )))
    };
    let parts: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", "build", "v1", "source", source, "trigger", trigger, "call", ""]
            if !source.is_empty() && !trigger.is_empty() => {}
        ["u", namespace, name, "trigger", token, ""] if !token.is_empty() => {
            if image.is_some_and(|image| image.namespace() != *namespace || image.name() != *name) {
                return unusual("belongs to another image");
            }
        }
        ["api", "build", .., "call"] | ["u", _, _, "trigger", _] => return unusual("lacks the slash at the end"),
        _ => return unusual("has an unknown form"),
    }
    let host = url.host_str().unwrap_or_default();
    if !is_this_machine(&url) && host != "docker.com" && !host.ends_with(".docker.com") {
        return unusual("is not at docker.com");
    }
    Ok(None)
}
