//! Durations and times of day in readable form: one style for sentences, tables and the log.
//!
//! Durations are written as in the configuration (`30s`, `2h 5m`); a time of day is in UTC and says so.

use std::time::Duration;

use crate::model::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The two largest non-zero units: `45s`, `3m 12s`, `1h 5m`, `2d 3h`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match (seconds % large) / small {
        0 => format!("{}{large_unit}", seconds / large),
        rest => format!("{}{large_unit} {rest}{small_unit}", seconds / large),
    };
    match seconds {
        0..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(MINUTE, "m", 1, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "m"),
        DAY.. => two(DAY, "d", HOUR, "h"),
    }
}

/// The same for a time still to come: rounded up to whole seconds, so that nothing is due in `0s`.
pub fn remaining(left: Duration) -> String {
    span(Duration::from_secs(u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)))
}

/// The largest unit only: `45s`, `3m`, `1h`, `2d`.
pub fn about(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..MINUTE => format!("{seconds}s"),
        seconds @ MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        seconds @ HOUR..DAY => format!("{}h", seconds / HOUR),
        seconds @ DAY.. => format!("{}d", seconds / DAY),
    }
}

/// `10:10:00 UTC`; with the date if it is not today's: `2026-11-24 02:30:00 UTC`.
pub fn clock(now: Timestamp, at: Timestamp) -> String {
    format!("{} UTC", bare_clock(now, at))
}

/// The same without the zone, for places that show the zone separately.
pub fn bare_clock(now: Timestamp, at: Timestamp) -> String {
    let (now, at) = (date_and_clock(now), date_and_clock(at));
    match (now.split_once(' '), at.split_once(' ')) {
        (Some((today, _)), Some((day, clock))) if today == day => clock.to_owned(),
        _ => at,
    }
}

/// `2026-11-23 10:00:00`, in UTC.
pub fn date_and_clock(at: Timestamp) -> String {
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
    fn a_length_is_its_two_largest_units() {
        for (seconds, exact, rough) in [
            (0, "0s", "0s"),
            (59, "59s", "59s"),
            (60, "1m", "1m"),
            (192, "3m 12s", "3m"),
            (3_600, "1h", "1h"),
            (3_659, "1h", "1h"),
            (3_900, "1h 5m", "1h"),
            (183_600, "2d 3h", "2d"),
        ] {
            let it = Duration::from_secs(seconds);
            assert_eq!((span(it).as_str(), about(it).as_str()), (exact, rough), "{seconds}");
        }
    }

    #[test]
    fn what_is_still_to_come_is_never_nothing() {
        assert_eq!(remaining(Duration::from_millis(1)), "1s");
        assert_eq!(remaining(Duration::from_millis(59_001)), "1m");
        assert_eq!(remaining(Duration::ZERO), "0s");
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let now = at("2026-11-23T10:04:10Z");
        assert_eq!(clock(now, at("2026-11-23T10:10:00.999Z")), "10:10:00 UTC");
        assert_eq!(clock(now, at("2026-11-24T02:30:00Z")), "2026-11-24 02:30:00 UTC");
        assert_eq!(date_and_clock(now), "2026-11-23 10:04:10");
    }
}
