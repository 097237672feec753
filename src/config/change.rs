//! The differences between two configurations, by their keys.
//!
//! Must never show a value: it may be a secret. All structs are destructured, so that the compiler asks for each new
//! key here.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::backend::Account;
use super::{ButtonConfig, Fixed, ImageConfig, Rules, SourceConfig, TokenConfig};
use crate::scheduler::policy::Policy;

impl Fixed {
    /// The keys whose values differ in `other`.
    pub fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
        let Self { listen, data_dir, public_url, connections_max, history, history_events } = self;
        changed([
            ("listen", *listen != other.listen),
            ("data_dir", *data_dir != other.data_dir),
            ("public_url", *public_url != other.public_url),
            ("connections_max", *connections_max != other.connections_max),
            ("history", *history != other.history),
            ("history_events", *history_events != other.history_events),
        ])
    }
}

impl Rules {
    /// What differs in `new`, one line per table: `image a/b changed: quiet, backend`.
    pub fn changes_to(&self, new: &Self) -> Vec<String> {
        let Self { images, sources, buttons, tokens, accounts } = self;
        let mut lines = Vec::new();
        compare("image", images, &new.images, image, &mut lines);
        compare("source", sources, &new.sources, source, &mut lines);
        compare("button", buttons, &new.buttons, button, &mut lines);
        compare("token", tokens, &new.tokens, token, &mut lines);
        compare("account", &accounts.0, &new.accounts.0, account, &mut lines);
        lines
    }
}

type Keys = Vec<&'static str>;

fn compare<Name: Ord + Display, Table>(
    kind: &str,
    old: &BTreeMap<Name, Table>,
    new: &BTreeMap<Name, Table>,
    keys: fn(&Table, &Table) -> Keys,
    lines: &mut Vec<String>,
) {
    for (name, table) in new {
        match old.get(name).map(|before| keys(before, table)) {
            None => lines.push(format!("{kind} {name} added")),
            Some(keys) if keys.is_empty() => {}
            Some(keys) => lines.push(format!("{kind} {name} changed: {}", keys.join(", "))),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    lines.extend(gone.map(|name| format!("{kind} {name} removed")));
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> Keys {
    keys.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

fn image(old: &ImageConfig, new: &ImageConfig) -> Keys {
    // The glob sets are built from what is written.
    let ImageConfig {
        repository,
        remote,
        branches: _,
        branch_globs,
        tags: _,
        tag_globs,
        skip,
        paths,
        ignore_authors,
        policy: old_policy,
        backend,
    } = old;
    let digest = |image: &ImageConfig| image.paths.as_ref().map(|filter| filter.digest.clone());
    let mut keys = changed([
        ("repository", *repository != new.repository),
        ("remote", *remote != new.remote),
        ("branches", *branch_globs != new.branch_globs),
        ("tags", *tag_globs != new.tag_globs),
        ("skip", *skip != new.skip),
        ("paths", paths.as_ref().map(|filter| filter.digest.clone()) != digest(new)),
        ("ignore_authors", *ignore_authors != new.ignore_authors),
    ]);
    let of_policy = policy(old_policy, &new.policy);
    if *backend != new.backend && !of_policy.contains(&"backend") {
        keys.push("backend");
    }
    keys.extend(of_policy);
    keys
}

fn policy(old: &Policy, new: &Policy) -> Keys {
    let Policy {
        quiet,
        max_wait,
        prequeue,
        capabilities,
        expected_build_time,
        observe_after,
        observe_every,
        uncertain_grace,
        uncertain_limit,
        build_deadline,
        retry_failed,
        labels,
        account,
        reconcile,
    } = old;
    let every = |policy: &Policy| policy.reconcile.as_ref().map(|reconcile| reconcile.every);
    changed([
        ("quiet", *quiet != new.quiet),
        ("max_wait", *max_wait != new.max_wait),
        ("prequeue", *prequeue != new.prequeue),
        ("backend", *capabilities != new.capabilities || *account != new.account),
        ("expected_build_time", *expected_build_time != new.expected_build_time),
        ("observe_after", *observe_after != new.observe_after),
        ("observe_every", *observe_every != new.observe_every),
        ("uncertain_grace", *uncertain_grace != new.uncertain_grace),
        ("uncertain_limit", *uncertain_limit != new.uncertain_limit),
        ("build_deadline", *build_deadline != new.build_deadline),
        ("retry_failed", *retry_failed != new.retry_failed),
        ("image_tags", *labels != new.labels),
        ("reconcile_every", reconcile.as_ref().map(|reconcile| reconcile.every) != every(new)),
    ])
}

fn source(old: &SourceConfig, new: &SourceConfig) -> Keys {
    let SourceConfig { kind, secrets } = old;
    changed([("kind", *kind != new.kind), ("secrets", *secrets != new.secrets)])
}

fn button(old: &ButtonConfig, new: &ButtonConfig) -> Keys {
    let ButtonConfig { token, image, git_ref, allow_get, allow_override } = old;
    changed([
        ("token", *token != new.token),
        ("image", *image != new.image),
        ("branch or tag", *git_ref != new.git_ref),
        ("allow_get", *allow_get != new.allow_get),
        ("allow_override", *allow_override != new.allow_override),
    ])
}

fn token(old: &TokenConfig, new: &TokenConfig) -> Keys {
    let TokenConfig { secret, scope, images: _, image_globs } = old;
    changed([
        ("secret", *secret != new.secret),
        ("scope", *scope != new.scope),
        ("images", *image_globs != new.image_globs),
    ])
}

fn account(old: &Account, new: &Account) -> Keys {
    let limit = old.concurrent_builds != new.concurrent_builds;
    changed([("concurrent_builds", limit), ("its keys", old != new && !limit)])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    const BASE: &str = "listen = \"127.0.0.1:1\"\n\
        [source.github]\nsecrets = [\"test-secret-of-the-source\"]\n\
        [token.ci]\nsecret = \"test-token-of-the-pipeline\"\n\
        [image.\"a/b\"]\nquiet = \"30s\"\nbackend = { kind = \"docker_hub\", \
        trigger_url = \"https://hub.docker.com/api/build/v1/source/1/trigger/2/call/\" }\n";

    fn config(text: &str) -> Config {
        Config::parse(text, "c.toml", Path::new("/"), &|_| None).expect("a configuration")
    }

    fn changes(from: &str, to: &str) -> Vec<String> {
        config(&BASE.replace("FROM", "")).rules.changes_to(&config(&BASE.replace(from, to)).rules)
    }

    #[test]
    fn every_changed_table_has_a_line_with_its_keys_and_no_value() {
        assert_eq!(changes("", ""), [""; 0]);
        assert_eq!(changes("quiet = \"30s\"", "quiet = \"2m\"\ntags = [\"v*\"]"), ["image a/b changed: tags, quiet"]);
        assert_eq!(changes("trigger/2", "trigger/3"), ["image a/b changed: backend"]);
        assert_eq!(changes("a/b", "a/c"), ["image a/c added", "image a/b removed"]);
        assert_eq!(changes("of-the-source", "of-the-sender"), ["source github changed: secrets"]);
        assert_eq!(changes("of-the-pipeline", "of-the-person"), ["token ci changed: secret"]);
        assert_eq!(changes("[token.ci]", "[token.me]"), ["token me added", "token ci removed"]);
        assert_eq!(
            changes("[source", "[docker_hub]\nconcurrent_builds = 2\n[source"),
            ["account docker_hub changed: concurrent_builds"]
        );
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let (old, new) = (config(BASE), config(&BASE.replace("127.0.0.1:1", "127.0.0.1:2")));
        assert_eq!(old.fixed.changed_keys(&new.fixed), ["listen"]);
        assert_eq!(old.fixed.changed_keys(&old.fixed), [""; 0]);
    }
}
