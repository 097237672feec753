//! `[image."NAMESPACE/NAME"]` and the back-end in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use globset::GlobSet;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::backend::{BackendConfig, DockerHubBackendConfig, Login};
use super::filter::PathFilter;
use super::policy::{self, PolicyKeys, SkipRule};
use super::reader::glob::{glob, globs};
use super::reader::section::{Reader, Section, Text, nearest, text};
use super::reader::{address, reserved, secrets};
use super::secret::Secret;
use crate::build::{Cancels, Capabilities, SourceTaken};
use crate::model::ImageName;
use crate::scheduler::policy::{AccountName, LabelRule, Policy, Reconcile};

#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// `host/owner/name`, lower case; pushes to it make events here.
    pub repository: Option<String>,
    /// Where the heads of its refs can be read. None: nowhere, or that is switched off.
    pub remote: Option<RemoteConfig>,
    /// Globs over short names. None: the repository's default branch only.
    pub branches: Option<GlobSet>,
    /// The globs as written, for `check`.
    pub branch_globs: Option<Vec<String>>,
    pub tags: GlobSet,
    pub tag_globs: Vec<String>,
    pub skip: SkipRule,
    /// Which files it is built from. None: all.
    pub paths: Option<PathFilter>,
    /// Whose pushes are passed over, by the names of their accounts.
    pub ignore_authors: Vec<String>,
    /// Shared with the scheduler and the picture, so that there is one value of it.
    pub policy: Arc<Policy>,
    pub backend: BackendConfig,
}

/// A repository as Git reaches it.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// https, http, ssh, git or file; without a password.
    pub url: String,
    pub token: Option<Secret>,
}

/// The images of a file.
#[derive(Default)]
pub(super) struct Images {
    /// All names, also of images with a mistake in them, so that one mistake isn't reported twice.
    pub(super) named: BTreeSet<ImageName>,
    pub(super) whole: BTreeMap<ImageName, ImageConfig>,
}

/// All images on Docker Hub are of the one account that `[docker_hub]` describes.
const DOCKER_HUB_ACCOUNT: &str = "docker_hub";
/// What Docker Hub can do, for who has a login.
const DOCKER_HUB: Capabilities = Capabilities {
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
/// The shortest time that a build may be expected to take.
const BUILD_TIME_MIN: Duration = Duration::from_millis(1);

pub(super) fn read_all(reader: &mut Reader<'_>, top: &mut Section<'_>, defaults: &PolicyKeys) -> Images {
    let mut images = Images::default();
    for (name, table) in top.tables(reader, "image") {
        let section = Section::new(table, name.at).reserving(reserved::IMAGE);
        let name = image_name(reader, name);
        let image = read(reader, section, name.as_ref(), defaults);
        if let Some(name) = name {
            images.whole.extend(image.map(|image| (name.clone(), image)));
            images.named.insert(name);
        }
    }
    part_by_token(&mut images.whole);
    images
}

/// Images share a remote only where they show it the same token.
fn part_by_token(images: &mut BTreeMap<ImageName, ImageConfig>) {
    let mut known: Vec<(RemoteConfig, Arc<str>)> = Vec::new();
    for image in images.values_mut() {
        let policy = Arc::make_mut(&mut image.policy);
        let (Some(remote), Some(reconcile)) = (&image.remote, &mut policy.reconcile) else { continue };
        let same = |token: &Option<Secret>| match (token, &remote.token) {
            (Some(a), Some(b)) => a.matches(b.expose().as_bytes()),
            (None, None) => true,
            _ => false,
        };
        let of_url = || known.iter().filter(|(other, _)| other.url == remote.url);
        if let Some((_, name)) = of_url().find(|(other, _)| same(&other.token)) {
            reconcile.remote = name.clone();
            continue;
        }
        let others = of_url().count();
        if others > 0 {
            reconcile.remote = format!("{} ({})", remote.url, others + 1).into();
        }
        known.push((remote.clone(), reconcile.remote.clone()));
    }
}

/// Parses an image's name.
pub(super) fn image_name(reader: &mut Reader<'_>, name: Text<'_>) -> Option<ImageName> {
    let parsed = name.text.parse();
    parsed
        .map_err(|why| {
            reader.report.mistake(name.at, format!("{why}; write it as \"namespace/name\", as on Docker Hub"));
        })
        .ok()
}

fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    name: Option<&ImageName>,
    defaults: &PolicyKeys,
) -> Option<ImageConfig> {
    let repository = section.string(reader, "repository");
    let repository_read = repository.map(|text| address::repository(text.text).map_err(|why| (text.at, why)));
    let repository = match repository_read.transpose() {
        Ok(repository) => repository,
        Err((at, why)) => {
            reader.report.mistake(at, why);
            None
        }
    };
    let remote = remote(reader, &mut section, repository.as_deref());
    let branches = section.strings(reader, "branches").and_then(|texts| globs(reader, &texts));
    let tags = section.strings(reader, "tags").and_then(|texts| globs(reader, &texts));
    let rules = policy::read(reader, &mut section, defaults);
    for key in ["history", "history_events"] {
        if section.value(key).is_some() {
            let text = format!("'{key}' is one for all images, write it under [defaults]");
            reader.report.mistake(section.key_at(key), text);
        }
    }
    section.require(reader, "backend", "write a table [image.\"NAMESPACE/NAME\".backend] with kind = \"docker_hub\"");
    let backend =
        section.table(reader, "backend").and_then(|(table, at)| read_backend(reader, Section::new(table, at), name));
    section.finish(reader);

    let (backend, policy_of_backend) = backend?;
    let (branches, branch_globs) = branches.unzip();
    let (tags, tag_globs) = tags.unwrap_or_else(|| (GlobSet::empty(), Vec::new()));
    let policy = Policy {
        prequeue: rules.prequeue.unwrap_or(policy_of_backend.prequeue),
        capabilities: policy_of_backend.capabilities,
        expected_build_time: policy_of_backend.expected_build_time.unwrap_or(rules.policy.expected_build_time),
        labels: policy_of_backend.labels,
        account: policy_of_backend.account,
        reconcile: rules.reconcile_every.zip(remote.as_ref()).map(|(every, remote)| Reconcile {
            remote: remote.url.as_str().into(),
            every,
            rules: digest_of_rules(remote, branch_globs.as_deref(), &tag_globs),
        }),
        ..rules.policy
    };
    let remote = remote.filter(|_| policy.reconcile.is_some());
    Some(ImageConfig {
        repository,
        remote,
        branches,
        branch_globs,
        tags,
        tag_globs,
        skip: rules.skip,
        paths: rules.paths,
        ignore_authors: rules.ignore_authors,
        policy: Arc::new(policy),
        backend,
    })
}

/// Where the heads of the image's refs can be read.
fn remote(reader: &mut Reader<'_>, section: &mut Section<'_>, repository: Option<&str>) -> Option<RemoteConfig> {
    let written = section.string(reader, "remote");
    let token = secrets::read(reader, section, "remote_token");
    let url = match written.map(|text| address::remote(text.text).map_err(|why| (text.at, why))).transpose() {
        Ok(url) => url.or_else(|| repository.map(|repository| format!("https://{repository}.git"))),
        Err((at, why)) => {
            reader.report.mistake(at, why);
            return None;
        }
    };
    if section.has("remote_token") && !url.as_deref().is_some_and(address::takes_token) {
        let text =
            "'remote_token' needs an https address to be shown to, write 'repository', or 'remote' = \"https://…\"";
        reader.report.mistake(section.key_at("remote_token"), text);
    }
    Some(RemoteConfig { url: url?, token })
}

/// Changes with the remote and the globs, and tells nothing of them: it is stored with every lane.
fn digest_of_rules(remote: &RemoteConfig, branches: Option<&[String]>, tags: &[String]) -> Arc<str> {
    let mut hash = Sha256::new();
    let branches = branches.map_or_else(|| "default".to_owned(), |globs| format!("{globs:?}"));
    for part in [&remote.url, &branches, &format!("{tags:?}")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8]).into()
}

/// What the back-end says of the policy.
struct BackendPolicy {
    /// The default only: the user's word wins.
    prequeue: bool,
    capabilities: Capabilities,
    /// None: the default.
    expected_build_time: Option<Duration>,
    labels: Vec<LabelRule>,
    account: Option<AccountName>,
}

fn read_backend(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    image: Option<&ImageName>,
) -> Option<(BackendConfig, BackendPolicy)> {
    const KIND: &str = "docker_hub";
    section.require(reader, "kind", "write kind = \"docker_hub\"");
    if let Some(kind) = section.string(reader, "kind").filter(|kind| kind.text != KIND) {
        // The other keys belong to the other kind: nothing can be said of them.
        let shown = kind.text.escape_debug();
        let text = if reserved::BACKEND_KINDS.contains(&kind.text) {
            format!("not in this version yet: a back-end of kind \"{shown}\"; write kind = \"docker_hub\"")
        } else {
            format!("there is no kind of back-end called '{shown}', {}", nearest(kind.text, &[KIND]))
        };
        reader.report.mistake(kind.at, text);
        return None;
    }
    let trigger_url = trigger_url(reader, &mut section, image);
    let login = login(reader, &mut section);
    let expected_build_time = section.duration(reader, "expected_build_time", BUILD_TIME_MIN);
    let labels = section.table(reader, "image_tags").map(|(table, _)| labels(reader, table)).unwrap_or_default();
    let at = section.at;
    section.finish(reader);

    let login = login?;
    if login.is_none() {
        reader.report.warn(
            at,
            "its builds can't be seen, so starts and ends are assumed by expected_build_time; write 'username' and 'token' to see them",
        );
    }
    let policy = BackendPolicy {
        prequeue: true,
        capabilities: if login.is_some() { DOCKER_HUB } else { DOCKER_HUB.blind() },
        expected_build_time,
        labels,
        account: Some(DOCKER_HUB_ACCOUNT.into()),
    };
    Some((BackendConfig::DockerHub(DockerHubBackendConfig { trigger_url: trigger_url?, login }), policy))
}

fn trigger_url(reader: &mut Reader<'_>, section: &mut Section<'_>, image: Option<&ImageName>) -> Option<Secret> {
    section.require(reader, "trigger_url", "write the URL of the build trigger that Docker Hub shows");
    let secret = secrets::read(reader, section, "trigger_url")?;
    let at = section.key_at("trigger_url");
    match address::trigger_url(secret.expose(), image) {
        Ok(None) => {}
        Ok(Some(warning)) => reader.report.warn(at, warning),
        Err(why) => {
            reader.report.mistake(at, why);
            return None;
        }
    }
    Some(secret)
}

/// The inner None: there is none. The outer None: a mistake was reported.
#[expect(clippy::option_option, reason = "no login and a wrong login are different answers")]
fn login(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Option<Login>> {
    let username = section.string(reader, "username");
    let token = secrets::read(reader, section, "token");
    match (section.has("username"), section.has("token")) {
        (false, false) => return Some(None),
        (true, false) => {
            let text =
                "'username' needs a 'token' beside it, write an access token of this user, or take 'username' out";
            reader.report.mistake(section.key_at("username"), text);
        }
        (false, true) => {
            let text = "'token' needs a 'username' beside it, write whose token it is, or take 'token' out";
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

/// The rules of `image_tags`, in the order of the file.
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
            let form = "write a name such as \"latest\", in which {tag} or {branch} stands for the ref's name";
            reader.report.mistake(label.at, format!("'{}' is no image tag, {form}", label.text.escape_debug()));
        }
    }
    rules.sort_by_key(|(at, _)| *at);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

/// Whether this is a tag that a registry takes, once the placeholders are filled.
fn is_label(text: &str) -> bool {
    let filled = text.replace("{tag}", "x").replace("{branch}", "x");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&filled.len()) && filled.bytes().all(allowed) && !filled.starts_with(['.', '-'])
}
