//! Reads bodies, with a limit per body, a limit on their total, and a deadline.
//!
//! A body is in memory only while its permit is held: however many strangers send at once, the bytes in flight stay
//! bounded.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// The largest body at `/hooks`, in bytes: GitHub delivers nothing larger than 25 MB.
pub(super) const HOOK_BYTES_MAX: usize = 25 * 1024 * 1024;

/// The largest body elsewhere, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a body may take to arrive; less than a request's time limit, so that the refusal can still be sent.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);

/// All bodies in flight together, in bytes.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many more bytes of an oversized body are read and discarded, so that its sender sees the refusal instead of a
/// broken connection.
const DISCARD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The bytes that all bodies in flight may hold in total.
#[derive(Clone)]
pub(super) struct BodyBudget {
    bytes: Arc<Semaphore>,
    /// How long each body may take.
    time: Duration,
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(IN_FLIGHT_BYTES_MAX, BODY_TIME_MAX)
    }
}

/// A complete body, and its share of the budget while it lives.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    fn new(bytes: usize, time: Duration) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes)), time }
    }

    /// The complete body, if it has at most `limit` bytes and arrives in time.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<ReadBody, Problem> {
        match tokio::time::timeout(self.time, self.collect(headers, body, limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long").and_close()),
        }
    }

    async fn collect(&self, headers: &HeaderMap, mut body: Body, limit: usize) -> Result<ReadBody, Problem> {
        let announced = announced_length(headers);
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(refuse_large(headers, body, limit).await);
        }
        let mut read = Pieces::default();
        let mut permit: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::bad_request("the body broke off").and_close())?;
            let Ok(data) = frame.into_data() else { continue };
            if read.len() + data.len() > limit {
                drop((read, permit));
                return Err(refuse_large(headers, body, limit).await);
            }
            let more = self.take(data.len())?;
            match &mut permit {
                Some(permit) => permit.merge(more),
                None => permit = Some(more),
            }
            read.add(data, announced);
        }
        Ok(ReadBody { bytes: read.whole(), _permit: permit })
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let full = || Problem::unavailable("too many bytes are in flight; try again in a second");
        let count = u32::try_from(bytes).map_err(|_| full())?;
        Arc::clone(&self.bytes).try_acquire_many_owned(count).map_err(|_| full())
    }
}

/// The received parts of a body. A body that arrives in one piece is never copied.
#[derive(Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Pieces {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(piece) => piece.len(),
            Self::Many(pieces) => pieces.len(),
        }
    }

    /// `announced`: the total length, if the sender announced one within the limit.
    fn add(&mut self, data: Bytes, announced: Option<u64>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(data),
            Self::One(first) => {
                let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
                // A mere announcement reserves at most twice what has arrived.
                let mut pieces = BytesMut::with_capacity(announced.min(2 * (first.len() + data.len())));
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&data);
                Self::Many(pieces)
            }
            Self::Many(mut pieces) => {
                pieces.extend_from_slice(&data);
                Self::Many(pieces)
            }
        };
    }

    fn whole(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(piece) => piece,
            Self::Many(pieces) => pieces.freeze(),
        }
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The refusal of a body over `limit`; the rest is discarded first, unless the sender waits for 100 Continue.
async fn refuse_large(headers: &HeaderMap, mut body: Body, limit: usize) -> Problem {
    let mut discarded = 0;
    while !headers.contains_key(EXPECT) && discarded < DISCARD_BYTES_MAX {
        match body.frame().await {
            Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len),
            _ => break,
        }
    }
    let detail = format!("the body is larger than {} KiB", limit / 1024);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).and_close()
}

#[cfg(test)]
pub(super) mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::response::Response;

    use super::*;

    /// A response's body as text.
    pub(in crate::http) async fn text_of(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_body_within_its_limit_is_read_whole() {
        let budget = BodyBudget::default();
        let read = budget.read(&HeaderMap::new(), Body::from("12345"), 5).await.expect("read");
        assert_eq!(read.bytes, "12345");
        assert_eq!(budget.bytes.available_permits(), IN_FLIGHT_BYTES_MAX - 5);
        drop(read);
        assert_eq!(budget.bytes.available_permits(), IN_FLIGHT_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_larger_one_is_refused_with_or_without_an_announcement() {
        let budget = BodyBudget::default();
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            let problem = budget.read(&headers, Body::from("123456"), 5).await.expect_err("refused");
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
            headers.insert(CONTENT_LENGTH, "6".parse().expect("a value"));
        }
        assert_eq!(budget.bytes.available_permits(), IN_FLIGHT_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_body_beyond_the_common_budget_is_put_off() {
        let budget = BodyBudget::new(8, BODY_TIME_MAX);
        let first = budget.read(&HeaderMap::new(), Body::from("12345"), 5).await.expect("read");
        let problem = budget.read(&HeaderMap::new(), Body::from("1234"), 5).await.expect_err("put off");
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(budget.read(&HeaderMap::new(), Body::from("1234"), 5).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let budget = BodyBudget::new(8, Duration::from_millis(5));
        let problem = budget.read(&HeaderMap::new(), Body::new(Silent), 5).await.expect_err("given up");
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }

    /// A body that never yields a byte.
    struct Silent;

    impl axum::body::HttpBody for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
}
