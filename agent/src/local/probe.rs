//! Looking at instances from outside: ready yet? still at work? Called by `local::launch`, one task an instance.
//!
//! Promises: a look takes at most a second; what cannot be seen counts as not ready and not idle. While an application starts it is asked
//! directly, so that its sidecar's counters hold clients' requests and not our impatience; the last look goes through the sidecar, marked as
//! a probe.

use super::proxy_config::FRONT_CLUSTER;
use crate::http::{Http, request};
use bytes::Bytes;
use foreshadow_snapshot::Snapshot;
use http::{HeaderValue, Method, header};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks for readiness.
const READY_EVERY: Duration = Duration::from_millis(100);
/// Between two looks for idleness.
const IDLE_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(1);
/// Largest answer to a readiness probe, and largest snapshot.
const LIMIT: usize = 4 << 20;

/// What has to answer before an instance counts as ready.
#[derive(Debug, Clone)]
pub struct Target {
    /// Port of the application.
    pub app: Option<u16>,
    /// Port of the proxy, and the file in which it says where its admin address is.
    pub proxy: Option<(u16, PathBuf)>,
    /// Path that answers 2xx; None: accepting a connection is enough.
    pub path: Option<String>,
}

/// Looks until everything answers. The proxy's admin address, when there is one.
pub async fn until_ready(http: &Http, target: &Target) -> Option<String> {
    let mut every = tokio::time::interval(READY_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Some(port) = target.app
            && !answers(http, port, target.path.as_deref()).await
        {
            continue;
        }
        let Some((port, admin_file)) = &target.proxy else { return None };
        // Written by the proxy once it listens; may be seen half-written.
        let admin = std::fs::read_to_string(admin_file).unwrap_or_default();
        let Ok(admin) = admin.trim().parse::<std::net::SocketAddr>() else { continue };
        // A front has no application of its own behind it that could answer.
        let path = target.path.as_deref().filter(|_| target.app.is_some());
        if answers(http, *port, path).await {
            return Some(format!("http://{admin}"));
        }
    }
}

async fn answers(http: &Http, port: u16, path: Option<&str>) -> bool {
    let Some(path) = path else {
        let connect = tokio::net::TcpStream::connect(("127.0.0.1", port));
        return matches!(tokio::time::timeout(DEADLINE, connect).await, Ok(Ok(_)));
    };
    let Ok(mut probe) = request(Method::GET, &format!("http://127.0.0.1:{port}{path}"), Bytes::new()) else { return false };
    probe.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("kube-probe/foreshadow"));
    probe.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    http.ok(probe, LIMIT, DEADLINE).await.is_ok()
}

/// Looks until the front no longer lists the sidecar and the sidecar has had nothing under way twice in a row (between front and sidecar a
/// request is in nobody's count).
pub async fn until_idle(http: &Http, front_admin: Option<String>, admin: &str, port: u16) {
    let listed = format!("127.0.0.1:{port}");
    let mut quiet = 0;
    while quiet < 2 {
        tokio::time::sleep(IDLE_EVERY).await;
        let left_front = match &front_admin {
            None => true,
            Some(front) => snapshot(http, front).await.is_some_and(|s| !lists(&s, &listed)),
        };
        let idle = left_front && snapshot(http, admin).await.is_some_and(|s| s.clusters.iter().all(|c| c.in_flight == 0 || is_copy(c)));
        quiet = if idle { quiet + 1 } else { 0 };
    }
}

fn lists(front: &Snapshot, address: &str) -> bool {
    front.clusters.iter().filter(|c| c.name == FRONT_CLUSTER).any(|c| c.endpoints.iter().any(|e| e == address))
}

fn is_copy(cluster: &foreshadow_snapshot::ClusterSnapshot) -> bool {
    cluster.role == foreshadow_snapshot::ClusterRole::Mirror
}

async fn snapshot(http: &Http, admin: &str) -> Option<Snapshot> {
    http.get_json(&format!("{admin}/telemetry"), LIMIT, DEADLINE).await.ok()
}
