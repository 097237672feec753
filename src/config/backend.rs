//! The back-ends as they are configured.

use super::Secret;

#[derive(Clone, Debug)]
pub enum BackendConfig {
    DockerHub(DockerHubBackendConfig),
}

#[derive(Clone, Debug)]
pub struct DockerHubBackendConfig {
    /// Of the old or the new form; it is a password.
    pub trigger_url: Secret,
    /// Both or none: without them the back-end is blind.
    pub login: Option<Login>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    pub token: Secret,
}

/// One account and base address for all images on Docker Hub.
#[derive(Clone, Debug)]
pub struct DockerHubConfig {
    /// Without a slash at the end.
    pub api: String,
    /// The account's limit, shared by its images.
    pub concurrent_builds: u32,
}
