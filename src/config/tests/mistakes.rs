//! Every mistake, with the exact line that it causes.

use super::*;
use crate::config::reader::section::with_kind;

const BACKEND: &str = "[image.\"a/b\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"https://hub.docker.com/u/a/b/trigger/test-token-x/\"\n";

/// All lines that the text causes.
fn refused(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Mistakes(mistakes)) => mistakes.iter().map(Diagnostic::to_string).collect(),
        other => panic!("not refused: {other:?}\n{text}"),
    }
}

fn assert_refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(refused(text), [in_file(expected)], "{text}");
    }
}

/// The expected line, with the existing kinds.
fn in_file(expected: &str) -> String {
    let kinds = crate::kinds::kinds();
    let backends: Vec<&str> = kinds.backends.iter().map(|kind| kind.name()).collect();
    let expected = expected.replace("BACKEND_KIND", &with_kind(&backends));
    let expected = expected.replace("SOURCE_KIND", &with_kind(&kinds.sources));
    format!("c.toml:{expected}")
}

/// The cases in a file that has an image.
fn assert_refused_after_image(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(refused(&format!("{text}\n{IMAGE}")), [in_file(expected)], "{text}");
    }
}

#[test]
fn syntax() {
    let found = refused("listen = \nquiet = 30s\n[image\n");
    assert!(found.len() >= 3, "all at once: {found:?}");
    for (line, mistake) in ["c.toml:1:", "c.toml:2:", "c.toml:3:"].into_iter().zip(&found) {
        assert!(mistake.starts_with(line) && mistake.contains("not TOML: "), "{found:?}");
    }
    let found = refused("a = 1\na = 2");
    assert!(found[0].starts_with("c.toml:2:1: not TOML: duplicate key"), "{found:?}");
    let found = refused("[image.a/b]");
    assert!(
        found[0].starts_with("c.toml:1:9: ") && found[0].ends_with("as in [image.\"namespace/name\"]"),
        "{found:?}"
    );
    let error = refused("x = \"test-token-secret").concat();
    assert!(!error.contains("test-token"), "no part of the text is quoted: {error}");
}

#[test]
fn the_top() {
    assert_refused_after_image(&[
        ("lisen = \"127.0.0.1:1\"", "1:1: unknown key 'lisen', write 'listen' instead"),
        (
            "zzzzzzzz = 1",
            "1:1: unknown key 'zzzzzzzz', the nearest is 'button' of: listen, data_dir, public_url, connections_max, defaults, image, \
             source, button, token, docker_hub",
        ),
        (
            "listen = \"localhost:80\"",
            "1:10: 'localhost:80' is not an IP address and a port, write \"127.0.0.1:80\", or \"unix:/path\"",
        ),
        ("listen = [\":80\"]", "1:11: ':80' is not an IP address and a port, write \"0.0.0.0:80\", or \"unix:/path\""),
        ("listen = \"unix:\"", "1:10: 'unix:' needs a path, write \"unix:/run/coalesced/http.sock\""),
        ("listen = []", "1:1: 'listen' is empty, write \"127.0.0.1:8484\""),
        ("listen = 8484", "1:10: 'listen' must be a string or a list of strings, not an integer"),
        ("listen = [\"127.0.0.1:80\",\n \"127.0.0.1:80\"]", "2:2: '127.0.0.1:80' is in 'listen' twice, write it once"),
        (
            "public_url = \"https://x.example/?a=b\"",
            "1:14: 'public_url' must not contain '?' or '#', write one such as \"https://builds.example.org\"",
        ),
        ("public_url = \"x\"", "1:14: 'public_url' is not a URL, write one such as \"https://builds.example.org\""),
        (
            "public_url = \"https://me:test-token@x.example\"",
            "1:14: 'public_url' must not contain a user name or a password, write one such as \"https://builds.example.org\"",
        ),
        ("connections_max = 0", "1:19: 'connections_max' must be from 1 to 100000"),
        ("docker_hub = { concurrent_builds = 0 }", "1:36: 'concurrent_builds' must be from 1 to 1000"),
        (
            "docker_hub = { concurent_builds = 1 }",
            "1:16: unknown key 'concurent_builds', write 'concurrent_builds' instead",
        ),
        (
            "docker_hub.api = \"http://hub.docker.com\"",
            "1:18: 'api' must be https (http only to this machine), write \"https://hub.docker.com\"",
        ),
        ("data_dir = \"\"", "1:12: 'data_dir' is empty, write a directory, or remove it for the default"),
        ("[notify.phone]\nkind = \"ntfy\"", "1:2: 'notify' is not supported in this version yet; remove it"),
        ("source = 1", "1:10: 'source' must be a table, not an integer"),
        ("source.github = 1", "1:8: 'source' holds tables only: write [source.NAME] and put the keys below it"),
    ]);
}

#[test]
fn the_policy() {
    let form = "write a number and its unit, such as \"30s\", \"10m\" or \"4h10m\"";
    let cases = [
        ("quiet = \"5 parsecs\"", "2:9: 'quiet' is not a duration, FORM"),
        ("quiet = 30", "2:9: 'quiet' must be a duration in quotes, FORM"),
        (
            "quiet = \"auto\"",
            "2:9: quiet = \"auto\" is not supported in this version yet; write a duration such as \"30s\"",
        ),
        (
            "quiet = \"11m\"",
            "2:1: quiet (11m) is longer than max_wait (10m), write a shorter quiet or a longer max_wait",
        ),
        (
            "max_wait = \"29s\"",
            "2:1: quiet (30s) is longer than max_wait (29s), write a shorter quiet or a longer max_wait",
        ),
        ("build_deadline = \"0s\"", "2:18: 'build_deadline' is too short, write \"1ms\" or more"),
        ("observe_every = \"1000000y\"", "2:17: 'observe_every' is too long, write at most \"100y\""),
        ("skip = \"haed\"", "2:8: 'skip' is not \"all\", \"head\" or \"never\", write 'head' instead"),
        ("prequeue = \"yes\"", "2:12: 'prequeue' must be true or false, not a string"),
        ("retry_failed = -1", "2:16: 'retry_failed' must be from 0 to 100"),
        ("retry_failed = 1.5", "2:16: 'retry_failed' must be a whole number, not a float"),
        ("reconcile_every = \"0s\"", "2:19: 'reconcile_every' is too short, write \"1s\" or more"),
        ("reconcile_every = \"of\"", "2:19: 'reconcile_every' is not a duration, FORM"),
        ("quite = \"1m\"", "2:1: unknown key 'quite', write 'quiet' instead"),
    ];
    for (line, expected) in cases {
        let expected = format!("c.toml:{}", expected.replace("FORM", form));
        assert_eq!(refused(&format!("[defaults]\n{line}\n{IMAGE}")), [expected.as_str()], "{line}");
        assert_eq!(refused(&format!("[image.\"a/b\"]\n{line}\n{BACKEND}")), [expected], "{line}");
    }
    // What the defaults allow may still be wrong for one image.
    let text = format!("[image.\"a/b\"]\nmax_wait = \"1m\"\n{BACKEND}[defaults]\nquiet = \"5m\"\n");
    let expected = "c.toml:2:1: quiet (5m) is longer than max_wait (1m), write a shorter quiet or a longer max_wait";
    assert_eq!(refused(&text), [expected]);
}

#[test]
fn an_image() {
    let cases = [
        ("brunches = []", "2:1: unknown key 'brunches', write 'branches' instead"),
        (
            "branches = [\"a[\"]",
            "2:13: 'a[' is not a glob (unclosed character class; missing ']'), write a name or a pattern such as \"release/*\"",
        ),
        ("tags = [\"\"]", "2:9: a glob is empty, write a name or a pattern such as \"release/*\""),
        ("branches = [1]", "2:13: 'branches' must be a string, not an integer"),
        (
            "repository = \"blog\"",
            "2:14: 'blog' is not a repository, write host/owner/name, such as \"github.com/owner/name\"",
        ),
        (
            "repository = \"https://GitHub.com/a/B.git\"",
            "2:14: 'https://GitHub.com/a/B.git' has more than host/owner/name, write \"github.com/a/b\"",
        ),
        (
            "repository = \"github.com/a/b/c\"",
            "2:14: 'github.com/a/b/c' is not a repository, write host/owner/name, such as \"github.com/owner/name\"",
        ),
        (
            "remote = \"ext::sh -c id\"",
            "2:10: 'remote' contains white space, write one such as \"https://github.com/owner/name.git\" or \"ssh://git@host/owner/name.git\"",
        ),
        (
            "remote = \"ext://id\"",
            "2:10: 'remote' must begin with one of https, ssh, http, git, file, write one such as \"https://github.com/owner/name.git\" or \"ssh://git@host/owner/name.git\"",
        ),
        (
            "remote = \"git@github.com:a/b.git\"",
            "2:10: 'remote' is not a URL, write one such as \"https://github.com/owner/name.git\" or \"ssh://git@host/owner/name.git\"",
        ),
        (
            "remote = \"https://me:test-token-x@github.com/a/b.git\"",
            "2:10: 'remote' contains a password, write it as 'remote_token' instead",
        ),
        (
            "remote = \"http://example.org/a/b.git\"\nremote_token = \"test-token-0123456789\"",
            "3:1: 'remote_token' needs an https address to be sent to, write 'repository', or 'remote' = \"https://…\"",
        ),
        ("history = \"1d\"", "2:1: 'history' applies to all images, write it under [defaults]"),
        (
            "paths = [\"**\"]",
            "2:9: 'paths' must be a table, write paths = { include = [\"**\"], exclude = [\"drafts/**\"] }",
        ),
        ("paths = { includes = [\"**\"] }", "2:11: unknown key 'includes', write 'include' instead"),
        ("paths = { include = 1 }", "2:21: 'include' must be a string or a list of strings, not an integer"),
        (
            "paths.include = []",
            "2:7: 'include' is empty, so that no push would be built; write [\"**\"] for every file",
        ),
        (
            "paths = { include = [\"**\", \"!drafts/**\"] }",
            "2:28: '!drafts/**' begins with '!', which has no meaning here, write \"drafts/**\" under 'exclude' instead",
        ),
        (
            "paths = { exclude = \"!drafts/keep.md\" }",
            "2:21: '!drafts/keep.md' begins with '!', which has no meaning here, write 'include' without it instead",
        ),
        (
            "paths = { exclude = [\"./drafts/\"] }",
            "2:22: './drafts/' matches no file: paths start at the top of the repository, write \"drafts\"",
        ),
        (
            "paths = { exclude = [\"/drafts/**\"] }",
            "2:22: '/drafts/**' matches no file: paths start at the top of the repository, write \"drafts/**\"",
        ),
        (
            "paths = { exclude = [\"drafts/\"] }",
            "2:22: 'drafts/' matches no file, write \"drafts/**\" for everything below it",
        ),
        (
            "paths = { exclude = [\"a[\"] }",
            "2:22: 'a[' is not a glob (unclosed character class; missing ']'), write a name or a pattern such as \"release/*\"",
        ),
        ("ignore_authors = [7]", "2:19: 'ignore_authors' must be a string, not an integer"),
        (
            "ignore_authors = [\"\"]",
            "2:19: an author is empty, write the name of an account, such as \"renovate[bot]\"",
        ),
        (
            "ignore_authors = [\"bot@example.org\"]",
            "2:19: 'bot@example.org' is an address, write the name of an account, such as \"renovate[bot]\"",
        ),
        (
            "ignore_authors = [\"bot \"]",
            "2:19: 'bot ' has white space at its ends, write the name of an account, such as \"renovate[bot]\"",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(refused(&format!("[image.\"a/b\"]\n{line}\n{BACKEND}")), [format!("c.toml:{expected}")], "{line}");
    }
    assert_refused(&[
        (
            "[image.\"a/b\"]",
            "1:8: 'backend' is missing, write a table [image.\"NAMESPACE/NAME\".backend] with BACKEND_KIND",
        ),
        (
            &IMAGE.replace("a/b", "blog"),
            "1:8: the image 'blog' is not of the form NAMESPACE/NAME; write it as \"namespace/name\"",
        ),
    ]);
}

#[test]
fn a_back_end() {
    let with = |lines: &str| format!("[image.\"a/b\".backend]\n{lines}\n");
    let url = "trigger_url = \"https://hub.docker.com/u/a/b/trigger/test-token-x/\"";
    let hub = |line: &str| with(&format!("kind = \"docker_hub\"\n{url}\n{line}"));
    assert_refused(&[
        (&with(url), "1:14: 'kind' is missing, write BACKEND_KIND"),
        (
            &with("kind = \"docker-hub\""),
            "2:8: there is no kind of back-end called 'docker-hub', write 'docker_hub' instead",
        ),
        (
            &with("kind = \"command\"\nrun = [\"make\"]"),
            "2:8: a back-end of kind \"command\" is not supported in this version yet; write BACKEND_KIND",
        ),
        (
            &with("kind = \"docker_hub\""),
            "1:14: 'trigger_url' is missing, write the URL of the build trigger that Docker Hub shows",
        ),
        (
            &hub("username = \"me\""),
            "4:1: 'username' needs a 'token', write an access token of this user, or remove 'username'",
        ),
        (
            &hub("token = \"test-token-0123456789\""),
            "4:1: 'token' needs a 'username', write the user of the token, or remove 'token'",
        ),
        (&hub("user = \"me\""), "4:1: unknown key 'user', write 'username' instead"),
        (
            &hub("image_tags = { master = \"a b\" }"),
            "4:25: 'a b' is not an image tag, write a name such as \"latest\"; {tag} and {branch} stand for the ref's name",
        ),
        (
            &hub("image_tags = { v = \"{sha}\" }"),
            "4:20: '{sha}' is not an image tag, write a name such as \"latest\"; {tag} and {branch} stand for the ref's name",
        ),
        (
            &with("kind = \"docker_hub\"\ntrigger_url = \"http://hub.docker.com/u/a/b/trigger/test-token-x/\""),
            "3:1: 'trigger_url' must begin with https:// (http only to this machine): it is a password",
        ),
        (
            &with("kind = \"docker_hub\"\ntrigger_url = \"test-token-0123456789\""),
            "3:1: 'trigger_url' is not a URL, paste what Docker Hub shows under Build triggers",
        ),
    ]);
}

#[test]
fn the_ways_in() {
    let secret = "\"test-token-0123456789\"";
    let cases = [
        (
            "[source.gitlab]\nsecrets = [SECRET]",
            "1:9: a source of kind \"gitlab\" is not supported in this version yet; write SOURCE_KIND, or remove it",
        ),
        (
            "[source.push]\nsecrets = [SECRET]",
            "1:9: 'kind' is missing, and the name 'push' is not a kind, write SOURCE_KIND",
        ),
        (
            "[source.push]\nkind = \"gihub\"\nsecrets = [SECRET]",
            "2:8: there is no kind of source called 'gihub', write 'github' instead",
        ),
        (
            "[source.github]",
            "1:9: 'secrets' is missing, write secrets = [\"…\"] with the secret that the sender signs with",
        ),
        ("[source.github]\nsecrets = []", "2:11: 'secrets' is empty, write the secret that the sender signs with"),
        ("[source.github]\nsecrets = [SECRET]\nsecret = SECRET", "3:1: unknown key 'secret', write 'secrets' instead"),
        (
            "[source.\"git/hub\"]\nkind = \"github\"\nsecrets = [SECRET]",
            "1:9: 'git/hub' is not allowed as a name, write up to 64 letters, digits, '.', '_' and '-': it becomes part of a path",
        ),
        (
            "[button.x]\ntoken = SECRET\nimage = \"a/c\"\nbranch = \"m\"",
            "3:9: no image 'a/c' is configured, write 'a/b' instead",
        ),
        (
            "[button.x]\ntoken = SECRET\nimage = \"a/b\"",
            "1:9: 'branch' is missing, write branch = \"…\" or tag = \"…\": the image doesn't have exactly one branch",
        ),
        (
            "[button.x]\ntoken = SECRET\nimage = \"a/b\"\nbranch = \"m\"\ntag = \"v\"",
            "5:1: 'branch' and 'tag' are both set, write one of them",
        ),
        (
            "[button.x]\ntoken = SECRET\nimage = \"a/b\"\nbranch = \"a..b\"",
            "4:10: the ref 'refs/heads/a..b' is not a name that Git allows; write its short name, such as \"main\"",
        ),
        (
            "[button.x]\ntoken = SECRET\nimage = \"a/b\"\nbranch = \"m\"\nallow_gets = true",
            "5:1: unknown key 'allow_gets', write 'allow_get' instead",
        ),
        ("[button.x]\nimage = \"a/b\"\nbranch = \"m\"", "1:9: 'token' is missing, write the token for this button"),
        (
            "[token.x]\nsecret = SECRET\nscope = \"tigger\"",
            "3:9: 'scope' is not \"read\", \"trigger\" or \"admin\", write 'trigger' instead",
        ),
        ("[token.x]\nscope = \"read\"", "1:8: 'secret' is missing, write the secret that a client sends"),
        (
            "[token.x]\nsecret = SECRET\nimages = [\"{a\"]",
            "3:11: '{a' is not a glob (unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)), write a name or a pattern such as \"release/*\"",
        ),
        ("[token.x]\nsecret = SECRET\nimage = \"a/b\"", "3:1: unknown key 'image', write 'images' instead"),
    ];
    for (text, expected) in cases {
        assert_refused_after_image(&[(&text.replace("SECRET", secret), expected)]);
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "lisen = \"x\"\n[button.b]\ntoken = \"\"\nimage = \"c/d\"\nbranch = \"m\"\n[defaults]\nquiet = \"x\"\n\
                [image.\"a/b\"]\n[source.github]\nsecrets = [\"\", 7]\n";
    let lines: Vec<_> =
        refused(text).iter().map(|line| line.split(": ").next().unwrap_or_default().to_owned()).collect();
    let places = ["1:1", "3:9", "4:9", "7:9", "8:8", "10:12", "10:16"];
    assert_eq!(lines, places.map(|place| format!("c.toml:{place}")));
}

#[test]
fn a_column_counts_characters() {
    let text = format!("[image.\"a/b\"]\nbranches = [\"größer\", \"\"]\n{BACKEND}");
    assert!(refused(&text)[0].starts_with("c.toml:2:23: "), "{:?}", refused(&text));
}

#[test]
fn a_missing_file_is_a_mistake_of_configuration_and_an_unreadable_one_of_the_system() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = Config::load(&directory.path().join("none.toml")).expect_err("there is none");
    assert_eq!(missing.exit_code(), 78);
    assert!(missing.to_string().contains("none.toml"));
    assert_eq!(Config::load(directory.path()).expect_err("a directory").exit_code(), 74);
    let path = directory.path().join("c.toml");
    std::fs::write(&path, b"\n# \xff").expect("written");
    let error = Config::load(&path).expect_err("not UTF-8");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().ends_with("c.toml:2:3: this is not UTF-8, save the file as UTF-8"), "{error}");
    assert_eq!(Config::find(Some(&path)).expect("named"), path);
}
