//! A Docker Hub on this machine, for the demo and for tests: a pure model (`hub`) behind a thin HTTP skin (`skin`).
//!
//! It behaves like the service, as far as that is documented or was seen: both forms of the trigger URL, the login, the
//! list of actions, cancelling. In addition it has `/_hub/`, with which a test or a demo registers repositories,
//! pushes, injects faults and looks at the truth:
//!
//! | call | does |
//! |---|---|
//! | `POST /_hub/repositories` `{"image": "ns/name"}` | registers it; returns its trigger URLs in both forms |
//! | `POST /_hub/push` `{"image", "ref", "commit"}` | moves a ref's tip |
//! | `POST /_hub/foreign-build` `{"image", "ref"}` | starts a build without a trigger |
//! | `POST /_hub/faults` `["lose_answer", …]` | injects the next faults |
//! | `GET /_hub/builds/{ns}/{name}` | every build as it truly was |
//! | `GET /_hub/counters` | triggers received, ignored, discarded |
//!
//! Dates on the wire are real; only durations (build time, lateness, the time limit) are divided by the speed.

mod alone;
mod hub;
mod skin;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::alone::{AloneReport, alone};
pub use self::hub::{Counters, Fault, Hub, HubSettings, Mode, Reply, TakesTip, TrueBuild, Wanted};
use crate::clock::wall;
use crate::model::{CommitId, GitRef, ImageName};

/// An emulated Docker Hub that serves until it is dropped or stopped.
pub struct EmulatedHub {
    url: String,
    shared: Shared,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

/// The URLs that trigger builds of one repository. Both are secrets at the real service.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TriggerUrls {
    pub legacy: String,
    pub current: String,
}

/// What the skin and the handle share.
#[derive(Clone)]
struct Shared {
    hub: Arc<Mutex<Hub>>,
    login: Arc<(String, String)>,
    sessions: Arc<Mutex<Vec<skin::Session>>>,
    url: Arc<str>,
}

/// How long a login's token is valid: ten minutes at the real service, whatever the speed.
const SESSION: Duration = Duration::from_mins(10);

impl EmulatedHub {
    /// Serves on `listener`. A login must send `username` and `password`.
    pub fn serve(
        listener: TcpListener,
        settings: HubSettings,
        username: &str,
        password: &str,
    ) -> std::io::Result<Self> {
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Shared {
            hub: Arc::new(Mutex::new(Hub::new(settings))),
            login: Arc::new((username.to_owned(), password.to_owned())),
            sessions: Arc::default(),
            url: url.clone().into(),
        };
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(skin::serve(listener, shared.clone(), stopped));
        Ok(Self { url, shared, stop: Some(stop), server })
    }

    /// The base URL, for `docker_hub.api`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn register(&self, image: &ImageName) -> TriggerUrls {
        self.shared.register(image)
    }

    pub fn push(&self, image: &ImageName, git_ref: &GitRef, commit: CommitId) {
        self.shared.hub().push(wall(), image, git_ref, commit);
    }

    pub fn foreign_build(&self, image: &ImageName, git_ref: &GitRef) {
        self.shared.hub().foreign_build(wall(), image, git_ref);
    }

    pub fn plan(&self, fault: Fault) {
        self.shared.hub().plan(fault);
    }

    /// Every build as it truly was, oldest first.
    pub fn true_builds(&self, image: &ImageName) -> Vec<TrueBuild> {
        let mut hub = self.shared.hub();
        hub.advance(wall());
        hub.true_builds(image)
    }

    pub fn counters(&self) -> Counters {
        self.shared.hub().counters()
    }

    /// Closes every connection and stops.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.server).await;
    }
}

impl Drop for EmulatedHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, image: &ImageName) -> TriggerUrls {
        self.hub().register(image.clone());
        TriggerUrls {
            legacy: format!("{}/u/{image}/trigger/{}/", self.url, skin::trigger_token(image)),
            current: format!(
                "{}/api/build/v1/source/{}/trigger/{}/call/",
                self.url,
                skin::source_uuid(image),
                skin::trigger_token(image)
            ),
        }
    }
}
