//! Runs the `git` program so that it never prompts, never hangs, and never shows a token.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::config::{RemoteConfig, Secret};

/// The longest that one query may take.
const LIMIT: Duration = Duration::from_secs(40);
/// The longest wait for `git` to report its version.
const INSTALLED_LIMIT: Duration = Duration::from_secs(5);
/// The most bytes of output: about 150,000 refs.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most bytes of error output that are read.
const COMPLAINT_BYTES_MAX: u64 = 16 * 1024;
/// The most characters of an error message that are shown.
const SHOWN_CHARS_MAX: usize = 300;
/// `git` itself gives up a connection that carries nothing for this long, in seconds.
const SILENCE_SECONDS: &str = "30";
/// The user name for a token if the remote's URL has none: hosts look only at the token.
const USER_DEFAULT: &str = "x-access-token";
/// The protocols allowed. Others, above all `ext`, can run commands.
const PROTOCOLS: &str = "https:ssh:http:git:file";
/// `ssh`, unless the environment names another: it never prompts either.
const SSH: &str = "ssh -oBatchMode=yes -oConnectTimeout=15";
/// The part of our environment that `git` and `ssh` may see: where things are, and how to reach the network. No
/// secrets.
const PASSED_ON: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_EXEC_PATH",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A query to a remote.
pub(super) struct Question<'a> {
    pub(super) remote: &'a RemoteConfig,
    /// Whether to ask which branch `HEAD` points to, too.
    pub(super) needs_default: bool,
}

/// Why the heads of a remote are unknown. Holds no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefsError {
    #[error("failed to run git: {0}")]
    NoGit(std::io::Error),
    #[error("failed to read the answer of git: {0}")]
    Io(std::io::Error),
    #[error("no answer within {} s", LIMIT.as_secs())]
    Late,
    #[error("the answer is larger than {} MiB", ANSWER_BYTES_MAX / 1024 / 1024)]
    TooLarge,
    #[error("git: {0}")]
    Refused(String),
}

/// Whether `git` can be run.
pub(crate) async fn is_installed() -> bool {
    let mut command = Command::new("git");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(INSTALLED_LIMIT, command.status()).await;
    matches!(status, Ok(Ok(status)) if status.success())
}

/// The output of `git ls-remote` for branches and tags.
pub(super) async fn ls_remote(question: &Question<'_>) -> Result<String, RefsError> {
    let answer = tokio::time::timeout(LIMIT, run(command(question))).await;
    match answer.map_err(|_| RefsError::Late)?? {
        Ended::Well(text) => Ok(text),
        Ended::Badly(complaint) => Err(RefsError::Refused(report(&complaint, question.remote))),
    }
}

fn command(question: &Question<'_>) -> Command {
    let (url, user) = without_user(&question.remote.url);
    let mut command = Command::new("git");
    command.arg("ls-remote");
    if question.needs_default {
        // Globs are applied on our side: we ask a remote for everything or, below, for branches and tags.
        command.args(["--symref", "--", &url, "HEAD", "refs/heads/*", "refs/tags/*"]);
    } else {
        command.args(["--heads", "--tags", "--", &url]);
    }
    command.env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    if std::env::var_os("GIT_SSH").is_none() && std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", SSH);
    }
    // No prompts: there is no terminal, and an empty program can't prompt. Messages are in English.
    command.envs([("GIT_TERMINAL_PROMPT", "0"), ("GIT_ASKPASS", ""), ("SSH_ASKPASS_REQUIRE", "never")]);
    command.envs([("GIT_ALLOW_PROTOCOL", PROTOCOLS), ("LC_ALL", "C")]);
    configure(&mut command, question.remote.token.as_ref(), user.as_deref());
    // Not in our own working directory: a repository there would bring its own configuration.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).process_group(0);
    command
}

/// Git's settings, through the environment: others can read a command line.
fn configure(command: &mut Command, token: Option<&Secret>, user: Option<&str>) {
    let mut settings = vec![
        // No credential helper is asked: credentials come only from the configuration.
        ("credential.helper", String::new()),
        ("http.lowSpeedLimit", "1".to_owned()),
        ("http.lowSpeedTime", SILENCE_SECONDS.to_owned()),
    ];
    if let Some(token) = token {
        settings.push(("http.extraHeader", format!("Authorization: Basic {}", basic(token, user))));
        // On a redirect Git would send the header along.
        settings.push(("http.followRedirects", "false".to_owned()));
    }
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
}

fn basic(token: &Secret, user: Option<&str>) -> String {
    STANDARD.encode(format!("{}:{}", user.unwrap_or(USER_DEFAULT), token.expose()))
}

/// An http URL without its user, and the user. In ssh URLs the user is part of the address.
fn without_user(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("http"));
    let with_user = parts.and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_once('/')?;
        let (user, host) = authority.rsplit_once('@')?;
        Some((format!("{scheme}://{host}/{path}"), Some(user.to_owned())))
    });
    with_user.unwrap_or_else(|| (url.to_owned(), None))
}

enum Ended {
    Well(String),
    Badly(String),
}

async fn run(mut command: Command) -> Result<Ended, RefsError> {
    let mut child = command.spawn().map_err(RefsError::NoGit)?;
    let (answer, complaint) = (child.stdout.take(), child.stderr.take());
    let mut family = Family::of(&child);
    let (answer, complaint) = tokio::join!(read(answer, ANSWER_BYTES_MAX), read(complaint, COMPLAINT_BYTES_MAX));
    let answer = answer.map_err(RefsError::Io)?;
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err(RefsError::TooLarge);
    }
    let status = child.wait().await.map_err(RefsError::Io)?;
    family.has_ended();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if status.success() {
        Ok(Ended::Well(text(&answer)))
    } else {
        Ok(Ended::Badly(text(&complaint.unwrap_or_default())))
    }
}

/// Reads at most one byte more than `limit`; then the pipe is closed, and its writer ends.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// `git` and the programs that it runs. Kills all of them when dropped early: killing `git` alone would leave the one
/// that holds the connection.
struct Family {
    leader: Option<u32>,
}

impl Family {
    fn of(child: &Child) -> Self {
        Self { leader: child.id() }
    }

    fn has_ended(&mut self) {
        self.leader = None;
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(leader) = self.leader.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)) {
            // It has not been waited for yet, so its process id is still its own.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// An error message in one line: git's last message, and the line before it, which often is the reason.
fn report(complaint: &str, remote: &RemoteConfig) -> String {
    let lines: Vec<&str> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().position(|line| line.starts_with("fatal: ")).or(lines.len().checked_sub(1));
    let Some(last) = last else { return "it failed without a message".to_owned() };
    let shown = lines[last.saturating_sub(1)..=last].join("; ");
    let shown: String = redacted(&shown, remote).chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    shown.replace("fatal: ", "")
}

/// The text without the token in any form in which it was passed on, and without users in URLs.
fn redacted(text: &str, remote: &RemoteConfig) -> String {
    const MASK: &str = "(secret)";
    let mut text = text.to_owned();
    if let Some(token) = &remote.token {
        let (_, user) = without_user(&remote.url);
        text = text.replace(token.expose(), MASK).replace(&basic(token, user.as_deref()), MASK);
    }
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(&after[host..end]);
        rest = &after[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests;
