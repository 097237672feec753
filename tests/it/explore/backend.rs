//! The back-end's truth: one build running and one queued; a further trigger is thrown away in silence.

use coalesced::build::{BackendBuild, BackendBuildId, BackendBuildState, Observation, Outcome};
use coalesced::model::{BuildId, Seq, Timestamp};

use super::scope::{BUILD_MS, LINGER_MS, START, Scope};

/// One build in its true state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    pub number: u16,
    /// The call that made it.
    pub call: BuildId,
    pub git_ref: usize,
    pub made_at: i64,
    pub shown_at: i64,
    pub state: State,
    pub source: Option<Source>,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Given up after it could not be looked for, for long: it may still hold a place, and that can't be known.
    pub excused: bool,
}

/// What was in the source when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub commit: u8,
    /// The newest event that was on disk then.
    pub through: Seq,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Running,
    Over(Outcome),
    /// It ended, and no list shows it.
    Gone,
}

impl Build {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_) | State::Gone)
    }

    pub(crate) fn row(&self) -> BackendBuildId {
        BackendBuildId(format!("r{}", self.number))
    }

    fn shown(&self, scope: &Scope) -> BackendBuild {
        let state = match self.state {
            State::Waiting => BackendBuildState::Waiting,
            State::Running => BackendBuildState::Running,
            State::Over(outcome) => BackendBuildState::Finished(outcome),
            State::Gone => BackendBuildState::Unknown,
        };
        let begun = self.source.filter(|_| scope.commits && self.started_at.is_some());
        BackendBuild {
            label: Some(scope.names.refs[self.git_ref].short().to_owned()),
            commit: begun.map(|source| scope.commit(self.git_ref, source.commit).clone()),
            created_at: Some(moment(self.made_at)),
            // When it started is not shown, as by the real one in many answers: what is seen is what counts.
            ..BackendBuild::new(self.row(), state)
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Backend {
    pub builds: Vec<Build>,
    pub made: u16,
    /// Since when nothing runs.
    pub free_since: i64,
}

impl Backend {
    pub(crate) fn build(&self, number: u16) -> Option<&Build> {
        self.builds.iter().find(|build| build.number == number)
    }

    pub(crate) fn waiting(&self) -> Option<&Build> {
        self.builds.iter().find(|build| build.state == State::Waiting)
    }

    pub(crate) fn running(&self) -> Option<&Build> {
        self.builds.iter().find(|build| build.state == State::Running)
    }

    /// A trigger has its effect, unless one is queued already.
    pub(crate) fn trigger(&mut self, build: Build) -> bool {
        if self.waiting().is_some() {
            return false;
        }
        self.made += 1;
        self.builds.push(Build { number: self.made, ..build });
        true
    }

    pub(crate) fn list(&self, at: i64) -> Vec<Build> {
        let shown = self.builds.iter().filter(|build| build.state != State::Gone && build.shown_at <= at);
        shown.copied().collect()
    }

    /// Until when time may go on before something here must have happened.
    pub(crate) fn limit(&self) -> Option<i64> {
        let ends = self.running().and_then(|build| build.started_at).map(|at| at + BUILD_MS);
        let starts =
            self.waiting().filter(|_| ends.is_none()).map(|build| build.made_at.max(self.free_since) + LINGER_MS);
        ends.or(starts)
    }
}

pub(crate) fn observation(builds: &[Build], scope: &Scope) -> Observation {
    let rows = builds.iter().map(|build| build.shown(scope)).collect();
    Observation { builds: rows, complete_since: None, clock_ahead_ms: 0 }
}

pub(crate) fn moment(at: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + at)
}
