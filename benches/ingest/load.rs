//! A closed loop of clients: each sends a signed push of its own making, waits for the answer, and sends the next.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{IMAGES, SECRET};

/// About what GitHub sends for a push of a handful of commits.
const BODY_BYTES: usize = 8 * 1024;

/// No two pushes of one run of this program are the same.
static SENT: AtomicU64 = AtomicU64::new(1);

/// What a run of clients met.
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
}

/// Lets `connections` clients send as fast as they are answered.
pub(crate) fn run(address: SocketAddr, connections: usize, length: Duration) -> Outcome {
    paced(address, connections, length, None)
}

/// The same with at most `rate` requests a second in all, where one is given.
#[expect(clippy::disallowed_methods, reason = "this measures")]
pub(crate) fn paced(address: SocketAddr, connections: usize, length: Duration, rate: Option<f64>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let maker = std::sync::Arc::new(Maker::new());
        let begun = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..connections {
            let (all, number) = (u32::try_from(connections).expect("few"), u32::try_from(number).expect("few"));
            let pause = rate.map(|rate| Duration::from_secs_f64(f64::from(all) / rate));
            let offset = pause.map(|pause| pause * number / all);
            clients.spawn(client(address, maker.clone(), begun, length, pause.zip(offset)));
        }
        let mut outcome = Outcome { took: Duration::ZERO, accepted: Vec::new(), refused: 0, slowest: Duration::ZERO };
        while let Some(done) = clients.join_next().await {
            let (accepted, refused, slowest) = done.expect("a client ends");
            outcome.accepted.extend(accepted);
            outcome.refused += refused;
            outcome.slowest = outcome.slowest.max(slowest);
        }
        outcome.took = begun.elapsed();
        outcome
    })
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
async fn client(
    address: SocketAddr,
    maker: std::sync::Arc<Maker>,
    begun: Instant,
    length: Duration,
    pace: Option<(Duration, Duration)>,
) -> (Vec<Duration>, u64, Duration) {
    let (mut accepted, mut refused, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut request = Vec::with_capacity(BODY_BYTES + 1024);
    let mut answer = vec![0; 16 * 1024];
    let mut next = pace.map(|(_, offset)| begun + offset);
    while begun.elapsed() < length {
        if let (Some(at), Some((pause, _))) = (&mut next, pace) {
            tokio::time::sleep_until((*at).into()).await;
            *at += pause;
        }
        maker.make(&mut request);
        let asked = Instant::now();
        stream.write_all(&request).await.expect("sent");
        match status_of(&mut stream, &mut answer).await {
            202 => accepted.push(asked.elapsed()),
            503 => refused += 1,
            other => panic!("answered {other}: {}", String::from_utf8_lossy(&answer[..400])),
        }
        slowest = slowest.max(asked.elapsed());
    }
    (accepted, refused, slowest)
}

/// Reads one answer, whole.
async fn status_of(stream: &mut TcpStream, buffer: &mut [u8]) -> u16 {
    let mut read = 0;
    loop {
        let more = stream.read(&mut buffer[read..]).await.expect("an answer");
        assert!(more > 0, "the connection ended: {}", String::from_utf8_lossy(&buffer[..read]));
        read += more;
        let Some(head) = buffer[..read].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).expect("a header");
        let length: usize = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .expect("a length");
        if read >= head + 4 + length {
            return text[9..12].parse().expect("a status");
        }
    }
}

/// Makes signed pushes cheaply: what they share is hashed once, and what differs stands at the end.
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
        use std::io::Write as _;
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
