//! What happens in the demo, and when: pushes from a real history, and a few taps of a button between them.

use std::time::Duration;

use crate::model::CommitId;

const PUSHES: &str = include_str!("pushes.csv");

/// Seconds since the first push at which the button is pressed: a double tap in the middle of the first evening, and
/// one after the last push, by somebody who doesn't trust it yet.
const TAPS: [u64; 3] = [1_000, 1_001, 5_730];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Push { commit: CommitId },
    Tap,
}

impl Happening {
    pub(super) fn commit(&self) -> Option<&CommitId> {
        match &self.what {
            What::Push { commit } => Some(commit),
            What::Tap => None,
        }
    }

    pub(super) fn title(&self) -> String {
        match &self.what {
            What::Push { commit } => format!("push {}", &commit.as_str()[..7]),
            What::Tap => "tap".to_owned(),
        }
    }
}

/// All events in order.
pub(super) fn read() -> Vec<Happening> {
    let pushes = PUSHES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split(',');
        let seconds: u64 = fields.next()?.parse().ok()?;
        // The data holds abbreviated commits; a payload names whole ones.
        let commit = format!("{:0<40}", fields.nth(1)?).parse().ok()?;
        Some(Happening { at: Duration::from_secs(seconds), what: What::Push { commit } })
    });
    let taps = TAPS.map(|seconds| Happening { at: Duration::from_secs(seconds), what: What::Tap });
    let mut all: Vec<Happening> = pushes.chain(taps).collect();
    all.sort_by_key(|happening| happening.at);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_data_is_passed_over() {
        let lines = PUSHES.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines, 22);
        assert_eq!(read().len(), lines + TAPS.len());
    }
}
