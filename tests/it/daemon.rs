//! The real binary in a directory of its own, and the verbs of its world: push, tap, kill, restart, look.
//!
//! Tests wait for states, never for durations; the only wall-clock time is the quiet periods.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hmac::{KeyInit, Mac};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_coalesced");
pub const SECRET: &str = "test-secret-of-the-github-hook";
pub const BUTTON: &str = "test-token-of-the-phone-button";
pub const TOKEN: &str = "test-token-of-the-api-for-admins";
/// Nothing in these tests takes longer, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Daemon {
    pub directory: TempDir,
    pub url: String,
    child: Child,
    client: reqwest::Client,
}

/// What a test wants configured beside the usual.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub trigger_url: String,
    /// The base address of Docker Hub, and the login there; without it the back-end is blind.
    pub hub: String,
    pub login: Option<(String, String)>,
    pub quiet: &'static str,
    /// More lines for `[image."acme/web"]`.
    pub image: String,
    /// More tables at the end.
    pub more: String,
}

impl Wanted {
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\n[defaults]\nquiet = \"{}\"\nmax_wait = \"20s\"\n\
             observe_after = \"200ms\"\nobserve_every = \"200ms\"\nreconcile_every = \"off\"\n\n[docker_hub]\napi = \"{}\"\n\n\
             [image.\"acme/web\"]\nrepository = \"github.com/acme/web\"\nbranches = [\"master\", \"dev\"]\ntags = [\"v*\"]\n{}\n\
             [image.\"acme/web\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"{}\"\n",
            self.quiet, self.hub, self.image, self.trigger_url
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
    pub async fn start(wanted: &Wanted) -> Self {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join("coalesced.toml"), wanted.to_toml()).expect("a configuration");
        let child = spawn(directory.path());
        let mut daemon = Self { directory, url: String::new(), child, client: client() };
        daemon.await_ready().await;
        daemon
    }

    /// Ends it at once, as a power cut would, but for the disk's cache.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// Asks it to end and waits for that; answers with its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(killed.success());
        self.child.wait().expect("it was ours").code()
    }

    pub async fn restart(&mut self) {
        self.child = spawn(self.directory.path());
        self.await_ready().await;
    }

    async fn await_ready(&mut self) {
        let file = self.directory.path().join("data/client.json");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "not ready in time: {}", self.log());
            if let Some(status) = self.child.try_wait().expect("it was ours") {
                panic!("it ended with {status}: {}", self.log());
            }
            if let Ok(text) = std::fs::read_to_string(&file)
                && let Ok(found) = serde_json::from_str::<Value>(&text)
                && found["pid"] == json!(self.child.id())
            {
                found["url"].as_str().expect("an address").clone_into(&mut self.url);
                if self.client.get(format!("{}/ready", self.url)).send().await.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A push as GitHub sends it, signed.
    pub async fn push(&self, push: &Push) -> (u16, Value) {
        let body = push.body();
        let signature = sign(SECRET, body.as_bytes());
        self.hook(&body, "application/json", "push", &push.delivery, Some(&signature)).await
    }

    pub async fn hook(
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

    /// One press of the phone's button, as its applet makes it: no User-Agent.
    pub async fn tap(&self, body: &str) -> (u16, String) {
        let request = self.client.post(format!("{}/buttons/phone", self.url)).bearer_auth(BUTTON);
        let response = request.body(body.to_owned()).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a text"))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.url)).bearer_auth(TOKEN)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.client.post(format!("{}{path}", self.url)).bearer_auth(TOKEN).json(body)).await
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Asks again until `holds`, and answers with what was seen then.
    pub async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
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
    pub async fn until_at_rest(&self) -> Value {
        self.until("/v1/images/acme/web", "at rest", |lane| {
            lane["running"].is_null() && lane["queued"].is_null() && lane["keys"] == json!([])
        })
        .await
    }

    /// A client command of the same binary against this daemon.
    pub fn run(&self, arguments: &[&str]) -> Output {
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

pub fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(BINARY).args(arguments).current_dir(directory).stdin(Stdio::null()).output();
    output.expect("the binary runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn spawn(directory: &Path) -> Child {
    let log: PathBuf = directory.join("log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    Command::new(BINARY)
        .args(["serve", "--config", "coalesced.toml"])
        .current_dir(directory)
        .env("COALESCED_LOG", "trace")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary runs")
}

pub fn client() -> reqwest::Client {
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
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// One push to `acme/web`.
#[derive(Clone, Debug)]
pub struct Push {
    pub git_ref: String,
    pub before: String,
    pub after: String,
    pub message: String,
    pub delivery: String,
}

impl Push {
    /// The `number`-th push to a branch; commits follow each other.
    pub fn to_branch(branch: &str, number: u32) -> Self {
        Self {
            git_ref: format!("refs/heads/{branch}"),
            before: commit(number - 1),
            after: commit(number),
            message: format!("Change number {number}"),
            delivery: format!("00000000-0000-4000-8000-{number:012}"),
        }
    }

    pub fn body(&self) -> String {
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
pub fn commit(number: u32) -> String {
    format!("{:08x}{:032x}", 0xc0ff_ee00_u32 + number, 0)
}
