//! stub
use crate::{reload::Current, telemetry::Metrics};
use std::sync::Arc;
#[derive(Default)]
pub struct Readiness;
impl Readiness {
    pub fn set_bound(&self, _: bool) {}
    pub fn set_draining(&self, _: bool) {}
    pub fn set_check(&self, _: &str, _: bool, _: &str) {}
}
pub struct AdminState;
impl AdminState {
    pub fn new(_: Arc<Current>, _: Arc<Metrics>, _: Arc<Readiness>) -> Self {
        Self
    }
}
pub struct App;
#[async_trait::async_trait]
impl pingora::apps::ServerApp for App {
    async fn process_new(
        self: &Arc<Self>,
        _: pingora::protocols::Stream,
        _: &tokio::sync::watch::Receiver<bool>,
    ) -> Option<pingora::protocols::Stream> {
        None
    }
}
pub fn service(_: Arc<AdminState>, _: bool) -> Arc<App> {
    Arc::new(App)
}
