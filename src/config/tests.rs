//! Files as people write them, right and wrong.

mod mistakes;
mod secrets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::backend::docker_hub::DockerHubAccount;
use super::*;
use crate::scheduler::policy::Policy;

const TRIGGER: &str = "https://hub.docker.com/api/build/v1/source/test-source/trigger/test-token-trigger/call/";

/// The smallest image.
const IMAGE: &str = r#"[image."a/b"]
[image."a/b".backend]
kind = "docker_hub"
trigger_url = "https://hub.docker.com/api/build/v1/source/test-source/trigger/test-token-trigger/call/"
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "STATE_DIRECTORY" => Some("/state/first:/state/second".to_owned()),
        "LONG_TOKEN" | "DOCKERHUB_TOKEN" | "CI_TOKEN" => Some(format!("test-token-{name}")),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "c.toml", Path::new("/base"), &environment)
}

fn parsed(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
}

fn only_image(config: &Config) -> &ImageConfig {
    config.rules.images.values().next().expect("an image")
}

/// Docker Hub's URL and the account's concurrent builds.
fn account(config: &Config) -> (String, u32) {
    let keys: &DockerHubAccount = config.rules.accounts.keys("docker_hub").expect("an account");
    (keys.api.clone(), config.rules.accounts.limits()[&"docker_hub".into()])
}

#[test]
fn what_is_not_written_is_as_the_defaults_say() {
    let config = parsed(IMAGE);
    assert_eq!(config.fixed.listen, [Listen::Tcp("127.0.0.1:8484".parse().expect("an address"))]);
    assert_eq!(config.fixed.data_dir, PathBuf::from("/state/first"));
    assert_eq!((config.fixed.connections_max, config.fixed.history), (1_024, Duration::from_hours(90 * 24)));
    assert_eq!(account(&config), ("https://hub.docker.com".to_owned(), 5));
    let image = only_image(&config);
    assert!(image.branches.is_none() && image.tags.is_empty() && image.skip == SkipRule::All);
    assert_eq!(
        *image.policy,
        Policy { capabilities: image.policy.capabilities, account: Some("docker_hub".into()), ..Policy::DEFAULT }
    );
    let nowhere = Config::parse(IMAGE, "c.toml", Path::new("/base"), &|_| None).expect("a configuration");
    assert_eq!(nowhere.fixed.data_dir, PathBuf::from("./coalesced-data"));
}

#[test]
fn an_image_wins_over_the_defaults_and_they_over_ours() {
    let config = parsed(&format!(
        "[defaults]\nquiet = \"1m\"\nmax_wait = \"20m\"\nprequeue = false\nskip = \"never\"\nhistory = \"7d\"\n\
         retry_failed = 2\n[image.\"c/d\"]\nquiet = \"90s\"\nprequeue = true\nskip = \"head\"\n\
         backend = {{ kind = \"docker_hub\", trigger_url = \"{TRIGGER}\", username = \"me\", token = {{ env = \
         \"LONG_TOKEN\" }}, expected_build_time = \"8m\", image_tags = {{ \"v*\" = \"{{tag}}\", master = \"latest\" }} }}\n\
         {IMAGE}"
    ));
    let (ours, theirs) =
        (&config.rules.images[&"a/b".parse().expect("a name")], &config.rules.images[&"c/d".parse().expect("a name")]);
    assert_eq!((ours.policy.quiet, theirs.policy.quiet), (Duration::from_mins(1), Duration::from_secs(90)));
    assert_eq!((ours.policy.max_wait, theirs.policy.max_wait), (Duration::from_mins(20), Duration::from_mins(20)));
    assert_eq!((ours.policy.prequeue, theirs.policy.prequeue), (false, true));
    assert_eq!((ours.skip, theirs.skip), (SkipRule::Never, SkipRule::Head));
    assert_eq!((ours.policy.capabilities.observes(), theirs.policy.capabilities.observes()), (false, true));
    assert_eq!((ours.policy.retry_failed, config.fixed.history), (2, Duration::from_hours(7 * 24)));
    assert_eq!(theirs.policy.expected_build_time, Duration::from_mins(8));
    let labels: Vec<_> =
        theirs.policy.labels.iter().map(|rule| (rule.refs.glob().glob(), rule.label.as_str())).collect();
    assert_eq!(labels, [("v*", "{tag}"), ("master", "latest")], "in the order of the file");
}

#[test]
fn a_star_stops_at_a_slash() {
    let config = parsed(&IMAGE.replacen('\n', "\nbranches = [\"main\", \"release/*\"]\ntags = \"**\"\n", 1));
    let image = only_image(&config);
    let branches = image.branches.as_ref().expect("branches");
    for (name, expected) in [("main", true), ("release/1", true), ("release/1/x", false), ("mainly", false)] {
        assert_eq!(branches.is_match(name), expected, "{name}");
    }
    assert!(image.tags.is_match("a/b/c"));
}

#[test]
fn addresses_are_taken_in_each_form() {
    let config = parsed(&format!("listen = [\"[::1]:0\", \"unix:run/http.sock\"]\ndata_dir = \"data\"\n{IMAGE}"));
    assert_eq!(config.fixed.listen[0], Listen::Tcp("[::1]:0".parse().expect("an address")));
    assert_eq!(config.fixed.listen[1], Listen::Unix(PathBuf::from("/base/run/http.sock")));
    assert_eq!(config.fixed.data_dir, PathBuf::from("/base/data"));
    let config = parsed(&format!("listen = \"0.0.0.0:80\"\npublic_url = \"https://x.example/y/\"\n{IMAGE}"));
    assert_eq!(config.fixed.listen.len(), 1);
    assert_eq!(config.fixed.public_url.as_deref(), Some("https://x.example/y"));
    let config = parsed(&format!("{IMAGE}[docker_hub]\napi = \"http://127.0.0.1:99/\"\nconcurrent_builds = 2\n"));
    assert_eq!(account(&config), ("http://127.0.0.1:99".to_owned(), 2));
}

#[test]
fn a_button_without_a_ref_builds_the_one_branch_of_its_image() {
    let button = "[button.phone]\ntoken = \"test-token-0123456789\"\nimage = \"a/b\"\n";
    let image = IMAGE.replacen('\n', "\nbranches = [\"main\"]\n", 1);
    let config = parsed(&format!("{image}{button}"));
    assert_eq!(config.rules.buttons["phone"].git_ref.as_str(), "refs/heads/main");
    let config = parsed(&format!("{image}{button}tag = \"v1\"\nallow_get = true\nallow_override = true\n"));
    let button = &config.rules.buttons["phone"];
    assert_eq!(button.git_ref.as_str(), "refs/tags/v1");
    assert!(button.allow_get && button.allow_override);
}

#[test]
fn a_source_and_a_token_are_read_whole() {
    let config = parsed(&format!(
        "{IMAGE}[source.hub]\nkind = \"github\"\nsecrets = [\"test-token-0123456789\", {{ env = \"LONG_TOKEN\" }}]\n\
         [token.ci]\nsecret = \"test-token-9876543210\"\nscope = \"trigger\"\nimages = [\"a/*\"]\n\
         [token.all]\nsecret = \"test-token-1111111111\"\n"
    ));
    assert!(config.rules.sources["hub"].secrets[1].matches(b"test-token-LONG_TOKEN"));
    let token = &config.rules.tokens["ci"];
    assert_eq!(token.scope, TokenScope::Trigger);
    let images = token.images.as_ref().expect("images");
    assert!(images.is_match("a/b") && !images.is_match("c/d"));
    assert!(config.rules.tokens["all"].scope == TokenScope::Read && config.rules.tokens["all"].images.is_none());
}

#[test]
fn an_image_says_what_it_is_built_from_and_whose_pushes_are_passed_over() {
    let defaults = "[defaults]\npaths = { exclude = [\"drafts/**\"] }\nignore_authors = [\"renovate[bot]\"]\n";
    let config = parsed(&format!(
        "{defaults}[image.\"c/d\"]\npaths = {{ include = [\"docs/**\"] }}\nignore_authors = []\n\
         backend = {{ kind = \"docker_hub\", trigger_url = \"{TRIGGER}\" }}\n[image.\"e/f\"]\n\
         paths = {{ include = [\"x\", \"**\"] }}\nbackend = {{ kind = \"docker_hub\", trigger_url = \"{TRIGGER}\" }}\n{IMAGE}"
    ));
    let image = |name: &str| &config.rules.images[&name.parse().expect("a name")];
    let (ours, theirs) = (image("a/b"), image("c/d"));
    assert_eq!((ours.ignore_authors.as_slice(), theirs.ignore_authors.len()), (&["renovate[bot]".to_owned()][..], 0));
    let (by_default, own) = (ours.paths.as_ref().expect("paths"), theirs.paths.as_ref().expect("paths"));
    assert!(by_default.holds("docs/a.md") && !by_default.holds("drafts/a.md"));
    assert!(own.holds("docs/a.md") && !own.holds("index.md") && !own.holds("drafts/a.md"), "not merged");
    assert_ne!(by_default.digest, own.digest);
    assert!(image("e/f").paths.is_none(), "every file is as good as no filter");
    assert!(only_image(&parsed(IMAGE)).paths.is_none());
    let shown = Effective::of(&config).to_toml().expect("TOML");
    let table: toml::Table = shown.parse().expect("TOML again");
    let shown = |image: &str, key: &str| table["image"][image][key].to_string();
    assert_eq!(shown("a/b", "paths"), "{ exclude = [\"drafts/**\"], include = [\"**\"] }");
    assert_eq!(shown("a/b", "ignore_authors"), "[\"renovate[bot]\"]");
    assert_eq!(shown("e/f", "paths"), "{ exclude = [], include = [\"**\"] }");
}

/// The example with its secret files in place.
#[test]
fn the_example_is_right() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("secrets")).expect("a directory");
    for (name, text) in [
        ("secrets/trigger-url", TRIGGER),
        ("secrets/github", "test-token-of-github"),
        ("secrets/remote-token", "test-token-of-the-remote"),
        ("secrets/github-old", "test-token-of-github-before"),
        ("phone-token", "test-token-of-the-phone"),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).expect("permissions");
    }
    let variable = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(directory.path().display().to_string()),
        _ => environment(name),
    };
    let text = include_str!("../../systemd/coalesced.example.toml");
    let config = Config::parse(text, "coalesced.example.toml", directory.path(), &variable).expect("the example");
    assert_eq!(config.warnings, [""; 0]);
    assert!(config.rules.buttons["phone"].token.matches(b"test-token-of-the-phone"));
    // The example states its defaults correctly.
    let image = only_image(&config);
    let globs = "repository = \"github.com/mrraph/blog\"\nbranches = [\"master\", \"release/*\"]\ntags = [\"v*\"]\n";
    let named = IMAGE.replacen('\n', &format!("\n{globs}"), 1);
    let defaults = parsed(&format!("{named}username = \"me\"\ntoken = {{ env = \"LONG_TOKEN\" }}\n"));
    let expected = Policy { quiet: Duration::from_mins(2), ..(*only_image(&defaults).policy).clone() };
    assert_eq!(Policy { labels: Vec::new(), ..(*image.policy).clone() }, expected);
    assert_eq!(
        (config.fixed.history, config.fixed.connections_max),
        (defaults.fixed.history, defaults.fixed.connections_max)
    );
    assert_eq!(account(&config), account(&defaults));
}

#[test]
fn a_remote_is_that_of_the_repository_unless_another_is_named() {
    let with = |lines: &str| parsed(&IMAGE.replacen('\n', &format!("\n{lines}\n"), 1));
    let of = |config: &Config| {
        let image = only_image(config);
        let remote = image.remote.as_ref().map(|remote| (remote.url.clone(), remote.token.is_some()));
        (remote, image.policy.reconcile.as_ref().map(|reconcile| reconcile.every))
    };
    let quarter = Some(Duration::from_mins(15));
    assert_eq!(of(&with("")), (None, None));
    let https = "https://github.com/a/b.git".to_owned();
    assert_eq!(of(&with("repository = \"github.com/a/b\"")), (Some((https.clone(), false)), quarter));
    let token = "repository = \"github.com/a/b\"\nremote_token = { env = \"LONG_TOKEN\" }\nreconcile_every = \"5m\"";
    assert_eq!(of(&with(token)), (Some((https, true)), Some(Duration::from_mins(5))));
    let ssh = "ssh://git@github.com/a/b.git".to_owned();
    assert_eq!(of(&with(&format!("remote = \"{ssh}\""))), (Some((ssh, false)), quarter));
    assert_eq!(of(&with("repository = \"github.com/a/b\"\nreconcile_every = \"off\"")), (None, None));
    let off = parsed(&format!("[defaults]\nreconcile_every = \"off\"\n{IMAGE}"));
    let shown = Effective::of(&off).to_toml().expect("TOML");
    assert!(shown.contains("reconcile_every = \"off\""), "{shown}");
    let shown = Effective::of(&with(token)).to_toml().expect("TOML");
    assert!(shown.contains("reconcile_every = \"5m\"") && shown.contains("remote_token = \"(secret)\""), "{shown}");
}

#[test]
fn images_share_a_remote_where_they_show_it_the_same_token() {
    let image = |name: &str, token: &str, globs: &str| {
        format!(
            "[image.\"x/{name}\"]\nrepository = \"github.com/a/b\"\n{token}\ntags = [\"{globs}\"]\n\
             backend = {{ kind = \"docker_hub\", trigger_url = \"{TRIGGER}\" }}\n"
        )
    };
    let (one, other) = ("remote_token = \"test-token-0123456789\"", "remote_token = \"test-token-9876543210\"");
    let images = [("a", "", "v*"), ("b", "", "w*"), ("c", one, "v*"), ("d", other, "v*"), ("e", one, "v*")];
    let config = parsed(&images.map(|(name, token, globs)| image(name, token, globs)).concat());
    let reconciles: Vec<_> = config.rules.images.values().filter_map(|image| image.policy.reconcile.as_ref()).collect();
    let names: Vec<&str> = reconciles.iter().map(|reconcile| &*reconcile.remote).collect();
    let url = "https://github.com/a/b.git";
    assert_eq!(names, [url, url, &format!("{url} (2)"), &format!("{url} (3)"), &format!("{url} (2)")]);
    assert_ne!(reconciles[0].rules, reconciles[1].rules, "other globs are other rules");
    assert_eq!(reconciles[2].rules, reconciles[3].rules, "a new token is not");
}

proptest! {
    /// Nothing shown of a configuration contains a secret, and its form reveals nothing of their length.
    #[test]
    fn what_is_shown_holds_no_secret(secret in "[A-Za-z0-9+/=_.-]{12,80}") {
        let written = |secret: &str| format!(
            "[image.\"a/b\"]\n[image.\"a/b\".backend]\nkind = \"docker_hub\"\nusername = \"me\"\ntoken = \"{secret}\"\n\
             trigger_url = \"https://hub.docker.com/u/a/b/trigger/{secret}/\"\n[source.github]\nsecrets = [\"{secret}\"]\n\
             [button.phone]\ntoken = \"{secret}\"\nimage = \"a/b\"\nbranch = \"main\"\n[token.ci]\nsecret = \"{secret}\"\n"
        );
        let config = parsed(&written(&secret));
        let shown = Effective::of(&config).to_toml().expect("TOML");
        let json = serde_json::to_string(&Effective::of(&config)).expect("JSON");
        let everything = format!("{shown}{json}{config:?}{:?}", config.warnings);
        prop_assert!(!everything.contains(&secret));
        let of_another = Effective::of(&parsed(&written("test-token-of-another"))).to_toml().expect("TOML");
        prop_assert_eq!(shown, of_another);
    }

    /// Any text is either refused or accepted without a panic, and every mistake points into the text.
    #[test]
    fn any_text_is_judged(lines in proptest::collection::vec(
        prop_oneof!["\\PC{0,30}", Just("[image.\"a/b\"]".to_owned()), "quiet = \"\\PC{0,6}\"", "[a-z.]{1,9} = \\{[a-z =\"]{0,9}\\}"],
        0..6,
    )) {
        let text = lines.join("\n");
        if let Err(ConfigError::Mistakes(mistakes)) = parse(&text) {
            prop_assert!(!mistakes.is_empty() && mistakes.is_sorted());
            for mistake in mistakes {
                prop_assert!((1..=text.matches('\n').count() + 1).contains(&mistake.line), "{}", mistake);
                let line = text.split('\n').nth(mistake.line - 1).unwrap_or_default();
                prop_assert!((1..=line.chars().count() + 1).contains(&mistake.column), "{}", mistake);
            }
        }
    }

    /// The message about a misspelled key names the right one.
    #[test]
    fn a_swapped_letter_is_recognised(at in 0_usize..6) {
        let mut key: Vec<char> = "max_wait".chars().collect();
        key.swap(at, at + 1);
        let key: String = key.into_iter().collect();
        prop_assume!(key != "max_wait");
        let error = parse(&format!("{IMAGE}[defaults]\n{key} = \"1m\"\n")).expect_err("unknown").to_string();
        prop_assert!(error.ends_with("write 'max_wait' instead"), "{error}");
    }
}

#[test]
fn what_can_not_work_is_warned_about() {
    let token = "[token.ci]\nsecret = \"test-token-0123456789\"\nimages = \"c/*\"\n";
    let image = IMAGE.replacen('\n', "\nrepository = \"github.com/a/b\"\n", 1);
    for (text, expected) in [
        (String::new(), "c.toml:1:1: no image is configured"),
        (image, "c.toml:1:1: no source is configured"),
        (IMAGE.to_owned(), "c.toml:2:14: no login: builds can't be observed"),
        (format!("{token}{IMAGE}"), "c.toml:3:1: 'images' matches no configured image"),
    ] {
        let warnings = parsed(&text).warnings;
        assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
    }
}

#[test]
fn what_is_known_of_a_kind_is_told_where_an_image_uses_it() {
    let day = "2026-11-23T00:00:00Z".parse().expect("a day");
    let notices = parsed(IMAGE).notices(day);
    assert!(notices.len() == 1 && notices[0].contains("2027-04-01"), "{notices:?}");
    let two = format!("{IMAGE}{}", IMAGE.replace("a/b", "c/d"));
    assert_eq!(parsed(&two).notices(day), notices, "once a kind");
    assert_eq!(parsed("").notices(day), [""; 0]);
}

#[test]
fn two_tokens_with_one_secret_are_refused() {
    let text = "[token.a]\nsecret = \"test-token-0123456789\"\n[token.b]\nsecret = \"test-token-0123456789\"\n";
    let error = parse(&format!("{text}{IMAGE}")).expect_err("the same").to_string();
    assert_eq!(error, "c.toml:4:1: 'secret' is the same as that of [token.a], write another one");
}

#[test]
fn what_is_shown_is_toml_with_every_default() {
    let config = parsed(IMAGE);
    let shown = Effective::of(&config).to_toml().expect("TOML");
    let table: toml::Table = shown.parse().expect("TOML again");
    let image = table["image"]["a/b"].as_table().expect("the image");
    for (key, value) in [("quiet", "30s"), ("max_wait", "10m"), ("build_deadline", "4h10m"), ("skip", "all")] {
        assert_eq!(image[key].as_str(), Some(value), "{key}");
    }
    assert_eq!(table["defaults"]["history"].as_str(), Some("90d"));
    assert_eq!(table["docker_hub"]["concurrent_builds"].as_integer(), Some(5));
    assert_eq!(image["backend"]["trigger_url"].as_str(), Some("(secret)"));
}
