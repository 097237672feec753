//! Clients, each of which sends a signed push of its own making, waits for the answer, and sends the next: at once, or when
//! it is due.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{IMAGES, SECRET};

/// About what GitHub sends for a push of a handful of commits.
const BODY_BYTES: usize = 8 * 1024;

/// No two pushes of one run of this program are the same.
static SENT: AtomicU64 = AtomicU64::new(1);

/// What a run of clients met.
#[derive(Default)]
pub(crate) struct Outcome {
    took: Duration,
    /// Answered 202, each with how long it took.
    accepted: Vec<Duration>,
    /// Answered 503.
    pub(crate) refused: u64,
    /// The slowest answer of any kind.
    pub(crate) slowest: Duration,
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(&self) -> f64 {
        self.accepted.len() as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        let mut times = self.accepted.clone();
        times.sort_unstable();
        times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.len() as u64
    }

    /// Answered 202 or 503.
    fn met(&mut self, status: u16, after: Duration) {
        if status == 202 {
            self.accepted.push(after);
        } else {
            self.refused += 1;
        }
        self.slowest = self.slowest.max(after);
    }

    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refused += other.refused;
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Lets `connections` clients send as fast as they are answered.
#[expect(clippy::disallowed_methods, reason = "this measures")]
pub(crate) fn run(address: SocketAddr, connections: usize, length: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let maker = Arc::new(Maker::new());
        let begun = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..connections {
            clients.spawn(hurried(address, maker.clone(), begun, length));
        }
        let mut outcome = Outcome::default();
        while let Some(done) = clients.join_next().await {
            outcome.add(done.expect("a client ends"));
        }
        outcome.took = begun.elapsed();
        outcome
    })
}

/// Lets them send `rate` requests a second in all, evenly.
///
/// Each client is a thread that sleeps until its next request is due. Timers of a runtime go in steps of a millisecond:
/// with them, all requests of a step would come at once.
#[expect(clippy::disallowed_methods, reason = "this measures")]
pub(crate) fn paced(address: SocketAddr, connections: usize, length: Duration, rate: f64) -> Outcome {
    let maker = Maker::new();
    let clients = u32::try_from(connections).expect("few");
    let pause = Duration::from_secs_f64(f64::from(clients) / rate);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..clients)
            .map(|number| {
                let (maker, first) = (&maker, begun + pause * number / clients);
                scope.spawn(move || steady(address, maker, (first, pause), begun + length))
            })
            .collect();
        let mut outcome = Outcome::default();
        for client in started {
            outcome.add(client.join().expect("a client ends"));
        }
        outcome.took = begun.elapsed();
        outcome
    })
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
async fn hurried(address: SocketAddr, maker: Arc<Maker>, begun: Instant, length: Duration) -> Outcome {
    let mut outcome = Outcome::default();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (mut request, mut answer) = (Vec::with_capacity(BODY_BYTES + 1024), Answer::default());
    while begun.elapsed() < length {
        maker.make(&mut request);
        let asked = Instant::now();
        stream.write_all(&request).await.expect("sent");
        let status = loop {
            let more = stream.read(answer.room()).await.expect("an answer");
            if let Some(status) = answer.grew(more) {
                break status;
            }
        };
        outcome.met(status, asked.elapsed());
    }
    outcome
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn steady(address: SocketAddr, maker: &Maker, (mut next, pause): (Instant, Duration), end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (mut request, mut answer) = (Vec::with_capacity(BODY_BYTES + 1024), Answer::default());
    while next < end {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        maker.make(&mut request);
        let asked = Instant::now();
        stream.write_all(&request).expect("sent");
        let status = loop {
            let more = stream.read(answer.room()).expect("an answer");
            if let Some(status) = answer.grew(more) {
                break status;
            }
        };
        outcome.met(status, asked.elapsed());
    }
    outcome
}

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// An answer as it comes in; the next one takes the place of a whole one.
struct Answer {
    buffer: Vec<u8>,
    read: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self { buffer: vec![0; ANSWER_BYTES_MAX], read: 0 }
    }
}

impl Answer {
    fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.read..]
    }

    /// So many bytes have come; the status once it is whole.
    fn grew(&mut self, more: usize) -> Option<u16> {
        self.read += more;
        let text = &self.buffer[..self.read];
        let shown = || String::from_utf8_lossy(text);
        assert!(more > 0, "the connection ended: {}", shown());
        let head = text.windows(4).position(|four| four == b"\r\n\r\n")?;
        let header = std::str::from_utf8(&text[..head]).expect("a header");
        let length: usize = header
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .expect("a length");
        if self.read < head + 4 + length {
            return None;
        }
        let status = header[9..12].parse().expect("a status");
        assert!(matches!(status, 202 | 503), "answered {}", shown());
        self.read = 0;
        Some(status)
    }
}

/// Makes signed pushes cheaply: the shared part is hashed once, and what differs is at the end.
struct Maker {
    images: Vec<(Vec<u8>, Hmac<Sha256>)>,
}

impl Maker {
    fn new() -> Self {
        let images = (0..IMAGES).map(|image| {
            let shared = shared_part(image);
            let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
            let mac = mac.chain_update(&shared);
            (shared, mac)
        });
        Self { images: images.collect() }
    }

    fn make(&self, request: &mut Vec<u8>) {
        let number = SENT.fetch_add(1, Ordering::Relaxed);
        let (shared, mac) = &self.images[usize::try_from(number).unwrap_or_default() % IMAGES];
        let own = format!("\"before\":\"{:040x}\",\"after\":\"{number:040x}\"}}", number - 1);
        let signature = mac.clone().chain_update(&own).finalize().into_bytes();
        request.clear();
        write!(
            request,
            "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/test\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-GitHub-Event: push\r\n\
             X-GitHub-Delivery: {:08x}-0000-4000-8000-{number:012x}\r\nX-Hub-Signature-256: sha256={}\r\n\
             Content-Length: {}\r\n\r\n",
            std::process::id(),
            hex::encode(signature),
            shared.len() + own.len(),
        )
        .expect("a Vec takes all");
        request.extend_from_slice(shared);
        request.extend_from_slice(own.as_bytes());
    }
}

/// A push in the shape that GitHub documents, up to what makes each push another.
fn shared_part(image: usize) -> Vec<u8> {
    let user = |name: &str| serde_json::json!({ "name": name, "email": "ada@example.org", "username": name });
    let commit = |number: usize| {
        serde_json::json!({
            "id": format!("{number:040x}"), "tree_id": format!("{number:040x}"), "distinct": true,
            "message": format!("Set the width of column {number}\n\nIt was \"too narrow\" for long titles."),
            "timestamp": "2026-11-23T10:00:00+01:00",
            "url": format!("https://github.com/acme/image-{image}/commit/{number:040x}"),
            "author": user("ada"), "committer": user("ada"),
            "added": [], "removed": [], "modified": ["theme/style.css", "theme/layout/base.html"],
        })
    };
    let mut commits = vec![commit(1)];
    loop {
        let push = serde_json::json!({
            "ref": "refs/heads/main", "created": false, "deleted": false, "forced": false, "base_ref": null,
            "compare": format!("https://github.com/acme/image-{image}/compare/0...1"),
            "repository": {
                "id": 1, "name": format!("image-{image}"), "full_name": format!("acme/image-{image}"),
                "html_url": format!("https://github.com/acme/image-{image}"),
                "clone_url": format!("https://github.com/acme/image-{image}.git"),
                "default_branch": "main", "private": false, "pushed_at": 1_795_428_000,
            },
            "pusher": user("ada"), "sender": { "login": "ada", "id": 1 },
            "head_commit": commits.last(), "commits": commits,
        });
        let text = push.to_string();
        if text.len() + 110 >= BODY_BYTES {
            let mut shared = text.into_bytes();
            shared.pop();
            shared.push(b',');
            return shared;
        }
        commits.push(commit(commits.len() + 1));
    }
}
