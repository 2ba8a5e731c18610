//! The sidecars of simulated pods: small servers on the addresses that kwok gives, all with the same growing numbers.
//!
//! kwok numbers pods from the first address on; shadows and pods of later attempts take some, too, so that there are more servers than pods.

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use foreshadow_agent::kubernetes::names::{ACCESS_HEADER, ACCESS_PORT};
use foreshadow_loadtests::demo::error::Error;
use foreshadow_snapshot::{ClusterRole, ClusterSnapshot, MirrorSnapshot, Snapshot};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::Ipv4Addr;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;

/// First of the addresses; see [`crate::cluster`].
const FIRST: u32 = u32::from_be_bytes([127, 66, 0, 0]);
/// Stands for the pod's uid in the text that all share.
const UID: &str = "@uid@";
/// Requests a second that each says it serves, and the share of them that it copies.
const RPS: u64 = 40;
const COPIED: u64 = 4;

type Text = Arc<RwLock<Arc<str>>>;

/// Starts servers for so many pods with their shadows.
pub async fn start(pods: usize) -> Result<(), Error> {
    let count = u32::try_from(2 * pods + 256).unwrap_or(u32::MAX).min(60_000);
    allow(u64::from(count) + 4_096);
    let text: Text = Arc::new(RwLock::new("".into()));
    tokio::spawn(grow(text.clone()));
    for i in 0..count {
        let address = Ipv4Addr::from_bits(FIRST + i);
        let listener = TcpListener::bind((address, ACCESS_PORT)).await.map_err(|e| Error::failed(&format!("{address}"), e))?;
        let router = Router::new().route("/telemetry", get(telemetry)).route("/runtime_modify", post(async || ())).with_state(text.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
    }
    Ok(())
}

/// Raises the limit of open files where the system lets us; where not, binding says what is missing.
fn allow(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(files.max(limit.current.unwrap_or(0)).min(most)), maximum: limit.maximum });
}

async fn telemetry(State(text): State<Text>, headers: HeaderMap) -> String {
    let text = text.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let uid = headers.get(ACCESS_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.replace(UID, uid)
}

/// Lets the numbers grow once a second.
async fn grow(text: Text) {
    let cluster = |name: &str, role| ClusterSnapshot { name: name.into(), role, ..ClusterSnapshot::default() };
    let mut clusters = vec![cluster("application", ClusterRole::Production), cluster("shadow", ClusterRole::Mirror)];
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for second in 0_u64.. {
        ticks.tick().await;
        for (cluster, requests) in clusters.iter_mut().zip([RPS, COPIED]) {
            cluster.requests += requests;
            cluster.responses[1] += requests;
            for i in 0..requests {
                let us = 20_000 + (second * 7_919 + i * 104_729) % 60_000;
                cluster.total_us.record_us(us);
                cluster.first_byte_us.record_us(us / 2);
            }
        }
        let mirror = MirrorSnapshot {
            runtime_key: "mirror.shadow".into(),
            cluster: "shadow".into(),
            fraction: COPIED as f64 / RPS as f64,
            fraction_source: "file".into(),
            ..MirrorSnapshot::default()
        };
        let snapshot = Snapshot {
            proxy_id: UID.into(),
            start_time_unix_ms: 1,
            clusters: clusters.clone(),
            mirrors: vec![mirror],
            ..Snapshot::default()
        };
        if let Ok(new) = serde_json::to_string(&snapshot) {
            *text.write().unwrap_or_else(std::sync::PoisonError::into_inner) = new.into();
        }
    }
}
