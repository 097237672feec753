//! The real binary in its own directory, and the actions of its world: push, tap, kill, restart, look.
//!
//! Tests wait for states, never for durations; the only wall-clock time is the quiet periods.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use coalesced::emulator::{EmulatedHub, HubSettings, Mode, TrueBuild};
use coalesced::model::{GitRef, ImageName};
use hmac::{KeyInit, Mac};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{BINARY, found, serve};

pub(crate) const SECRET: &str = "test-secret-of-the-github-hook";
pub(crate) const BUTTON: &str = "test-token-of-the-phone-button";
pub(crate) const TOKEN: &str = "test-token-of-the-api-for-admins";
/// Nothing in these tests takes longer, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    pub(crate) directory: TempDir,
    pub(crate) url: String,
    child: Child,
    client: reqwest::Client,
    wanted: Wanted,
}

/// What a test configures besides the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) trigger_url: String,
    /// The base address of Docker Hub, and the login there; without it the back-end is blind.
    pub(crate) hub: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) quiet: &'static str,
    /// More lines for `[image."acme/web"]`.
    pub(crate) image: String,
    /// More lines for `[defaults]`.
    pub(crate) defaults: &'static str,
    /// More tables at the end.
    pub(crate) more: String,
    /// The value of `COALESCED_LOG`; the default level if empty.
    pub(crate) log: &'static str,
    /// A program to run the daemon under, with its arguments.
    pub(crate) under: Vec<String>,
}

impl Wanted {
    pub(crate) fn to_toml(&self) -> String {
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\n[defaults]\nquiet = \"{}\"\nmax_wait = \"20s\"\n\
             observe_after = \"200ms\"\nobserve_every = \"200ms\"\nreconcile_every = \"off\"\n{}\n[docker_hub]\napi = \"{}\"\n\n\
             [image.\"acme/web\"]\nrepository = \"github.com/acme/web\"\nbranches = [\"master\", \"dev\"]\ntags = [\"v*\"]\n{}\n\
             [image.\"acme/web\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"{}\"\n",
            self.quiet, self.defaults, self.hub, self.image, self.trigger_url
        );
        if let Some((username, token)) = &self.login {
            writeln!(text, "username = \"{username}\"\ntoken = \"{token}\"").expect("a String takes all");
        }
        writeln!(
            text,
            "\n[source.github]\nsecrets = [\"{SECRET}\", \"test-secret-of-before-the-rotation\"]\n\n[button.phone]\ntoken = \"{BUTTON}\"\nimage = \"acme/web\"\nbranch = \"master\"\n\n\
             [token.admin]\nsecret = \"{TOKEN}\"\nscope = \"admin\"\n{}",
            self.more
        )
        .expect("a String takes all");
        text
    }
}

impl Daemon {
    pub(crate) async fn start(wanted: &Wanted) -> Self {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join("coalesced.toml"), wanted.to_toml()).expect("a configuration");
        let child = spawn(directory.path(), wanted);
        let mut daemon = Self { directory, url: String::new(), child, client: client(), wanted: wanted.clone() };
        daemon.await_ready().await;
        daemon
    }

    /// Kills it at once, like a power cut, except for the disk's cache.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// Asks it to end and waits; returns its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(killed.success());
        self.child.wait().expect("it was ours").code()
    }

    /// Its exit code, when it ends by itself.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("it was ours").code()
    }

    /// Starts it again, by another program or by none.
    pub(crate) async fn restart_under(&mut self, under: Vec<String>) {
        self.wanted.under = under;
        self.restart().await;
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.directory.path(), &self.wanted);
        self.await_ready().await;
    }

    async fn await_ready(&mut self) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "not ready in time: {}", self.log());
            if let Some(status) = self.child.try_wait().expect("it was ours") {
                panic!("it ended with {status}: {}", self.log());
            }
            if let Some((url, pid)) = found(self.directory.path())
                && pid == self.child.id()
            {
                self.url = url;
                if self.client.get(format!("{}/ready", self.url)).send().await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process's memory, without file pages.
    #[cfg(target_os = "linux")]
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of Linux 4.5 or later");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A push as GitHub sends it, signed.
    pub(crate) async fn push(&self, push: &Push) -> (u16, Value) {
        let body = push.body();
        let signature = sign(SECRET, body.as_bytes());
        self.hook(&body, "application/json", "push", &push.delivery, Some(&signature)).await
    }

    pub(crate) async fn hook(
        &self,
        body: &str,
        content_type: &str,
        event: &str,
        delivery: &str,
        signature: Option<&str>,
    ) -> (u16, Value) {
        let mut request = self
            .client
            .post(format!("{}/hooks/github", self.url))
            .header("content-type", content_type)
            .header("x-github-event", event)
            .header("x-github-delivery", delivery)
            .body(body.to_owned());
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        answer(request).await
    }

    /// One press of the phone's button, as its applet sends it: no User-Agent.
    pub(crate) async fn tap(&self, body: &str) -> (u16, String) {
        let request = self.client.post(format!("{}/buttons/phone", self.url)).bearer_auth(BUTTON);
        let response = request.body(body.to_owned()).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a text"))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.url)).bearer_auth(TOKEN)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.client.post(format!("{}{path}", self.url)).bearer_auth(TOKEN).json(body)).await
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Asks again until `holds`, and returns what was seen then.
    pub(crate) async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (_, seen) = self.get(path).await;
            if holds(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "never {what}: {seen:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing open, nothing queued, nothing running.
    pub(crate) async fn until_at_rest(&self) -> Value {
        self.until("/v1/images/acme/web", "at rest", |lane| {
            lane["running"].is_null() && lane["queued"].is_null() && lane["keys"] == json!([])
        })
        .await
    }

    /// A client command of the same binary against this daemon.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run_in(self.directory.path(), &[&["--data-dir", "data"], arguments].concat())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(BINARY).args(arguments).current_dir(directory).stdin(Stdio::null()).output();
    output.expect("the binary runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn spawn(directory: &Path, wanted: &Wanted) -> Child {
    let mut command = serve(directory, &wanted.under);
    if !wanted.log.is_empty() {
        command.env("COALESCED_LOG", wanted.log);
    }
    command.spawn().expect("the binary runs")
}

pub(crate) fn client() -> reqwest::Client {
    // A provider may be installed already; the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client")
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// GitHub's `X-Hub-Signature-256`.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// The daemon, and the Docker Hub that it talks to.
pub(crate) struct Stage {
    pub(crate) hub: EmulatedHub,
    pub(crate) daemon: Daemon,
}

pub(crate) const HUB_USER: &str = "acme";
pub(crate) const HUB_PASSWORD: &str = "test-password-of-docker-hub";

impl Stage {
    /// A Docker Hub with `settings`, and a daemon that can log in there.
    pub(crate) async fn set(settings: HubSettings, wanted: Wanted) -> Self {
        let login = Some((HUB_USER.to_owned(), HUB_PASSWORD.to_owned()));
        Self::set_with(settings, Wanted { login, ..wanted }).await
    }

    /// The same, with the login that `wanted` says.
    pub(crate) async fn set_with(settings: HubSettings, wanted: Wanted) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mode = settings.mode;
        let hub = EmulatedHub::serve(listener, settings, HUB_USER, HUB_PASSWORD).expect("a Hub");
        let urls = hub.register(&image());
        let trigger_url = if mode == Mode::Classic { urls.legacy } else { urls.current };
        let daemon = Daemon::start(&Wanted { trigger_url, hub: hub.url().to_owned(), ..wanted }).await;
        Self { hub, daemon }
    }

    /// Moves the tip of the branch and tells the daemon, which must accept it.
    pub(crate) async fn push(&self, push: &Push) -> Value {
        self.tip(push);
        let (status, answer) = self.daemon.push(push).await;
        assert_eq!(status, 202, "{answer:#}");
        answer
    }

    pub(crate) fn tip(&self, push: &Push) {
        let git_ref: GitRef = push.git_ref.parse().expect("a ref");
        self.hub.push(&image(), &git_ref, push.after.parse().expect("a commit"));
    }

    pub(crate) fn builds(&self) -> Vec<TrueBuild> {
        self.hub.true_builds(&image())
    }

    /// Whether some build actually contained this commit.
    pub(crate) fn has_built(&self, commit: &str) -> bool {
        self.builds().iter().any(|build| build.commit.as_ref().is_some_and(|built| built.as_str() == commit))
    }

    /// Waits until the Hub has seen that many calls of the trigger.
    pub(crate) async fn until_triggered(&self, calls: u64) {
        let begun = Instant::now();
        while self.hub.counters().triggers < calls {
            assert!(begun.elapsed() < PATIENCE, "never triggered: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A Hub whose builds take `millis`.
pub(crate) fn builds_take(millis: u64) -> HubSettings {
    HubSettings { build_time: Duration::from_millis(millis), ..HubSettings::default() }
}

/// A test's usual settings, with this quiet period.
pub(crate) fn quiet(quiet: &'static str) -> Wanted {
    Wanted { quiet, ..Wanted::default() }
}

pub(crate) fn image() -> ImageName {
    "acme/web".parse().expect("an image")
}

/// One push to `acme/web`.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) git_ref: String,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) message: String,
    pub(crate) delivery: String,
}

impl Push {
    /// The `number`-th push to a branch; commits follow each other.
    pub(crate) fn to_branch(branch: &str, number: u32) -> Self {
        Self {
            git_ref: format!("refs/heads/{branch}"),
            before: commit(number - 1),
            after: commit(number),
            message: format!("Change number {number}"),
            delivery: format!("00000000-0000-4000-8000-{number:012}"),
        }
    }

    pub(crate) fn body(&self) -> String {
        let deleted = self.after.bytes().all(|byte| byte == b'0');
        let head = json!({
            "id": self.after, "message": self.message, "timestamp": "2026-11-23T10:00:00+01:00",
            "author": { "name": "Ada", "email": "ada@example.org" }, "added": [], "modified": ["index.md"], "removed": []
        });
        json!({
            "ref": self.git_ref, "before": self.before, "after": self.after,
            "created": false, "deleted": deleted, "forced": false, "base_ref": null,
            "commits": if deleted { json!([]) } else { json!([head]) },
            "head_commit": if deleted { Value::Null } else { head },
            "repository": {
                "full_name": "acme/web", "html_url": "https://github.com/acme/web", "default_branch": "master",
                "pushed_at": 1_795_428_000
            },
            "pusher": { "name": "ada", "email": null },
            "sender": { "login": "ada" }
        })
        .to_string()
    }
}

/// The commit of the `number`-th push.
pub(crate) fn commit(number: u32) -> String {
    format!("{:08x}{:032x}", 0xc0ff_ee00_u32 + number, 0)
}
