//! One image and one configuration for the tests of other modules: all defaults, and a back-end that is never called.
//! New image keys are added here and nowhere else.

use std::sync::Arc;

use globset::GlobSet;

use super::backend::docker_hub::DockerHubKind;
use super::shown::Shown;
use super::{BackendConfig, ImageConfig, SkipRule};
use crate::scheduler::policy::Policy;

impl ImageConfig {
    /// An image without a repository or rules.
    pub(crate) fn sample() -> Self {
        Self {
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
            backend: BackendConfig::new(&DockerHubKind, Arc::new(()), Shown::default()),
        }
    }
}
