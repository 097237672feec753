//! Builds: what we ask of a back-end, and what it reports.
//!
//! These are the plain values that pass between the scheduler, which decides, and the back-ends, which act.
//! Neither module knows the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{BuildId, CommitId, GitRef, ImageName, Timestamp};

/// The request for one build: everything a back-end needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    pub build: BuildId,
    pub image: ImageName,
    pub git_ref: GitRef,
    /// The newest commit that an event of this build named. No back-end must build exactly that one.
    pub commit: Option<CommitId>,
}

/// The outcome of a trigger call, classified by what can be done about it (semantics R5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerAnswer {
    /// Accepted; `backend_id` if the answer names the build.
    Accepted { backend_id: Option<BackendBuildId> },
    /// Nominally accepted, but reported as already pending or ignored.
    AlreadyPending { detail: String },
    /// Unknown: the call may have had an effect. Never repeated before the back-end was asked.
    Uncertain { detail: String },
    /// It had no effect and may be repeated: no connection, or 429. `retry_after` if the back-end says.
    RefusedForNow { retry_after: Option<Duration>, detail: String },
    /// It had no effect and repeating it won't help: wrong token, no such trigger.
    Refused { detail: String },
}

/// The back-end's own id of a build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackendBuildId(pub String);

/// What a back-end holds for one image, in answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Builds only, in any order. At most [`Observation::BUILDS_MAX`].
    pub builds: Vec<BackendBuild>,
    /// They go back at least to this moment; an older build may exist without being listed.
    /// None if the whole history was read.
    pub complete_since: Option<Timestamp>,
    /// How far the back-end's clock is ahead of ours, in milliseconds, as its `Date` header shows. Times in
    /// `builds` are already corrected by it.
    pub clock_ahead_ms: i64,
}

impl Observation {
    /// The most builds that an observation may hold: 15 running, 30 pending, and as many finished ones.
    pub const BUILDS_MAX: usize = 100;

    /// Shifts its wall-clock moments to a clock that is ahead of the wall clock.
    pub fn to_clock_ahead_by(&mut self, ahead: Duration) {
        let later = |at: &mut Option<Timestamp>| *at = at.map(|at| at.plus(ahead));
        later(&mut self.complete_since);
        for build in &mut self.builds {
            later(&mut build.created_at);
            later(&mut build.started_at);
            later(&mut build.finished_at);
        }
    }
}

/// One build as the back-end shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendBuild {
    pub id: BackendBuildId,
    pub state: BackendBuildState,
    /// What the back-end says it builds: on Docker Hub the image's tag.
    pub label: Option<String>,
    pub commit: Option<CommitId>,
    pub created_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub log_url: Option<String>,
}

impl BackendBuild {
    /// One of which no other field is shown.
    pub fn new(id: BackendBuildId, state: BackendBuildState) -> Self {
        Self {
            id,
            state,
            label: None,
            commit: None,
            created_at: None,
            started_at: None,
            finished_at: None,
            log_url: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendBuildState {
    /// Accepted, not started.
    Waiting,
    Running,
    /// Asked to cancel, not ended: it still holds its place, and may still push.
    Stopping,
    Finished(Outcome),
    /// An unknown state: in flight until the deadline.
    Unknown,
}

impl BackendBuildState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished(_))
    }
}

/// The state of one of our builds, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildState {
    /// The intent is on disk; the call is being made.
    Triggering,
    /// The call's outcome is unknown; the back-end is being asked.
    Uncertain,
    Queued,
    Running,
    Finished,
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    Failure,
    Cancelled,
    /// It had started, and then vanished or was given up after the time limit.
    Lost,
    /// It never started: the trigger was refused, or the back-end showed no build of it.
    /// (Older journals wrote `lost` for this, too.)
    NotStarted,
}

impl Outcome {
    /// Its name in JSON, metrics and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::NotStarted => "not_started",
        }
    }
}

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    #[error("the back-end refuses to show its builds: {detail}")]
    Forbidden { detail: String },
    #[error("the back-end asks to wait")]
    Throttled { retry_after: Option<Duration> },
    #[error("the back-end can't be asked: {detail}")]
    Unavailable { detail: String },
}

/// The answer to a request to cancel. Even `Requested` frees nothing: the end must be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    Requested,
    Unsupported,
    Failed { detail: String },
}

/// When a back-end fetches the source that it builds (semantics R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceTaken {
    /// When the build starts: an answer "still queued" extends what it covers.
    AtStart,
    /// When the trigger is called.
    AtCall,
    /// Undocumented (Docker Hub): treated as at the trigger, and the reported commit decides.
    Unknown,
}

/// What a back-end can do (semantics R16). The scheduler asks this instead of assuming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the answer to the trigger call names the build.
    pub names_build: bool,
    /// Whether and when it fixes the commit that it builds.
    pub source_taken: SourceTaken,
    /// How long a new build may be missing from the list of builds. None: its builds can't be listed, so it is blind
    /// (semantics R13).
    pub list_lag: Option<Duration>,
    /// Which builds it can cancel.
    pub cancels: Cancels,
    /// Whether an ended build can resume under the same id.
    pub revives: bool,
    /// Whether it queues a second build by itself while one runs.
    pub has_waiting_place: bool,
    /// It ends a build by itself after this, and reports it as cancelled. None: never, as far as known.
    pub longest_build: Option<Duration>,
}

/// Which builds a back-end can cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancels {
    Nothing,
    Queued,
    Everything,
}

impl Capabilities {
    /// A back-end that lists its builds at once, doesn't say when it fetches its source, and has no limits.
    pub const DEFAULT: Self = Self {
        names_build: false,
        source_taken: SourceTaken::Unknown,
        list_lag: Some(Duration::ZERO),
        cancels: Cancels::Everything,
        revives: false,
        has_waiting_place: true,
        longest_build: None,
    };

    /// A build within this much of the limit counts as ended by it: times are truncated to whole seconds.
    const END_TOLERANCE: Duration = Duration::from_mins(1);

    /// The same back-end if its builds can't be seen.
    #[must_use]
    pub fn blind(self) -> Self {
        Self { list_lag: None, ..self }
    }

    /// Whether its builds can be seen; if not, starts and ends are assumed (semantics R13).
    pub fn observes(&self) -> bool {
        self.list_lag.is_some()
    }

    /// Whether a build of this length was ended by the back-end's own limit and not by a person.
    pub fn is_over_limit(&self, took: Duration) -> bool {
        self.longest_build.is_some_and(|longest| took + Self::END_TOLERANCE >= longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_follows_a_clock_that_is_ahead() {
        let at = |millis| Some(Timestamp::from_millis(millis));
        let build = BackendBuild {
            id: BackendBuildId("a".to_owned()),
            state: BackendBuildState::Running,
            label: None,
            commit: None,
            created_at: at(1_000),
            started_at: at(2_000),
            finished_at: None,
            log_url: None,
        };
        let mut seen = Observation { builds: vec![build], complete_since: at(500), clock_ahead_ms: 0 };
        seen.to_clock_ahead_by(Duration::from_hours(1));
        assert_eq!(seen.complete_since, at(3_600_500));
        assert_eq!((seen.builds[0].created_at, seen.builds[0].started_at), (at(3_601_000), at(3_602_000)));
        assert_eq!(seen.builds[0].finished_at, None);
    }
}
