//! `POST /v1/reload`: reloads the configuration file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::Shared;
use super::auth::Caller;
use super::problem::Problem;
use crate::config::{ConfigError, TokenScope};
use crate::reload::ReloadError;
use crate::status::Reloaded;

/// Returns what changed, or every mistake; in that case nothing changed.
pub(super) async fn reload(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Json<Reloaded>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Admin)?;
    caller.must_reach_all()?;
    let Some(reloader) = shared.app.reloader.clone() else { return Err(ReloadError::NoFile.into()) };
    // A client that disconnects must not abort it half-way.
    let finished = tokio::spawn(async move { reloader.reload().await }).await;
    match finished {
        Ok(outcome) => Ok(Json(outcome?)),
        Err(error) => {
            tracing::error!(%error, "reloading the configuration panicked");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the reload failed; the log says why"))
        }
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let mistakes = match &error {
            ReloadError::Config(ConfigError::Mistakes(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            ReloadError::Config(_) | ReloadError::Backend(_) => vec![error.to_string()],
            ReloadError::Unavailable(unavailable) => return (*unavailable).into(),
            ReloadError::NoFile => return Self::new(StatusCode::CONFLICT, error.to_string()),
        };
        let detail = "the configuration can't be used; the old one stays in force";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_mistakes(mistakes)
    }
}
