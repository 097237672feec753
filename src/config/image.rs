//! `[image."NAMESPACE/NAME"]` and the back-end in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::GlobSet;
use sha2::{Digest, Sha256};

use super::backend::{self, BackendConfig, BackendKind};
use super::filter::PathFilter;
use super::policy::{self, PolicyKeys, SkipRule};
use super::reader::glob::globs;
use super::reader::section::{Reader, Section, Text, with_kind};
use super::reader::{address, reserved, secrets};
use super::secret::Secret;
use crate::model::ImageName;
use crate::scheduler::policy::{Policy, Reconcile};

#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// `host/owner/name`, lower case; pushes to it make events here.
    pub repository: Option<String>,
    /// Where the heads of its refs can be read. None: unknown or disabled.
    pub remote: Option<RemoteConfig>,
    /// Globs over short names. None: only the repository's default branch.
    pub branches: Option<GlobSet>,
    /// The globs as written, for `check`.
    pub branch_globs: Option<Vec<String>>,
    pub tags: GlobSet,
    pub tag_globs: Vec<String>,
    pub skip: SkipRule,
    /// Which files it is built from. None: all.
    pub paths: Option<PathFilter>,
    /// Account names whose pushes are skipped.
    pub ignore_authors: Vec<String>,
    /// Shared with the scheduler and the picture, so that there is only one copy.
    pub policy: Arc<Policy>,
    pub backend: BackendConfig,
}

/// A repository, as Git reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// https, http, ssh, git or file; without a password.
    pub url: String,
    pub token: Option<Secret>,
}

/// The images of a file.
#[derive(Default)]
pub(super) struct Images {
    /// All names, including images with a mistake in them, so that one mistake isn't reported twice.
    pub(super) named: BTreeSet<ImageName>,
    pub(super) whole: BTreeMap<ImageName, ImageConfig>,
}

pub(super) fn read_all(
    reader: &mut Reader<'_>,
    kinds: &[&'static dyn BackendKind],
    top: &mut Section<'_>,
    defaults: &PolicyKeys,
) -> Images {
    let mut images = Images::default();
    for (name, table) in top.tables(reader, "image") {
        let section = Section::new(table, name.at).reserving(reserved::IMAGE);
        let name = image_name(reader, name);
        let image = read(reader, kinds, section, name.as_ref(), defaults);
        if let Some(name) = name {
            images.whole.extend(image.map(|image| (name.clone(), image)));
            images.named.insert(name);
        }
    }
    part_by_token(&mut images.whole);
    images
}

/// Images share a remote only if they use the same token for it.
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
            reader.report.mistake(name.at, format!("{why}; write it as \"namespace/name\""));
        })
        .ok()
}

fn read(
    reader: &mut Reader<'_>,
    kinds: &[&'static dyn BackendKind],
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
            let text = format!("'{key}' applies to all images, write it under [defaults]");
            reader.report.mistake(section.key_at(key), text);
        }
    }
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let form = format!("write a table [image.\"NAMESPACE/NAME\".backend] with {}", with_kind(&names));
    section.require(reader, "backend", &form);
    let backend = section
        .table(reader, "backend")
        .and_then(|(table, at)| backend::read(reader, kinds, Section::new(table, at), name));
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
            "'remote_token' needs an https address to be sent to, write 'repository', or 'remote' = \"https://…\"";
        reader.report.mistake(section.key_at("remote_token"), text);
    }
    Some(RemoteConfig { url: url?, token })
}

/// A fingerprint of the remote and the globs that reveals nothing of them: it is stored with every lane.
fn digest_of_rules(remote: &RemoteConfig, branches: Option<&[String]>, tags: &[String]) -> Arc<str> {
    let mut hash = Sha256::new();
    let branches = branches.map_or_else(|| "default".to_owned(), |globs| format!("{globs:?}"));
    for part in [&remote.url, &branches, &format!("{tags:?}")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8]).into()
}
