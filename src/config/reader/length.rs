//! Durations as an operator writes them: `4h10m`, `90d`.
//!
//! Days are the largest unit: 90 days should not read as "2months 29days 2h 52m 48s".

use std::fmt::Write;
use std::time::Duration;

/// The units, largest first, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The text that parses back to the same duration.
pub(crate) fn written(length: Duration) -> String {
    let mut rest = length.as_nanos();
    let mut text = String::new();
    for (unit, nanoseconds) in UNITS {
        if rest >= nanoseconds {
            let _infallible = write!(text, "{}{unit}", rest / nanoseconds);
            rest %= nanoseconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_short() {
        for (length, expected) in [
            (Duration::ZERO, "0s"),
            (Duration::from_mins(250), "4h10m"),
            (Duration::from_hours(90 * 24), "90d"),
            (Duration::from_millis(1_500), "1s500ms"),
        ] {
            assert_eq!(written(length), expected);
        }
    }

    proptest! {
        #[test]
        fn it_reads_back(nanoseconds in 0_u64..) {
            let length = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(humantime::parse_duration(&written(length)), Ok(length));
        }
    }
}
