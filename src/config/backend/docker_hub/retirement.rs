//! The end of Docker Hub's automated builds, announced in time.

use crate::model::Timestamp;

/// 2027-04-01, when Automated Builds are fully retired (Docker's manual, "Migrate from Automated Builds").
const RETIREMENT: Timestamp = Timestamp::from_millis(1_806_537_600_000);
/// 2026-05-07, when that was announced. A clock that shows an earlier date was never set.
const ANNOUNCEMENT: Timestamp = Timestamp::from_millis(1_778_112_000_000);
const DAY_SECONDS: u64 = 24 * 60 * 60;

const WHAT_TO_DO: &str = "This version has no other back-end; plan to move each image's build to a workflow.";

/// What the operator of a Docker Hub back-end must know about its end: shown at startup and by `check`.
///
/// None if `today` is before the announcement: days counted by a clock that was never set would mislead.
pub(super) fn notice(today: Timestamp) -> Option<String> {
    if today < ANNOUNCEMENT {
        return None;
    }
    // Rounded up: on the last evening one day is left, not none.
    let days = RETIREMENT.since(today).as_secs().div_ceil(DAY_SECONDS);
    let sentence = match days {
        0 => "Docker Hub's automated builds ended on 2027-04-01; expect its triggers to fail.".to_owned(),
        1 => "Docker Hub's automated builds end on 2027-04-01 (1 day left).".to_owned(),
        days => format!("Docker Hub's automated builds end on 2027-04-01 ({days} days left)."),
    };
    Some(format!("{sentence} {WHAT_TO_DO}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_counted_down_and_the_wording_changes_at_the_end() {
        let warning = |today: &str| notice(today.parse().expect(today)).expect("a warning");
        assert!(warning("2026-11-23T00:00:00Z").contains("end on 2027-04-01 (129 days left)."));
        assert!(warning("2027-03-31T20:00:00Z").contains("(1 day left)"));
        assert!(warning("2027-04-01T00:00:00Z").contains("ended on"));
        assert!(warning("2028-01-01T00:00:00Z").contains("workflow"));
        assert_eq!(notice(Timestamp::from_millis(0)), None);
    }
}
