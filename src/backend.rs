//! Back-ends: the services that build.
//!
//! This module owns every call to a back-end: the connections, their limits, and what the answers mean. It uses the
//! plain values of [`crate::build`] and must never decide when to build, retry a trigger by itself, or let a secret
//! into an error, a log or a `Debug`.

mod answer;
mod client;
mod dates;
mod redaction;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::build::{BackendBuildId, BuildRequest, CancelAnswer, Observation, ObserveError, TriggerAnswer};
use crate::config::Rules;
use crate::config::backend::{BackendConfig, BackendKind};
use crate::model::ImageName;

/// The kinds of back-end, one a line: a file below `backend/`, which says in `KIND` how its tables are read and how it
/// connects.
macro_rules! kinds {
    ($($file:ident)*) => {
        $(mod $file;)*

        /// Every kind of back-end that there is.
        pub(crate) static KINDS: &[&dyn Kind] = &[$(&$file::KIND),*];
    };
}

kinds! {
    docker_hub
}

/// A kind of back-end.
pub(crate) trait Kind: BackendKind {
    /// Connects all images of this kind; makes no calls yet.
    fn connect(&self, configured: &Configured<'_>) -> Result<BTreeMap<ImageName, Backend>, BackendError>;
}

/// What one kind of back-end does for one image.
pub(crate) trait Calls: Debug + Send + Sync + 'static {
    /// Requests one build, with exactly one call. Takes at most about 30 s.
    fn trigger(&self, request: &BuildRequest) -> impl Future<Output = TriggerAnswer> + Send;

    /// Asks what the back-end holds for `image`. May log in first.
    fn observe(&self, _image: &ImageName) -> impl Future<Output = Result<Observation, ObserveError>> + Send {
        async { Err(ObserveError::Forbidden { detail: "this kind of back-end can't list its builds".to_owned() }) }
    }

    /// Requests cancellation of one build. Even if granted, nothing is free until the build is seen to end.
    fn cancel(&self, _build: &BackendBuildId) -> impl Future<Output = CancelAnswer> + Send {
        async { CancelAnswer::Unsupported }
    }
}

/// The images of one kind.
pub(crate) struct Configured<'a> {
    kind: &'static str,
    images: Vec<(&'a ImageName, &'a BackendConfig)>,
    rules: &'a Rules,
    before: &'a BTreeMap<ImageName, Backend>,
}

/// The back-end of one image. Cheap to clone; images with the same login share one session.
#[derive(Clone, Debug)]
pub(crate) struct Backend(Arc<dyn BoxedCalls>);

/// Why the back-ends can't be set up. Names the place in the configuration, never its content.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("'{key}' of the back-end of image '{image}' {why}")]
    Image { image: ImageName, key: &'static str, why: &'static str },
    #[error("'{table}.{key}' {why}")]
    Account { table: &'static str, key: &'static str, why: &'static str },
    #[error("a back-end of kind '{0}' was configured by another kind")]
    OtherKind(&'static str),
    #[error("failed to set up the HTTPS client: {0}")]
    Client(String),
}

impl Backend {
    /// The back-ends of all configured images; makes no calls yet. A kind reuses what is still valid in `before`, such
    /// as a login.
    pub(crate) fn for_images(
        rules: &Rules,
        before: &BTreeMap<ImageName, Self>,
    ) -> Result<BTreeMap<ImageName, Self>, BackendError> {
        let mut backends = BTreeMap::new();
        for kind in KINDS {
            let images = rules.images.iter().map(|(image, config)| (image, &config.backend));
            let images: Vec<_> = images.filter(|(_, backend)| backend.kind() == kind.name()).collect();
            if !images.is_empty() {
                backends.extend(kind.connect(&Configured { kind: kind.name(), images, rules, before })?);
            }
        }
        Ok(backends)
    }

    pub(crate) fn new(calls: impl Calls) -> Self {
        Self(Arc::new(calls))
    }

    /// See [`Calls::trigger`].
    pub(crate) async fn trigger(&self, request: &BuildRequest) -> TriggerAnswer {
        self.0.trigger(request).await
    }

    /// See [`Calls::observe`].
    pub(crate) async fn observe(&self, image: &ImageName) -> Result<Observation, ObserveError> {
        self.0.observe(image).await
    }

    /// See [`Calls::cancel`].
    pub(crate) async fn cancel(&self, build: &BackendBuildId) -> CancelAnswer {
        self.0.cancel(build).await
    }
}

impl<'a> Configured<'a> {
    /// The images, each with the kind's own table as read.
    pub(crate) fn images<T: 'static>(&self) -> Result<Vec<(&'a ImageName, &'a T)>, BackendError> {
        let other = || BackendError::OtherKind(self.kind);
        self.images.iter().map(|(image, config)| Ok((*image, config.keys().ok_or_else(other)?))).collect()
    }

    /// The kind's account table as read.
    pub(crate) fn account<T: 'static>(&self) -> Result<&'a T, BackendError> {
        self.rules.accounts.keys(self.kind).ok_or(BackendError::OtherKind(self.kind))
    }

    /// What the kind connected for the previous configuration.
    pub(crate) fn before<T: Calls>(&self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.before.values().filter_map(|backend| (&*backend.0 as &dyn Any).downcast_ref())
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Calls`] behind a pointer.
trait BoxedCalls: Any + Debug + Send + Sync {
    fn trigger<'a>(&'a self, request: &'a BuildRequest) -> Answer<'a, TriggerAnswer>;
    fn observe<'a>(&'a self, image: &'a ImageName) -> Answer<'a, Result<Observation, ObserveError>>;
    fn cancel<'a>(&'a self, build: &'a BackendBuildId) -> Answer<'a, CancelAnswer>;
}

impl<T: Calls> BoxedCalls for T {
    fn trigger<'a>(&'a self, request: &'a BuildRequest) -> Answer<'a, TriggerAnswer> {
        Box::pin(Calls::trigger(self, request))
    }

    fn observe<'a>(&'a self, image: &'a ImageName) -> Answer<'a, Result<Observation, ObserveError>> {
        Box::pin(Calls::observe(self, image))
    }

    fn cancel<'a>(&'a self, build: &'a BackendBuildId) -> Answer<'a, CancelAnswer> {
        Box::pin(Calls::cancel(self, build))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::backend::docker_hub::{DockerHubKeys, DockerHubKind};
    use crate::config::shown::Shown;
    use crate::config::{Config, Secret};

    const IMAGES: &str = "[image.\"mrraph/blog\".backend]\nkind = \"docker_hub\"\nusername = \"mrraph\"\n\
        token = \"test-token-login\"\ntrigger_url = \"http://127.0.0.1:1/u/mrraph/blog/trigger/test-token-1/\"\n\
        [image.\"mrraph/site\".backend]\nkind = \"docker_hub\"\n\
        trigger_url = \"http://127.0.0.1:1/u/mrraph/site/trigger/test-token-2/\"\n";

    fn rules() -> Rules {
        Config::parse(IMAGES, "c.toml", Path::new(""), &|_| None).expect("a configuration").rules
    }

    #[test]
    fn every_image_gets_its_back_end_and_those_with_a_login_observe() {
        let backends = Backend::for_images(&rules(), &BTreeMap::new()).expect("back-ends");
        let shown: Vec<_> = backends.iter().map(|(image, backend)| format!("{image} {backend:?}")).collect();
        assert!(shown[0].starts_with("mrraph/blog") && shown[0].contains("observes: true"), "{shown:?}");
        assert!(shown[1].starts_with("mrraph/site") && shown[1].contains("observes: false"), "{shown:?}");
        assert!(!format!("{backends:?}").contains("test-token"));
    }

    #[test]
    fn a_forbidden_trigger_url_is_reported_by_its_image_only() {
        let mut rules = rules();
        let trigger_url = Secret::new("http://example.org/test-token-1/".to_owned());
        let keys = Arc::new(DockerHubKeys { trigger_url, login: None });
        let image = rules.images.values_mut().next().expect("an image");
        image.backend = BackendConfig::new(&DockerHubKind, keys, Shown::default());
        let error = Backend::for_images(&rules, &BTreeMap::new()).expect_err("refused");
        let told = "'trigger_url' of the back-end of image 'mrraph/blog' must begin with";
        assert!(error.to_string().starts_with(told), "{error}");
        assert!(!format!("{error:?}").contains("test-token"));
    }

    #[test]
    fn a_table_of_another_kind_is_refused() {
        let mut rules = rules();
        let image = rules.images.values_mut().next().expect("an image");
        image.backend = BackendConfig::new(&DockerHubKind, Arc::new(()), Shown::default());
        assert!(matches!(Backend::for_images(&rules, &BTreeMap::new()), Err(BackendError::OtherKind("docker_hub"))));
    }
}
