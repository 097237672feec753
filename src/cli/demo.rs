//! `coalesced demo`: what coalesced is for, without an account or a configuration.
//!
//! An emulated Docker Hub, the daemon in a temporary directory, and real pushes to a blog, signed as GitHub signs and
//! sent at their original times, only faster. At the end the emulated Docker Hub reports what it truly built, and what
//! it would have made of the same pushes alone.

mod report;
mod trace;

use std::io::Write as _;
use std::time::Duration;

use hmac::{KeyInit as _, Mac as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::report::Outcome;
use self::trace::{Happening, What};
use super::locate::Reach;
use super::{CliError, Run, terminal};
use crate::clock::wall;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::emulator::{AloneReport, EmulatedHub, HubSettings, TakesTip, alone};
use crate::model::{GitRef, ImageName, Timestamp};

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// How much faster than in reality, up to 1500
    #[arg(long, default_value_t = 200.0, value_name = "N")]
    speed: f64,
    /// Print only the result
    #[arg(long)]
    headless: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const IMAGE: &str = "mrraph/blog";
const BRANCH: &str = "main";
const SECRET: &str = "test-secret-of-the-demo-webhook";
const BUTTON: &str = "test-token-of-the-demo-button";
const USERNAME: &str = "mrraph";
const PASSWORD: &str = "test-token-of-the-demo-hub";
/// The demo's policy, before it is sped up: the defaults.
const QUIET: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_mins(10);
/// How long a build of the blog takes.
const BUILD_TIME: Duration = Duration::from_mins(5);
/// After the last push everything must be built within this wall-clock time.
const REST_LIMIT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Beyond this speed a build takes less time than a query about it.
const SPEED_MAX: f64 = 1_500.0;

/// Runs the demo; fails if a push was lost.
impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, _: &Reach) -> Result<(), CliError> {
        if !(self.speed >= 1.0 && self.speed <= SPEED_MAX) {
            return Err(CliError::Usage(format!("--speed must be between 1 and {SPEED_MAX}")));
        }
        if std::env::var_os("COALESCED_LOG").is_some_and(|levels| !levels.is_empty()) {
            crate::telemetry::init();
        }
        let happenings = trace::read();
        let outcome = Demo::start(&self).await?.play(&happenings).await?;
        let text = if self.json { outcome.to_json() } else { outcome.to_text() };
        terminal::print_raw(text.as_bytes())?;
        if outcome.nothing_is_lost() { Ok(()) } else { Err(CliError::Failed("a push was lost".to_owned())) }
    }
}

/// The emulated Docker Hub, the daemon and the sender of pushes.
struct Demo {
    hub: EmulatedHub,
    daemon: Daemon,
    client: reqwest::Client,
    image: ImageName,
    git_ref: GitRef,
    settings: HubSettings,
    speed: f64,
    talks: bool,
    /// Held for its drop.
    _directory: TempDir,
}

impl Demo {
    async fn start(args: &Args) -> Result<Self, CliError> {
        let io = |what: &'static str| move |source| CliError::Io { what: what.to_owned(), source };
        let image: ImageName = IMAGE.parse().expect("a name as written above");
        let git_ref = GitRef::branch(BRANCH).expect("a name as written above");
        let directory = TempDir::new().map_err(io("failed to make a temporary directory"))?;
        // The least helpful service: a build takes the commit that was there when it was triggered.
        let settings =
            HubSettings { build_time: BUILD_TIME, takes_tip: TakesTip::WhenTriggered, ..HubSettings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(io("failed to listen"))?;
        let hub = EmulatedHub::serve(listener, settings.faster(args.speed), USERNAME, PASSWORD)
            .map_err(io("failed to serve"))?;
        let trigger_url = hub.register(&image).current;
        let text = configuration(&hub, &trigger_url, args.speed);
        let config = Config::parse(&text, "demo", directory.path(), &|_| None)?;
        let daemon = Daemon::start(config).await?;
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(|error| CliError::Failed(format!("failed to set up the client: {error}")))?;
        let (talks, speed) = (!args.headless && !args.json, args.speed);
        Ok(Self { hub, daemon, client, image, git_ref, settings, speed, talks, _directory: directory })
    }

    /// Plays everything at its time, waits until nothing is left to do, and looks at the truth.
    async fn play(self, happenings: &[Happening]) -> Result<Outcome, CliError> {
        self.say(&format!(
            "Emulated Docker Hub at {}, daemon at {}.\n\
             Replaying two evenings of real pushes to a blog, {} times faster; a build takes {}. Times are the original ones.\n",
            self.hub.url(),
            self.daemon.url,
            self.speed,
            humantime::format_duration(BUILD_TIME),
        ));
        let began = wall();
        for (index, happening) in happenings.iter().enumerate() {
            let due = began.plus(happening.at.div_f64(self.speed));
            tokio::time::sleep(due.since(wall())).await;
            let answer = match &happening.what {
                What::Push { commit } => {
                    self.hub.push(&self.image, &self.git_ref, commit.clone());
                    let before = happenings[..index].iter().rev().find_map(Happening::commit);
                    self.push(commit.as_str(), before.map_or("", |before| before.as_str())).await?
                }
                What::Tap => self.tap().await?,
            };
            self.say(&format!("{}  {:<12} {answer}\n", clock(happening.at), happening.title()));
        }
        self.until_at_rest(began).await?;
        let truth = self.hub.true_builds(&self.image);
        let counters = self.hub.counters();
        let alone = self.what_it_would_do_alone(happenings);
        let took = wall().since(began);
        self.end().await?;
        Ok(Outcome::new(happenings, &truth, counters, alone, took))
    }

    /// A push as GitHub sends it: JSON, signed over the raw bytes, with its own id.
    async fn push(&self, commit: &str, before: &str) -> Result<String, CliError> {
        let head = json!({
            "id": commit, "message": "Tune the style", "timestamp": "2021-08-29T08:09:50Z",
            "author": { "name": "A blogger", "email": "blogger@example.org" },
            "added": [], "modified": ["assets/style.css"], "removed": []
        });
        let body = json!({
            "ref": self.git_ref, "before": before, "after": commit, "created": false, "deleted": false,
            "forced": false, "commits": [head], "head_commit": head,
            "repository": {
                "full_name": "mrraph/blog", "html_url": "https://github.com/mrraph/blog", "default_branch": BRANCH
            },
            "pusher": { "name": "mrraph" }
        })
        .to_string();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let request = self
            .client
            .post(format!("{}/hooks/github", self.daemon.url))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", format!("demo-{commit}"))
            .header("x-hub-signature-256", signature)
            .body(body);
        let answer: Value = serde_json::from_str(&accepted(request).await?).unwrap_or_default();
        Ok(answer["receipts"][0]["why"].as_str().unwrap_or("accepted").to_owned())
    }

    /// A press of the phone's button.
    async fn tap(&self) -> Result<String, CliError> {
        let request = self.client.post(format!("{}/buttons/phone", self.daemon.url)).bearer_auth(BUTTON);
        let answer = accepted(request).await?;
        Ok(answer.trim().split_once(": ").map_or(answer.trim(), |(_, why)| why).to_owned())
    }

    async fn until_at_rest(&self, began: Timestamp) -> Result<(), CliError> {
        let since = wall();
        loop {
            let lanes = self.daemon.handle.lanes();
            if lanes.iter().all(|lane| lane.keys.is_empty() && lane.queued.is_none() && lane.running.is_none()) {
                let at = wall().since(began).mul_f64(self.speed);
                self.say(&format!("{}  all builds are done\n", clock(at)));
                return Ok(());
            }
            if wall().since(since) > REST_LIMIT {
                return Err(CliError::Failed("builds were still waiting or running after a minute".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn what_it_would_do_alone(&self, happenings: &[Happening]) -> AloneReport {
        let mut newest = None;
        let calls: Vec<_> = happenings
            .iter()
            .filter_map(|happening| {
                newest = happening.commit().cloned().or(newest.take());
                Some((Timestamp::from_millis(0).plus(happening.at), self.git_ref.clone(), newest.clone()?))
            })
            .collect();
        alone(&self.settings, &self.image, &calls)
    }

    async fn end(self) -> Result<(), CliError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let _ = stop.send(());
        let ended = self.daemon.run(async {
            let _ = stopped.await;
        });
        ended.await?;
        self.hub.stop().await;
        Ok(())
    }

    fn say(&self, text: &str) {
        if self.talks {
            // If the terminal was closed, its user has seen enough.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
    }
}

/// The daemon's configuration: what a user would write, with durations divided by the speed.
fn configuration(hub: &EmulatedHub, trigger_url: &str, speed: f64) -> String {
    let span = |real: Duration| {
        // Whole microseconds: a configuration takes no fractions.
        let faster = Duration::from_micros(u64::try_from(real.div_f64(speed).as_micros()).unwrap_or(u64::MAX));
        humantime::format_duration(faster).to_string()
    };
    format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\n\
         [defaults]\nquiet = \"{}\"\nmax_wait = \"{}\"\nobserve_after = \"{}\"\nobserve_every = \"{}\"\n\
         reconcile_every = \"off\"\n\n\
         [docker_hub]\napi = \"{}\"\n\n\
         [image.\"{IMAGE}\"]\nrepository = \"github.com/mrraph/blog\"\nbranches = [\"{BRANCH}\"]\n\n\
         [image.\"{IMAGE}\".backend]\nkind = \"docker_hub\"\ntrigger_url = \"{trigger_url}\"\n\
         username = \"{USERNAME}\"\ntoken = \"{PASSWORD}\"\n\n\
         [source.github]\nsecrets = [\"{SECRET}\"]\n\n\
         [button.phone]\ntoken = \"{BUTTON}\"\nimage = \"{IMAGE}\"\nbranch = \"{BRANCH}\"\n",
        span(QUIET),
        span(MAX_WAIT),
        span(Duration::from_secs(10)),
        span(Duration::from_secs(15)),
        hub.url(),
    )
}

/// The body of a 202; anything else is a failure of the demo.
async fn accepted(request: reqwest::RequestBuilder) -> Result<String, CliError> {
    let failed = |why: String| CliError::Failed(format!("the daemon did not accept the request: {why}"));
    let response = request.send().await.map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| failed(error.to_string()))?;
    if status.as_u16() == 202 { Ok(text) } else { Err(failed(format!("{status}: {text}"))) }
}

/// Minutes and seconds: `07:53`.
fn clock(at: Duration) -> String {
    format!("{:02}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}
