//! Health and metrics of a controller, plain HTTP for the kubelet and Prometheus.

use super::Ended;
use crate::kubernetes::metrics::Metrics;
use crate::kubernetes::webhook::serve::Identity;
use crate::kubernetes::webhook::surroundings::Surroundings;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is looked at.
#[derive(Clone)]
pub struct Health {
    /// The webhook's certificate and what it answers from; `None` without a webhook.
    pub webhook: Option<(Identity, Surroundings)>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Serves until the runtime ends.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(address: SocketAddr, health: Health) -> Result<(), Ended> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|e| Ended::Listen(address, e))?;
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(health): State<Health>| health.metrics.text()))
        .with_state(health);
    axum::serve(listener, router).await.map_err(|e| Ended::Listen(address, e))
}

/// Ready when the webhook could answer.
async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.webhook {
        Some((identity, _)) if !identity.is_set() => (StatusCode::SERVICE_UNAVAILABLE, "the webhook has no certificate yet\n"),
        Some((_, around)) if !around.is_known() => (StatusCode::SERVICE_UNAVAILABLE, "Services and namespaces are not known yet\n"),
        _ => (StatusCode::OK, "ok\n"),
    }
}
