//! stub
use crate::config::{Config, Secret};
use crate::driver::Handle;
use std::sync::Arc;
pub struct App;
impl App {
    pub fn new(_c: Arc<Config>, _h: Handle, _t: Option<Secret>) -> Self {
        Self
    }
}
pub struct Listeners;
impl Listeners {
    pub async fn bind(_c: &Config) -> std::io::Result<Self> {
        Ok(Self)
    }
    pub fn url(&self) -> String {
        String::new()
    }
}
pub async fn serve(_l: Listeners, _a: App, shutdown: impl Future<Output = ()>) {
    shutdown.await;
}
