//! The HTTP server: listeners, limits, routes and responses.
//!
//! It owns everything between a socket and the driver's [`Handle`]. It must not decide what is built, nor
//! answer 2xx to a delivery before the handle says that it is on disk.
//!
//! - `listener`: sockets, from the configuration or from systemd
//! - `connection`: how many, how long, and graceful shutdown
//! - `middleware`: what every request passes through: time limit, problem documents, metrics
//! - `body`, `fields`, `query`: request contents, within limits
//! - `auth`: who may do what at `/v1`
//! - `ingest`, `commands`, `queries`, `reload`: the routes

mod auth;
mod body;
mod commands;
mod connection;
mod fields;
mod ingest;
mod listener;
mod metrics;
mod middleware;
mod problem;
mod queries;
mod query;
mod reload;
mod stall;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use tokio_util::sync::CancellationToken;

pub use connection::Drained;
pub use listener::{BindError, Listeners};
pub use problem::Problem;

use crate::config::{Rules, Secret};
use crate::driver::Handle;
use crate::model::ImageName;
use crate::reload::Reloader;
use body::BodyBudget;
use connection::Limits;
use metrics::Metrics;

/// What the routes need from the daemon.
#[derive(Clone)]
pub struct App {
    /// Also gives access to the rules in force: no part of them is kept here.
    pub handle: Handle,
    /// The token of clients on this machine: it may do everything, under the name `local`.
    pub local_token: Option<Secret>,
    /// None: the configuration can't be reloaded.
    pub reloader: Option<Arc<Reloader>>,
    /// The most simultaneous connections.
    pub connections_max: usize,
}

/// The state of one serving daemon: the app, and what its requests share.
struct Shared {
    app: App,
    bodies: BodyBudget,
    metrics: Metrics,
    /// Cancelled when the daemon is asked to stop.
    ending: CancellationToken,
}

/// Serves until `ending` is cancelled, then lets requests in flight finish, for at most 10 s.
pub async fn serve(listeners: Listeners, app: App, ending: CancellationToken) -> Drained {
    let limits = Limits { connections: app.connections_max, ..Limits::DEFAULT };
    let router = router(app, ending.clone());
    connection::serve(listeners, limits, router, ending).await
}

fn router(app: App, ending: CancellationToken) -> Router {
    let shared = Arc::new(Shared { app, bodies: BodyBudget::default(), metrics: Metrics::default(), ending });
    Router::new()
        .route("/hooks/{source}", post(ingest::hook))
        .route("/buttons/{name}", any(ingest::button))
        .route("/v1/images/{namespace}/{name}/builds", post(ingest::build))
        .route("/v1/images/{namespace}/{name}/{verb}", post(commands::on_image))
        .route("/v1/pause", post(commands::pause_all))
        .route("/v1/resume", post(commands::resume_all))
        .route("/v1/reload", post(reload::reload))
        .route("/v1/images", get(queries::images))
        .route("/v1/images/{namespace}/{name}", get(queries::image))
        .route("/v1/events", get(queries::events))
        .route("/v1/events/{id}", get(queries::event))
        .route("/v1/builds", get(queries::builds))
        .route("/v1/builds/{id}", get(queries::build))
        .route("/health", get(queries::health))
        .route("/ready", get(queries::ready))
        .route("/metrics", get(queries::metrics))
        // Bodies are read, counted and limited in `body`, nowhere else.
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(shared.clone(), middleware::pass))
        .with_state(shared)
}

/// The image at a path, if it is configured and within the caller's reach. Both refusals look the same, so that a
/// limited token can't discover other images.
fn image_of(rules: &Rules, caller: &auth::Caller<'_>, namespace: &str, name: &str) -> Result<ImageName, Problem> {
    let image: Option<ImageName> = format!("{namespace}/{name}").parse().ok();
    image.filter(|image| rules.images.contains_key(image) && caller.reaches(image)).ok_or_else(Problem::unknown_image)
}
