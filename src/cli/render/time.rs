//! The API's timestamps, for people. Durations and times of day are written by [`status::time`](crate::status::time),
//! as in the daemon's own sentences.

use std::time::Duration;

pub(in crate::cli) use crate::status::time::{about, span};

use super::text::plain;
use crate::model::Timestamp;
use crate::status::time;

/// `10:01:10 UTC (3m ago)`, with the date if it is not today. An invalid timestamp is shown as it is.
pub(in crate::cli) fn moment(now: Timestamp, text: &str) -> String {
    match text.parse() {
        Ok(at) => format!("{} ({})", time::clock(now, at), distance(now, at)),
        Err(_) => plain(text),
    }
}

/// `3m ago`, or `in 23s`.
pub(in crate::cli) fn ago(now: Timestamp, text: &str) -> String {
    text.parse().map_or_else(|_| plain(text), |at| distance(now, at))
}

/// `2026-11-23 10:00:00 UTC`.
pub(in crate::cli) fn date_and_clock(text: &str) -> String {
    text.parse().map_or_else(|_| plain(text), |at| format!("{} UTC", time::date_and_clock(at)))
}

/// `10:01:10 UTC`, with the date if it is not today.
pub(in crate::cli) fn clock(now: Timestamp, text: &str) -> String {
    text.parse().map_or_else(|_| plain(text), |at| time::clock(now, at))
}

/// `10:01:10 to 10:05:02 UTC`, with dates if they are not today.
pub(in crate::cli) fn range(now: Timestamp, start: &str, end: &str) -> String {
    let start = start.parse().map_or_else(|_| plain(start), |at| time::bare_clock(now, at));
    format!("{start} to {}", clock(now, end))
}

/// The time between two timestamps; None if one is unknown or they are in the wrong order.
pub(in crate::cli) fn between(start: Option<&str>, end: Option<&str>) -> Option<Duration> {
    let (start, end): (Timestamp, Timestamp) = (start?.parse().ok()?, end?.parse().ok()?);
    (start <= end).then(|| end.since(start))
}

/// How long ago it was; zero if it is in the future or invalid.
pub(in crate::cli) fn since(now: Timestamp, text: &str) -> Duration {
    text.parse().map_or(Duration::ZERO, |at| now.since(at))
}

fn distance(now: Timestamp, at: Timestamp) -> String {
    match (at > now, now.since(at)) {
        (true, _) => format!("in {}", about(at.since(now))),
        (false, since) if since.as_secs() == 0 => "just now".to_owned(),
        (false, since) => format!("{} ago", about(since)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect(text)
    }

    #[test]
    fn a_moment_of_today_needs_no_date() {
        let now = at("2026-11-23T10:04:10Z");
        assert_eq!(moment(now, "2026-11-23T10:01:10.999Z"), "10:01:10 UTC (2m ago)");
        assert_eq!(moment(now, "2026-11-22T10:04:10Z"), "2026-11-22 10:04:10 UTC (1d ago)");
        assert_eq!(moment(now, "2026-11-23T10:04:33Z"), "10:04:33 UTC (in 23s)");
        assert_eq!(moment(now, "2026-11-23T12:01:10+02:00"), "10:01:10 UTC (3m ago)");
        assert_eq!(date_and_clock("2026-11-23T10:01:10.999Z"), "2026-11-23 10:01:10 UTC");
        assert_eq!(range(now, "2026-11-23T10:01:10Z", "2026-11-23T10:05:02Z"), "10:01:10 to 10:05:02 UTC");
    }

    #[test]
    fn what_is_no_moment_is_shown_as_it_is_but_harmless() {
        assert_eq!(moment(at("2026-11-23T10:04:10Z"), "soon\u{1b}[2J"), "soon\u{fffd}[2J");
    }

    #[test]
    fn time_does_not_run_backwards() {
        let (early, late) = ("2026-11-23T10:00:00Z", "2026-11-23T10:00:05Z");
        assert_eq!(between(Some(early), Some(late)), Some(Duration::from_secs(5)));
        assert_eq!(between(Some(late), Some(early)), None);
        assert_eq!(between(None, Some(early)), None);
        assert_eq!(since(at(early), late), Duration::ZERO);
    }
}
