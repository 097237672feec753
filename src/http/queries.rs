//! The reading side of the API: lanes, history, health, metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::auth::Caller;
use super::problem::Problem;
use super::query::{build_query, event_query};
use super::{Shared, image_of};
use crate::config::TokenScope;
use crate::journal::{BuildQuery, EventQuery, HistoryError, LIST_LIMIT_MAX};
use crate::model::BuildId;
use crate::status::{BuildView, Health, LaneView, Receipt};
use crate::telemetry;

/// How many pages of history are searched for what a limited token may see, before a short page is returned.
const SEARCH_PAGES_MAX: usize = 20;

/// `GET /v1/images`: the lanes, sorted by name.
pub(super) async fn images(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Vec<LaneView>>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    Ok(Json(shared.app.handle.lanes().into_iter().filter(|lane| caller.reaches(&lane.image)).collect()))
}

/// `GET /v1/images/{namespace}/{name}`
pub(super) async fn image(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<LaneView>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    let image = image_of(&rules, &caller, &namespace, &name)?;
    shared.app.handle.lane(&image).map(Json).ok_or_else(Problem::unknown_image)
}

/// `GET /v1/events`: newest first.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Vec<Receipt>>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    let query = event_query(query.as_deref().unwrap_or_default())?;
    let handle = &shared.app.handle;
    if caller.reaches_all() {
        return Ok(Json(handle.events(query).await?));
    }
    if query.image.as_ref().is_some_and(|image| !caller.reaches(image)) {
        return Ok(Json(Vec::new()));
    }
    let page_from = |before| handle.events(EventQuery { before, limit: LIST_LIMIT_MAX, ..query.clone() });
    let reaches = |receipt: &Receipt| reaches_event(&caller, receipt);
    let id_of = |receipt: &Receipt| receipt.id.parse().ok();
    Ok(Json(search(query.limit, query.before, page_from, reaches, id_of).await?))
}

/// `GET /v1/events/{id}`
pub(super) async fn event(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Receipt>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    let unknown = || Problem::not_found("no event has this id");
    let id = id.parse().map_err(|_| unknown())?;
    let receipt = shared.app.handle.event(id).await?;
    receipt.filter(|receipt| reaches_event(&caller, receipt)).map(Json).ok_or_else(unknown)
}

/// `GET /v1/builds`: newest first.
pub(super) async fn builds(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Vec<BuildView>>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    let query = build_query(query.as_deref().unwrap_or_default())?;
    let handle = &shared.app.handle;
    if caller.reaches_all() {
        return Ok(Json(handle.builds(query).await?));
    }
    if query.image.as_ref().is_some_and(|image| !caller.reaches(image)) {
        return Ok(Json(Vec::new()));
    }
    let page_from = |before| handle.builds(BuildQuery { before, limit: LIST_LIMIT_MAX, ..query.clone() });
    let reaches = |build: &BuildView| caller.reaches(&build.image);
    Ok(Json(search(query.limit, query.before, page_from, reaches, |build| Some(build.id)).await?))
}

/// `GET /v1/builds/{id}`
pub(super) async fn build(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<BuildView>, Problem> {
    let rules = shared.app.handle.rules();
    let caller = Caller::of(&rules, &shared.app, &headers, TokenScope::Read)?;
    let unknown = || Problem::not_found("no build has this id");
    let id = id.parse().map(BuildId).map_err(|_| unknown())?;
    let build = shared.app.handle.build(id).await?;
    build.filter(|build| caller.reaches(&build.image)).map(Json).ok_or_else(unknown)
}

/// `GET /health`: 200 even if an operator is needed, so that a working daemon isn't restarted.
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Result<Json<Health>, Problem> {
    must_not_be_ending(&shared)?;
    Ok(Json(shared.app.handle.health()))
}

/// `GET /ready`: whether to send new requests here.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Json<Ready>, Problem> {
    must_not_be_ending(&shared)?;
    Ok(Json(Ready { status: "ready" }))
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
}

/// `GET /metrics`: the driver's counters and this module's.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = shared.app.handle.metrics();
    text.push_str(&shared.metrics.text());
    ([(CONTENT_TYPE, telemetry::EXPOSITION_TYPE)], text)
}

fn must_not_be_ending(shared: &Shared) -> Result<(), Problem> {
    if shared.ending.is_cancelled() { Err(Problem::unavailable("the daemon is ending")) } else { Ok(()) }
}

/// Only callers that see everything see events without an image.
fn reaches_event(caller: &Caller<'_>, receipt: &Receipt) -> bool {
    receipt.image.as_ref().map_or_else(|| caller.reaches_all(), |image| caller.reaches(image))
}

/// The newest `limit` entries that `reaches` accepts, from `before` on. A page from the driver may contain few or none
/// of them, so several are requested.
async fn search<Item, Id, Page>(
    limit: usize,
    mut before: Option<Id>,
    page_from: impl Fn(Option<Id>) -> Page,
    reaches: impl Fn(&Item) -> bool,
    id_of: impl Fn(&Item) -> Option<Id>,
) -> Result<Vec<Item>, HistoryError>
where
    Page: Future<Output = Result<Vec<Item>, HistoryError>>,
    Id: Copy,
{
    let mut found = Vec::new();
    for _ in 0..SEARCH_PAGES_MAX {
        let page = page_from(before).await?;
        let is_last = page.len() < LIST_LIMIT_MAX;
        let oldest = page.last().and_then(&id_of);
        found.extend(page.into_iter().filter(&reaches).take(limit - found.len()));
        if is_last || oldest.is_none() || found.len() == limit {
            break;
        }
        before = oldest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of the numbers from `newest` down to 1, requested in pages.
    async fn search_in(newest: u64, limit: usize, wanted: impl Fn(&u64) -> bool) -> Vec<u64> {
        let page_from = |before: Option<u64>| {
            let page = (1..before.unwrap_or(newest + 1)).rev().take(LIST_LIMIT_MAX).collect();
            std::future::ready(Ok(page))
        };
        search(limit, None, page_from, wanted, |item| Some(*item)).await.expect("found")
    }

    #[tokio::test]
    async fn a_limited_token_gets_full_pages_from_a_thin_history() {
        assert_eq!(search_in(5_000, 3, |item| item % 1_500 == 0).await, [4_500, 3_000, 1_500]);
        assert_eq!(search_in(5_000, 2, |item| item % 1_500 == 0).await, [4_500, 3_000]);
        assert_eq!(search_in(3, 10, |_| true).await, [3, 2, 1]);
    }

    #[tokio::test]
    async fn a_search_that_finds_nothing_ends() {
        assert_eq!(search_in(1_000_000, 10, |_| false).await, [0_u64; 0]);
    }
}
