//! Signed pushes over HTTP: the real daemon, which answers when they are on disk, beside the same that appends its rows to
//! a file, the same that keeps its journal in memory, and a server that only checks and parses them.

mod appended;
pub(crate) mod load;
mod plain;
mod server;
mod twin;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coalesced::journal::Journal;

use self::load::Outcome;
use self::server::Server;
use crate::table::{Row, median, quick};

pub(crate) const SECRET: &str = "test-secret-of-the-measured-hook";
/// Images, each with a repository of its own, over which pushes are spread.
pub(crate) const IMAGES: usize = 10;

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// At which half load and overload are measured: what saturates it, and sixteen times as many, about all that it lets in.
const SATURATED: usize = 64;
const TOO_MANY: usize = 1_000;
/// Within which an overloaded daemon is to answer.
const OVERLOAD_ANSWER: Duration = Duration::from_secs(1);
/// A push that waits for a group on its way to disk, and then for its own, waits for two and a bit.
const GROUPS_WAITED_FOR: f64 = 3.0;
/// For a first look.
const QUICK_ROUNDS: usize = 3;
const QUICK_ROUND: Duration = Duration::from_millis(700);

/// What is asked for, by connections: from 64 on, syncs are shared by enough requests.
fn wanted(connections: usize) -> Option<f64> {
    (connections >= 64).then_some(0.8)
}

/// Runs as one of the servers compared with the daemon, if this process was started as one.
pub(crate) fn serve_if_told() -> bool {
    let told = |role| std::env::args().any(|word| word == role);
    if told(plain::ROLE) {
        server::serve_until_left_alone(plain::serve());
    } else if told(twin::IN_MEMORY) {
        server::serve_until_left_alone(twin::serve_in_memory());
    } else if told(twin::APPENDED) {
        server::serve_until_left_alone(twin::serve_appended());
    } else {
        return false;
    }
    true
}

/// What the daemon is compared with, starting with the most similar.
const BESIDE: [(&str, &str); 3] = [
    ("its rows appended to a file", twin::APPENDED),
    ("its journal in memory", twin::IN_MEMORY),
    ("nothing decided", plain::ROLE),
];
/// The daemon itself, storing nothing.
const NO_STORE: &str = twin::IN_MEMORY;

pub(crate) fn measure(rows: &mut Vec<Row>) {
    let (rounds, round) = if quick() { (QUICK_ROUNDS, QUICK_ROUND) } else { (ROUNDS, ROUND) };
    let named: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    for connections in CONNECTIONS.into_iter().filter(|connections| named.is_empty() || named.contains(connections)) {
        // Fresh ones for each width; rounds in turn, so that what the machine does meanwhile hits all.
        let daemon = Daemon::start();
        let beside = BESIDE.map(|(_, role)| Server::start(role));
        let mut durable = Runs::default();
        let mut others = BESIDE.map(|_| Runs::default());
        for _ in 0..rounds {
            durable.add(daemon.address, &daemon.child, (connections, round));
            for (runs, server) in others.iter_mut().zip(&beside) {
                runs.add(server.address, &server.child, (connections, round));
            }
        }
        if connections == SATURATED {
            half_load(&daemon, &beside, durable.rate() / 2.0, (rounds, round), rows);
        }
        let first = rows.len();
        for ((name, role), runs) in BESIDE.iter().zip(others) {
            let wanted = if *role == NO_STORE { wanted(connections) } else { None };
            rows.push(Row::beside(format!("{name}: {}", runs.told()), durable.rate() / runs.rate(), wanted));
        }
        rows[first].what = format!("ingest, {connections} connections");
        rows[first].ours = durable.told();
    }
    if named.is_empty() {
        overload(rounds, round, rows);
    }
}

/// What all rounds of one server came to.
#[derive(Default)]
struct Runs {
    outcomes: Vec<Outcome>,
    /// Of all processors.
    spent: Duration,
}

impl Runs {
    fn add(&mut self, address: SocketAddr, server: &Child, (connections, round): (usize, Duration)) {
        let before = processor_time(server);
        self.outcomes.push(load::run(address, connections, round));
        self.spent += processor_time(server).saturating_sub(before);
    }

    fn rate(&self) -> f64 {
        median(self.outcomes.iter().map(Outcome::rate))
    }

    fn told(&self) -> String {
        let p99 = median(self.outcomes.iter().map(Outcome::p99_ms));
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let answered = self.outcomes.iter().map(Outcome::accepted).sum::<u64>() as f64;
        let each = self.spent.as_secs_f64() * 1e6 / answered;
        format!("{:.0}/s, p99 {p99:.1} ms, {each:.0} µs each", self.rate())
    }
}

/// Pushes at a steady rate that leaves it time.
fn half_load(daemon: &Daemon, beside: &[Server], rate: f64, (rounds, round): (usize, Duration), rows: &mut Vec<Row>) {
    let before = daemon.commits();
    let mut durable = Vec::new();
    let mut others = BESIDE.map(|_| Vec::new());
    for _ in 0..rounds {
        durable.push(load::paced(daemon.address, SATURATED, round, rate));
        for (outcomes, server) in others.iter_mut().zip(beside) {
            outcomes.push(load::paced(server.address, SATURATED, round, rate));
        }
    }
    let p99 = |outcomes: &[Outcome]| median(outcomes.iter().map(Outcome::p99_ms));
    let (rate, p99_ms) = (median(durable.iter().map(Outcome::rate)), p99(&durable));
    let after = daemon.commits();
    let group_ms = (after.0 - before.0) / (after.1 - before.1) * 1e3;
    rows.push(Row {
        what: format!("half load, {SATURATED} connections"),
        ours: format!("{rate:.0}/s, p99 {p99_ms:.1} ms"),
        beside: format!("{GROUPS_WAITED_FOR} groups on their way to disk: {:.1} ms", GROUPS_WAITED_FOR * group_ms),
        ratio: GROUPS_WAITED_FOR * group_ms / p99_ms,
        wanted: Some(1.0),
    });
    for ((name, _), outcomes) in BESIDE.iter().zip(others) {
        let others_ms = p99(&outcomes);
        rows.push(Row::beside(format!("{name}: p99 {others_ms:.1} ms"), others_ms / p99_ms, None));
    }
}

/// More clients than can be served, none of which waits.
fn overload(rounds: usize, round: Duration, rows: &mut Vec<Row>) {
    let daemon = Daemon::start();
    let outcomes: Vec<Outcome> = (0..rounds).map(|_| load::run(daemon.address, TOO_MANY, round)).collect();
    let accepted: u64 = outcomes.iter().map(Outcome::accepted).sum();
    let refused: u64 = outcomes.iter().map(|outcome| outcome.refused).sum();
    let slowest = outcomes.iter().map(|outcome| outcome.slowest).max().expect("a round");
    let (_journal, _reader, snapshot) = Journal::open(&daemon.kill().path().join("data")).expect("it opens");
    // One push is one event, and numbers go up by one.
    let kept = snapshot.newest.0;
    assert!(kept >= accepted, "{accepted} answered 202, {kept} on disk");
    rows.push(Row {
        what: format!("overload, {TOO_MANY} connections"),
        ours: format!("{accepted} answered 202 and kept, {refused} answered 503; the slowest in {slowest:.0?}"),
        beside: format!("wanted: {OVERLOAD_ANSWER:?}"),
        ratio: OVERLOAD_ANSWER.as_secs_f64() / slowest.as_secs_f64(),
        wanted: Some(1.0),
    });
}

/// What a process has taken of the processors so far, in user and kernel mode.
fn processor_time(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // After the name in brackets, which may hold anything; fields 14 and 15 of proc(5), in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// The shipped binary in a directory of its own.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    /// Given back by [`Self::end`].
    directory: Option<tempfile::TempDir>,
    child: Child,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("coalesced.toml"), configuration()).expect("a configuration");
        Self::start_in(directory)
    }

    pub(crate) fn start_in(directory: tempfile::TempDir) -> Self {
        let child = spawn(directory.path());
        let address = await_ready(directory.path(), child.id());
        Self { address, directory: Some(directory), child }
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) -> tempfile::TempDir {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        self.directory.take().expect("it was not ended before")
    }

    /// Ends it at once, as a crash does.
    fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.directory.take().expect("it was not ended before")
    }

    /// How many seconds commits have taken, and how many there were.
    fn commits(&self) -> (f64, f64) {
        let mut stream = std::net::TcpStream::connect(self.address).expect("a connection");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
            line.trim().parse().expect("a number")
        };
        (value("coalesced_commit_seconds_sum"), value("coalesced_commit_seconds_count"))
    }

    /// The most bytes that were resident at once.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Bytes, by a name of proc(5).
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: u64 = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0);
        kib * 1024
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(directory: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalesced"));
    let log = std::fs::File::create(directory.join("log")).expect("a log");
    command.arg("serve").current_dir(directory).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the binary starts")
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn await_ready(directory: &Path, pid: u32) -> SocketAddr {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "the daemon is not ready in time");
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(directory.join("data/client.json")) {
            let _partial = file.read_to_string(&mut text);
        }
        if let Ok(found) = serde_json::from_str::<serde_json::Value>(&text)
            && found["pid"] == pid
            && let Some(address) = found["url"].as_str().and_then(|url| url.strip_prefix("http://"))
        {
            return address.parse().expect("an address");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Nothing comes due while this measures: what is measured is the way in.
pub(crate) fn configuration() -> String {
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\n[defaults]\nquiet = \"12h\"\nmax_wait = \"24h\"\n\
         reconcile_every = \"off\"\n\n[source.github]\nsecrets = [\"{SECRET}\"]\n"
    );
    for image in 0..IMAGES {
        write!(
            text,
            "\n[image.\"acme/image-{image}\"]\nrepository = \"github.com/acme/image-{image}\"\nbranches = [\"main\"]\n\
             [image.\"acme/image-{image}\".backend]\nkind = \"docker_hub\"\n\
             trigger_url = \"http://127.0.0.1:9/api/build/v1/source/test-token-of-nobody/trigger/test-token-of-nobody/call/\"\n"
        )
        .expect("a String takes all");
    }
    text
}
