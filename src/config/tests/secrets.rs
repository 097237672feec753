//! Where secrets come from, and the warnings about where they are stored.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::backend::docker_hub::DockerHubKeys;

/// A file with one token, with the secret as written.
fn token(secret: &str) -> String {
    format!("{IMAGE}[token.x]\nsecret = {secret}\n")
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

fn in_directory(secret: &str, directory: &Path) -> Result<Config, ConfigError> {
    let variable = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(directory.display().to_string()),
        _ => environment(name),
    };
    Config::parse(&token(secret), "c.toml", directory, &variable)
}

/// The warnings, except the one that the image has no login.
fn warnings(config: &Config) -> Vec<&str> {
    config.warnings.iter().map(String::as_str).filter(|warning| !warning.contains("expected_build_time")).collect()
}

#[test]
fn it_is_found_wherever_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    write(&directory.path().join("unix"), "test-token-in-a-file\n", 0o600);
    write(&directory.path().join("dos"), "test-token-in-a-file\r\n", 0o600);
    write(&directory.path().join("two"), "test-token-in-a-file\n\n", 0o600);
    for (secret, expected) in [
        ("\"test-token-in-the-text\"", "test-token-in-the-text"),
        ("{ env = \"LONG_TOKEN\" }", "test-token-LONG_TOKEN"),
        ("{ file = \"unix\" }", "test-token-in-a-file"),
        ("{ file = \"dos\" }", "test-token-in-a-file"),
        ("{ file = \"two\" }", "test-token-in-a-file\n"),
        ("{ credential = \"unix\" }", "test-token-in-a-file"),
    ] {
        let config = in_directory(secret, directory.path()).expect(secret);
        assert_eq!(config.rules.tokens["x"].secret.expose(), expected, "{secret}");
        assert_eq!(warnings(&config), [""; 0], "{secret}");
    }
}

#[test]
fn what_can_not_be_had_is_a_mistake_that_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    write(&directory.path().join("empty"), "\n", 0o600);
    write(&directory.path().join("large"), &"x".repeat(64 * 1024 + 1), 0o600);
    fs::create_dir(directory.path().join("folder")).expect("a directory");
    for (secret, expected) in [
        ("\"\"", "6:10: 'secret' is empty"),
        ("\"  \"", "6:10: 'secret' is empty"),
        ("7", "6:10: 'secret' must be a string, { env"),
        ("{ env = \"NOWHERE\" }", "6:18: 'secret': the environment variable 'NOWHERE' is not set"),
        ("{ file = \"nowhere\" }", "6:19: 'secret': the file DIR/nowhere does not exist; create it"),
        ("{ file = \"empty\" }", "6:10: 'secret' is empty"),
        ("{ file = \"large\" }", "6:19: 'secret': the file DIR/large is larger than 64 KiB"),
        ("{ file = \"folder\" }", "6:19: 'secret': the file DIR/folder is not a regular file"),
        ("{ credential = \"nowhere\" }", "6:25: 'secret': the file DIR/nowhere does not exist; create it"),
        ("{ credential = \"../x\" }", "6:25: '../x' is not the name of a credential"),
        (
            "{ fill = \"x\", file = \"large\", env = \"Y\" }",
            "6:10: 'secret' must name one of env, file and credential, not 2",
        ),
        ("{}", "6:10: 'secret' must name one of env, file and credential, not 0 of them"),
    ] {
        let error = in_directory(secret, directory.path()).expect_err(secret).to_string();
        let expected = expected.replace("DIR", &directory.path().display().to_string());
        assert!(error.starts_with(&format!("c.toml:{expected}")), "{secret}: {error}");
    }
    let error = parse(&token("{ fill = \"x\" }")).expect_err("unknown").to_string();
    assert!(error.contains("c.toml:6:12: unknown key 'fill', write 'file' instead"), "{error}");
    let error = parse(&token("{ credential = \"ci\" }")).expect_err("no systemd").to_string();
    assert!(error.contains("CREDENTIALS_DIRECTORY is not set") && error.contains("LoadCredential=ci:FILE"), "{error}");
}

#[test]
fn one_that_others_can_read_or_guess_is_warned_about() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("open");
    write(&path, "test-token-in-a-file\n", 0o640);
    let config = in_directory("{ file = \"open\" }", directory.path()).expect("taken");
    let shown = path.display();
    let expected = format!(
        "c.toml:6:19: the secret file {shown} is readable by its group or by everyone; use mode 0600: chmod 600 {shown}"
    );
    assert_eq!(warnings(&config), [expected]);
    // Under systemd its permissions are systemd's business.
    assert_eq!(warnings(&in_directory("{ credential = \"open\" }", directory.path()).expect("taken")), [""; 0]);
    let config = parsed(&token("\"test-token-15ch\""));
    assert_eq!(warnings(&config), ["c.toml:6:10: 'secret' is shorter than 16 characters, use a longer one"]);
}

#[test]
fn a_secret_in_an_open_file_is_warned_about() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.toml");
    for (mode, expected) in [(0o600, 0), (0o640, 0), (0o644, 2)] {
        write(&path, &token("\"test-token-in-the-text\""), mode);
        let config = Config::load(&path).expect("taken");
        assert_eq!(warnings(&config).len(), expected, "{mode:o}: {:?}", config.warnings);
        assert!(config.file.as_ref() == Some(&path) && !format!("{:?}", config.warnings).contains("test-token"));
    }
}

#[test]
fn a_trigger_url_of_a_strange_form_is_taken_with_a_warning() {
    let cases = [
        (TRIGGER, None),
        ("https://cloud.docker.com/api/build/v1/source/s/trigger/test-token-t/call/", None),
        ("https://registry.hub.docker.com/u/a/b/trigger/test-token-t/", None),
        ("http://127.0.0.1:99/api/build/v1/source/s/trigger/test-token-t/call/", None),
        ("https://registry.hub.docker.com/u/c/d/trigger/test-token-t/", Some("belongs to another image")),
        ("https://hub.docker.com/api/build/v1/source/s/trigger/test-token-t/call", Some("lacks the slash at the end")),
        ("https://hub.docker.com/test-token-t", Some("has an unknown form")),
        ("https://ci.example.org/api/build/v1/source/s/trigger/test-token-t/call/", Some("is not at docker.com")),
    ];
    for (url, expected) in cases {
        let config = parsed(&IMAGE.replace(TRIGGER, url));
        let keys: &DockerHubKeys = only_image(&config).backend.keys().expect("its keys");
        assert_eq!(keys.trigger_url.expose(), url);
        let found = warnings(&config);
        assert_eq!(found.len(), usize::from(expected.is_some()), "{url}: {found:?}");
        assert!(
            expected.is_none_or(|text| found[0].starts_with("c.toml:4:1: ") && found[0].contains(text)),
            "{found:?}"
        );
        assert!(!found.concat().contains("test-token"), "{found:?}");
    }
}
