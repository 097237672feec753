//! Skip markers in commit messages (semantics R10).
//!
//! The list is GitHub Actions' (github/docs, "Skipping workflow runs"), case-insensitive. It must not decide what a
//! skip means: it only says which commits ask for one.

use crate::config::SkipRule;
use crate::reason::SkipEvidence;

const MARKERS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];

/// The marker that is not a word in brackets but the message's last line.
const TRAILER: &str = "skip-checks: true";

/// Which commits of a push carry a marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marked {
    /// Every one of them, as far as the sender shows: never true for an empty list or one that may be cut off.
    pub(crate) all: bool,
    /// The marker of the newest one, if it carries one.
    pub(crate) head: Option<&'static str>,
}

impl Marked {
    /// Why `rule` skips such a push; None if it doesn't.
    pub(super) fn skipped_by(self, rule: SkipRule) -> Option<SkipEvidence> {
        let marker = self.head.map(ToOwned::to_owned);
        match rule {
            SkipRule::All if self.all => Some(SkipEvidence::EveryCommitMarked { marker }),
            SkipRule::Head if marker.is_some() => Some(SkipEvidence::NewestCommitMarked { marker }),
            _ => None,
        }
    }
}

/// The marker in a commit's message, as GitHub's list spells it.
pub(crate) fn marker_in(message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    let marker = MARKERS.iter().find(|marker| message.contains(**marker)).copied();
    marker.or_else(|| ends_with_trailer(&message).then_some(TRAILER))
}

/// Whether the last line is `skip-checks: true`, in its own paragraph or among other trailers: the subject alone is not
/// a trailer.
fn ends_with_trailer(message: &str) -> bool {
    let message = message.trim_end();
    let Some((before, last)) = message.rsplit_once('\n') else {
        return false;
    };
    let asks =
        last.split_once(':').is_some_and(|(key, value)| key.trim_end() == "skip-checks" && value.trim() == "true");
    asks && before.lines().any(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_count_in_any_letter_case_and_anywhere() {
        for marked in [
            "Fix a typo [skip ci]",
            "[CI Skip] fix",
            "a\n\nlong story [no ci] told",
            "[Skip Actions]",
            "x [ACTIONS SKIP]",
            "Subject\n\nBody\n\n\nskip-checks: true",
            "Subject\n\nSigned-off-by: A\nSkip-Checks:true\n",
        ] {
            assert!(marker_in(marked).is_some(), "{marked:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        for plain in [
            "skip ci",
            "[skip-ci]",
            "skip-checks: true",
            "Subject\nskip-checks: true",
            "Subject\n\nskip-checks: true\n\nmore",
            "Subject\n\nskip-checks: false",
            "",
        ] {
            assert!(marker_in(plain).is_none(), "{plain:?}");
        }
    }

    #[test]
    fn each_rule_looks_at_its_own_commits() {
        let only_head = Marked { all: false, head: Some(MARKERS[0]) };
        assert_eq!(only_head.skipped_by(SkipRule::All), None);
        assert!(only_head.skipped_by(SkipRule::Head).is_some());
        let both = Marked { all: true, head: Some(MARKERS[0]) };
        assert!(both.skipped_by(SkipRule::All).is_some());
        assert_eq!(both.skipped_by(SkipRule::Never), None);
    }
}
