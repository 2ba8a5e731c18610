//! `foreshadow-agent controller`: two replicas answer the injection webhook; the one that leads looks after ShadowScalers.
//!
//! Promises: an API server that is away, a watch that breaks off and a conflict are waited out and tried again; what the leader does is
//! idempotent, so that two leaders for a moment do no harm; SIGTERM ends it at once, with the leadership let go.

pub mod conditions;
pub mod election;
pub mod looked;
pub mod objects;
pub mod pages;
pub mod reconcile;
pub mod secret;
pub mod sidecars;
pub mod sweep;

use super::inject::{Families, Settings, command};
use super::metrics::Metrics;
use super::server;
use super::webhook::serve::{self, Identity, Webhook};
use super::webhook::surroundings::Surroundings;
use crate::cli;
use crate::cli::cluster::Controller;
use election::Election;
use pages::Health;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Why a controller ended that should not have.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No cluster.
    #[error("{0}")]
    NoCluster(String),
    /// An address cannot be had.
    #[error("{0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// Something that should not happen.
    #[error("internal: {0}")]
    Internal(String),
}

impl Ended {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::NoCluster(_) | Self::Listen(..) => cli::UNAVAILABLE,
            Self::Internal(_) => cli::INTERNAL,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not.
pub async fn run(args: Controller) -> Result<(), Ended> {
    let internal = |e: std::io::Error| Ended::Internal(e.to_string());
    let (mut term, mut int) = (signal(SignalKind::terminate()).map_err(internal)?, signal(SignalKind::interrupt()).map_err(internal)?);
    let client = server::client().await.map_err(Ended::NoCluster)?;
    let metrics = Arc::new(Metrics::new().map_err(|e| Ended::Internal(e.to_string()))?);
    let (identity, surroundings) = (Identity::default(), Surroundings::watch(&client));
    let webhook_of = (!args.no_webhook).then(|| (identity.clone(), surroundings.clone()));
    let health = Health { webhook: webhook_of, metrics: metrics.clone() };
    let mut pages = tokio::spawn(pages::serve(args.listen, health));
    let mut webhook = tokio::spawn(webhook(args.clone(), client.clone(), identity, surroundings.clone(), metrics.clone()));
    let me = args.identity.clone().unwrap_or_else(host_name);
    let election = Election::new(client.clone(), &args.namespace, &me);
    let mut leading = tokio::spawn(election.clone().lead(metrics.clone(), move || {
        let (args, client, surroundings, metrics) = (args.clone(), client.clone(), surroundings.clone(), metrics.clone());
        async move {
            tokio::join!(
                secret::keep(&args, &client, &metrics),
                sweep::run(&client, &metrics),
                reconcile::run(client.clone(), surroundings, metrics.clone())
            );
        }
    }));
    let ended = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        ended = &mut pages => ended.map_err(|e| Ended::Internal(e.to_string())).and_then(|r| r),
        ended = &mut webhook => ended.map_err(|e| Ended::Internal(e.to_string())).and_then(|r| r),
        ended = &mut leading => Err(Ended::Internal(format!("the leader's work ended: {ended:?}"))),
    };
    leading.abort();
    election.let_go().await;
    ended
}

/// Waits for a certificate, then answers questions.
async fn webhook(
    args: Controller,
    client: kube::Client,
    identity: Identity,
    surroundings: Surroundings,
    metrics: Arc<Metrics>,
) -> Result<(), Ended> {
    if args.no_webhook {
        return std::future::pending().await;
    }
    tokio::spawn(secret::follow(client.clone(), args.namespace.clone(), identity.clone()));
    let settings = Arc::new(settings(&args, &client).await);
    surroundings.known().await;
    let webhook = Webhook { settings, surroundings, metrics };
    serve::serve(args.webhook_listen, identity, webhook).await.map_err(|e| Ended::Listen(args.webhook_listen, e))
}

/// What is injected in this cluster. A server that does not tell its version yet is asked again.
async fn settings(args: &Controller, client: &kube::Client) -> Settings {
    let native = loop {
        match server::version(client).await {
            Ok(version) => break version.native_sidecars(),
            Err(why) => {
                tracing::warn!(why, "asking again");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    };
    let mut settings = command::settings(&args.inject, native);
    settings.families = args.inject.ip_families.unwrap_or_else(|| families(&args.pod_ips));
    tracing::info!(?native, families = ?settings.families, image = settings.proxy_image, "injecting");
    settings
}

/// Pods have addresses like ours.
fn families(ips: &[IpAddr]) -> Families {
    match (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)) {
        (true, true) => Families::Dual,
        (false, true) => Families::V6,
        _ => Families::V4,
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "controller".into(), |n| n.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_addresses_like_the_controllers() {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(families(&ips(&["10.0.0.1"])), Families::V4);
        assert_eq!(families(&ips(&["fd00::1"])), Families::V6);
        assert_eq!(families(&ips(&["10.0.0.1", "fd00::1"])), Families::Dual);
        assert_eq!(families(&[]), Families::V4);
    }
}
