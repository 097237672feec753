//! Moments and spans of time, as people read them.

use std::time::Duration;

use crate::model::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `10:01:10 (3 m ago)`, with the date where it is not today's; in UTC. What is no moment is shown as it is.
pub(in crate::cli) fn moment(now: Timestamp, text: &str) -> String {
    match text.parse() {
        Ok(at) => format!("{} ({})", clock(now, at), distance(now, at)),
        Err(_) => super::text::plain(text),
    }
}

/// `3 m ago`, or `in 23 s`.
pub(in crate::cli) fn ago(now: Timestamp, text: &str) -> String {
    text.parse().map_or_else(|_| super::text::plain(text), |at| distance(now, at))
}

/// `2026-11-23 10:00:00`, in UTC.
pub(in crate::cli) fn date_and_clock(text: &str) -> String {
    text.parse().map_or_else(|_| super::text::plain(text), full)
}

/// `10:01:10`, with the date where it is not today's; in UTC.
pub(in crate::cli) fn short(now: Timestamp, text: &str) -> String {
    text.parse().map_or_else(|_| super::text::plain(text), |at| clock(now, at))
}

/// How much time lies between two moments; None where one is unknown or they are in the wrong order.
pub(in crate::cli) fn between(start: Option<&str>, end: Option<&str>) -> Option<Duration> {
    let (start, end): (Timestamp, Timestamp) = (start?.parse().ok()?, end?.parse().ok()?);
    (start <= end).then(|| end.since(start))
}

/// How long ago it was; zero where it lies ahead or is no moment.
pub(in crate::cli) fn since(now: Timestamp, text: &str) -> Duration {
    text.parse().map_or(Duration::ZERO, |at| now.since(at))
}

/// The two largest units: `45 s`, `3 m 12 s`, `1 h 5 m`, `2 d 3 h`.
pub(in crate::cli) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match (seconds % large) / small {
        0 => format!("{} {large_unit}", seconds / large),
        rest => format!("{} {large_unit} {rest} {small_unit}", seconds / large),
    };
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two(MINUTE, "m", 1, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "m"),
        DAY.. => two(DAY, "d", HOUR, "h"),
    }
}

/// The largest unit only: `45 s`, `3 m`, `1 h`, `2 d`.
pub(in crate::cli) fn about(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..MINUTE => format!("{seconds} s"),
        seconds @ MINUTE..HOUR => format!("{} m", seconds / MINUTE),
        seconds @ HOUR..DAY => format!("{} h", seconds / HOUR),
        seconds @ DAY.. => format!("{} d", seconds / DAY),
    }
}

fn distance(now: Timestamp, at: Timestamp) -> String {
    if at > now { format!("in {}", about(at.since(now))) } else { format!("{} ago", about(now.since(at))) }
}

fn clock(now: Timestamp, at: Timestamp) -> String {
    let (now, at) = (full(now), full(at));
    match (now.split_once(' '), at.split_once(' ')) {
        (Some((today, _)), Some((day, clock))) if today == day => clock.to_owned(),
        _ => at,
    }
}

fn full(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(clock)) => format!("{date} {clock}"),
        _ => text,
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
        assert_eq!(moment(now, "2026-11-23T10:01:10.999Z"), "10:01:10 (2 m ago)");
        assert_eq!(moment(now, "2026-11-22T10:04:10Z"), "2026-11-22 10:04:10 (1 d ago)");
        assert_eq!(moment(now, "2026-11-23T10:04:33Z"), "10:04:33 (in 23 s)");
        assert_eq!(moment(now, "2026-11-23T12:01:10+02:00"), "10:01:10 (3 m ago)");
        assert_eq!(date_and_clock("2026-11-23T10:01:10.999Z"), "2026-11-23 10:01:10");
    }

    #[test]
    fn what_is_no_moment_is_shown_as_it_is_but_harmless() {
        assert_eq!(moment(at("2026-11-23T10:04:10Z"), "soon\u{1b}[2J"), "soon\u{fffd}[2J");
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        for (seconds, exact, rough) in [
            (0, "0 s", "0 s"),
            (59, "59 s", "59 s"),
            (60, "1 m", "1 m"),
            (192, "3 m 12 s", "3 m"),
            (3_600, "1 h", "1 h"),
            (3_659, "1 h", "1 h"),
            (3_900, "1 h 5 m", "1 h"),
            (183_600, "2 d 3 h", "2 d"),
        ] {
            let it = Duration::from_secs(seconds);
            assert_eq!((span(it).as_str(), about(it).as_str()), (exact, rough), "{seconds}");
        }
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
