//! The HTTP server: listeners, limits, routes and answers.
//!
//! It owns everything between a socket and the driver's [`Handle`]. It must not decide what is built, nor
//! answer 2xx to a delivery before the handle says that it is on disk.
//!
//! - `listener`: sockets, from the configuration or from systemd
//! - `connection`: how many, how long, and the graceful end
//! - `middleware`: what every request passes: time limit, problem documents, metrics
//! - `body`, `fields`, `query`: what a request says, within limits
//! - `auth`: who may do what at `/v1`
//! - `ingest`, `commands`, `queries`: the routes

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
mod stall;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};

pub use connection::Drained;
pub use listener::{BindError, Listeners};
pub use problem::Problem;

use crate::config::{Config, Secret};
use crate::driver::Handle;
use crate::model::ImageName;
use body::BodyBudget;
use connection::Limits;
use metrics::Metrics;

/// What the routes need of the daemon.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    pub handle: Handle,
    /// The token of clients on this machine: it may do all, under the name `local`.
    pub local_token: Option<Secret>,
}

/// The state of one serving daemon: the app, and what its requests share.
struct Shared {
    app: App,
    bodies: BodyBudget,
    metrics: Metrics,
    ending: middleware::Ending,
}

/// Serves until `shutdown` resolves, then lets the requests under way end, for at most 10 s.
pub async fn serve(listeners: Listeners, app: App, shutdown: impl Future<Output = ()>) -> Drained {
    let limits = Limits { connections: app.config.fixed.connections_max, ..Limits::DEFAULT };
    let ending = middleware::Ending::default();
    let router = router(app, ending.clone());
    let noted = async {
        shutdown.await;
        ending.begin();
    };
    connection::serve(listeners, limits, router, noted).await
}

fn router(app: App, ending: middleware::Ending) -> Router {
    let shared = Arc::new(Shared { app, bodies: BodyBudget::default(), metrics: Metrics::default(), ending });
    Router::new()
        .route("/hooks/{source}", post(ingest::hook))
        .route("/buttons/{name}", any(ingest::button))
        .route("/v1/images/{namespace}/{name}/builds", post(ingest::build))
        .route("/v1/images/{namespace}/{name}/{verb}", post(commands::on_image))
        .route("/v1/pause", post(commands::pause_all))
        .route("/v1/resume", post(commands::resume_all))
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

/// The image at an address, if it is configured and the caller reaches it. Both refusals look the same, so that
/// a limited token can't find out what else there is.
fn image_of(app: &App, caller: &auth::Caller<'_>, namespace: &str, name: &str) -> Result<ImageName, Problem> {
    let image: Option<ImageName> = format!("{namespace}/{name}").parse().ok();
    image
        .filter(|image| app.config.rules.images.contains_key(image) && caller.reaches(image))
        .ok_or_else(Problem::unknown_image)
}
