//! What is in force together: the rules, and what the scheduler and the calls derive from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::{Backend, BackendError};
use crate::config::Rules;
use crate::model::ImageName;
use crate::scheduler::Settings;

/// The back-end of each image.
pub(super) type Backends = BTreeMap<ImageName, Backend>;

/// One configuration, ready to be put in force: no part of it can fail any more.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub rules: Arc<Rules>,
    pub(super) settings: Settings,
    pub(super) backends: Arc<Backends>,
}

impl Configuration {
    /// `seed`: where the jitter of waits comes from.
    pub fn new(rules: Rules, seed: u64) -> Result<Self, BackendError> {
        Self::replacing(&Backends::new(), rules, seed)
    }

    /// Like [`new`](Self::new), but keeps the sessions of this one whose login is unchanged: a new login might be
    /// refused.
    pub fn successor(&self, rules: Rules) -> Result<Self, BackendError> {
        Self::replacing(&self.backends, rules, self.settings.seed)
    }

    fn replacing(before: &Backends, rules: Rules, seed: u64) -> Result<Self, BackendError> {
        let backends = Backend::for_images(&rules, before)?;
        let policies = rules.images.iter().map(|(image, config)| (image.clone(), config.policy.clone())).collect();
        let settings =
            Settings { policies, account_limits: rules.accounts.limits(), button_fold: Settings::BUTTON_FOLD, seed };
        Ok(Self { rules: Arc::new(rules), settings, backends: Arc::new(backends) })
    }
}
