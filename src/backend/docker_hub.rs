//! Docker Hub's Automated Builds from the client side: trigger, list of builds, cancel.
//!
//! None of these calls was ever documented as an API, so everything is read leniently and an unknown word is never an
//! error. The trigger URL is a password: it is kept out of every text that leaves this module.

mod actions;
#[cfg(test)]
mod fake;
mod login;
mod trigger;
mod urls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::json;

use super::answer::Answer;
use super::client::{Call, CallError, Client, Reach};
use super::redaction::Redaction;
use super::{Backend, BackendError, Calls, Configured, Kind};
use crate::build::{BackendBuildId, BuildRequest, CancelAnswer, Observation, ObserveError, TriggerAnswer};
use crate::config::backend::docker_hub::{DockerHubAccount, DockerHubKeys, DockerHubKind, Login};
use crate::model::{ImageName, RefKind};
use actions::History;
use login::Session;

/// The most bytes in an answer to a trigger, a login or a cancel.
const SHORT_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The most bytes in one page of builds.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest wait for the second page: the first is worth more than a question that times out.
const SECOND_PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// One image's builds on Docker Hub.
#[derive(Clone)]
pub(super) struct DockerHub {
    client: Client,
    /// Without a trailing slash.
    api: Arc<str>,
    /// A password. Must never be shown.
    trigger_url: Url,
    /// What is redacted from Docker Hub's texts.
    redaction: Redaction,
    /// None: blind.
    session: Option<Arc<Session>>,
}

pub(super) static KIND: DockerHubKind = DockerHubKind;

impl Kind for DockerHubKind {
    fn connect(&self, configured: &Configured<'_>) -> Result<BTreeMap<ImageName, Backend>, BackendError> {
        let account: &DockerHubAccount = configured.account()?;
        let hubs = DockerHub::for_images(account, configured.images()?, configured.before())?;
        Ok(hubs.into_iter().map(|(image, hub)| (image, Backend::new(hub))).collect())
    }
}

impl DockerHub {
    /// The back-ends of these images, with one client for all and one session per login, taken over from a back-end in
    /// `before` that had the same login.
    pub(super) fn for_images<'a>(
        account: &DockerHubAccount,
        images: impl IntoIterator<Item = (&'a ImageName, &'a DockerHubKeys)>,
        before: impl IntoIterator<Item = &'a Self>,
    ) -> Result<BTreeMap<ImageName, Self>, BackendError> {
        let api = account.api.trim_end_matches('/');
        let api_url =
            urls::checked(api).map_err(|why| BackendError::Account { table: "docker_hub", key: "api", why })?;
        let images = images
            .into_iter()
            .map(|(image, backend)| match urls::checked(backend.trigger_url.expose()) {
                Ok(url) => Ok((image, backend, url)),
                Err(why) => Err(BackendError::Image { image: image.clone(), key: "trigger_url", why }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let client = Client::new(reach(std::iter::once(&api_url).chain(images.iter().map(|(.., url)| url))))?;

        let of_before = before.into_iter().filter(|hub| *hub.api == *api).filter_map(|hub| hub.session.as_ref());
        let mut sessions: BTreeMap<(&str, &str), Arc<Session>> =
            of_before.map(|session| (key(session.login()), Arc::clone(session))).collect();
        let mut hubs = BTreeMap::new();
        for (image, backend, trigger_url) in images {
            let mut redaction = Redaction::of_trigger_url(backend.trigger_url.expose(), &trigger_url);
            let session = backend.login.as_ref().map(|login| {
                redaction.add(login.token.expose());
                let open = || Arc::new(Session::new(client.clone(), api, login.clone()));
                Arc::clone(sessions.entry(key(login)).or_insert_with(open))
            });
            let hub = Self { client: client.clone(), api: api.into(), trigger_url, redaction, session };
            hubs.insert(image.clone(), hub);
        }
        Ok(hubs)
    }

    pub(super) fn observes(&self) -> bool {
        self.session.is_some()
    }

    /// One page of the image's actions.
    async fn list(
        &self,
        image: &ImageName,
        offset: usize,
        time_limit: Option<Duration>,
    ) -> Result<Answer, ObserveError> {
        let Some(session) = &self.session else {
            return Err(ObserveError::Forbidden { detail: "no login is configured".to_owned() });
        };
        let Some(url) = urls::actions(&self.api, image, offset) else {
            return Err(ObserveError::Unavailable { detail: "the list has no address".to_owned() });
        };
        let answer = session.send(|| Call::get(url.clone(), LIST_BYTES_MAX).within(time_limit)).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(answer),
            401 | 403 => Err(ObserveError::Forbidden { detail: answer.description(&self.redaction) }),
            429 => Err(ObserveError::Throttled { retry_after: answer.retry_after() }),
            _ => Err(ObserveError::Unavailable { detail: answer.description(&self.redaction) }),
        }
    }
}

impl Calls for DockerHub {
    /// Calls the trigger as if `request.git_ref` had been pushed: the one form of the body that also reaches
    /// build rules with a regular expression (docker/hub-feedback issue 1725).
    async fn trigger(&self, request: &BuildRequest) -> TriggerAnswer {
        let source_type = match request.git_ref.kind() {
            RefKind::Branch => "Branch",
            RefKind::Tag => "Tag",
        };
        let body = json!({ "source_type": source_type, "source_name": request.git_ref.short() });
        let call = Call::post(self.trigger_url.clone(), &body, SHORT_ANSWER_BYTES_MAX);
        match self.client.send(call).await {
            Ok(answer) => trigger::classify(&answer, &self.redaction),
            Err(CallError::NotSent(why)) => {
                TriggerAnswer::RefusedForNow { retry_after: None, detail: self.redaction.shown(&why) }
            }
            Err(CallError::Unanswered(why)) => TriggerAnswer::Uncertain { detail: self.redaction.shown(&why) },
        }
    }

    /// Reads the newest builds: one page, and one more if there is one.
    async fn observe(&self, image: &ImageName) -> Result<Observation, ObserveError> {
        let first = self.list(image, 0, None).await?;
        let mut history = History::begin(&self.api, image, &first)?;
        if let Some(offset) = history.next_offset() {
            // The first page alone is a valid answer, too: it says how far back it reaches.
            if let Ok(second) = self.list(image, offset, Some(SECOND_PAGE_TIMEOUT)).await {
                history.go_on(&second);
            }
        }
        Ok(history.into_observation())
    }

    async fn cancel(&self, backend_id: &BackendBuildId) -> CancelAnswer {
        let Some(session) = &self.session else {
            return CancelAnswer::Unsupported;
        };
        let Some(url) = urls::cancel(&self.api, backend_id) else {
            return CancelAnswer::Failed { detail: "the build's id is not one of Docker Hub's".to_owned() };
        };
        let answer = match session.send(|| Call::post(url.clone(), &json!({}), SHORT_ANSWER_BYTES_MAX)).await {
            Ok(answer) => answer,
            Err(error) => return CancelAnswer::Failed { detail: error.to_string() },
        };
        match answer.status.as_u16() {
            200..=299 => CancelAnswer::Requested,
            405 | 501 => CancelAnswer::Unsupported,
            _ => CancelAnswer::Failed { detail: answer.description(&self.redaction) },
        }
    }
}

/// The token is part of the key: an image with a wrong token must not benefit from another's.
fn key(login: &Login) -> (&str, &str) {
    (&login.username, login.token.expose())
}

fn reach<'a>(urls: impl Iterator<Item = &'a Url>) -> Reach {
    let (encrypted, plain): (Vec<_>, Vec<_>) = urls.partition(|url| url.scheme() == "https");
    match (encrypted.is_empty(), plain.is_empty()) {
        (false, true) => Reach::Internet,
        (false, false) => Reach::Both,
        (true, _) => Reach::ThisMachine,
    }
}

impl fmt::Debug for DockerHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerHub").field("observes", &self.observes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
