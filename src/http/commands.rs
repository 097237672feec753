//! Commands from people (semantics R9): pause, resume, start, drop, cancel.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};

use super::auth::Caller;
use super::body::BODY_BYTES_MAX;
use super::fields::Fields;
use super::problem::Problem;
use super::{Shared, image_of};
use crate::command::{Command, Scope, Verb};
use crate::config::TokenScope;
use crate::event::Cause;
use crate::status::LaneView;

/// The longest pause that ends by itself: a person should end longer ones.
const PAUSE_MAX: Duration = Duration::from_hours(366 * 24);

/// `POST /v1/images/{namespace}/{name}/{verb}`: returns the lane.
pub(super) async fn on_image(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name, word)): Path<(String, String, String)>,
    request: Request,
) -> Result<Json<LaneView>, Problem> {
    let (parts, body) = request.into_parts();
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &parts.headers, TokenScope::Trigger)?;
    let image = image_of(&rules, &caller, &namespace, &name)?;
    let body = shared.bodies.read(&parts.headers, body, BODY_BYTES_MAX).await?;
    let request = CommandRequest::read(&word, &parts.headers, &body.bytes)?;
    let lanes = shared.app.handle.command(request.to(Scope::Image(image), caller.name)).await?;
    lanes.into_iter().next().map(Json).ok_or_else(Problem::unknown_image)
}

/// `POST /v1/pause`: returns all lanes.
pub(super) async fn pause_all(state: State<Arc<Shared>>, request: Request) -> Result<Json<Vec<LaneView>>, Problem> {
    on_all(state, "pause", request).await
}

/// `POST /v1/resume`: returns all lanes.
pub(super) async fn resume_all(state: State<Arc<Shared>>, request: Request) -> Result<Json<Vec<LaneView>>, Problem> {
    on_all(state, "resume", request).await
}

async fn on_all(
    State(shared): State<Arc<Shared>>,
    word: &str,
    request: Request,
) -> Result<Json<Vec<LaneView>>, Problem> {
    let (parts, body) = request.into_parts();
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &parts.headers, TokenScope::Admin)?;
    caller.must_reach_all()?;
    let body = shared.bodies.read(&parts.headers, body, BODY_BYTES_MAX).await?;
    let request = CommandRequest::read(word, &parts.headers, &body.bytes)?;
    Ok(Json(shared.app.handle.command(request.to(Scope::All, caller.name)).await?))
}

#[derive(Debug, PartialEq, Eq)]
struct CommandRequest {
    verb: Verb,
    reason: Option<String>,
}

impl CommandRequest {
    fn read(word: &str, headers: &axum::http::HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let known: &[&str] = if word == "pause" { &["reason", "for"] } else { &["reason"] };
        let verb_of = |fields: &Fields| match word {
            "pause" => Ok(Verb::Pause { length: fields.text("for")?.map(pause_length).transpose()? }),
            "resume" => Ok(Verb::Resume),
            "start" => Ok(Verb::Start),
            "drop" => Ok(Verb::Drop),
            "cancel" => Ok(Verb::Cancel),
            _ => Err(Problem::not_found("there is nothing at this address")),
        };
        // An unknown verb is an unknown path, whatever its body says.
        verb_of(&Fields::none())?;
        let fields = Fields::read(headers, body, known)?;
        Ok(Self { verb: verb_of(&fields)?, reason: fields.text("reason")?.map(shortened) })
    }

    fn to(self, scope: Scope, actor: &str) -> Command {
        Command { verb: self.verb, scope, actor: actor.to_owned(), reason: self.reason }
    }
}

fn pause_length(text: &str) -> Result<Duration, Problem> {
    let length = humantime::parse_duration(text)
        .map_err(|error| Problem::bad_request(format!("'for' must be a length of time such as 2h or 30m: {error}")))?;
    if length.is_zero() || length > PAUSE_MAX {
        return Err(Problem::bad_request("'for' must be more than nothing and at most 366 days"));
    }
    Ok(length)
}

/// A reason, cut to the length limit of a cause's texts: the journal keeps it.
fn shortened(reason: &str) -> String {
    reason[..reason.floor_char_boundary(Cause::TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, StatusCode};

    use super::*;

    fn read(word: &str, body: &str) -> Result<CommandRequest, Problem> {
        CommandRequest::read(word, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_pause_may_end_by_itself_and_have_a_reason() {
        let request = read("pause", "{\"for\": \"2h\", \"reason\": \"release day\"}").expect("a request");
        let length = Some(Duration::from_hours(2));
        assert_eq!(request, CommandRequest { verb: Verb::Pause { length }, reason: Some("release day".to_owned()) });
        assert_eq!(read("pause", "").expect("a request").verb, Verb::Pause { length: None });
    }

    #[test]
    fn every_verb_has_its_word_and_others_are_no_address() {
        for (word, verb) in
            [("resume", Verb::Resume), ("start", Verb::Start), ("drop", Verb::Drop), ("cancel", Verb::Cancel)]
        {
            assert_eq!(read(word, "{}").expect(word).verb, verb);
            assert_eq!(read(word, "{\"for\": \"2h\"}").expect_err("refused").status, StatusCode::BAD_REQUEST);
        }
        assert_eq!(read("explode", "{").expect_err("refused").status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_length_must_be_a_length() {
        for bad in ["soon", "0s", "-2h", "2", "400d"] {
            let problem = read("pause", &format!("{{\"for\": \"{bad}\"}}")).expect_err(bad);
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let request = read("drop", &format!("{{\"reason\": \"x{}\"}}", "\u{fc}".repeat(200))).expect("a request");
        assert_eq!(request.reason.map(|reason| reason.len()), Some(199));
    }
}
