//! Pushes that a filter by paths may pass over, and whether it was right to, by the truth of the Hub (R10).

use coalesced::emulator::TrueBuild;
use coalesced::event::{Disposition, Touches};
use coalesced::model::{CommitId, GitRef, ImageName, Timestamp};
use coalesced::reason::SkipEvidence;

/// What a push is made of, and what its source makes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Content {
    /// It touches something that is built.
    #[default]
    Inside,
    Outside,
    /// It also carries a skip marker.
    MarkedInside,
    MarkedOutside,
}

const PATHS: &str = "paths";

/// One push that was passed over for its files.
pub(crate) struct PassedOver {
    pub image: ImageName,
    pub git_ref: GitRef,
    pub commit: CommitId,
    pub at: Timestamp,
}

/// One push as it was: its commit, and whether it touched what is built.
pub(crate) struct Push {
    pub commit: CommitId,
    pub inside: bool,
}

impl Content {
    pub(crate) fn is_inside(self) -> bool {
        matches!(self, Self::Inside | Self::MarkedInside)
    }

    pub(crate) fn disposition(self, immediate: bool) -> Disposition {
        let skip = |touches| Disposition::Skip { evidence: SkipEvidence::NewestCommitMarked { marker: None }, touches };
        match self {
            Self::Inside => Disposition::Build { immediate, manual: false, ensure: false },
            Self::Outside => Disposition::Outside {
                evidence: SkipEvidence::OutsidePaths { file: "a".to_owned(), more: 0 },
                paths: PATHS.into(),
            },
            Self::MarkedInside => skip(Touches::Inside),
            Self::MarkedOutside => skip(Touches::Outside { paths: PATHS.into() }),
        }
    }
}

/// The newest push up to the one that was passed over which touched what is built must be in a build that had begun by
/// then. None: it is.
pub(crate) fn left_behind<'a>(passed: &PassedOver, pushes: &'a [Push], builds: &[TrueBuild]) -> Option<&'a Push> {
    let own = pushes.iter().position(|push| push.commit == passed.commit)?;
    let needed = pushes[..=own].iter().rposition(|push| push.inside)?;
    let holds = |build: &TrueBuild| {
        // Thrown away and shown as failed: a failure, and reported as one.
        let shown_failed = build.outcome == Some(coalesced::build::Outcome::Failure) && build.started_at.is_none();
        let begun_at = if shown_failed { Some(build.created_at) } else { build.started_at };
        // Cancelled before it took its source, after it had begun: a person's word.
        let content = build.commit.as_ref().map(|commit| pushes.iter().rposition(|push| push.commit == *commit));
        build.git_ref == passed.git_ref
            && begun_at.is_some_and(|at| at <= passed.at)
            && (shown_failed || content.is_none_or(|index| index >= Some(needed)))
    };
    (!builds.iter().any(holds)).then(|| &pushes[needed])
}
