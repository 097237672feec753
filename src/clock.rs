//! The one clock of the daemon.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Wall-clock milliseconds that never go back: moments are stored and compared with a back-end's, and a step
/// back of the system's clock must not stop time here.
#[derive(Debug)]
pub struct Clock {
    last: Timestamp,
    seen: Instant,
    /// How far the last moment was ahead of the wall clock.
    ahead: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn new() -> Self {
        Self { last: wall(), seen: Instant::now(), ahead: Duration::ZERO }
    }

    /// The present moment: the wall clock's, or, if the wall clock has gone back, the last moment plus the time
    /// elapsed since.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn now(&mut self) -> Timestamp {
        let seen = Instant::now();
        let wall = wall();
        let now = if wall < self.last { self.last.plus(seen.duration_since(self.seen)) } else { wall };
        (self.last, self.seen, self.ahead) = (now, seen, now.since(wall));
        now
    }

    /// How far this clock is ahead of the wall clock, after that went back: moments that others give by the wall clock
    /// must be shifted by it.
    pub fn ahead(&self) -> Duration {
        self.ahead
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Measures how long something takes; nothing is decided by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The raw wall clock, for showing how long ago something was.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(0).plus(since)
}
