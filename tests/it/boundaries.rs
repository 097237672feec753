//! `kill -9` at every commit of the real binary, enumerated: the n-th sync of the journal is where the process dies.
//!
//! Between two syncs a step does everything it does outside: answers, trigger calls, questions. So dying at each
//! sync in turn is dying at every boundary between deciding, writing and acting. Afterwards the daemon is started
//! again, the rest of the work is done, and the emulated Docker Hub shows what was actually built.
//!
//! A test run tries a few boundaries; `BOUNDARIES=all` tries every one. Needs strace; without it nothing is tried,
//! and the test says so.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coalesced::emulator::{EmulatedHub, HubSettings, TakesTip, TrueBuild};
use coalesced::model::{CommitId, GitRef, ImageName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::binary::{found, serve};
use crate::daemon::{BUTTON, PATIENCE, Push, SECRET, TOKEN, Wanted, client, sign};

/// The work that is interrupted: pushes to two branches, a tag and taps, with pauses in which builds run.
const WORK: [Step; 16] = [
    Step::Push("master", 1),
    Step::Push("master", 2),
    Step::Wait(400),
    Step::Push("master", 3),
    Step::Push("dev", 4),
    Step::Wait(500),
    Step::Tap,
    Step::Push("master", 5),
    Step::Push("master", 6),
    Step::Wait(700),
    Step::Tag("v1", 7),
    Step::Push("dev", 8),
    Step::Wait(300),
    Step::Push("master", 9),
    Step::Wait(600),
    Step::Push("master", 10),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(&'static str, u32),
    Tag(&'static str, u32),
    Tap,
    Wait(u64),
}

/// How many runs go in parallel.
const BESIDE: usize = 4;
/// How many boundaries a test run tries.
const SAMPLED: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_commit_loses_no_push_and_costs_one_build_at_most() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("strace is not here: no boundary was tried");
        return;
    }
    let calm = run(None).await;
    assert!(calm.syncs >= 20, "the work makes only {} commits", calm.syncs);
    let all = std::env::var("BOUNDARIES").is_ok_and(|which| which == "all");
    let every = if all { 1 } else { calm.syncs.div_ceil(SAMPLED) };
    let boundaries: Vec<usize> = (1..=calm.syncs).step_by(every).collect();
    let (mut killed, mut superfluous) = (0, 0);
    for some in boundaries.chunks(BESIDE) {
        let mut runs = tokio::task::JoinSet::new();
        for boundary in some.iter().copied() {
            runs.spawn(async move { (boundary, run(Some(boundary)).await) });
        }
        while let Some(done) = runs.join_next().await {
            let (boundary, outcome) = done.expect("a run ends");
            killed += usize::from(outcome.killed);
            superfluous += outcome.check(boundary);
        }
    }
    println!(
        "boundaries {}, of {} in a calm run; killed {killed}; superfluous builds {superfluous}; pushes lost 0",
        boundaries.len(),
        calm.syncs
    );
    assert!(killed * 2 > boundaries.len(), "the process died in only {killed} runs of {}", boundaries.len());
}

struct Outcome {
    syncs: usize,
    killed: bool,
    /// What was answered 202, in order: the ref and the commit.
    acknowledged: Vec<(String, CommitId)>,
    taps: usize,
    truth: Vec<TrueBuild>,
    /// Builds that cover no event of their own.
    superfluous: usize,
}

impl Outcome {
    /// Returns how many builds were superfluous.
    fn check(&self, boundary: usize) -> usize {
        for (git_ref, commit) in &self.acknowledged {
            // On one ref commits follow each other: a later one holds the earlier.
            let later: Vec<&CommitId> = self
                .acknowledged
                .iter()
                .skip_while(|(_, other)| other != commit)
                .filter(|(other_ref, _)| other_ref == git_ref)
                .map(|(_, commit)| commit)
                .collect();
            let holds =
                |build: &TrueBuild| build.pushed && build.commit.as_ref().is_some_and(|built| later.contains(&built));
            assert!(self.truth.iter().any(holds), "boundary {boundary}: {commit} of {git_ref} is in no image");
        }
        assert!(self.superfluous <= 1, "boundary {boundary}: {} superfluous builds", self.superfluous);
        let most = self.acknowledged.len() + self.taps + 1;
        assert!(self.truth.len() <= most, "boundary {boundary}: {} builds of {most} events", self.truth.len());
        self.superfluous
    }
}

/// Does the work once, in its own directory; dies at the given sync.
async fn run(dies_at: Option<usize>) -> Outcome {
    let image: ImageName = "acme/web".parse().expect("an image");
    let settings = HubSettings {
        build_time: Duration::from_millis(300),
        takes_tip: TakesTip::WhenStarted,
        ..HubSettings::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hub = EmulatedHub::serve(listener, settings, "acme", "test-token-of-the-hub").expect("it serves");
    let wanted = Wanted {
        trigger_url: hub.register(&image).current,
        hub: hub.url().to_owned(),
        login: Some(("acme".to_owned(), "test-token-of-the-hub".to_owned())),
        quiet: "150ms",
        image: "uncertain_grace = \"1s\"".to_owned(),
        ..Wanted::default()
    };
    let directory = TempDir::new().expect("a directory");
    std::fs::write(directory.path().join("coalesced.toml"), wanted.to_toml()).expect("a configuration");
    let mut process = Process::start(directory.path(), dies_at);
    let client = client();
    let (mut acknowledged, mut taps) = (Vec::new(), 0);
    for step in WORK {
        process.revive(directory.path(), &client).await;
        let (branch_ref, push) = match step {
            Step::Wait(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                continue;
            }
            Step::Tap => {
                let request = client.post(format!("{}/buttons/phone", process.url)).bearer_auth(BUTTON);
                taps += usize::from(request.send().await.is_ok_and(|response| response.status() == 202));
                continue;
            }
            Step::Push(branch, number) => (GitRef::branch(branch).expect("a branch"), Push::to_branch(branch, number)),
            Step::Tag(tag, number) => {
                let push = Push { git_ref: format!("refs/tags/{tag}"), ..Push::to_branch("-", number) };
                (GitRef::tag(tag).expect("a tag"), push)
            }
        };
        let commit: CommitId = push.after.parse().expect("a commit");
        hub.push(&image, &branch_ref, commit.clone());
        let body = push.body();
        let request = client
            .post(format!("{}/hooks/github", process.url))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", &push.delivery)
            .header("x-hub-signature-256", sign(SECRET, body.as_bytes()))
            .body(body);
        if request.send().await.is_ok_and(|response| response.status() == 202) {
            acknowledged.push((push.git_ref.clone(), commit));
        }
    }
    let superfluous = rest(&mut process, directory.path(), &client).await;
    let truth = hub.true_builds(&image);
    let (syncs, killed) = process.end(directory.path());
    hub.stop().await;
    Outcome { syncs, killed, acknowledged, taps, truth, superfluous }
}

/// Waits until nothing is left to do; returns how many builds of ours cover nothing.
async fn rest(process: &mut Process, directory: &Path, client: &reqwest::Client) -> usize {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "it never comes to rest");
        process.revive(directory, client).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Some(lane) = get(process, client, "/v1/images/acme/web").await else { continue };
        if lane["running"].is_null() && lane["queued"].is_null() && lane["keys"] == json!([]) {
            break;
        }
    }
    let builds = get(process, client, "/v1/builds?limit=1000").await.expect("at rest it answers");
    let builds = builds.as_array().expect("a list").clone();
    builds.iter().filter(|build| !build["started_at"].is_null() && build["events_total"] == json!(0)).count()
}

async fn get(process: &Process, client: &reqwest::Client, path: &str) -> Option<Value> {
    let response = client.get(format!("{}{path}", process.url)).bearer_auth(TOKEN).send().await.ok()?;
    serde_json::from_str(&response.text().await.ok()?).ok()
}

/// The daemon under strace the first time, on its own after it died.
struct Process {
    child: Child,
    url: String,
    killed: bool,
}

impl Process {
    fn start(directory: &Path, dies_at: Option<usize>) -> Self {
        let mut strace = ["strace", "-f", "-qq", "-e", "trace=fdatasync", "-o", "syncs"].map(str::to_owned).to_vec();
        if let Some(boundary) = dies_at {
            strace.extend(["-e".to_owned(), format!("inject=fdatasync:signal=SIGKILL:when={boundary}")]);
        }
        let child = serve(directory, &strace).spawn().expect("it starts");
        Self { child, url: String::new(), killed: false }
    }

    /// Ensures that a daemon answers, restarting it if it has died.
    async fn revive(&mut self, directory: &Path, client: &reqwest::Client) {
        let begun = Instant::now();
        loop {
            if self.child.try_wait().expect("it was ours").is_some() {
                self.killed = true;
                self.url.clear();
                self.child = serve(directory, &[]).spawn().expect("it starts");
            }
            if let Some((url, _)) = found(directory) {
                self.url = url;
                if client.get(format!("{}/ready", self.url)).send().await.is_ok() {
                    return;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "it does not come back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many syncs the first process made, and whether it was killed.
    fn end(mut self, directory: &Path) -> (usize, bool) {
        let (_, pid) = found(directory).expect("it has listened");
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().expect("kill");
        assert!(asked.success());
        self.child.wait().expect("it was ours");
        let syncs = std::fs::read_to_string(directory.join("syncs")).unwrap_or_default();
        (syncs.lines().filter(|line| line.contains("fdatasync(")).count(), self.killed)
    }
}
