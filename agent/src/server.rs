//! The agent's pages: the live page, its data, metrics, health. Read only, on loopback unless configured otherwise.
//!
//! Started by `app`; reads `live` and `metrics`, changes nothing. Endpoints:
//!
//! | path | answer |
//! |---|---|
//! | `/` | the live page, self-contained |
//! | `/api/v1/state?minutes=10` | session, series, current decision, workload, account (JSON) |
//! | `/api/v1/decisions?limit=100` | the current decision and the newest actions with their reasons (JSON) |
//! | `/metrics` | Prometheus text |
//! | `/healthz` | 200 while the loop ticks |
//! | `/readyz` | 200 when instances are known, sidecars answer and the history can be written |

use crate::live::{Latest, Live, mode_name};
use crate::metrics::Metrics;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PAGE: &str = include_str!("server/page.html");
/// The page may run its own script and style and talk to nobody else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";
/// Most points of a series in one answer.
const MOST_POINTS: usize = 900;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// The latest and the past.
    pub live: Live,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Tells the time.
    pub clock: fn() -> u64,
    /// Between two ticks.
    pub interval: Duration,
}

/// The routes.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/api/v1/state", get(state))
        .route("/api/v1/decisions", get(decisions))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages)
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")], Html(PAGE))
}

#[derive(Debug, Deserialize)]
struct Span {
    #[serde(default = "ten")]
    minutes: f64,
}

fn ten() -> f64 {
    10.0
}

async fn state(State(pages): State<Pages>, Query(span): Query<Span>) -> Json<Value> {
    let latest = pages.live.latest();
    let now_ms = (pages.clock)();
    let since_ms = now_ms.saturating_sub((span.minutes.clamp(0.1, 60.0) * 60_000.0) as u64);
    let settings = latest.session.as_ref().map(|s| &s.settings);
    Json(json!({
        "now_ms": now_ms,
        "workload_name": latest.session.as_ref().map(|s| s.workload.as_str()),
        "mode": latest.session.as_ref().map(|s| mode_name(s.mode)),
        "settings": settings,
        "ticks": latest.ticks,
        "points": pages.live.points(since_ms, MOST_POINTS),
        "decision": latest.decision,
        "sample": latest.sample,
        "workload": latest.workload,
        "account": latest.account,
        "account_closes": latest.account.closes(),
        "account_mismatches": latest.account_mismatches,
        "shadow_verdict": latest.decision.as_ref().map(|d| d.shadow_verdict.as_str()),
        "proxies": { "polled": latest.proxies.0, "missing": latest.proxies.1 },
        "problems": problems(&latest),
        "actions": pages.live.actions(100),
    }))
}

#[derive(Debug, Deserialize)]
struct Limit {
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

async fn decisions(State(pages): State<Pages>, Query(limit): Query<Limit>) -> Json<Value> {
    let latest = pages.live.latest();
    Json(json!({ "decision": latest.decision, "actions": pages.live.actions(limit.limit.min(500)) }))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn healthz(State(pages): State<Pages>) -> (StatusCode, String) {
    let latest = pages.live.latest();
    let last_ms = latest.sample.as_ref().map_or(0, |s| s.at_ms);
    let silent_ms = (pages.clock)().saturating_sub(last_ms);
    let allowed_ms = (pages.interval.as_millis() as u64 * 10).max(10_000);
    if last_ms == 0 {
        (StatusCode::OK, "starting\n".into())
    } else if silent_ms > allowed_ms {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the last tick was {} s ago\n", silent_ms / 1_000))
    } else {
        (StatusCode::OK, "ok\n".into())
    }
}

async fn readyz(State(pages): State<Pages>) -> (StatusCode, String) {
    let latest = pages.live.latest();
    let mut problems = problems(&latest);
    if latest.ticks == 0 {
        problems.push("starting".into());
    }
    if problems.is_empty() { (StatusCode::OK, "ready\n".into()) } else { (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n") }
}

/// What stands in the way of doing the job, in words.
fn problems(latest: &Latest) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(e) = &latest.source_error {
        found.push(format!("instances are not known: {e}"));
    }
    if latest.proxies.1 > 0 {
        found.push(format!("{} of {} sidecars did not answer", latest.proxies.1, latest.proxies.0));
    }
    if let Some(e) = &latest.history_error {
        found.push(format!("the history cannot be written, so nothing is acted on: {e}"));
    }
    if latest.account_mismatches > 0 {
        found.push(format!("the account of copies did not close in {} snapshots", latest.account_mismatches));
    }
    found
}
