//! The login of one account: one token for all its images, and never a storm of logins.
//!
//! Docker Hub answers too many logins of one user name with 429 for ten minutes, whatever address they come from
//! (docker/hub-feedback issue 2201). So a token is kept while it is valid, at most one login is in flight, and after a
//! refusal there is no new attempt for a while.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{SHORT_ANSWER_BYTES_MAX, urls};
use crate::backend::answer::Answer;
use crate::backend::client::{Call, CallError, Client};
use crate::backend::dates;
use crate::backend::redaction::Redaction;
use crate::build::ObserveError;
use crate::config::Secret;
use crate::config::backend::docker_hub::Login;
use crate::model::Timestamp;

/// The lifetime of a token that states none: the one in Docker Hub's API reference.
const TOKEN_LIFE_DEFAULT: Duration = Duration::from_mins(10);
/// The longest lifetime of a token that is believed.
const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24);
/// A token is renewed this long before it expires.
const TOKEN_RENEWED_BEFORE: Duration = Duration::from_secs(30);
/// No login for this long after one that was refused or throttled.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_mins(10);
/// No login for this long after one that got no answer.
const PAUSE_AFTER_OUTAGE: Duration = Duration::from_secs(30);

pub(super) struct Session {
    client: Client,
    api: String,
    login: Login,
    /// Held during a login, so that all others wait for its result instead of logging in themselves.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bearer: Option<Bearer>,
    /// After a failed login: when the next may be made, and what to answer until then.
    pause: Option<(Instant, ObserveError)>,
    logins: u64,
}

#[derive(Clone)]
struct Bearer {
    token: Secret,
    good_until: Instant,
    /// The number of the login that it came from.
    number: u64,
    /// Whether any call was accepted with it. A token that never was is not replaced at once: the next would be refused
    /// as well, and each question would cost a login.
    proven: bool,
}

impl Session {
    pub(super) fn new(client: Client, api: &str, login: Login) -> Self {
        Self { client, api: api.to_owned(), login, state: Mutex::default() }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    /// Sends the call with the session's token; if a token that used to work is refused, once more with a new one.
    pub(super) async fn send(&self, call: impl Fn() -> Call) -> Result<Answer, ObserveError> {
        let bearer = self.state.lock().await.bearer(self).await?;
        let answer = self.send_with(call(), &bearer).await?;
        let Some(newer) = self.after(&answer, &bearer).await? else {
            return Ok(answer);
        };
        let answer = self.send_with(call(), &newer).await?;
        // Whatever this answer is, it is final: a second new token would fare no better.
        self.note(&answer, &newer).await;
        Ok(answer)
    }

    async fn send_with(&self, call: Call, bearer: &Bearer) -> Result<Answer, ObserveError> {
        let Some(call) = call.bearing(&bearer.token) else {
            return Err(unavailable("the login's token can't stand in a header".to_owned()));
        };
        match self.client.send(call).await {
            Ok(answer) => Ok(Answer { bearer: Some(bearer.token.clone()), ..answer }),
            Err(error) => Err(unavailable(self.redaction().shown(&error.into_text()))),
        }
    }

    /// The token to retry the call with, if a retry makes sense.
    async fn after(&self, answer: &Answer, bearer: &Bearer) -> Result<Option<Bearer>, ObserveError> {
        if answer.status.as_u16() != 401 {
            self.note(answer, bearer).await;
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        match &mut state.bearer {
            // Another call has renewed it in the meantime.
            Some(newer) if newer.number != bearer.number => Ok(Some(newer.clone())),
            Some(same) if !same.proven => {
                same.good_until = same.good_until.min(Instant::now() + PAUSE_AFTER_REFUSAL);
                Ok(None)
            }
            _ => {
                state.bearer = None;
                state.bearer(self).await.map(Some)
            }
        }
    }

    async fn note(&self, answer: &Answer, bearer: &Bearer) {
        // An error of the service itself proves nothing about the token.
        if bearer.proven || answer.status.as_u16() == 401 || answer.status.is_server_error() {
            return;
        }
        if let Some(ours) = self.state.lock().await.bearer.as_mut().filter(|ours| ours.number == bearer.number) {
            ours.proven = true;
        }
    }

    /// One login: its result, or what to answer and for how long.
    async fn log_in(&self) -> Result<(Secret, Duration), (Duration, ObserveError)> {
        let Some(url) = urls::login(&self.api) else {
            return Err((PAUSE_AFTER_OUTAGE, unavailable("the login has no address".to_owned())));
        };
        let body = json!({ "identifier": self.login.username, "secret": self.login.token.expose() });
        let redaction = self.redaction();
        let answer = match self.client.send(Call::post(url, &body, SHORT_ANSWER_BYTES_MAX)).await {
            Ok(answer) => answer,
            Err(error) => {
                let detail = format!("login: {}", redaction.shown(&error.into_text()));
                return Err((PAUSE_AFTER_OUTAGE, unavailable(detail)));
            }
        };
        let detail = || format!("login: {}", answer.description(&redaction));
        match answer.status.as_u16() {
            200..=299 => match token_of(&answer) {
                Some(token) => Ok((Secret::new(token.clone()), token_life(&token, &answer))),
                None => Err((PAUSE_AFTER_OUTAGE, unavailable("login: the answer has no token".to_owned()))),
            },
            429 => {
                let pause = answer.retry_after().unwrap_or(PAUSE_AFTER_REFUSAL);
                Err((pause, ObserveError::Throttled { retry_after: Some(pause) }))
            }
            408 | 500.. => Err((PAUSE_AFTER_OUTAGE, unavailable(detail()))),
            400 | 401 | 403 => Err((PAUSE_AFTER_REFUSAL, ObserveError::Forbidden { detail: detail() })),
            _ => Err((PAUSE_AFTER_REFUSAL, unavailable(detail()))),
        }
    }

    fn redaction(&self) -> Redaction {
        let mut redaction = Redaction::none();
        redaction.add(self.login.token.expose());
        redaction
    }
}

impl State {
    /// The valid token, or a new one. The caller holds the lock, so there is no other login in the meantime.
    async fn bearer(&mut self, session: &Session) -> Result<Bearer, ObserveError> {
        let now = Instant::now();
        if let Some(bearer) = self.bearer.as_ref().filter(|bearer| now < bearer.good_until) {
            return Ok(bearer.clone());
        }
        self.bearer = None;
        match &self.pause {
            Some((until, why)) if now < *until => return Err(still(why, until.duration_since(now))),
            // Set before the call: the caller may give up during it, and the next one must not try at once.
            _ => self.pause = Some((now + PAUSE_AFTER_OUTAGE, unavailable("the login got no answer".to_owned()))),
        }
        match session.log_in().await {
            Ok((token, life)) => {
                self.pause = None;
                self.logins += 1;
                let good_until = Instant::now() + life.saturating_sub(TOKEN_RENEWED_BEFORE);
                let bearer = Bearer { token, good_until, number: self.logins, proven: false };
                self.bearer = Some(bearer.clone());
                Ok(bearer)
            }
            Err((pause, why)) => {
                self.pause = Some((Instant::now() + pause, why.clone()));
                Err(why)
            }
        }
    }
}

impl CallError {
    fn into_text(self) -> String {
        match self {
            Self::NotSent(why) | Self::Unanswered(why) => why,
        }
    }
}

fn unavailable(detail: String) -> ObserveError {
    ObserveError::Unavailable { detail }
}

/// The same refusal, with the remaining wait.
fn still(why: &ObserveError, left: Duration) -> ObserveError {
    match why {
        ObserveError::Throttled { .. } => ObserveError::Throttled { retry_after: Some(left) },
        other => other.clone(),
    }
}

fn token_of(answer: &Answer) -> Option<String> {
    let body = answer.json()?;
    let token = body.get("access_token")?.as_str()?;
    (!token.is_empty()).then(|| token.to_owned())
}

/// How long the token is still valid, by the clock of its issuer.
fn token_life(token: &str, answer: &Answer) -> Duration {
    let now = dates::date(&answer.headers).unwrap_or(answer.answered_at);
    token_end(token).map_or(TOKEN_LIFE_DEFAULT, |end| end.since(now)).min(TOKEN_LIFE_MAX)
}

/// The `exp` of a JSON Web Token. Its signature is Docker Hub's business, and another kind of token works as well: it
/// just doesn't say.
fn token_end(token: &str) -> Option<Timestamp> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    dates::moment(payload.get("exp")?)
}

#[cfg(test)]
mod tests;
