//! Docker Hub's time formats, its clock compared with ours, and how long it asks us to wait.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;
use reqwest::header::{AGE, DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::model::Timestamp;

/// The longest wait that an answer may impose.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Numbers above this are times in seconds since 1970; those below are seconds to wait.
const MOMENT_SECONDS_MIN: f64 = 1e9;
/// Numbers above this are times in milliseconds.
const MOMENT_MILLIS_MIN: f64 = 1e11;
/// Times before the year 2000 are a zero in disguise (`0001-01-01`, 1970), so no time at all.
const EARLIEST: Timestamp = Timestamp::from_millis(946_684_800_000);
/// Clocks that differ by no more than this count as equal: the `Date` header has whole seconds only.
const CLOCK_PRECISION_MS: i64 = 2_000;

/// A time as RFC 2822, ISO 8601 (UTC if it names no zone) or a number, which may be quoted.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    let moment = match value {
        Value::Number(number) => of_number(number.as_f64()?)?,
        Value::String(text) => of_text(text.trim())?,
        _ => return None,
    };
    (moment >= EARLIEST).then_some(moment)
}

/// How far the clock that wrote `headers` is ahead of ours, in milliseconds; 0 if that is within the precision of the
/// header and the wait for the answer.
pub(super) fn clock_ahead_ms(headers: &HeaderMap, asked_at: Timestamp, answered_at: Timestamp) -> i64 {
    // A cached answer carries the date of the original.
    if headers.contains_key(AGE) {
        return 0;
    }
    let Some(theirs) = date(headers) else { return 0 };
    let half_wait = answered_at.as_millis().saturating_sub(asked_at.as_millis()).max(0) / 2;
    let ahead = theirs.as_millis().saturating_sub(asked_at.as_millis()).saturating_sub(half_wait);
    if ahead.saturating_abs() > CLOCK_PRECISION_MS.saturating_add(half_wait) { ahead } else { 0 }
}

/// The time by the clock that wrote `headers`.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    of_text(headers.get(DATE)?.to_str().ok()?)
}

/// How long the answer asks us to wait: Docker Hub's own `X-Retry-After`, the standard `Retry-After`, or the time at
/// which the limit resets. At most an hour; None if nothing is said or the time is past.
pub(super) fn retry_after(headers: &HeaderMap, answered_at: Timestamp) -> Option<Duration> {
    let now = date(headers).unwrap_or(answered_at);
    let said = ["x-retry-after", RETRY_AFTER.as_str(), "x-ratelimit-reset"];
    let wait = said.iter().find_map(|name| wait_of(headers.get(*name)?.to_str().ok()?.trim(), now))?;
    (wait > Duration::ZERO).then(|| wait.min(RETRY_AFTER_MAX))
}

fn wait_of(text: &str, now: Timestamp) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(number) if number > MOMENT_SECONDS_MIN => Some(of_number(number)?.since(now)),
        Ok(seconds) if seconds.is_finite() => {
            Some(Duration::from_secs_f64(seconds.clamp(0.0, RETRY_AFTER_MAX.as_secs_f64())))
        }
        Ok(_) => None,
        Err(_) => Some(of_text(text)?.since(now)),
    }
}

fn of_text(text: &str) -> Option<Timestamp> {
    let of_moment = |moment: jiff::Timestamp| Timestamp::from_millis(moment.as_millisecond());
    if let Ok(number) = text.parse::<f64>() {
        return of_number(number);
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(of_moment(moment));
    }
    if let Ok(moment) = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text) {
        return Some(of_moment(moment));
    }
    let civil = text.parse::<DateTime>().ok()?;
    Some(of_moment(civil.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the number is below 10^15, and parts of a millisecond don't matter"
)]
fn of_number(number: f64) -> Option<Timestamp> {
    let millis = if number > MOMENT_MILLIS_MIN { number } else { number * 1_000.0 };
    (0.0..1e15).contains(&millis).then(|| Timestamp::from_millis(millis.round() as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_456_742_185_000);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_moment_is_read_in_every_form_that_was_seen() {
        for value in [
            json!("Mon, 29 Feb 2016 10:36:25 +0000"),
            json!("Mon, 29 Feb 2016 10:36:25 GMT"),
            json!("Sun, 29 Feb 2016 11:36:25 +0100"),
            json!("2016-02-29T10:36:25Z"),
            json!("2016-02-29T10:36:25.000000"),
            json!("2016-02-29 10:36:25"),
            json!("2016-02-29T11:36:25+01:00"),
            json!(1_456_742_185),
            json!(1.456_742_185e9),
            json!(1_456_742_185_000_u64),
            json!("1.456742185e+09"),
        ] {
            assert_eq!(moment(&value), Some(NOON), "{value}");
        }
        for value in
            [json!(null), json!(""), json!("soon"), json!("0001-01-01T00:00:00Z"), json!(0), json!(-5), json!([])]
        {
            assert_eq!(moment(&value), None, "{value}");
        }
    }

    #[test]
    fn a_wait_is_read_from_either_header_and_bounded() {
        let wait = |name, value: &str| retry_after(&headers(&[(name, value)]), NOON);
        assert_eq!(wait("x-retry-after", "1456742245"), Some(Duration::from_mins(1)));
        assert_eq!(wait("x-retry-after", "90"), Some(Duration::from_secs(90)));
        assert_eq!(wait("retry-after", "120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("retry-after", "Mon, 29 Feb 2016 10:38:25 GMT"), Some(Duration::from_mins(2)));
        assert_eq!(wait("x-ratelimit-reset", "1456742245"), Some(Duration::from_mins(1)));
        assert_eq!(wait("retry-after", "99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("x-retry-after", "9999999999"), Some(RETRY_AFTER_MAX));
        for nothing in ["0", "-5", "1456742000", "NaN", "inf", "later"] {
            assert_eq!(wait("x-retry-after", nothing), None, "{nothing}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), NOON), None);
    }

    #[test]
    fn a_wait_until_a_moment_is_counted_by_the_clock_that_names_it() {
        let headers = headers(&[("date", "Mon, 29 Feb 2016 12:36:25 GMT"), ("x-retry-after", "1456749445")]);
        assert_eq!(retry_after(&headers, NOON), Some(Duration::from_mins(1)));
    }

    #[test]
    fn only_a_difference_that_the_wait_can_not_explain_is_one() {
        let ahead = |date: &str, wait_ms: i64| {
            let answered_at = Timestamp::from_millis(NOON.as_millis() + wait_ms);
            clock_ahead_ms(&headers(&[("date", date)]), NOON, answered_at)
        };
        assert_eq!(ahead("Mon, 29 Feb 2016 10:36:27 GMT", 0), 0);
        assert_eq!(ahead("Mon, 29 Feb 2016 10:36:30 GMT", 0), 5_000);
        assert_eq!(ahead("Mon, 29 Feb 2016 10:36:20 GMT", 0), -5_000);
        assert_eq!(ahead("Mon, 29 Feb 2016 10:36:30 GMT", 10_000), 0);
        let cached = headers(&[("date", "Mon, 29 Feb 2016 10:00:00 GMT"), ("age", "7")]);
        assert_eq!(clock_ahead_ms(&cached, NOON, NOON), 0);
    }
}
