//! How `git` is run and how its errors are shown, with the real program and real repositories.

use std::path::Path;
use std::process::Command as Std;

use super::*;

fn remote(url: &str, token: Option<&str>) -> RemoteConfig {
    RemoteConfig { url: url.to_owned(), token: token.map(|token| Secret::new(token.to_owned())) }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Std::new("git").args(arguments).current_dir(directory).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// A repository with a branch, another one, a plain tag and an annotated one.
fn repository(directory: &Path) -> String {
    git(directory, &["init", "--quiet", "--initial-branch=trunk", "."]);
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    git(directory, &[&identity[..], &["commit", "--quiet", "--allow-empty", "-m", "one"]].concat());
    git(directory, &["branch", "dev"]);
    git(directory, &["tag", "v1"]);
    git(directory, &[&identity[..], &["tag", "-a", "v2", "-m", "two"]].concat());
    git(directory, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_repository_on_disk_is_listed_with_and_without_its_default_branch() {
    let directory = tempfile::tempdir().expect("a directory");
    let commit = repository(directory.path());
    let remote = remote(&format!("file://{}", directory.path().display()), None);
    for needs_default in [true, false] {
        let text = ls_remote(&Question { remote: &remote, needs_default }).await.expect("an answer");
        let listing = crate::refs::Listing::read(&text);
        assert_eq!(listing.default_branch.as_deref(), needs_default.then_some("trunk"));
        let heads: Vec<_> =
            listing.heads.iter().map(|(git_ref, head)| (git_ref.as_str(), head.commit.as_str())).collect();
        let expected = ["refs/heads/dev", "refs/heads/trunk", "refs/tags/v1", "refs/tags/v2"];
        assert_eq!(heads, expected.map(|name| (name, commit.as_str())), "the annotated tag's commit, not its object");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_complaint_in_one_line() {
    let remote = remote("file:///nowhere/at/all", None);
    let error = ls_remote(&Question { remote: &remote, needs_default: false }).await.expect_err("nothing is there");
    let error = error.to_string();
    assert!(error.starts_with("git: ") && error.contains("/nowhere/at/all") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn other_protocols_are_not_spoken() {
    let remote = remote("ext::touch never", None);
    let error = ls_remote(&Question { remote: &remote, needs_default: false }).await.expect_err("refused");
    assert!(error.to_string().contains("not allowed"), "{error}");
}

#[test]
fn a_token_is_in_the_environment_only_and_users_leave_the_url() {
    let remote = remote("https://oauth2@git.example.org/a/b.git", Some("test-token-of-the-remote"));
    let command = command(&Question { remote: &remote, needs_default: true });
    let command = command.as_std();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    assert_eq!(
        arguments,
        ["ls-remote", "--symref", "--", "https://git.example.org/a/b.git", "HEAD", "refs/heads/*", "refs/tags/*"]
    );
    let environment: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_string_lossy(), value.unwrap_or_default().to_string_lossy()))
        .collect();
    let header = format!("Authorization: Basic {}", STANDARD.encode("oauth2:test-token-of-the-remote"));
    assert!(environment.iter().any(|(name, value)| name.starts_with("GIT_CONFIG_VALUE_") && *value == header));
    assert!(environment.iter().all(|(name, _)| !name.starts_with("CARGO")), "our environment stays with us");
}

#[test]
fn a_complaint_is_its_last_line_and_the_reason_before_it_without_secrets() {
    let remote = remote("https://me@git.example.org/a/b.git", Some("test-token-of-the-remote"));
    let of_ssh = "git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n\
                  Please make sure you have the correct access rights\nand the repository exists.\n";
    let header = format!("fatal: sent {}", STANDARD.encode("me:test-token-of-the-remote"));
    for (complaint, expected) in [
        (of_ssh, "git@host: Permission denied (publickey).; Could not read from remote repository."),
        ("fatal: repository 'https://me:pw@host/a/' not found", "repository 'https://host/a/' not found"),
        ("one\ntwo\nthree\n", "two; three"),
        ("fatal: 'test-token-of-the-remote'", "'(secret)'"),
        (&header, "sent (secret)"),
        ("", "it failed without a message"),
    ] {
        assert_eq!(report(complaint, &remote), expected, "{complaint}");
    }
    assert!(report(&"x".repeat(10_000), &remote).len() <= SHOWN_CHARS_MAX);
}

#[tokio::test]
async fn a_question_that_is_given_up_ends_git_and_what_it_runs() {
    // A server that accepts the connection and stays silent.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let remote = remote(&format!("http://{address}/a/b.git"), None);
    let question = Question { remote: &remote, needs_default: false };
    let (connected, seen) = tokio::sync::oneshot::channel();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        connected.send(()).expect("somebody waits");
        let mut byte = [0; 4096];
        // The request, then nothing until the peer is gone.
        while std::io::Read::read(&mut connection, &mut byte).is_ok_and(|read| read > 0) {}
    });
    tokio::select! {
        answer = ls_remote(&question) => panic!("{answer:?}"),
        seen = seen => seen.expect("a connection"),
    }
    // Dropped: the connection closes at once, long before the program that holds it would give up by itself.
    let ended = tokio::task::spawn_blocking(|| server.join());
    let patience = Duration::from_secs(15);
    tokio::time::timeout(patience, ended).await.expect("in time").expect("it ends").expect("no panic");
}
