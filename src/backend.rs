//! What builds. A closed set, so an enum and not a trait object.
//!
//! This room owns every call to a back-end: the connections, their limits and what the answers mean. It
//! speaks the plain values of [`crate::build`] and must never decide when to build, retry a trigger by
//! itself, or let a secret into an error, a log or a `Debug`.

mod answer;
mod client;
mod dates;
mod docker_hub;
mod redaction;

use std::collections::BTreeMap;

pub use docker_hub::{DockerHub, retirement_warning};

use crate::build::{BackendBuildId, BuildRequest, CancelAnswer, Observation, ObserveError, TriggerAnswer};
use crate::config::{BackendConfig, Rules};
use crate::model::ImageName;

/// The back-end of one image. Cheap to clone; images with the same login share one session.
#[derive(Clone, Debug)]
pub enum Backend {
    DockerHub(DockerHub),
}

/// Why the back-ends can't be set up. Names the place in the configuration, never what stands there.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error("the trigger URL of image '{image}' {why}")]
    TriggerUrl { image: ImageName, why: &'static str },
    #[error("the address 'docker_hub.api' {why}")]
    Api { why: &'static str },
    #[error("failed to set up the HTTPS client: {0}")]
    Client(String),
}

impl Backend {
    /// The back-ends of all configured images. They share one HTTP client; no call is made yet.
    pub fn for_images(rules: &Rules) -> Result<BTreeMap<ImageName, Self>, BackendError> {
        let docker_hub = rules.images.iter().map(|(image, image_config)| match &image_config.backend {
            BackendConfig::DockerHub(backend) => (image, backend),
        });
        let docker_hub = DockerHub::for_images(&rules.docker_hub, docker_hub)?;
        Ok(docker_hub.into_iter().map(|(image, backend)| (image, Self::DockerHub(backend))).collect())
    }

    /// Asks for one build, by one call and never more. Takes at most about 30 s.
    pub async fn trigger(&self, request: &BuildRequest) -> TriggerAnswer {
        match self {
            Self::DockerHub(hub) => hub.trigger(request).await,
        }
    }

    /// Asks what the back-end holds for `image`. May log in first.
    pub async fn observe(&self, image: &ImageName) -> Result<Observation, ObserveError> {
        match self {
            Self::DockerHub(hub) => hub.observe(image).await,
        }
    }

    /// Asks to cancel one build. Even a granted wish frees nothing until the end is seen.
    pub async fn cancel(&self, row: &BackendBuildId) -> CancelAnswer {
        match self {
            Self::DockerHub(hub) => hub.cancel(row).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use globset::GlobSet;

    use super::*;
    use crate::config::{DockerHubBackendConfig, DockerHubConfig, ImageConfig, Login, Secret, SkipRule};
    use crate::scheduler::policy::Policy;

    fn image_config(trigger_url: &str, login: Option<Login>) -> ImageConfig {
        let trigger_url = Secret::new(trigger_url.to_owned());
        ImageConfig {
            repository: None,
            remote: None,
            branches: None,
            branch_globs: None,
            tags: GlobSet::empty(),
            tag_globs: Vec::new(),
            skip: SkipRule::All,
            paths: None,
            ignore_authors: Vec::new(),
            policy: Policy::DEFAULT.into(),
            backend: BackendConfig::DockerHub(DockerHubBackendConfig { trigger_url, login }),
        }
    }

    fn rules(images: Vec<(&str, ImageConfig)>) -> Rules {
        let images = images.into_iter().map(|(name, image)| (name.parse().expect(name), image)).collect();
        Rules {
            images,
            sources: BTreeMap::new(),
            buttons: BTreeMap::new(),
            tokens: BTreeMap::new(),
            docker_hub: DockerHubConfig { api: "http://127.0.0.1:1".to_owned(), concurrent_builds: 5 },
        }
    }

    #[test]
    fn every_image_gets_its_back_end_and_those_with_a_login_observe() {
        let login = Login { username: "mrraph".to_owned(), token: Secret::new("test-token-login".to_owned()) };
        let rules = rules(vec![
            ("mrraph/blog", image_config("http://127.0.0.1:1/u/mrraph/blog/trigger/test-token-1/", Some(login))),
            ("mrraph/site", image_config("http://127.0.0.1:1/u/mrraph/site/trigger/test-token-2/\n", None)),
        ]);
        let backends = Backend::for_images(&rules).expect("back-ends");
        let observes: Vec<_> =
            backends.iter().map(|(image, Backend::DockerHub(hub))| (image.as_str(), hub.observes())).collect();
        assert_eq!(observes, [("mrraph/blog", true), ("mrraph/site", false)]);
        assert!(!format!("{backends:?}").contains("test-token"));
    }

    #[test]
    fn a_trigger_url_that_may_not_be_called_is_told_by_its_image_only() {
        let rules = rules(vec![("mrraph/blog", image_config("http://example.org/test-token-1/", None))]);
        let error = Backend::for_images(&rules).expect_err("refused");
        assert!(error.to_string().starts_with("the trigger URL of image 'mrraph/blog' must begin with"), "{error}");
        assert!(!format!("{error:?}").contains("test-token"));
    }
}
