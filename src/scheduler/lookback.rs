//! PURE: how far a filter by paths must look back (semantics R10).
//!
//! A push that touches nothing the image is built from may be passed over only if every push since the last started
//! build is in a build, too, or touches as little. The key knows what is open or with a build; this keeps the
//! rest: what opened nothing, and what ended without a build. When in doubt, the filter lets the push through.

use serde::{Deserialize, Serialize};

use crate::event::Touches;
use crate::model::Seq;

/// What was pushed to a key since its last started build and is in no build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookback {
    /// A build of the key has started: there is something to look back to.
    #[serde(default)]
    begun: bool,
    /// The newest number of an event that may have touched what is built but is in no build: it was skipped, a person
    /// ended it, or its build was lost for good. Zero: none.
    #[serde(default)]
    unbuilt: Seq,
    /// The newest event passed over for its files, and the paths it was judged by.
    #[serde(default)]
    outside: Option<(Seq, String)>,
}

impl Lookback {
    /// Whether a push that touches nothing within `paths` may be passed over, as far as is known here.
    pub(super) fn is_clear(&self, paths: &str) -> bool {
        self.begun && self.unbuilt == Seq(0) && self.is_of(paths)
    }

    /// Whether all that was passed over was judged by these paths: what other paths let pass may be within these.
    fn is_of(&self, paths: &str) -> bool {
        self.outside.as_ref().is_none_or(|(_, by)| by == paths)
    }

    /// Events up to this number ended without a build that holds them.
    pub(super) fn leave(&mut self, through: Seq) {
        self.unbuilt = self.unbuilt.max(through);
    }

    /// An event opened nothing.
    pub(super) fn pass_over(&mut self, seq: Seq, touches: &Touches) {
        match touches {
            Touches::Inside => self.leave(seq),
            Touches::Outside { paths } if !self.is_of(paths) => self.leave(seq),
            Touches::Outside { paths } => self.outside = Some((seq, paths.to_string())),
        }
    }

    /// A build has started, or its cover is known better. By time alone it would cover all up to `by_time`.
    pub(super) fn begin(&mut self, cover: Seq, by_time: Seq) {
        self.begun = true;
        if self.unbuilt <= cover {
            self.unbuilt = Seq(0);
        }
        self.outside.take_if(|(seq, _)| *seq <= cover);
        // Its commit is older than assumed: what it seemed to hold may be in no build.
        if cover < by_time {
            self.leave(by_time);
        }
    }

    /// What is known of the ref no longer leads back to its last build.
    pub(super) fn lose_track(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(paths: &str) -> Touches {
        Touches::Outside { paths: paths.into() }
    }

    #[test]
    fn without_a_build_there_is_nothing_to_look_back_to() {
        let mut lookback = Lookback::default();
        assert!(!lookback.is_clear("a"));
        lookback.begin(Seq(1), Seq(1));
        assert!(lookback.is_clear("a"));
        lookback.lose_track();
        assert!(!lookback.is_clear("a"));
    }

    #[test]
    fn what_is_in_no_build_counts_until_a_build_reaches_it() {
        let mut lookback = Lookback::default();
        lookback.leave(Seq(3));
        lookback.begin(Seq(2), Seq(2));
        assert!(!lookback.is_clear("a"));
        lookback.begin(Seq(3), Seq(3));
        assert!(lookback.is_clear("a"));
        lookback.pass_over(Seq(4), &Touches::Inside);
        assert!(!lookback.is_clear("a"));
    }

    #[test]
    fn an_older_commit_than_was_thought_makes_it_unknown() {
        let mut lookback = Lookback::default();
        lookback.leave(Seq(3));
        lookback.begin(Seq(4), Seq(4));
        assert!(lookback.is_clear("a"));
        lookback.begin(Seq(2), Seq(4));
        assert!(!lookback.is_clear("a"));
    }

    #[test]
    fn what_other_paths_let_pass_is_looked_at_anew() {
        let mut lookback = Lookback::default();
        lookback.begin(Seq(1), Seq(1));
        lookback.pass_over(Seq(2), &outside("a"));
        lookback.pass_over(Seq(3), &outside("a"));
        assert!(lookback.is_clear("a") && !lookback.is_clear("b"));
        // A marked one is passed over all the same, and is not known to be outside of what "a" let pass.
        lookback.pass_over(Seq(4), &outside("b"));
        assert!(!lookback.is_clear("a") && !lookback.is_clear("b"));
        lookback.begin(Seq(4), Seq(4));
        assert!(lookback.is_clear("a") && lookback.is_clear("b"));
    }
}
