//! The node agent's pages: metrics, health, and the state of every workload that it holds. Read only.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | Prometheus text: the agent's own, and those of its workloads with the label `workload` |
//! | `/healthz` | 200 while the loops tick |
//! | `/readyz` | 200 once the ShadowScalers are known |
//! | `/api/v1/workloads` | names of the workloads held here (JSON) |
//! | `/api/v1/state?workload=NAMESPACE/NAME` | the latest of one of them (JSON) |

use super::counts::Counts;
use super::keeper::Held;
use crate::kubernetes::crd::ShadowScaler;
use crate::kubernetes::watched::Watched;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Encoder, TextEncoder, proto::MetricFamily};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A loop that has not ticked for this long is stuck, milliseconds.
const STUCK_MS: u64 = 60_000;

/// What the pages show.
#[derive(Clone)]
pub struct Shown {
    /// What is held.
    pub held: Held,
    /// The agent's own metrics.
    pub counts: Arc<Counts>,
    /// The ShadowScalers.
    pub scalers: Watched<ShadowScaler>,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
}

/// The routes.
pub fn router(shown: Shown) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/state", get(state))
        .with_state(shown)
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    let own = shown.counts.registry.gather();
    let held: Vec<MetricFamily> = shown.held.all().iter().flat_map(|(_, holding)| holding.metrics.gather()).collect();
    for family in own.into_iter().chain(held) {
        match families.get_mut(family.name()) {
            Some(known) => known.mut_metric().extend(family.get_metric().iter().cloned()),
            None => drop(families.insert(family.name().to_owned(), family)),
        }
    }
    let families: Vec<MetricFamily> = families.into_values().filter(|f| !f.get_metric().is_empty()).collect();
    let mut text = Vec::new();
    match TextEncoder::new().encode(&families, &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn healthz(State(shown): State<Shown>) -> (StatusCode, String) {
    let now_ms = (shown.clock)();
    let last_ms = |latest: &crate::live::Latest| latest.sample.as_ref().map(|s| s.at_ms);
    let stuck = |(workload, holding): (String, Arc<super::holding::Holding>)| {
        let silent_ms = now_ms.saturating_sub(last_ms(&holding.live.latest())?);
        (silent_ms > STUCK_MS).then(|| format!("{workload}: the last tick was {} s ago\n", silent_ms / 1_000))
    };
    let stuck: String = shown.held.all().into_iter().filter_map(stuck).collect();
    if stuck.is_empty() { (StatusCode::OK, "ok\n".into()) } else { (StatusCode::SERVICE_UNAVAILABLE, stuck) }
}

async fn readyz(State(shown): State<Shown>) -> (StatusCode, String) {
    let listed = shown.scalers.borrow();
    if listed.complete {
        return (StatusCode::OK, "ready\n".into());
    }
    let why = listed.broken.clone().unwrap_or_else(|| "not yet listed".into());
    (StatusCode::SERVICE_UNAVAILABLE, format!("ShadowScalers are not known: {why}\n"))
}

async fn workloads(State(shown): State<Shown>) -> Json<Vec<String>> {
    Json(shown.held.all().into_iter().map(|(workload, _)| workload).collect())
}

#[derive(serde::Deserialize)]
struct Wanted {
    workload: String,
}

async fn state(State(shown): State<Shown>, Query(wanted): Query<Wanted>) -> Result<Json<Value>, StatusCode> {
    let holding = shown.held.get(&wanted.workload).ok_or(StatusCode::NOT_FOUND)?;
    let latest = holding.live.latest();
    Ok(Json(json!({
        "workload_name": wanted.workload,
        "mode": crate::live::mode_name(holding.mode),
        "ticks": latest.ticks,
        "decision": latest.decision,
        "sample": latest.sample,
        "workload": latest.workload,
        "source_error": latest.source_error,
        "proxies": { "polled": latest.proxies.0, "missing": latest.proxies.1 },
        "account": latest.account,
        "account_closes": latest.account.closes(),
        "refusal": holding.hand.refusal().map(|r| r.to_string()),
        "actions": holding.live.actions(50),
    })))
}
