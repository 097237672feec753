//! PURE: what a key waits for, which goes first, and until when.

mod rank;
mod standing;
mod timer;

use std::time::Duration;

pub use self::rank::{Rank, rank};
pub use self::standing::{Standing, Taken, standing};
pub(super) use self::timer::{Timer, pause_over};

/// The wait before the next try after a refusal: full jitter over 5 s · 2ⁿ, between 1 s and 10 min.
pub(super) fn back_off(times: u32, jitter: u64) -> Duration {
    const FIRST: Duration = Duration::from_secs(5);
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_mins(10);
    let most = FIRST.saturating_mul(2u32.saturating_pow(times.min(16))).min(MOST);
    let span = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(jitter % span).max(LEAST)
}
