//! The configuration in force, for display: every default visible, every secret masked.
//!
//! A mask shows that there is a secret, but not its length or any part of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::filter::EVERY_FILE;
use super::policy::OFF;
use super::reader::length::written as length;
use super::shown::{MASK, Shown};
use super::{Config, ImageConfig, Listen, PathFilter, SkipRule, TokenScope};

/// A [`Config`] in the shape of its file.
#[derive(Serialize)]
pub struct Effective {
    listen: Vec<String>,
    data_dir: String,
    public_url: Option<String>,
    connections_max: usize,
    defaults: Defaults,
    #[serde(flatten)]
    accounts: BTreeMap<&'static str, Shown>,
    image: BTreeMap<String, Image>,
    source: BTreeMap<String, Source>,
    button: BTreeMap<String, Button>,
    token: BTreeMap<String, Token>,
}

/// The other policy keys are shown in each image, where they apply.
#[derive(Serialize)]
struct Defaults {
    history: String,
    history_events: u32,
}

#[derive(Serialize)]
struct Image {
    repository: Option<String>,
    remote: Option<String>,
    remote_token: Option<&'static str>,
    /// None: the repository's default branch.
    branches: Option<Vec<String>>,
    tags: Vec<String>,
    quiet: String,
    max_wait: String,
    prequeue: bool,
    skip: &'static str,
    ignore_authors: Vec<String>,
    retry_failed: u32,
    observe_after: String,
    observe_every: String,
    uncertain_grace: String,
    uncertain_limit: String,
    build_deadline: String,
    reconcile_every: String,
    paths: Paths,
    backend: Shown,
}

#[derive(Serialize)]
struct Paths {
    include: Vec<String>,
    exclude: Vec<String>,
}

#[derive(Serialize)]
struct Source {
    kind: &'static str,
    secrets: Vec<&'static str>,
}

#[derive(Serialize)]
struct Button {
    token: &'static str,
    image: String,
    branch: Option<String>,
    tag: Option<String>,
    allow_get: bool,
    allow_override: bool,
}

#[derive(Serialize)]
struct Token {
    secret: &'static str,
    scope: &'static str,
    images: Vec<String>,
}

impl Effective {
    pub fn of(config: &Config) -> Self {
        Self {
            listen: config.fixed.listen.iter().map(listen).collect(),
            data_dir: config.fixed.data_dir.display().to_string(),
            public_url: config.fixed.public_url.clone(),
            connections_max: config.fixed.connections_max,
            defaults: Defaults { history: length(config.fixed.history), history_events: config.fixed.history_events },
            accounts: config.rules.accounts.0.iter().map(|(name, account)| (*name, account.shown.clone())).collect(),
            image: config.rules.images.iter().map(|(name, config)| (name.to_string(), image(config))).collect(),
            source: sources(config),
            button: buttons(config),
            token: tokens(config),
        }
    }

    /// As TOML that is itself a valid configuration, except for its masks.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn listen(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn image(config: &ImageConfig) -> Image {
    let policy = &config.policy;
    let reconcile = policy.reconcile.as_ref();
    Image {
        repository: config.repository.clone(),
        remote: config.remote.as_ref().map(|remote| remote.url.clone()),
        remote_token: config.remote.as_ref().and_then(|remote| remote.token.as_ref()).map(|_| MASK),
        branches: config.branch_globs.clone(),
        tags: config.tag_globs.clone(),
        quiet: length(policy.quiet),
        max_wait: length(policy.max_wait),
        prequeue: policy.prequeue,
        skip: match config.skip {
            SkipRule::All => "all",
            SkipRule::Head => "head",
            SkipRule::Never => "never",
        },
        ignore_authors: config.ignore_authors.clone(),
        retry_failed: policy.retry_failed,
        observe_after: length(policy.observe_after),
        observe_every: length(policy.observe_every),
        uncertain_grace: length(policy.uncertain_grace),
        uncertain_limit: length(policy.uncertain_limit),
        build_deadline: length(policy.build_deadline),
        reconcile_every: reconcile.map_or_else(|| OFF.to_owned(), |reconcile| length(reconcile.every)),
        paths: paths(config.paths.as_ref()),
        backend: config.backend.shown(),
    }
}

fn paths(filter: Option<&PathFilter>) -> Paths {
    match filter {
        Some(filter) => Paths { include: filter.include_globs.clone(), exclude: filter.exclude_globs.clone() },
        None => Paths { include: vec![EVERY_FILE.to_owned()], exclude: Vec::new() },
    }
}

fn sources(config: &Config) -> BTreeMap<String, Source> {
    let shown = config.rules.sources.iter().map(|(name, source)| {
        (name.clone(), Source { kind: source.kind, secrets: source.secrets.iter().map(|_| MASK).collect() })
    });
    shown.collect()
}

fn buttons(config: &Config) -> BTreeMap<String, Button> {
    let shown = config.rules.buttons.iter().map(|(name, button)| {
        let short = button.git_ref.short().to_owned();
        let (branch, tag) = match button.git_ref.kind() {
            crate::model::RefKind::Branch => (Some(short), None),
            crate::model::RefKind::Tag => (None, Some(short)),
        };
        let (allow_get, allow_override) = (button.allow_get, button.allow_override);
        (name.clone(), Button { token: MASK, image: button.image.to_string(), branch, tag, allow_get, allow_override })
    });
    shown.collect()
}

fn tokens(config: &Config) -> BTreeMap<String, Token> {
    let shown = config.rules.tokens.iter().map(|(name, token)| {
        let scope = match token.scope {
            TokenScope::Read => "read",
            TokenScope::Trigger => "trigger",
            TokenScope::Admin => "admin",
        };
        let all = || vec!["**".to_owned()];
        (name.clone(), Token { secret: MASK, scope, images: token.image_globs.clone().unwrap_or_else(all) })
    });
    shown.collect()
}
